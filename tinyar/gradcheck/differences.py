"""Is a backward pass right? Compare it with finite differences, entry by entry, in float64.

For a layer y = f(x; params) take a fixed random dy and the number L = sum(dy * y). Backward claims to know dL / dx and
dL / d param. Numerically, for any entry e of x or of a parameter,

    dL / de  =  (L(e + h) - L(e - h)) / 2h  +  O(h^2)        h = 1e-5 max(1, |e|)

with an error of about 1e-10 in float64; float32 is far too coarse for this. The random dy matters: with dy = 1
everywhere the sum of a softmax or of a normalised layer is constant, and even a backward that returns 0 would pass.

Two tensors a (backward's) and n (the numbers') agree if |a - n| / (|a| + |n|), in Euclidean norms, is below 1e-6.
Correct layers reach 1e-9. Where a tensor is off, the error of the differences themselves, 1e-10 times the size of L (or
1), is taken off |a - n|. (So a gradient of 0 may be found: softmax ignores a number that all its inputs share, and the
bias of attention's keys has none.) The size of L is |L|, or the norm of the products that it sums, whichever is larger.
A tensor that is off is tried once more with h = 1e-6, as f may be steep there. The formula only holds away from kinks:
where a number changes sides of one between e - h and e + h (`Layer.sides`), the step is shortened. A quantizer's
choices are held fast (held.py), and its own loss is part of L.
"""

from dataclasses import dataclass

import numpy as np

from tinyar.backend import to_host, xp
from tinyar.gradcheck.call import Call, parts_of, random_like
from tinyar.gradcheck.errors import GradientError
from tinyar.gradcheck.held import held_choices
from tinyar.layers.quantizer import VectorQuantizer

TOLERANCE = 1e-6
STEPS = 1e-5, 1e-6, 1e-7, 1e-8  # h, the next ones where one reaches across a kink
NOISE = 1e-10  # a gradient of this size, for an L of size 1, can't be told from the error of the differences


@dataclass(repr=False)
class Comparison:
    """One tensor's gradient by backward (got) beside its finite differences (expected), at the entries tried."""

    name: str
    indices: list
    got: np.ndarray
    expected: np.ndarray
    noise: float = NOISE
    tolerance: float = TOLERANCE

    @property
    def relative_error(self):
        """|got - expected| / (|got| + |expected|), Euclidean norms over the entries tried. Where that is above the
        tolerance, the noise of the differences is taken off first.
        """
        off = np.linalg.norm(self.got - self.expected)
        scale = np.linalg.norm(self.got) + np.linalg.norm(self.expected)
        if off < self.tolerance * scale:
            return float(off / scale)
        return 0.0 if off < self.noise else float((off - self.noise) / scale)

    def worst(self):
        """(index, expected, got) of the entry with the largest difference."""
        i = int(np.argmax(np.abs(self.got - self.expected)))
        return self.indices[i], float(self.expected[i]), float(self.got[i])

    def __repr__(self):
        return f"<{self.name}: relative error {self.relative_error:.1e} over {len(self.indices)} entries>"


def check(layer, x, tolerance=TOLERANCE, entries=40, seed=0, condition=None):
    """Compare layer.backward with finite differences for x and for every parameter; returns a list of Comparison.

    layer      any Layer or model; it is cast to float64, and its caches and gradients are overwritten
    x          an input for forward, a host array, or a tuple of them; integers (levels of an image) are checked as the
               real numbers they are
    entries    how many entries of each tensor are tried, at least 2: all of them if there are no more than that, else
               the first, the last and a random choice
    condition  of a conditional model, a host array; its gradient is compared too

    Raises GradientError at the first tensor whose relative error is not below tolerance, ValueError if a number stands
    on a kink exactly (in a new model zero biases put the corner of the image there; see `shake`).
    """
    rng = np.random.default_rng(seed)
    layer.astype(xp.float64)
    call = Call(layer, x, condition)
    with held_choices(layer):
        y = call.forward()
        dy = random_like(y, rng)
        products = [slope * part for slope, part in zip(parts_of(dy), parts_of(y))]
        norm = sum(float((part * part).sum()) for part in products) ** 0.5
        noise = NOISE * max(1, norm, abs(sum(float(part.sum()) for part in products)))
        layer.zero_grads()
        tensors = call.gradients(call.backward(dy))
        comparisons = []
        for name, values, grad in tensors:
            if grad is None or grad.shape != values.shape:
                raise GradientError(f"{type(layer).__name__}: the gradient of {name} has shape "
                                    f"{None if grad is None else grad.shape}, but {name} has shape {values.shape}")
            indices = choose_indices(values.shape, entries, rng)
            found = compare(call, dy, name, values, grad, indices, noise, tolerance)
            if not found.relative_error < tolerance:
                again = compare(call, dy, name, values, grad, indices, noise, tolerance, steps=STEPS[1:])
                found = min(found, again, key=lambda comparison: comparison.relative_error)
            comparisons.append(found)
            refuse_wrong(layer, comparisons[-1], tolerance)
    return comparisons


def choose_indices(shape, entries, rng):
    """At most `entries` different indices into an array of this shape, the first and the last among them."""
    size = int(np.prod(shape))
    flat = np.arange(size)
    if size > entries:
        flat = np.unique(np.concatenate([[0, size - 1], rng.choice(size, max(0, entries - 2), replace=False)]))
    return [tuple(int(i) for i in np.unravel_index(f, shape)) for f in flat]


def compare(call, dy, name, values, grad, indices, noise, tolerance, steps=STEPS):
    """The Comparison of one tensor; `values` is changed entry by entry, and put back."""
    expected = [finite_difference(call, dy, values, index, steps) for index in indices]
    grad = to_host(grad)
    got = np.array([grad[index] for index in indices])
    return Comparison(name, indices, got, np.array(expected), noise, tolerance)


def finite_difference(call, dy, values, index, steps=STEPS):
    """dL / d values[index], the step shortened until nothing changes sides within it; ValueError if it always does."""
    value = float(values[index])
    for step in steps:
        h = step * max(1, abs(value))
        values[index] = value + h
        above, sides_above = evaluate(call, dy)
        values[index] = value - h
        below, sides_below = evaluate(call, dy)
        values[index] = value
        moved = next((name for name, sides in sides_above.items() if (sides != sides_below[name]).any()), None)
        if moved is None:
            return (above - below) / (2 * h)
    raise ValueError(f"{type(call.layer).__name__}: a number in {moved} stands on its kink, where there is no "
                     "derivative; check at another x, or at other parameters: gradcheck.shake(model) moves them all "
                     "a little")


def evaluate(call, dy):
    """L = sum(dy * y), and on which sides of their kinks the numbers stand, by the name of the layer."""
    y = call.forward()
    total = sum(float((slope * part).sum()) for slope, part in zip(parts_of(dy), parts_of(y)))
    if not isinstance(y, tuple):  # otherwise it hands on its quantizers' own loss, among its outputs
        total += sum(float(part.loss) for _, part in call.layer.layers() if isinstance(part, VectorQuantizer))
    sides = {f"{path} ({type(part).__name__})" if path else type(part).__name__: part.sides()
             for path, part in call.layer.layers()}
    return total, {name: array for name, array in sides.items() if array is not None}


def refuse_wrong(layer, comparison, tolerance):
    """Raise GradientError unless the comparison is below tolerance; NaN isn't below anything."""
    error = comparison.relative_error
    if not error < tolerance:
        index, expected, got = comparison.worst()
        alone = np.isclose(comparison.got, comparison.expected, rtol=1e-5, atol=1e-9).mean() > 0.8
        hint = ". Most other entries agree: does a number stand on a kink, which the layer's `sides` should name?" \
            if alone else ""
        raise GradientError(f"{type(layer).__name__}: the gradient of {comparison.name} is wrong, "
                            f"relative error {error:.1e} (allowed {tolerance:.0e}); "
                            f"worst at {comparison.name}{list(index)}: expected {expected:.9g} by finite differences, "
                            f"got {got:.9g} from backward{hint}")
