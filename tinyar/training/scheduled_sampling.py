"""Scheduled sampling: training a model on its own draws, more and more of them.

Teacher forcing, the normal way to train, feeds the network the true pixels of the past and asks for the next one. Then
the loss is exactly the negative log-likelihood of the image, by the chain rule, and models like PixelCNN compute all
its terms at once. But in drawing the network is fed its own draws. Once one of them is unlike any past it was trained
on, nothing has taught it how to go on, errors add up, and the image drifts away: worst in a plain RNN, whose memory is
one vector.

Scheduled sampling (Bengio, Vinyals, Jaitly, Shazeer 2015, arXiv 1506.03099) lets it practise. In update i each input
is, by a coin of its own, the true pixel with probability eps_i, else a draw from the model's current conditional. eps_i
falls from 1 by a schedule:

    linear            eps_i = max(minimum, start - slope i)
    exponential       eps_i = k^i                               k < 1
    inverse sigmoid   eps_i = k / (k + exp(i / k))              k >= 1; one half at i = k ln k

The targets stay the true pixels, and no gradient goes through the draws or the coins: an input that was drawn counts as
a constant.

What it does to the likelihood. The quantity that is minimised is no longer a likelihood of anything: the model is asked
for the true pixel after a past that isn't that pixel's past. Take eps = 0 and an image of two pixels x, y: the second
is predicted from a draw of x that is independent of the true one, so the best answer is the marginal p(y), whatever x
is; the dependence that makes the image is trained away (Huszar 2015, arXiv 1511.05101: the objective is improper). In
between, the network trades some of the true conditional for robustness. So expect samples that drift less and a
bits/dim figure that is worse, and report the latter as always, with true pixels. `fit` measures held-out images with
eps = 1. Its training figure is taken on the mixed inputs and is no likelihood, so don't compare the two.

How the draws come about. A model that computes all pixels at once gives all conditionals in one pass over the true
image; from these every pixel is drawn by itself, the draws and the truth are mixed by the coins, and a second pass over
the mixture is the one that learns. This is an approximation: each draw was made after a true past. `sequential=True`
goes through the raster instead, each draw made after the mixture so far, as in the paper, at the price of a step for
every pixel (`tinyar.sampling`).
"""

import math

import numpy as np

from tinyar.backend import to_device
from tinyar.sampling import draw_pixel


def linear(start=1.0, slope=1e-4, minimum=0.0):
    """eps_i = max(minimum, start - slope i), never above 1.
    Raises ValueError unless 0 <= minimum < 1 and slope >= 0.
    """
    if not 0 <= minimum < 1 or slope < 0:
        raise ValueError(f"linear: expected 0 <= minimum < 1 and slope >= 0, got minimum={minimum}, slope={slope}")
    return lambda i: min(1.0, max(minimum, start - slope * i))


def exponential(k=0.9999):
    """eps_i = k^i. Raises ValueError unless 0 < k < 1."""
    if not 0 < k < 1:
        raise ValueError(f"exponential: expected 0 < k < 1, got {k}")
    return lambda i: k ** i


def inverse_sigmoid(k=1000.0):
    """eps_i = k / (k + exp(i / k)), written so that nothing overflows. Raises ValueError unless k >= 1."""
    if not k >= 1:
        raise ValueError(f"inverse_sigmoid: expected k >= 1, got {k}")
    return lambda i: 1 / (1 + math.exp(min(i / k, 700)) / k)


class ScheduledSampling:
    """What `training.fit(..., scheduled_sampling=...)` asks for the inputs of a batch.

    schedule      a function of the number of updates made so far, 0, 1, ...: the probability of keeping a true pixel
    sequential    draw each pixel after the mixture of those before it, pixel by pixel, instead of after the true ones
    """

    def __init__(self, schedule, sequential=False):
        self.schedule, self.sequential = schedule, sequential

    def fingerprint(self):
        """By these numbers a resumed run knows that it has the same schedule."""
        return [self.sequential, *(self.schedule(i) for i in (0, 10, 100, 1000, 10_000))]

    def inputs(self, model, images, condition, update, seed):
        """The images (batch, height, width, channels), integers on the host,
        with draws in the place of some sub-pixels.

        The coins and the draws are a function of (seed, update). With eps = 1 the images themselves come back.
        """
        keep = self.schedule(update)
        if keep >= 1:
            return images
        rng = np.random.default_rng([seed, update, 2])
        # A coin for each step of drawing: for each colour if they are drawn one by one, else for the pixel.
        true, uniforms = rng.random((*images.shape[:3], len(model.color_passes))) < keep, rng.random(images.shape)
        given = [] if condition is None else [to_device(condition)]
        if not self.sequential:
            mixed = images.copy()
            outputs = model(to_device(images), *given)
            model.likelihood.draw(outputs, mixed, np.broadcast_to(true, images.shape), uniforms)
            return mixed
        mixed = images.copy()
        model.start(*images.shape[:3], *given)
        true = np.broadcast_to(true, images.shape)
        for row, col in np.ndindex(images.shape[1:3]):
            draw_pixel(model, mixed[:, row, col], true[:, row, col], (row, col), uniforms[:, row, col], temperature=1)
        return mixed
