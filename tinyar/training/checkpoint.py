"""Models and states of training in one file, a NumPy .npz without pickles.

The file holds arrays only. Names that start with "model/" are the parameters and states, by their dotted names;
those that start with "state/" are whatever else was saved (the optimizer's moments, averages, ...). Two more are
texts in JSON: "header" has the version of the format, the model's class and options, and the part of the state that
isn't arrays; "digests" has the SHA-256 of the header, of all "model/" arrays and of all "state/" arrays.

A checkpoint is written to a temporary name, flushed and renamed, so a kill at any instant leaves the last good one.
Loading checks everything before it touches anything (`tinyar.data.archive`), and never runs code from the file.
"""

import contextlib
import json
import math
import re

import numpy as np

from tinyar import models
from tinyar.backend import at_most, to_host
from tinyar.data.archive import Archive, CheckpointError, digest
from tinyar.data.atomic import atomic_write
from tinyar.optim import copy_arrays
from tinyar.training.header import VERSION, check_header, difference
from tinyar.training.packing import as_text, pack, unpack

TEXT_BYTES = 2 ** 24  # of a header


def save(path, model, state=None):
    """Write the model, its class and options, and a state: nested dicts of arrays, numbers, texts, lists, None.

    Raises OSError when the folder can't be written to, CheckpointError for arrays that `load` would refuse; an older
    file at `path` is then left as it was.
    """
    arrays = {f"model/{name}": to_host(array) for name, array in model.arrays()}
    plain = pack(state or {}, "state", arrays)
    check_numbers(path, of_room("model", arrays), "f")
    check_numbers(path, of_room("state", arrays))
    header = {"format": "tinyar", "version": VERSION,
              "model": type(model).__name__, "config": model.config, "state": plain}
    if not type(model).__module__.startswith("tinyar."):
        header["module"] = type(model).__module__  # of a class of one's own
    header = as_text(header)
    digests = {"header": digest({"header": header}), "model": digest(of_room("model", arrays)),
               "state": digest(of_room("state", arrays))}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, header=header, digests=as_text(digests), **arrays)


def load(path, model=None):
    """Read a checkpoint: (model, state).

    model   a model to fill, which must be of the same make; or a class of models, such as your own, to build one of; or
            None, to build one of tinyar's own from the file

    Raises FileNotFoundError when there is no such file, and CheckpointError when it is truncated or damaged, no
    checkpoint of tinyar, of another version, holds pickles, numbers that aren't finite, or belongs to another model
    than the one given; that model is then unchanged.
    """
    with opened(path) as file:
        if model is None or isinstance(model, type):
            numbers = sum(math.prod(member.shape) for member in of_room("model", file[0].members).values())
            with at_most(2 * numbers + 2 ** 20):  # a larger model can't be the one in the file
                model = build(path, file[1], model)
        else:
            refuse_another(path, model, file[1])
        arrays, state = read_for(model, *file)
    copy_arrays(arrays, dict(model.arrays()))
    return model, state


def read(path, model):
    """What `load` would put into the model, {name: array on the host}, and the state. The model stays as it is."""
    with opened(path) as file:
        refuse_another(path, model, file[1])
        return read_for(model, *file)


def refuse_another(path, model, header):
    """Raise CheckpointError unless the file's model is of the same make."""
    if difference(model, header):
        raise CheckpointError(f"{path}: this checkpoint is of another model: " + difference(model, header))


def read_for(model, archive, header, digests):
    """All arrays of a model of this make, by its names, and the state; checked."""
    targets = dict(model.arrays())
    names = names_of_version(header["version"], model)
    there = {names.get(name, name): f"model/{name}" for name in of_room("model", archive.members)}
    if targets.keys() != there.keys():
        raise CheckpointError(f"{archive.path}: parameters differ from the model's: "
                              f"{sorted(targets.keys() ^ there.keys())[:5]}")
    found = {name: archive.read(there[name], targets[name].shape) for name in targets}
    check_numbers(archive.path, found, "f")
    if digests:
        written = {there[name].removeprefix("model/"): array for name, array in found.items()}
        check_digest(archive.path, "model", written, digests)
    return found, renamed(read_state(archive, header, digests), names)


@contextlib.contextmanager
def opened(path):
    """A context: the file's Archive, its header, and its digests (None in version 1)."""
    with Archive(path) as archive:
        header, text = read_text(archive, "header")
        check_header(path, header)
        digests = None
        if header["version"] > 1:
            digests, _ = read_text(archive, "digests")
            if not isinstance(digests, dict):
                raise CheckpointError(f"{path}: digests: expected a dict, got {digests!r:.100}")
            check_digest(path, "header", {"header": text}, digests)
        yield archive, header, digests


def read_text(archive, name):
    """A member that is text in JSON: (value, array of bytes)."""
    member = archive.members.get(name)
    if member is None or member.dtype != np.uint8 or len(member.shape) != 1 or member.shape[0] > TEXT_BYTES:
        raise CheckpointError(f"{archive.path}: not a complete checkpoint of tinyar (truncated, damaged, or another "
                              f"kind of file): expected a text {name!r} in it")
    array = archive.read(name)
    try:
        return json.loads(bytes(array)), array
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{archive.path}: not a complete checkpoint of tinyar (damaged): {name}: "
                              f"{error}") from error


def check_digest(path, room, arrays, digests):
    """Raise CheckpointError unless the arrays are those that were written."""
    if digests.get(room) != digest(arrays):
        raise CheckpointError(f"{path}: damaged: the SHA-256 of its {room} differs from what was written")


def check_numbers(path, arrays, kinds="fiu"):
    """Raise CheckpointError unless all arrays are finite numbers: real ones (f), or whole ones too (i, u)."""
    for name, array in arrays.items():
        if array.dtype.kind not in kinds:
            raise CheckpointError(f"{path}: {name}: expected numbers of another type, got {array.dtype}")
        if not np.isfinite(array).all():
            raise CheckpointError(f"{path}: {name}: expected finite numbers, got infinities or NaN")


def read_state(archive, header, digests):
    """The state, with its arrays."""
    path = archive.path
    arrays = {name: archive.read(f"state/{name}") for name in of_room("state", archive.members)}
    check_numbers(path, arrays)
    if digests:
        check_digest(path, "state", arrays, digests)
    try:
        return unpack(header["state"], "state", {f"state/{name}": array for name, array in arrays.items()})
    except KeyError as error:
        raise CheckpointError(f"{path}: the array {error} of the state is missing") from error


def of_room(room, arrays):
    """The arrays whose names begin with "room/", by the rest of their names."""
    return {name.removeprefix(f"{room}/"): array for name, array in arrays.items() if name.startswith(f"{room}/")}


def before_version_2(name):
    """What version 1 called a parameter: the blocks of a layer that keeps the order of colours were "centre_0", ..."""
    return re.sub(r"(\.centre)?\.w_(\d+(_\d+)?)$", r".centre_\2", name)


def names_of_version(version, model):
    """{name in a file of this version: name in the model}, where they differ."""
    return {before_version_2(name): name for name, _ in model.arrays()} if version == 1 else {}


def renamed(value, names):
    """Nested dicts with their keys renamed."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(item, names) for key, item in value.items()}
    return value


def build(path, header, kind=None):
    """A new model of the options in the header: of the class `kind`, or of tinyar's own of that name."""
    name, config = header["model"], header["config"]
    if kind is None:
        if name not in models.__all__ or "module" in header:
            outside = f" of {str(header['module']):.100}" if "module" in header else ""
            raise CheckpointError(f"{path}: holds a {name!r}{outside}; this tinyar knows {', '.join(models.__all__)}. "
                                  "For a class of your own give it as well: checkpoint.load(path, YourModel)")
        kind = getattr(models, name)
    elif kind.__name__ != name:
        raise CheckpointError(f"{path}: this checkpoint is of another model: expected a {kind.__name__}, "
                              f"found a {name}")
    try:
        return kind(**config)
    except Exception as error:  # options of wrong kinds provoke all sorts
        raise CheckpointError(f"{path}: no {name} can be built with its options {config!r:.300}: {error}") from error
