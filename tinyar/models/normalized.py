"""What PixelCNN++ and PixelSNAIL have in common beside their units: the likelihood, and kernels that start by data."""

import numpy as np

from tinyar.backend import to_device, xp
from tinyar.conditions import Conditional
from tinyar.layers.cells import CellConditional
from tinyar.layers.pointwise import Linear
from tinyar.layers.weights import preparing
from tinyar.likelihoods import LogisticMixture
from tinyar.models.autoregressive import AutoregressiveModel, softmax_over

IMAGES_TO_START_FROM = 16


class NormalizedModel(AutoregressiveModel):
    """A choice of likelihood, weight normalization, and a channel of ones beside the image.

        likelihood    "mixture": LogisticMixture of `components`, whose `mode` is "exact" or "paper";
                      "softmax": as in the other models, with the colours of a pixel independent of each other
        weight_norm   kernels g v / |v| instead of w; `prepare` starts them by data

    By the channel of ones the network can tell a grey pixel from the zeros around the image. Codes (one_hot) have no
    order, so they take the softmax. A subclass builds self.net, whose last layer is `output`. Raises ValueError for
    other values of these options.
    """

    ones = True

    def __init__(self, levels, image_channels, likelihood, components, mode, weight_norm, one_hot, classes,
                 map_channels):
        name = type(self).__name__
        if likelihood not in ("mixture", "softmax") or (one_hot and likelihood != "softmax"):
            raise ValueError(f"{name}: likelihood is 'mixture' or 'softmax' (for codes 'softmax'), got {likelihood!r}")
        if not isinstance(weight_norm, bool):
            raise ValueError(f"{name}: weight_norm is True or False, got {weight_norm!r}")
        if likelihood == "softmax":
            LogisticMixture(256, 1, components, mode)  # checks them, though a softmax has no use for them
        meaning = (LogisticMixture(levels, image_channels, components, mode) if likelihood == "mixture"
                   else softmax_over(levels, one_hot))
        super().__init__(meaning, image_channels, False, one_hot, classes, map_channels)
        self.weight_norm = weight_norm
        self.state["prepared"] = xp.zeros(1, dtype=xp.float32)  # a state, so that a resumed run doesn't prepare again

    def output(self, channels, rng):
        """The last layer, from so many channels to the likelihood's outputs."""
        layer = Linear(channels, self.outputs, rng, self.weight_norm)
        if not isinstance(self.likelihood, LogisticMixture):
            layer.start_at(0.1)  # the first loss is near ln(levels) then
        return layer

    def make_conditional(self, grid=0):
        """A function of a number of channels that makes the layer for the condition; None for none.

        grid   0 for the pixels, 1 for cells of 2x2 of them, 2 of 4x4
        """
        if not self.condition_channels:
            return None
        if grid == 0:
            return lambda channels: Conditional(self.condition_channels, channels)
        return lambda channels: CellConditional(self.condition_channels, channels, 2 ** grid)

    def prepare(self, images, official=False):
        """With weight normalization, start lengths and biases by 16 images, spread evenly over `images`; only once.

        No condition is told, since its matrices start at 0. official: see tinyar.layers.weights.preparing. Raises
        ValueError for no images.
        """
        if not self.weight_norm or self.state["prepared"][0]:
            return
        if not len(images):
            raise ValueError(f"{type(self).__name__}: prepare: expected at least one image, got none")
        n = min(IMAGES_TO_START_FROM, len(images))
        chosen = images[np.arange(n) * len(images) // n]
        with preparing(self, official):
            self(to_device(chosen))
        self.state["prepared"][...] = 1
