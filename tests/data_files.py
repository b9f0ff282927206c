"""Small files of every format that tinyar reads, to be written into a test's own folder."""

import gzip
import hashlib
import struct

import numpy as np
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
