"""Dicts of arrays by name: compared, and copied in place."""

from tinyar.backend import xp


def check_count_of_updates(t):
    """Raise ValueError unless t is a whole number of at least 0."""
    if not isinstance(t, int) or t < 0:
        raise ValueError(f"t: expected a whole number of updates, got {t!r}")


def check_arrays(source, target):
    """Raise ValueError unless two dicts have arrays of the same names and shapes."""
    if source.keys() != target.keys():
        raise ValueError(f"names differ: {sorted(source.keys() ^ target.keys())[:5]}")
    for name, array in target.items():
        if getattr(source[name], "shape", None) != array.shape:
            raise ValueError(f"{name}: expected an array of shape {array.shape}, "
                             f"got {getattr(source[name], 'shape', source[name])}")


def copy_arrays(source, target):
    """Copy each array of the dict `source` into the array of that name in `target`, in place."""
    check_arrays(source, target)
    for name, array in target.items():
        array[...] = xp.asarray(source[name])
