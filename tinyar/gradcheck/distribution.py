"""Is a model of images a distribution? Over all images of one pixel its probabilities add up to 1, and it draws each
level as often as it says.

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
        costs = to_host(model.costs(to_device(every), *told(call, len(every))))
    except ValueError:  # made for images of another size
        return
    p = np.exp(-costs).reshape((model.levels,) * model.image_channels)
    if not abs(p.sum() - 1) < 1e-6:
        raise broken(model, "probabilities add up to 1", f"over all images of one pixel they add up to {p.sum():.6g}",
                     "Either nats of the likelihood isn't -ln p, or the outputs of a colour know that colour: features "
                     "are dealt out to the colours in order, and each colour's outputs are made of its own part")
    if type(model.likelihood).draw is not Likelihood.draw:
        check_draws(model, told(call, DRAWS), p.reshape(model.levels, -1).sum(axis=1))


def check_draws(model, condition, p):
    """The first colour of a pixel is drawn as often as p (levels) says, and what is known of a pixel stays."""
    pixel = np.zeros((DRAWS, model.image_channels), dtype=np.uint16)
    uniforms = np.full(pixel.shape, 0.5)
    uniforms[:, 0] = (np.arange(DRAWS) + 0.5) / DRAWS
    draw_into(model, pixel, False, uniforms, condition)
    shares = np.bincount(pixel[:, 0], minlength=model.levels) / DRAWS
    level = int(np.argmax(abs(shares[:model.levels] - p)))
    if len(shares) > model.levels or abs(shares[level] - p[level]) > SHARE:
        raise broken(model, "levels are drawn as often as they are likely", f"level {level} has p = {p[level]:.3f}, "
                     f"and {shares[level]:.3f} of the draws", "Let draw of the likelihood invert its distribution")
    known = pixel.copy()
    draw_into(model, pixel, True, uniforms[::-1], condition)
    if (pixel != known).any():
        raise broken(model, "known sub-pixels stay", "draw changed some", "Write where keep is False alone")


def draw_into(model, pixel, keep, uniforms, condition):
    """Draw images of one pixel, (n, channels), as the sampler does; keep: whether all of it is known."""
    with running(model, "draw"):
        model.start(len(pixel), 1, 1, *condition)
        for colors in model.color_passes:
            outputs = model.step(to_device(pixel), (0, 0))
            model.likelihood.draw(outputs, pixel, np.full(pixel.shape, keep), uniforms, 1.0, colors)


def told(call, n):
    """The condition of the first image's first pixel, for n images of one pixel: a list of one, or of none."""
    return [part[:1, :1, :1].repeat(n, axis=0) for part in call.condition]
