"""Is what a model's loss returns the gradient of that loss by the outputs, does it scale with the weight, and do the
costs of the images add up to it?
"""

import numpy as np

from tinyar.backend import to_device, to_host
from tinyar.gradcheck.differences import parts_of
from tinyar.gradcheck.errors import broken, running
from tinyar.gradcheck.twice import close
from tinyar.layers.dropout import drops
from tinyar.model import Model

ENTRIES, STEP = 6, 1e-6
ADDS_UP = "costs add up to the loss"


def check_loss(call, x):
    """Compare doutputs with finite differences of the loss, at its largest entries; of a model given images alone."""
    model, images = call.layer, np.asarray(x[0] if isinstance(x, tuple) else x)
    if not isinstance(model, Model) or images.dtype.kind not in "iu" or images.max() >= model.levels:
        return
    x, outputs = to_device(images), call.forward()
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
    if type(model).costs is not Model.costs:  # without costs it can be trained, not evaluated
        check_costs(call, x)


def check_slopes(model, x, outputs, array, slopes):
    """The largest entries of doutputs beside finite differences; array is one of the outputs, changed and put back."""
    for place in np.argsort(-abs(slopes).ravel())[:ENTRIES]:
        index = tuple(int(i) for i in np.unravel_index(int(place), array.shape))
        value, found = float(array[index]), []
        for moved in (value + STEP, value - STEP):
            array[index] = moved
            found.append(float(model.loss(outputs, x)[0]))
        array[index] = value
        expected, got = (found[0] - found[1]) / (2 * STEP), float(slopes[index])
        if not abs(expected - got) < 1e-5 * max(abs(got), 1e-3):
            raise broken(model, "doutputs is the gradient of the loss", f"at outputs{list(index)} finite differences "
                         f"give {expected:.6g}, loss {got:.6g}", "Differentiate the mean that loss returns")


def check_costs(call, x):
    """An image costs the same alone; the mean over all sub-pixels is the loss, less the penalty that they leave out."""
    model = call.layer
    with running(model, "costs"):
        costs = to_host(model.costs(x, *call.condition))
        alone = to_host(model.costs(x[:1], *[condition[:1] for condition in call.condition]))
    if costs.shape != (len(x),):
        raise broken(model, ADDS_UP, f"costs have shape {costs.shape}, expected {(len(x),)}",
                     "Sum over all axes but the first")
    if not close(costs[:1], alone):
        raise broken(model, ADDS_UP, f"image 0 costs {costs[0]:.6g}, and {alone[0]:.6g} alone",
                     "Sum over an image's sub-pixels; don't divide by the batch")
    model.zero_grads()
    loss = float(model.loss(call.forward(), x)[0]) - float(model.penalty())
    mean = costs.sum() / x.size
    if not drops(model) and not close(np.array(mean), np.array(loss)):  # forward drops features, costs don't
        raise broken(model, ADDS_UP, f"they are {mean:.6g} a sub-pixel, loss less penalty() is {loss:.6g}",
                     "Sum the same numbers that loss averages")
