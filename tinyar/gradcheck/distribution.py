"""Is a model of images a distribution? Over all images of one pixel its probabilities add up to 1, and each colour of
the pixel is drawn as often as they say.

Between pixels `check_drawing` looks for leaks. Within one, a colour that knows itself shows here: the sum is above 1.
"""

import numpy as np

from tinyar.backend import to_device, to_host
from tinyar.gradcheck.errors import broken, running
from tinyar.likelihoods import Likelihood
from tinyar.models.autoregressive import AutoregressiveModel

MOST_IMAGES = 4096  # of one pixel
DRAWS, SHARE = 2000, 0.005  # how many draws, and by how much a share of them may be off


def check_distribution(call):
    """Check an autoregressive model on all images of one pixel, if there are few enough, and it takes that size."""
    model = call.layer
    if not isinstance(model, AutoregressiveModel) or model.map_codes:
        return
    if model.levels ** model.image_channels > MOST_IMAGES:
        return
    every = np.array(list(np.ndindex((model.levels,) * model.image_channels)), dtype=np.uint16)[:, None, None]
    try:
        model(to_device(every[:1]), *first_pixel(call, 1))
    except ValueError:  # made for images of another size
        return
    with running(model, "costs"):
        costs = to_host(model.costs(to_device(every), *first_pixel(call, len(every))))
    p = np.exp(-costs).reshape((model.levels,) * model.image_channels)
    if not abs(p.sum() - 1) < 1e-6:
        raise broken(model, "probabilities add up to 1", f"over all images of one pixel they add up to {p.sum():.6g}",
                     "Either nats of the likelihood isn't -ln p, or the outputs of a colour know that colour: features "
                     "are dealt out to the colours in order, and each colour's outputs are made of its own part")
    if type(model.likelihood).draw is not Likelihood.draw:
        for color in range(model.image_channels + 1):  # the last one: all are known
            check_draws(model, color, p, first_pixel(call, DRAWS))


def check_draws(model, color, p, condition):
    """A colour, given those before it, is drawn as often as p (levels, levels, ...) says; what is known stays."""
    known = np.arange(1, color + 1) % model.levels
    pixel, keep = np.zeros((DRAWS, model.image_channels), dtype=np.uint16), np.arange(model.image_channels) < color
    pixel[:, :color] = known
    uniforms = np.random.default_rng(0).random(pixel.shape)
    uniforms[:, color:color + 1] = (np.arange(DRAWS)[:, None] + 0.5) / DRAWS
    with running(model, "draw"):
        model.start(DRAWS, 1, 1, *condition)
        for colors in model.color_passes:
            outputs = model.step(to_device(pixel), (0, 0))
            model.likelihood.draw(outputs, pixel, np.broadcast_to(keep, pixel.shape).copy(), uniforms, 1.0, colors)
    if (pixel[:, :color] != known).any():
        raise broken(model, "known sub-pixels stay", "draw changed some", "Write where keep is False alone")
    if color == model.image_channels:
        return
    shares = p[tuple(known)].reshape(model.levels, -1).sum(axis=1)
    off = abs(np.bincount(pixel[:, color], minlength=model.levels)[:model.levels] / DRAWS - shares / shares.sum())
    if pixel.max() >= model.levels or off.max() > SHARE:
        raise broken(model, "levels are drawn as often as they are likely", f"of colour {color} the share of level "
                     f"{off.argmax()} is off by {off.max():.3f}", "Let draw of the likelihood invert its distribution")


def first_pixel(call, n):
    """The condition of the first image's first pixel, for n images of one pixel: a list of one, or of none."""
    return [part[:1, :1, :1].repeat(n, axis=0) for part in call.condition]
