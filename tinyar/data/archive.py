"""Arrays in a file: a NumPy .npz without pickles, read with suspicion.

A file may be truncated, damaged, of another kind, or made to do harm. So nothing is believed before it is checked:

    only a regular file is opened; a pipe would wait for ever
    the sizes of all members are known, and agree with each other, before any is read
    a member is read only when it is asked for, and never unpickled
    whatever zipfile, zlib or NumPy raise at a damaged file becomes a CheckpointError that names the file

An .npz is a zip archive whose members are .npy files: a magic text, a header with shape and number type, the numbers.
"""

import contextlib
import hashlib
import math
import os
import pathlib
import stat
import zipfile
from dataclasses import dataclass

import numpy as np

HEADER_BYTES = 2 ** 16  # of a .npy file: ours have 128
READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class CheckpointError(ValueError):
    """A file of tinyar can't be used here; the message names it and says what was found and what was expected."""


@dataclass(frozen=True)
class Member:
    """An array in an archive that wasn't read yet: its shape, number type, and where its numbers begin."""

    info: zipfile.ZipInfo
    shape: tuple
    dtype: np.dtype
    fortran_order: bool
    offset: int


class Archive:
    """An .npz that is open for reading, a context: `with Archive(path) as archive:`.

    kind      what the file should be, for messages
    members   {name: Member}; archive.read(name) is the array

    Raises FileNotFoundError, PermissionError, IsADirectoryError as `open` does, and CheckpointError for a file that
    isn't a whole archive of arrays.
    """

    def __init__(self, path, kind="checkpoint"):
        self.path, self.kind = pathlib.Path(path), kind

    def __enter__(self):
        self.check_place()
        self.file = open(self.path, "rb")
        try:
            with self.damage():
                self.zip = zipfile.ZipFile(self.file)
                self.members = {}
                for info in self.zip.infolist():
                    name = info.filename.removesuffix(".npy")
                    if name in self.members or name == info.filename:
                        raise ValueError(f"member {info.filename!r} stands there twice, or isn't a .npy")
                    self.members[name] = self.member(info)
        except BaseException:
            self.file.close()
            raise
        return self

    def __exit__(self, *error):
        self.file.close()

    def check_place(self):
        """Raise the error that fits unless there is a regular file."""
        try:
            mode = os.stat(self.path).st_mode
        except (FileNotFoundError, PermissionError):
            raise
        except OSError as error:  # a link that leads to itself, say
            raise CheckpointError(f"{self.path}: can't be read ({error.strerror})") from error
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(f"{self.path} is a folder; expected a file in it, such as "
                                    f"{self.path / 'model.npz'}")
        if not stat.S_ISREG(mode):
            raise CheckpointError(f"{self.path}: not a regular file; expected an .npz file")

    @contextlib.contextmanager
    def damage(self):
        """A context in which every error of a damaged file becomes a CheckpointError.

        Exception on purpose: zipfile, zlib, tokenize and NumPy raise some dozen kinds at one flipped bit or another.
        """
        try:
            yield
        except (CheckpointError, MemoryError):
            raise
        except Exception as error:
            raise CheckpointError(f"{self.path}: not a complete {self.kind} of tinyar (truncated, damaged, or another "
                                  f"kind of file): {error}") from error

    def member(self, info):
        """The Member of one entry. Raises ValueError where its sizes contradict each other.

        Members aren't compressed, so none can be larger than the file.
        """
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError(f"{info.filename} is compressed, expected plain numbers")
        with self.zip.open(info) as file:
            version = np.lib.format.read_magic(file)
            if version not in READERS:
                raise ValueError(f"{info.filename}: .npy of version {version}, expected 1.0 or 2.0")
            try:
                shape, fortran_order, dtype = READERS[version](file, max_header_size=HEADER_BYTES)
            except MemoryError:  # what Python's parser says of brackets and signs that are nested too deep
                raise ValueError(f"{info.filename}: its .npy header can't be understood") from None
            offset = file.tell()
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds pickled objects, expected numbers")
        if offset + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"{info.filename}: {dtype} of shape {shape} doesn't take {info.file_size} bytes")
        return Member(info, shape, dtype, fortran_order, offset)

    def read(self, name, expected=None):
        """The array of this name. Its shape must be `expected`, if given, or it isn't read: CheckpointError."""
        if name not in self.members:
            raise CheckpointError(f"{self.path}: holds no array {name!r}")
        member = self.members[name]
        if expected is not None and member.shape != tuple(expected):
            raise CheckpointError(f"{self.path}: {name} has shape {member.shape}, expected {tuple(expected)}")
        with self.damage():
            numbers = np.frombuffer(self.zip.read(member.info), dtype=member.dtype, offset=member.offset).copy()
            return numbers.reshape(member.shape, order="F" if member.fortran_order else "C")


def digest(arrays):
    """SHA-256 of arrays on the host by name: names, number types, shapes and numbers."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        array = np.ascontiguousarray(array)
        found.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        found.update(array)
    return found.hexdigest()
