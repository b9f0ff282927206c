"""What the numbers that a network puts out for a pixel mean: a distribution over the levels of its colours.

A likelihood owns its outputs. It says how many a pixel needs and how they are arranged, what they cost, and how a pixel
is drawn from them. Models, training and the sampler know nothing else of it, so another distribution is another class
with the same names (`Likelihood`).
"""

import numpy as np

from tinyar.backend import NonFiniteError, to_device, to_host, xp
from tinyar.losses import nats, softmax_cross_entropy

ALL_COLORS = slice(None)


class Likelihood:
    """The contract. Pixels are integers 0 .. levels - 1, (..., image_channels); outputs is what `arrange` returns.

        levels                        how many values a sub-pixel may have
        outputs(image_channels)       how many numbers the network gives for a pixel
        arrange(features)             features (..., outputs) in the shape that the rest uses
        loss(outputs, pixels)         mean nats per sub-pixel, and the gradient by the outputs
        nats(outputs, pixels)         what each pixel, or sub-pixel, costs by itself
        passes(colors)                which colours one look of the network at a pixel suffices to draw
        draw(outputs, pixel, keep, uniforms, temperature, colors)

    passes: a list of slices of the colours, in order. `colors` says how many colours of a pixel depend on each other
    through the network (1: none do). Before each further slice the network looks at the pixel again.

    draw fills in, in place, what isn't kept of `pixel`: colour after colour, each given those before it, known or
    drawn. pixel and keep (True where a sub-pixel is known) are (..., image_channels), and so are uniforms, numbers from
    [0, 1), one for each sub-pixel. All three lie on the host, so that equal seeds draw equal images on every backend.
    `colors` is one of the slices of `passes`. A temperature below 1 leans to what is likelier.
    """


class Categorical(Likelihood):
    """Each sub-pixel is one of `levels` values, with probabilities softmax(outputs): one output a level.

    Nothing says that neighbouring levels are alike; the network has to learn it (van den Oord et al. 2016). Outputs
    have shape (..., image_channels, levels), pixels (..., image_channels). Raises ValueError for levels outside
    2 .. max_levels.
    """

    def __init__(self, levels, max_levels=256):
        if not isinstance(levels, (int, np.integer)) or not 2 <= levels <= max_levels:
            raise ValueError(f"levels: expected a whole number from 2 to {max_levels}, got {levels!r}")
        self.levels = int(levels)

    def outputs(self, image_channels):
        return image_channels * self.levels

    def arrange(self, features):
        return features.reshape(*features.shape[:-1], -1, self.levels)

    def loss(self, outputs, pixels):
        return softmax_cross_entropy(outputs, pixels)

    def nats(self, outputs, pixels):
        """The nats that each sub-pixel costs by itself: an array of the shape of pixels."""
        return nats(outputs, pixels)

    def passes(self, colors):
        return [slice(color, color + 1) for color in range(colors)] if colors > 1 else [ALL_COLORS]

    def draw(self, outputs, pixel, keep, uniforms, temperature=1.0, colors=ALL_COLORS):
        drawn = to_host(self.sample(outputs[..., colors, :], uniforms[..., colors], temperature))
        if (drawn < 0).any():
            raise NonFiniteError("the network's outputs for a pixel aren't finite, so it can't be drawn")
        pixel[..., colors] = np.where(keep[..., colors], pixel[..., colors], drawn)

    def sample(self, outputs, uniforms, temperature=1.0):
        """One level for each vector of outputs: the first whose cumulative probability exceeds its uniform number.

        The temperature divides the outputs: below 1 likely levels become likelier, above 1 all become more alike. Of
        outputs that aren't finite comes -1.
        """
        z = outputs.astype(xp.float64)
        p = xp.exp((z - z.max(axis=-1, keepdims=True)) / temperature)
        cumulative = xp.cumsum(p, axis=-1)
        threshold = to_device(uniforms)[..., None] * cumulative[..., -1:]
        levels = xp.minimum((cumulative <= threshold).sum(axis=-1), self.levels - 1)
        return xp.where(xp.isfinite(cumulative[..., -1]), levels, -1)
