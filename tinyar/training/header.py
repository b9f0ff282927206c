"""What the header of a checkpoint must say, and in which types; a file is refused before any of it is used.

    format, version      "tinyar", and 1 or 2: version 1 had other names for the weights of colours, and no digests
    model, config        the name of the model's class, and its options
    state                nested dicts; its `about`, if there is one, is what was told about the run
"""

from tinyar.data.archive import CheckpointError
from tinyar.training.packing import plain_json

VERSION = 2  # what is written


def check_header(path, header):
    """Raise CheckpointError unless a header says what this tinyar reads, in the types that it expects."""
    if not isinstance(header, dict) or header.get("format") != "tinyar":
        raise CheckpointError(f"{path}: not a complete checkpoint of tinyar (another kind of file): "
                              f"header {header!r:.100}")
    version = header.get("version")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise CheckpointError(f"{path}: checkpoint of version {version!r:.100}, "
                              f"this tinyar reads versions 1 and {VERSION}")
    for key, kind in (("model", str), ("config", dict), ("state", dict)):
        if not isinstance(header.get(key), kind):
            raise CheckpointError(f"{path}: header: expected a {kind.__name__} as {key!r}, "
                                  f"got {header.get(key)!r:.100}")
    try:
        check_about(header["state"].get("about", {}))
    except ValueError as error:
        raise CheckpointError(f"{path}: header: {error}") from error


def check_about(about):
    """Raise ValueError unless `about` is a dict, in which two names have a meaning: `options`, if it is there,
    is a dict, and `image_shape` is (height, width, channels).
    """
    if not isinstance(about, dict):
        raise ValueError(f"about: expected a dict, got {about!r:.100}")
    if not isinstance(about.get("options", {}), dict):
        raise ValueError(f"about: options: expected a dict, got {about['options']!r:.100}")
    shape = about.get("image_shape", [1, 1, 1])
    if not isinstance(shape, list) or len(shape) != 3 or not all(type(side) is int and side >= 1 for side in shape):
        raise ValueError(f"about: image_shape: expected (height, width, channels), got {shape!r:.100}")


def difference(model, header):
    """What distinguishes the model in a checkpoint from the one expected: the class, or options. Empty if nothing does.

    An option that the file doesn't know, because it is newer, counts as its default.
    """
    if type(model).__name__ != header["model"]:
        return f"expected a {type(model).__name__}, found a {header['model']}"
    mine, theirs = plain_json(model.config), {**plain_json(model.options()), **header["config"]}
    keys = [key for key in {**mine, **theirs} if key not in mine or key not in theirs or mine[key] != theirs[key]]
    return ", ".join(f"expected {key}={mine.get(key, 'as it is by default')}, "
                     f"found {repr(theirs[key])[:100] if key in theirs else 'none'}" for key in keys)
