"""What a model keeps besides the contract of a layer: integer images, the loss and its gradient, costs that add up."""

import copy

import numpy as np

from tinyar.backend import to_device, to_host, xp
from tinyar.gradcheck.call import parts_of
from tinyar.gradcheck.errors import broken, running
from tinyar.gradcheck.loss import check_loss
from tinyar.gradcheck.twice import close
from tinyar.layers.dropout import drops
from tinyar.model import Model

ADDS_UP = "costs add up to the loss"


def check_model(call, x):
    """Check a model that is given images, x; of another layer, or of a model given anything else, nothing."""
    model = call.layer
    if not isinstance(model, Model) or isinstance(x, tuple) or np.asarray(x).dtype.kind not in "iu":
        return
    if not hasattr(model, "levels"):
        raise broken(model, "a model says what its images look like", "it has no levels", "Set self.levels and "
                     "self.image_channels in __init__")
    images = np.asarray(x)
    if images.max() >= model.levels:
        return
    images = to_device(images.astype(np.uint8 if images.max() < 256 else np.uint16))  # as training has them
    check_integers(call, images)
    check_loss(call, images)
    if type(model).costs is not Model.costs:  # without costs it can be trained, not evaluated
        check_costs(call, images)


def check_integers(call, x):
    """Images are small unsigned integers: 2 * x must not wrap around in them, nor x / 2 become a float64."""
    model, rule = call.layer, "levels become numbers of the model's type before it computes"
    mend = "Begin with x.astype(self.dtype)"
    try:
        outputs = parts_of(copy.deepcopy(model(x, *call.condition)))
    except TypeError as error:  # x *= 1.0
        raise broken(model, rule, str(error), mend) from error
    expected = parts_of(copy.deepcopy(call()))
    if not all(close(one, other) for one, other in zip(outputs, expected)):
        raise broken(model, rule, f"images of {x.dtype} give other outputs than the same images of float64", mend)
    twin = copy.deepcopy(model).astype(xp.float32)
    others = [part.dtype for part in parts_of(twin(x, *(part.astype(xp.float32) for part in call.condition)))
              if part.dtype != xp.float32]
    if others:
        raise broken(model, rule, f"a model of float32 gives outputs of {others[0]} for images of {x.dtype}", mend)


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
    loss = float(model.loss(call.forward(), x)[0])
    with running(model, "penalty"):
        loss -= float(model.penalty())
    mean = costs.sum() / x.size
    if not drops(model) and not close(np.array(mean), np.array(loss)):  # forward drops features, costs don't
        raise broken(model, ADDS_UP, f"they are {mean:.6g} a sub-pixel, loss less penalty() is {loss:.6g}",
                     "Sum the same numbers that loss averages; what loss adds to them, let penalty() return: the mean "
                     "over the last forward, from numbers that it kept in sums")
