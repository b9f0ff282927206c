"""What the numbers that a network puts out for a pixel mean: a distribution over its levels.

A likelihood knows how many outputs it needs, how good they are (`loss`, `nats`), and how to draw from them (`sample`).
Networks and the sampler know nothing else of it, so another distribution is another class with these four names.
"""

import numpy as np

from tinyar.backend import to_device, xp
from tinyar.losses import nats, softmax_cross_entropy


class Categorical:
    """Each sub-pixel is one of `levels` values, with probabilities softmax(outputs): one output a level.

    Nothing says that neighbouring levels are alike; the network has to learn it (van den Oord et al. 2016). Outputs
    have shape (..., levels), pixels (...) integers 0 .. levels - 1. Raises ValueError for levels outside 2 .. most.
    """

    def __init__(self, levels, most=256):
        if not isinstance(levels, (int, np.integer)) or not 2 <= levels <= most:
            raise ValueError(f"levels: expected a whole number from 2 to {most}, got {levels!r}")
        self.levels = int(levels)
        self.outputs_per_subpixel = self.levels

    def loss(self, outputs, pixels):
        """The mean nats per sub-pixel, and the gradient by the outputs."""
        return softmax_cross_entropy(outputs, pixels)

    def nats(self, outputs, pixels):
        """The nats that each sub-pixel costs by itself: an array of the shape of pixels."""
        return nats(outputs, pixels)

    def sample(self, outputs, uniforms, temperature=1.0):
        """Draw one level for each vector of outputs: the first whose cumulative probability exceeds a uniform number.

        uniforms (...) in [0, 1), on the host, one for each draw, so that equal seeds draw equal images on every
        backend. temperature divides the outputs: below 1 likely levels become likelier, above 1 all become more alike.
        """
        z = outputs.astype(xp.float64)
        p = xp.exp((z - z.max(axis=-1, keepdims=True)) / temperature)
        cumulative = xp.cumsum(p, axis=-1)
        threshold = to_device(uniforms)[..., None] * cumulative[..., -1:]
        return xp.minimum((cumulative <= threshold).sum(axis=-1), self.levels - 1)
