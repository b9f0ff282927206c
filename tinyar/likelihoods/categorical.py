"""A softmax over the levels of each sub-pixel: the likelihood of PixelCNN and its relatives."""

import numpy as np

from tinyar.backend import NonFiniteError, to_device, to_host, xp
from tinyar.likelihoods.contract import ALL_COLORS, Likelihood
from tinyar.losses import nats, softmax_cross_entropy


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

    def table(self, outputs, pixels, color):
        """p of every level of a colour, (..., levels): outputs already are those of given earlier colours."""
        z = outputs[..., color, :]
        p = xp.exp(z - z.max(axis=-1, keepdims=True))
        return p / p.sum(axis=-1, keepdims=True)

    def guess(self, outputs):
        """The likeliest level of each sub-pixel."""
        return outputs.argmax(axis=-1)

    def passes(self, colors):
        return [slice(color, color + 1) for color in range(colors)] if colors > 1 else [ALL_COLORS]

    def draw(self, outputs, pixel, keep, uniforms, temperature=1.0, colors=ALL_COLORS):
        drawn = to_host(self.sample(outputs[..., colors, :], uniforms[..., colors], temperature))
        if (drawn < 0).any():
            raise NonFiniteError("the network's outputs for a pixel aren't finite, so it can't be drawn")
        pixel[..., colors] = np.where(keep[..., colors], pixel[..., colors], drawn)

    def sample(self, outputs, uniforms, temperature=1.0):
        """One level (...) for each vector of outputs (..., levels): the first whose cumulative probability exceeds its
        uniform number (...).

        The temperature divides the outputs: below 1 likely levels become likelier, above 1 all become more alike. Of
        outputs that aren't finite comes -1.
        """
        z = outputs.astype(xp.float64)
        p = xp.exp((z - z.max(axis=-1, keepdims=True)) / temperature)
        cumulative = xp.cumsum(p, axis=-1)
        threshold = to_device(uniforms)[..., None] * cumulative[..., -1:]
        levels = xp.minimum((cumulative <= threshold).sum(axis=-1), self.levels - 1)
        return xp.where(xp.isfinite(cumulative[..., -1]), levels, -1)
