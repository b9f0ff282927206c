"""Is what a model's loss returns the gradient of that loss by the outputs, and does it scale with the weight?"""

import copy

import numpy as np

from tinyar.backend import to_host
from tinyar.gradcheck.call import parts_of
from tinyar.gradcheck.errors import broken, running
from tinyar.gradcheck.twice import close

ENTRIES, STEP = 6, 1e-6
ROUNDING = 1e-15  # of a loss, relative


def check_loss(call, x):
    """Compare doutputs with finite differences of the loss, at its largest entries; x are images on the device."""
    model = call.layer
    outputs = copy.deepcopy(call.forward())  # check_slopes writes into them
    with running(model, "loss"):
        loss, doutputs = model.loss(outputs, x, weight=1.0)
        half, dhalf = model.loss(outputs, x, weight=0.5)
    shapes = [[part.shape for part in parts_of(some)] for some in (outputs, doutputs)]
    if shapes[0] != shapes[1]:
        raise broken(model, "doutputs is the gradient of the loss", f"outputs have shapes {shapes[0]}, doutputs "
                     f"{shapes[1]}", "Return (loss, doutputs), with doutputs in the structure of outputs")
    halves = [close(one / 2, other) for one, other in zip(parts_of(doutputs), parts_of(dhalf))]
    if not close(np.array(float(loss) / 2), np.array(float(half))) or not all(halves):
        raise broken(model, "loss takes a weight", "with weight=0.5 loss or doutputs aren't half of those with 1",
                     "Multiply both by weight: it is the images' share of a batch")
    for array, slopes in zip(parts_of(outputs), parts_of(doutputs)):
        if array.ndim:
            check_slopes(model, x, outputs, array, to_host(slopes))


def check_slopes(model, x, outputs, array, slopes):
    """The largest entries of doutputs beside finite differences; array is one of the outputs, changed and put back."""
    for place in np.argsort(-abs(slopes).ravel())[:ENTRIES]:
        index = tuple(int(i) for i in np.unravel_index(int(place), array.shape))
        value, found = float(array[index]), []
        step = STEP * max(1, abs(value))
        for moved in (value + step, value - step):
            array[index] = moved
            found.append(float(model.loss(outputs, x)[0]))
        array[index] = value
        expected, got = (found[0] - found[1]) / (2 * step), float(slopes[index])
        if not abs(expected - got) < 1e-5 * max(abs(got), 1e-3) + ROUNDING * max(map(abs, found)) / step:
            raise broken(model, "doutputs is the gradient of the loss", f"at outputs{list(index)} finite differences "
                         f"give {expected:.6g}, loss {got:.6g}", "Differentiate the mean that loss returns")
