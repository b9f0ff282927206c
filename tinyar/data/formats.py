"""Reading image files byte by byte: IDX (MNIST and its relatives), .amat text, and CIFAR-10, gzipped or not.

A file may be anything: cut short by a full disk, an error page saved under the name of the data, a gzip that unpacks to
terabytes. So a reader here takes no size on trust: it checks each number of the header, asks for just the bytes that
the header promises and one more, and whatever doesn't fit raises ValueError that names the file, what was found and
what was expected. Whether a file is gzipped is told by its first two bytes, never by its name. Only a regular file is
opened, since a pipe or a device may never end.

IDX (the format of LeCun, Cortes & Burges), all integers big endian:

    images   magic 2051 | count | height | width | count * height * width pixels, one byte each
    labels   magic 2049 | count | count labels, one byte each

.amat (mlpython's text format, as Larochelle's binarized MNIST uses it): an image a line, 784 digits 0 or 1 with one
space between them, a newline at the end; so a line is 1,568 bytes long, and pixels and separators alternate.

CIFAR-10, binary version (Krizhevsky 2009): records and nothing else, 3,073 bytes each:

    label | 1,024 red values | 1,024 green | 1,024 blue, each 32 rows of 32
"""

import contextlib
import gzip
import hashlib
import os
import stat
import struct
import zlib

import numpy as np

IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
LONGEST_SIDE = 4096  # pixels; a header that says more is damaged
MOST_BYTES = 2 ** 28  # pixels in one IDX file: five times the training images of MNIST
CLASSES = 10  # of MNIST, Fashion-MNIST and CIFAR-10 alike
CIFAR_SIDE = 32
MOST_RECORDS = 50_000  # in one CIFAR file: the five batches put together
CHUNK = 2 ** 20
OTHER_KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
               stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}


def open_file(path):
    """Open a regular file for reading its bytes. Raises ValueError for anything else, OSError as `open` does."""
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind != stat.S_IFREG:
        raise ValueError(f"{path}: {OTHER_KINDS.get(kind, 'not a file')}, expected a regular file")
    return open(path, "rb")


@contextlib.contextmanager
def open_unpacked(path):
    """Open a file for reading its uncompressed bytes. Damage to the gzip layer raises ValueError."""
    with open_file(path) as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        try:
            with gzip.GzipFile(fileobj=file, mode="rb") if gzipped else file as stream:
                yield stream
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: damaged or truncated gzip file ({error})") from error


def read_at_most(stream, size):
    """The next `size` bytes of a stream, or fewer where it ends. Memory grows with what is there, not with `size`."""
    data = bytearray()
    while len(data) < size:
        chunk = stream.read(min(CHUNK, size - len(data)))
        if not chunk:
            break
        data += chunk
    return data


def sha256(path, most):
    """SHA-256 of the uncompressed bytes of a file, in hex. Raises ValueError beyond `most` bytes."""
    digest, left = hashlib.sha256(), most
    with open_unpacked(path) as stream:
        while chunk := stream.read(CHUNK):
            left -= len(chunk)
            if left < 0:
                raise ValueError(f"{path}: holds more than the {most:,} bytes expected")
            digest.update(chunk)
    return digest.hexdigest()


def read_idx(images_path, labels_path):
    """Read a pair of IDX files: images (N, height, width) and labels (N,), both uint8, labels 0..9.

    Raises ValueError when either file is not what it should be, or when one holds more entries than the other.
    """
    images, labels = read_idx_images(images_path), read_idx_labels(labels_path)
    if len(images) != len(labels):
        raise ValueError(f"{images_path} holds {len(images):,} images, but {labels_path} holds {len(labels):,} labels: "
                         "expected as many of one as of the other")
    return images, labels


def read_idx_images(path):
    """Read an IDX file of images: (N, height, width) uint8. Raises ValueError, see above."""
    with open_unpacked(path) as stream:
        count, height, width = _read_idx_header(stream, path, IMAGES_MAGIC, 3)
        if not (0 < height <= LONGEST_SIDE and 0 < width <= LONGEST_SIDE):
            raise ValueError(f"{path}: images of {height} x {width} pixels, expected 1 to {LONGEST_SIDE} on a side")
        pixels = _read_idx_body(stream, path, count, height * width)
    return pixels.reshape(count, height, width)


def read_idx_labels(path):
    """Read an IDX file of labels: (N,) uint8, 0..9. Raises ValueError, see above."""
    with open_unpacked(path) as stream:
        count, = _read_idx_header(stream, path, LABELS_MAGIC, 1)
        return _checked_labels(_read_idx_body(stream, path, count, 1), path)


def _checked_labels(labels, path):
    if labels.max() >= CLASSES:
        first = int(np.argmax(labels >= CLASSES))
        raise ValueError(f"{path}: label {labels[first]} at position {first}, expected 0 to {CLASSES - 1}")
    return labels


def _read_idx_header(stream, path, magic, sizes):
    """Check the magic number of an IDX file and return its `sizes` sizes."""
    length = 4 + 4 * sizes
    header = read_at_most(stream, length)
    if len(header) >= 4 and (found := struct.unpack(">I", header[:4])[0]) != magic:
        kinds = {IMAGES_MAGIC: " (images)", LABELS_MAGIC: " (labels)"}
        raise ValueError(f"{path}: not the IDX file it should be: magic number {found}{kinds.get(found, '')}, "
                         f"expected {magic}{kinds[magic]}")
    if len(header) < length:
        raise ValueError(f"{path}: truncated IDX file: {len(header)} bytes, expected a header of {length}")
    return struct.unpack(f">{sizes}I", header[4:])


def _read_idx_body(stream, path, count, size):
    """Read `count` entries of `size` bytes each, which must be all that is left in the file."""
    promised = count * size
    if not 0 < promised <= MOST_BYTES:
        raise ValueError(f"{path}: the header promises {count:,} entries of {size:,} bytes, "
                         f"expected 1 to {MOST_BYTES:,} bytes in all")
    body = read_at_most(stream, promised + 1)
    if len(body) != promised:
        found = f"truncated: {len(body):,} bytes" if len(body) < promised else f"longer than {promised:,} bytes"
        raise ValueError(f"{path}: after the header the file is {found}, "
                         f"expected {count:,} x {size:,} = {promised:,} bytes")
    return np.frombuffer(body, np.uint8)


def read_amat(path, most_rows, columns=784):
    """Read binary images from .amat text: (N, columns) uint8, each 0 or 1.

    Raises ValueError that names the first bad row (rows count from 1) when a row isn't `columns` digits 0 or 1 with
    single spaces between, and when the file is empty or holds more than `most_rows` rows.
    """
    row_bytes = 2 * columns
    with open_unpacked(path) as stream:
        data = read_at_most(stream, most_rows * row_bytes + 1)
    if not data:
        raise ValueError(f"{path}: empty, expected rows of {columns} digits 0 or 1")
    rows = len(data) // row_bytes
    # A pixel and its separator are one 16-bit number: "0 " or "1 ", at the end of a row "0\n" or "1\n". XOR with what a
    # black pixel looks like leaves the pixel itself where the layout is right, and a number above 1 where it is not.
    pairs = np.frombuffer(data, "<u2", rows * columns).reshape(rows, columns)
    black = np.full(columns, ord("0") | ord(" ") << 8, "<u2")
    black[-1] = ord("0") | ord("\n") << 8
    pixels = pairs ^ black  # (rows, columns)
    bad = pixels.max(axis=1, initial=0) > 1
    whole = not bad.any()
    if whole and len(data) > most_rows * row_bytes:
        raise ValueError(f"{path}: more than {most_rows:,} rows, expected at most that many")
    if not whole or len(data) > rows * row_bytes:  # what is left over after the last whole row is a bad row too
        row = rows if whole else int(np.argmax(bad))
        raise ValueError(f"{path}: row {row + 1} {_row_fault(data[row * row_bytes:], columns)}")
    return pixels.astype(np.uint8)


def _row_fault(data, columns):
    """What is wrong with the row at the start of `data`, in words."""
    start = bytes(data[:4 * columns])  # enough to tell, however long the row is
    row, newline, _ = start.partition(b"\n")
    values = row.split()
    wrong = next((place for place, value in enumerate(values) if value not in (b"0", b"1")), None)
    if wrong is not None:
        return f"has {values[wrong][:20]!r} in column {wrong + 1}, expected 0 or 1"
    if len(values) != columns:
        at_least = "" if newline or len(start) == len(data) else "at least "
        return f"has {at_least}{len(values)} columns, expected {columns}"
    return "is not laid out as digits with single spaces between and a newline at its end"


def read_cifar(path):
    """Read a batch of CIFAR-10's binary version: images (N, 32, 32, 3), colours R, G, B, and labels (N,), uint8, 0..9.

    Raises ValueError when the file isn't one or more whole records, or a label is above 9.
    """
    record = 1 + 3 * CIFAR_SIDE * CIFAR_SIDE
    most = MOST_RECORDS * record
    with open_unpacked(path) as stream:
        data = read_at_most(stream, most + 1)
    if not 0 < len(data) <= most or len(data) % record:
        found = f"{len(data):,} bytes" if len(data) <= most else f"more than {most:,} bytes"
        raise ValueError(f"{path}: {found}, expected a multiple of {record:,}: 1 to {MOST_RECORDS:,} records")
    records = np.frombuffer(data, np.uint8).reshape(-1, record)
    labels = _checked_labels(records[:, 0].copy(), path)
    planes = records[:, 1:].reshape(-1, 3, CIFAR_SIDE, CIFAR_SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
