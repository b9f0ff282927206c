"""Small files of every format that tinyar reads, to be written into a test's own folder."""

import gzip
import hashlib
import io
import os
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from tinyar.data import sources

COLUMNS = 784


def idx_images(images):
    return struct.pack(">4I", 2051, *images.shape) + images.tobytes()


def idx_labels(labels):
    return struct.pack(">2I", 2049, len(labels)) + bytes(labels)


def amat(pixels):
    return b"".join(b" ".join(b"%d" % pixel for pixel in row) + b"\n" for row in pixels)


def some_images(count, height=3, width=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width), np.uint8)


def tiny_mnist(count=12, tests=3, seed=0):
    """The contents of the four files, by name."""
    return {"train-images-idx3-ubyte": idx_images(some_images(count, seed=seed)),
            "train-labels-idx1-ubyte": idx_labels([place % 10 for place in range(count)]),
            "t10k-images-idx3-ubyte": idx_images(some_images(tests, seed=seed + 1)),
            "t10k-labels-idx1-ubyte": idx_labels([7] * tests)}


def write_files(folder, contents, gzipped=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if gzipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def cifar(images, labels):
    """Records as the CIFAR-10 page describes them, put together value by value."""
    content = bytearray()
    for image, label in zip(images, labels, strict=True):
        content.append(label)
        for channel in range(3):
            content += bytes(int(image[row, col, channel]) for row in range(32) for col in range(32))
    return bytes(content)


def some_colours(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def tiny_cifar(batches=(1,), count=6, tests=2):
    """The contents of the files by name; image i of all has label i % 10, the test images are those of seed 9."""
    contents = {f"data_batch_{batch}.bin": cifar(some_colours(count, seed=batch), [i % 10 for i in range(count)])
                for batch in batches}
    return {**contents, "test_batch.bin": cifar(some_colours(tests, seed=9), [3] * tests)}


def binary_rows(rows):
    return np.random.default_rng(2).integers(0, 2, (rows, COLUMNS))


def save_pictures(folder, names, size=(8, 8)):
    """Save a picture of a single colour under each name; the colours differ."""
    for place, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (10 * place, 255 - 10 * place, 77)).save(folder / name)


def tiny_source(contents, mirrors=("https://one/", "https://two/")):
    known = tuple(sources.File(name, len(content), hashlib.sha256(content).hexdigest())
                  for name, content in contents.items())
    return sources.Source(known, ("mnist",), mirrors, ".gz")


# ---- what isn't a file -----------------------------------------------------------------------------------------------

def named_pipe(path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes on this system")
    os.mkfifo(path)


def link_to_device(path):
    if not os.path.exists("/dev/zero"):
        pytest.skip("no devices in the file system")
    link(path, "/dev/zero")


def link(path, target):
    try:
        os.symlink(target, path)
    except (OSError, NotImplementedError):
        if sys.platform == "win32":
            pytest.skip("this user may make no links")
        raise


NO_FILES = {"a named pipe": named_pipe, "a device": link_to_device}


# ---- pictures, byte by byte ------------------------------------------------------------------------------------------

def encoded(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def jpeg_with(content, *notes):
    """A JPEG with notes, (kind, content), put behind its first two bytes."""
    segments = [bytes([0xFF, kind]) + struct.pack(">H", len(note) + 2) + note for kind, note in notes]
    return content[:2] + b"".join(segments) + content[2:]


def chunk(name, content, wrong=False):
    checksum = zlib.crc32(name + content) ^ wrong
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png_with(content, *chunks, at_end=False):
    """A PNG with chunks put behind its header, or before its end."""
    place = len(content) - 12 if at_end else 33
    return content[:place] + b"".join(chunks) + content[place:]


def png_of_zeros(width, height, kind, bytes_a_pixel):
    """A whole PNG of black pixels, made without holding them; kind is the colour type, 6 for RGBA."""
    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(1 + width * bytes_a_pixel)) for _ in range(height)) + packer.flush()
    header = struct.pack(">2I5B", width, height, 8, kind, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def tiff(*entries, first=8):
    """The tags of EXIF: entries of 12 bytes, as `tag` makes them. `first` is where they are said to begin."""
    return b"II*\0" + struct.pack("<I", first) + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)


def tag(number, kind, count, value):
    """One entry: value is a number, or the four bytes that stand in its place."""
    return struct.pack("<HHI", number, kind, count) + (value if isinstance(value, bytes) else struct.pack("<I", value))


def bmp_with_alpha(pixels):
    """A BMP of 32 bits with a mask for alpha, as its fifth version can have; pixels (height, width, 4), R, G, B, A."""
    height, width, _ = pixels.shape
    body = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<I2i2H6I", 124, width, height, 1, 32, 3, len(body), 2835, 2835, 0, 0) + masks + bytes(68)
    return b"BM" + struct.pack("<I2HI", 138 + len(body), 0, 0, 138) + header + body
