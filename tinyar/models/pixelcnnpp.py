"""PixelCNN++: a mixture of logistics instead of a softmax, and a network that works on three grids.

    PixelCNN              Gated PixelCNN                  PixelCNN++
    softmax over levels   softmax over levels             mixture of logistics: neighbouring levels are alike
    one grid              one grid, two streams           two streams over three grids, with skips between the two sides
    colours by masks      colours by masks                colours within the likelihood: a pixel is one step

The network is in `tinyar.models.pyramid`, its units in `tinyar.layers.GatedResNet`, its outputs in
`tinyar.likelihoods.LogisticMixture`.

An output at a place of the coarse grids sees far. An output in an odd row sees what the finest grid alone reaches: with
R units a level, columns c - (4 R + 2) to c - 1 of its own row, and of the row above nothing beyond column c + 4 R + 2.

Source: Salimans, Karpathy, Chen, Kingma 2017, "PixelCNN++", arXiv 1701.05517, and the code published with it.
"""

import numpy as np

from tinyar.backend import to_device, xp
from tinyar.conditions import Conditional
from tinyar.layers.cells import CellConditional
from tinyar.layers.combine import Chain
from tinyar.layers.gated_resnet import GatedResNet
from tinyar.layers.halving import HalvingConv2d
from tinyar.layers.pointwise import ELU, Linear
from tinyar.layers.shifted import ShiftedConv2d
from tinyar.layers.strided import ConvTranspose2d
from tinyar.layers.weights import preparing
from tinyar.likelihoods import LogisticMixture
from tinyar.models.autoregressive import AutoregressiveModel, check_count, softmax_over
from tinyar.models.pyramid import Pyramid
from tinyar.models.stages import Doubling, First, Halving, SkipUnits, Units

LEVELS = 3  # grids
IMAGES_TO_START_FROM = 16
ROWS, COLUMNS = ((-1, 0), (-1, 0, 1)), ((-1, 0), (-1, 0))  # row and column offsets of the kernels of u and of ul
PUBLISHED = {
    # CIFAR-10: 53,659,080 parameters, 53,618,660 without weight normalization. 2.92 bits/dim (of classes about 2.94),
    # batch 128 on 8 GPUs, 5 days; Adam with betas 0.95 and 0.9995 and a root's eps, learning rate 0.001 times 0.999995
    # an update, averages of 0.9995.
    "cifar10": dict(levels=256, image_channels=3, channels=160, units=5, components=10, dropout=0.5),
    # For a CPU, not from the paper: 575,166 parameters on grey images.
    "small": dict(levels=256, image_channels=1, channels=32, units=1, components=5),
}


class PixelCNNpp(AutoregressiveModel):
    """net: a Pyramid of gated residual units, then ELU and a 1x1 convolution to the likelihood's outputs.

        channels, units   features a pixel, and units a level on either side of the pyramid
        likelihood        "mixture": LogisticMixture of `components`, whose `mode` is "exact" or "paper";
                          "softmax": as in the other models, with the colours of a pixel independent of each other
        weight_norm       kernels g v / |v| instead of w; `prepare` starts them by data
        dropout           share of features that each unit drops in training

    A channel of ones lies beside the image, so that the network can tell a grey pixel from the zeros around the image.
    Codes (one_hot) have no order, so they take the softmax. What the other options are: see AutoregressiveModel.
    """

    published_options = PUBLISHED
    ones = True

    def __init__(self, levels=256, image_channels=1, channels=32, units=1, likelihood="mixture", components=5,
                 mode="exact", weight_norm=True, dropout=0.0, one_hot=False, classes=0, map_channels=0, seed=0):
        if likelihood not in ("mixture", "softmax") or (one_hot and likelihood != "softmax"):
            raise ValueError("PixelCNNpp: likelihood is 'mixture' or 'softmax' (for codes 'softmax'), "
                             f"got {likelihood!r}")
        if not isinstance(weight_norm, bool):
            raise ValueError(f"PixelCNNpp: weight_norm is True or False, got {weight_norm!r}")
        if likelihood == "softmax":
            LogisticMixture(256, 1, components, mode)  # refuses what isn't used here, but stands among the options
        meaning = (LogisticMixture(levels, image_channels, components, mode) if likelihood == "mixture"
                   else softmax_over(levels, one_hot))
        super().__init__(meaning, image_channels, False, one_hot, classes, map_channels)
        check_count(self, "units", units, least=1)
        self.weight_norm = weight_norm
        self.state["prepared"] = xp.zeros(1, dtype=xp.float32)  # a state, so that a resumed run doesn't prepare again
        rng = np.random.default_rng(seed)
        self.net = Chain(self.pyramid(channels, units, dropout, rng), ELU(),
                         Linear(channels, self.outputs, rng, self.weight_norm))
        if likelihood == "softmax":
            self.net.links[-1].start_at(0.1)  # the first loss is near ln(levels) then

    def pyramid(self, channels, units, dropout, rng):
        """The Pyramid of this width, with so many units a level."""
        common, inputs = dict(rng=rng, weight_norm=self.weight_norm), self.inputs + 1

        def pair(kind, level, skips):
            """Units or SkipUnits; u takes u's skip, ul the new u and its skip."""
            parts = [GatedResNet(lambda i, o: ShiftedConv2d(i, o, *offsets, **common), channels, skip_channels,
                                 self.condition_at(level), dropout=dropout, **common)
                     for offsets, skip_channels in zip((ROWS, COLUMNS), skips)]
            return kind(*parts, level)

        first = First(ShiftedConv2d(inputs, channels, *ROWS, **common),
                      ShiftedConv2d(inputs, channels, (0,), (-1, 0, 1), **common),
                      ShiftedConv2d(inputs, channels, (-1, 0), (0,), **common))
        up, down = [], []
        for level in range(LEVELS):
            up += [pair(Units, level, (0, channels)) for _ in range(units)]
            if level < LEVELS - 1:
                up.append(Halving(*(HalvingConv2d(channels, channels, *offsets, **common)
                                    for offsets in (ROWS, COLUMNS)), level))
        for level in reversed(range(LEVELS)):
            if level < LEVELS - 1:
                down.append(Doubling(ConvTranspose2d(channels, channels, (2, 3), 2, (0, 1), (0, 1), **common),
                                     ConvTranspose2d(channels, channels, 2, 2, **common), level))
            down += [pair(SkipUnits, level, (channels, 2 * channels)) for _ in range(units + (level < LEVELS - 1))]
        return Pyramid(inputs, first, up, down)

    def condition_at(self, level):
        """A function of a number of channels that makes the layer for the condition on this level; None for none."""
        if not self.condition_channels:
            return None
        if level == 0:
            return lambda channels: Conditional(self.condition_channels, channels)
        return lambda channels: CellConditional(self.condition_channels, channels, 2 ** level)

    def prepare(self, images, official=False):
        """With weight normalization, start lengths and biases by 16 images, spread evenly over `images`; only once.

        No condition is told, since its matrices start at 0. official: see tinyar.layers.weights.preparing. Raises
        ValueError for no images.
        """
        if not self.weight_norm or self.state["prepared"][0]:
            return
        if not len(images):
            raise ValueError("PixelCNNpp: prepare: expected at least one image, got none")
        n = min(IMAGES_TO_START_FROM, len(images))
        chosen = images[np.arange(n) * len(images) // n]
        with preparing(self, official):
            self(to_device(chosen))
        self.state["prepared"][...] = 1
