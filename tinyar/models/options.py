"""Checks of the options of models: clear errors for what can't be built."""

import numpy as np

from tinyar.layers.masked import LARGEST_KERNEL

MOST_LAYERS = 1000  # far beyond any use: a slip, or a damaged file, shouldn't fill the memory


def check_kernel(model, option, size):
    """Raise ValueError unless the kernel size is odd and at least 3, so that it has a centre and looks beyond it."""
    if not isinstance(size, (int, np.integer)) or size < 3 or size % 2 == 0 or size > LARGEST_KERNEL:
        raise ValueError(f"{type(model).__name__}: {option} must be odd and at least 3 (and at most {LARGEST_KERNEL}), "
                         f"got {size!r}")


def check_count(model, option, count, least):
    """Raise ValueError unless a number, of layers say, is whole, and from `least` to MOST_LAYERS."""
    if not isinstance(count, (int, np.integer)) or not least <= count <= MOST_LAYERS:
        whole = isinstance(count, (int, np.integer))
        limit = f"at most {MOST_LAYERS:,}" if whole and count > least else f"at least {least}"
        raise ValueError(f"{type(model).__name__}: {option} is a whole number of {limit}, got {count!r}")


def whole_numbers(option, values):
    """The values of an option that takes several, as a list; a ValueError unless all are whole and at least 1."""
    found = list(values) if np.iterable(values) and iter(values) is not values else [None]
    if not all(isinstance(value, (int, np.integer)) and value >= 1 for value in found):
        raise ValueError(f"{option}: expected a list of whole numbers of at least 1, got {values!r:.100}")
    if len(found) > MOST_LAYERS:
        raise ValueError(f"{option}: expected at most {MOST_LAYERS:,} entries, got {len(found):,}")
    return [int(value) for value in found]
