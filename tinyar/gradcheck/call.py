"""How a check calls a layer: inputs in float64, noise for dropout, outputs of any structure."""

import numpy as np

from tinyar.backend import to_device, xp
from tinyar.gradcheck.errors import GradientError, running
from tinyar.layers.dropout import noise_told


class Call:
    """A layer, its inputs in float64 on the device, and how the two are brought together.

    A layer of several inputs and outputs takes as many gradients in backward; any other takes one dy, of the structure
    of y.
    """

    def __init__(self, layer, x, condition=None):
        self.layer = layer
        self.inputs = [to_device(np.array(part), dtype=xp.float64) for part in (x if isinstance(x, tuple) else (x,))]
        self.condition = [] if condition is None else [to_device(np.array(condition), dtype=xp.float64)]

    def __call__(self):
        with running(self.layer, "layer(x)"):
            return self.layer(*self.inputs, *self.condition)

    def forward(self):
        with running(self.layer, "forward"), noise_told(self.layer, 0, 0, 0):
            return self.layer.forward(*self.inputs, *self.condition)

    def backward(self, dy, **options):
        several = len(self.inputs) > 1 and isinstance(dy, tuple)
        with running(self.layer, "backward"):
            return self.layer.backward(*(dy if several else (dy,)), **options)

    def gradients(self, dx):
        """[(name, values, gradient)] of the inputs, the condition and all parameters; dx as backward returned it."""
        many, found = len(self.inputs) > 1, len(dx) if isinstance(dx, (tuple, list)) else "one"
        if found != (len(self.inputs) if many else "one"):
            raise GradientError(f"{type(self.layer).__name__}: backward returned {found} gradients, expected "
                                + (f"a tuple of {len(self.inputs)}, one for each input" if many else "an array"))
        names = [f"x{i}" for i in range(len(self.inputs))] if many else ["x"]
        tensors = list(zip(names, self.inputs, dx if many else [dx]))
        with running(self.layer, "condition_gradient"):
            tensors += [("condition", condition, self.layer.condition_gradient()) for condition in self.condition]
        return tensors + [(name, param, grad.copy()) for name, param, grad in self.layer.parameters()]


def parts_of(y):
    """The arrays of an output: y itself, or those in a tuple that aren't None."""
    return [xp.asarray(part) for part in (y if isinstance(y, tuple) else (y,)) if part is not None]


def random_like(y, rng):
    """Normal numbers in the structure and number type of y: an array, or a tuple of arrays and Nones."""
    if isinstance(y, tuple):
        return tuple(random_like(part, rng) for part in y)
    if y is None:
        return None
    y = xp.asarray(y)
    return to_device(np.asarray(rng.standard_normal(y.shape)), dtype=y.dtype)


def shake(layer, seed=0):
    """Add normal numbers of standard deviation 0.2 to all parameters, away from zero biases and unit gains.

    Returns the layer.
    """
    rng = np.random.default_rng(seed)
    for _, param, _ in layer.parameters():
        param += to_device(0.2 * rng.standard_normal(param.shape), dtype=param.dtype)
    return layer
