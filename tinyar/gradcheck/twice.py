"""Going through a layer once more, and comparing what came out, to rounding."""

import numpy as np

from tinyar.backend import to_host
from tinyar.gradcheck.call import parts_of, random_like
from tinyar.gradcheck.errors import broken


def gradients_of(call, seed, **options):
    """Go forward and back once: what backward returned, and copies of all gradients."""
    dy = random_like(call.forward(), np.random.default_rng(seed))
    slopes = [part.copy() for part in parts_of(dy)]
    dx = call.backward(dy, **options)
    check_untouched(call.layer, "backward", "dy", parts_of(dy), slopes)
    return dx, {name: grad.copy() for name, _, grad in call.layer.parameters()}


def check_untouched(layer, entrance, name, now, before):
    """Arrays of the caller hold the numbers that they held before."""
    for array, copied in zip(now, before):
        if not (to_host(array) == to_host(copied)).all():
            raise broken(layer, "nobody writes into x or dy", f"{entrance} changed {name}",
                         "Both may belong to others: make a new array instead of +=, *= or out=")


def difference(one, other):
    """The largest difference of two arrays, relative to their largest entry: a float."""
    scale = max(float(abs(one).max()), float(abs(other).max()), 1e-12) if one.size else 1
    return float(abs(one - other).max()) / scale if one.size else 0.0


def by_how_much(one, other):
    """Words for the difference of two arrays."""
    return f"by {difference(one, other):.1e}" if one.shape == other.shape else f"in shape: {one.shape}, {other.shape}"


def close(one, other, tolerance=1e-9):
    """Equal to rounding; NaN isn't."""
    return difference(one, other) < tolerance
