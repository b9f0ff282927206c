"""Is a backward pass right? Compare it with finite differences, entry by entry, in float64.

For a layer y = f(x; params) take a fixed random dy and the number L = sum(dy * y). Backward claims to know dL / dx and
dL / d param. Numerically, for any entry e of x or of a parameter,

    dL / de  =  (L(e + h) - L(e - h)) / 2h  +  O(h^2)        h = 1e-5 max(1, |e|)

with an error of about 1e-10 in float64; float32 is far too coarse for this. The random dy matters: with dy = 1
everywhere the sum of a softmax or of a normalised layer is constant, and even a backward that returns 0 would pass.

Two tensors a (backward's) and n (the numbers') agree if |a - n| / (|a| + |n|), in Euclidean norms, is below 1e-6.
Correct layers reach 1e-9. The formula only holds away from kinks: where a ReLU changes sides between e - h and e + h
the step is shortened.

    python -m tinyar.gradcheck        checks every layer and model of tinyar and prints a table
"""

import sys
from dataclasses import dataclass

import numpy as np

from tinyar import layers
from tinyar.backend import to_device, to_host, xp
from tinyar.gradcheck_cases import case_input, cases

TOLERANCE = 1e-6


class GradientError(AssertionError):
    """A backward pass disagrees with finite differences; the message names layer, tensor, index, expected and got."""


@dataclass
class Comparison:
    """One tensor's gradient by backward (got) beside its finite differences (expected),
    at the entries that were tried.
    """

    name: str
    indices: list
    got: np.ndarray
    expected: np.ndarray

    @property
    def relative_error(self):
        """|got - expected| / (|got| + |expected|), Euclidean norms over the entries tried."""
        scale = np.linalg.norm(self.got) + np.linalg.norm(self.expected)
        return float(np.linalg.norm(self.got - self.expected) / (scale + 1e-12))

    def worst(self):
        """(index, expected, got) of the entry with the largest difference."""
        i = int(np.argmax(np.abs(self.got - self.expected)))
        return self.indices[i], float(self.expected[i]), float(self.got[i])


def check(layer, x, tolerance=TOLERANCE, entries=40, seed=0):
    """Compare layer.backward with finite differences for x and for every parameter; returns a list of Comparison.

    layer     any Layer or model; it is cast to float64, and its caches and gradients are overwritten
    x         an input for forward, a host array; integers (levels of an image) are checked as the real numbers they are
    entries   how many entries of each tensor are tried: all of them if there are no more than that, else the first,
              the last and a random choice

    Raises GradientError at the first tensor whose relative error is not below tolerance, ValueError if a ReLU stands
    at 0 exactly (in a new model zero biases put the corner of the image there; see `shake`).
    """
    rng = np.random.default_rng(seed)
    layer.astype(xp.float64)
    x = to_device(np.array(x), dtype=xp.float64)
    y = layer.forward(x)
    dy = to_device(rng.standard_normal(y.shape))
    layer.zero_grads()
    dx = layer.backward(dy)
    tensors = [("x", x, dx)] + [(name, param, grad.copy()) for name, param, grad in layer.parameters()]
    comparisons = []
    for name, values, grad in tensors:
        if grad.shape != values.shape:
            raise GradientError(f"{type(layer).__name__}: the gradient of {name} has shape {grad.shape}, "
                                f"but {name} has shape {values.shape}")
        comparisons.append(compare(layer, x, dy, name, values, grad, choose_indices(values.shape, entries, rng)))
        refuse_wrong(layer, comparisons[-1], tolerance)
    return comparisons


def shake(layer, seed=0):
    """Add normal numbers of standard deviation 0.2 to all parameters:
    away from zero biases and unit gains. Returns the layer.
    """
    rng = np.random.default_rng(seed)
    for _, param, _ in layer.parameters():
        param += to_device(0.2 * rng.standard_normal(param.shape), dtype=param.dtype)
    return layer


def choose_indices(shape, entries, rng):
    """At most `entries` different indices into an array of this shape, the first and the last among them."""
    size = int(np.prod(shape))
    flat = np.arange(size)
    if size > entries:
        flat = np.unique(np.concatenate([[0, size - 1], rng.choice(size, entries - 2, replace=False)]))
    return [tuple(int(i) for i in np.unravel_index(f, shape)) for f in flat]


def compare(layer, x, dy, name, values, grad, indices):
    """The Comparison of one tensor; `values` is changed entry by entry, and put back."""
    expected = [finite_difference(layer, x, dy, values, index) for index in indices]
    grad = to_host(grad)
    return Comparison(name, indices, np.array([grad[index] for index in indices]), np.array(expected))


def finite_difference(layer, x, dy, values, index):
    """dL / d values[index], the step shortened until no ReLU changes sides within it;
    ValueError if that never happens.
    """
    value = float(values[index])
    for step in (1e-5, 1e-6, 1e-7, 1e-8):
        h = step * max(1, abs(value))
        values[index] = value + h
        above, sides_above = evaluate(layer, x, dy)
        values[index] = value - h
        below, sides_below = evaluate(layer, x, dy)
        values[index] = value
        if all((a == b).all() for a, b in zip(sides_above, sides_below)):
            return (above - below) / (2 * h)
    raise ValueError(f"{type(layer).__name__}: a ReLU stands on its kink, where there is no derivative; "
                     "check at another x, or at other parameters: gradcheck.shake(model) moves them all a little")


def evaluate(layer, x, dy):
    """L = sum(dy * y), and on which side of its kink each ReLU stands."""
    y = layer.forward(x)
    sides = [relu.cache > 0 for _, relu in layer.layers() if isinstance(relu, layers.ReLU)]
    return float((dy * y).sum()), sides


def refuse_wrong(layer, comparison, tolerance):
    """Raise GradientError unless the comparison is below tolerance; NaN isn't below anything."""
    error = comparison.relative_error
    if not error < tolerance:
        index, expected, got = comparison.worst()
        raise GradientError(f"{type(layer).__name__}: the gradient of {comparison.name} is wrong, "
                            f"relative error {error:.1e} (allowed {tolerance:.0e}); "
                            f"worst at {comparison.name}{list(index)}: expected {expected:.9g} by finite differences, "
                            f"got {got:.9g} from backward")


def main():
    """Check every case and print a line for each; exit status 1 if one fails."""
    print(f"{'layer':36s} {'parameters':>10s} {'tensors':>8s} {'relative error':>15s}   worst tensor")
    failed = 0
    for title, layer, shape, levels in cases():
        try:
            comparisons = check(shake(layer), case_input(shape, levels))
        except GradientError as error:
            failed += 1
            print(f"{title:36s} WRONG: {error}")
            continue
        worst = max(comparisons, key=lambda comparison: comparison.relative_error)
        print(f"{title:36s} {layer.count_parameters():10d} {len(comparisons):8d} {worst.relative_error:15.1e}   "
              f"{worst.name}")
    print(f"{failed} wrong" if failed else f"all below {TOLERANCE:.0e}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
