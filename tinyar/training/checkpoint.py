"""Models and states of training in one file, a NumPy .npz without pickles.

The file holds arrays only. Names that start with "model/" are the parameters and states, by their dotted names;
those that start with "state/" are whatever else was saved (the optimizer's moments, averages, ...). One more
array, "header", is text in JSON: the version of the format, the model's class and options, and the part of the
state that isn't arrays.

A checkpoint is written to a temporary name, flushed and renamed, so a kill at any instant leaves the last good one.
Loading checks everything before it touches anything, and never runs code from the file.
"""

import json
import re
import zipfile

import numpy as np

from tinyar import models
from tinyar.backend import to_host, xp
from tinyar.data.atomic import atomic_write

VERSION = 2  # of the format that is written; version 1, which had other names for the weights of colours, is read too


class CheckpointError(ValueError):
    """The file isn't a checkpoint that can be used here; the message says what was found and what was expected."""


def save(path, model, state=None):
    """Write the model, its class and options, and a state: nested dicts of arrays, numbers, texts, lists, None.

    Raises OSError when the folder can't be written to; an older file at `path` is then left as it was.
    """
    arrays = {f"model/{name}": to_host(array) for name, array in model.arrays()}
    plain = pack(state or {}, "state", arrays)
    header = {"format": "tinyar", "version": VERSION,
              "model": type(model).__name__, "config": model.config, "state": plain}
    arrays["header"] = np.frombuffer(to_json(header).encode(), dtype=np.uint8)
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load(path, model=None):
    """Read a checkpoint: (model, state).

    model   a model to fill, which must be of the same make; or a class of models, such as your own, to build one of; or
            None, to build one of tinyar's own from the file

    Raises FileNotFoundError when there is no such file, and CheckpointError when it is truncated or damaged, no
    checkpoint of tinyar, of another version, holds pickles, or belongs to another model than the one given; that
    model is then unchanged.
    """
    header, arrays = read(path)
    if model is None or isinstance(model, type):
        model = build(path, header, model)
    elif difference(model, header):
        raise CheckpointError(f"{path}: this checkpoint is of another model: " + difference(model, header))
    targets = dict(model.arrays())
    names = {before_version_2(name): name for name in targets} if header["version"] == 1 else {}
    found = {names.get(name, name): array for name, array in of_model(arrays).items()}
    if targets.keys() != found.keys():
        raise CheckpointError(f"{path}: parameters differ from the model's: {sorted(targets.keys() ^ found.keys())[:5]}")
    for name, target in targets.items():
        if found[name].shape != target.shape:
            raise CheckpointError(f"{path}: {name} has shape {found[name].shape}, expected {target.shape}")
    state = renamed(unpack(header["state"], "state", arrays), names)
    for name, target in targets.items():
        target[...] = xp.asarray(found[name])
    return model, state


def load_state(path):
    """The state in a checkpoint, without the model."""
    header, arrays = read(path)
    return unpack(header["state"], "state", arrays)


def of_model(arrays):
    """The arrays of a file that belong to the model, by their dotted names."""
    return {name.removeprefix("model/"): array for name, array in arrays.items() if name.startswith("model/")}


def before_version_2(name):
    """What version 1 called a parameter: the blocks of a layer that keeps the order of colours were "centre_0", ..."""
    return re.sub(r"(\.centre)?\.w_(\d+(_\d+)?)$", r".centre_\2", name)


def renamed(value, names):
    """Nested dicts with their keys renamed."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(item, names) for key, item in value.items()}
    return value


def read(path):
    """The header, checked for format and version, and all arrays of the file."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(bytes(arrays.pop("header")))
        if header["format"] != "tinyar":
            raise ValueError(f"format {header['format']!r}")
        version = header["version"]
    except (FileNotFoundError, IsADirectoryError, PermissionError):
        raise
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: not a complete checkpoint of tinyar "
                              f"(truncated, damaged, or another kind of file): {error}") from error
    if version not in (1, VERSION):
        raise CheckpointError(f"{path}: checkpoint of version {version}, this tinyar reads versions 1 and {VERSION}")
    return header, arrays


def build(path, header, kind=None):
    """A new model of the options in the header: of the class `kind`, or of tinyar's own of that name."""
    name, config = header["model"], header["config"]
    if kind is None:
        if name not in models.__all__:
            raise CheckpointError(f"{path}: holds a {name!r}; this tinyar knows {', '.join(models.__all__)}. "
                                  "For a class of your own give it as well: checkpoint.load(path, YourModel)")
        kind = getattr(models, name)
    elif kind.__name__ != name:
        raise CheckpointError(f"{path}: this checkpoint is of another model: expected a {kind.__name__}, found a {name}")
    try:
        return kind(**config)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: no {name} can be built with its options {config}: {error}") from error


def pack(value, path, arrays):
    """`value` with its arrays moved into the dict `arrays`, under their path; in their place stands {"array": path}."""
    if isinstance(value, dict):
        return {key: pack(item, f"{path}/{key}", arrays) for key, item in value.items()}
    if isinstance(value, (np.ndarray, xp.ndarray)):
        arrays[path] = to_host(value)
        return {"array": path}
    return value


def unpack(value, path, arrays):
    """The inverse of pack."""
    if isinstance(value, dict):
        if value == {"array": path}:
            return arrays[path]
        return {key: unpack(item, f"{path}/{key}", arrays) for key, item in value.items()}
    return value


def to_json(value):
    """As text, NumPy's scalars as Python's. Raises ValueError for what JSON has no words for."""
    try:
        return json.dumps(value, default=lambda scalar: scalar.item())
    except (TypeError, AttributeError):
        raise ValueError(f"can't be saved, expected texts, numbers, lists and dicts: {value}") from None


def plain_json(value):
    """As JSON would give it back: tuples as lists."""
    return json.loads(to_json(value))


def difference(model, header):
    """What distinguishes the model in a checkpoint from the one expected: the class, or options. Empty if nothing does.

    An option that the file doesn't know, because it is newer, counts as its default.
    """
    if type(model).__name__ != header["model"]:
        return f"expected a {type(model).__name__}, found a {header['model']}"
    mine, theirs = plain_json(model.config), plain_json(model.options(**header["config"]))
    keys = [key for key in {**mine, **theirs} if key not in mine or mine[key] != theirs[key]]
    return ", ".join(f"expected {key}={mine.get(key)}, found {theirs.get(key)}" for key in keys)
