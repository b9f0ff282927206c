"""PixelCNN++: a mixture of logistics instead of a softmax, and a network that works on three grids.

    PixelCNN              Gated PixelCNN                  PixelCNN++
    softmax over levels   softmax over levels             mixture of logistics: neighbouring levels are alike
    one grid              one grid, two streams           two streams over three grids, with skips between the two sides
    colours by masks      colours by masks                colours within the likelihood: a pixel is one step

The network is in `tinyar.models.pyramid`, its units in `tinyar.layers.GatedResNet`, its outputs in
`tinyar.likelihoods.LogisticMixture`.

An output in an odd row sees far too, but the coarse grids know nothing of its own row, nor of the right part of the row
above. There it sees what the finest grid alone reaches: with R units a grid, columns c - (4 R + 2) to c - 1 of its own
row, and of the row above nothing beyond column c + 4 R + 2.

Source: Salimans, Karpathy, Chen, Kingma 2017, "PixelCNN++", arXiv 1701.05517, and the code published with it.
"""

import numpy as np

from tinyar.layers.above_left import AboveAndLeft
from tinyar.layers.combine import Chain
from tinyar.layers.gated_resnet import GatedResNet
from tinyar.layers.halving import HalvingConv2d
from tinyar.layers.pointwise import ELU
from tinyar.layers.shifted import ShiftedConv2d
from tinyar.layers.strided import ConvTranspose2d
from tinyar.models.normalized import NormalizedModel
from tinyar.models.options import check_count
from tinyar.models.pyramid import Pyramid
from tinyar.models.stages import Doubling, First, Halving, SkipUnits, Units

GRIDS = 3  # each half as fine as the one before
KERNEL_U, KERNEL_UL = ((-1, 0), (-1, 0, 1)), ((-1, 0), (-1, 0))  # row and column offsets of the kernels of u and of ul
PUBLISHED = {
    # CIFAR-10: 53,659,080 parameters, 53,618,660 without weight normalization. 2.92 bits/dim (of classes about 2.94),
    # batch 128 on 8 GPUs, 5 days; Adam with betas 0.95 and 0.9995 and a root's eps, learning rate 0.001 times 0.999995
    # an update, averages of 0.9995.
    "cifar10": dict(levels=256, image_channels=3, channels=160, units=5, components=10, dropout=0.5),
    # For a CPU, not from the paper: 575,166 parameters on grey images.
    "small": dict(levels=256, image_channels=1, channels=32, units=1, components=5),
}


class PixelCNNpp(NormalizedModel):
    """net: a Pyramid of gated residual units, then ELU and a 1x1 convolution to the likelihood's outputs.

        channels, units   features a pixel, and units a grid on either side of the pyramid
        dropout           share of features that each unit drops in training

    What the other options are: see NormalizedModel and AutoregressiveModel.
    """

    published_options = PUBLISHED

    def __init__(self, levels=256, image_channels=1, channels=32, units=1, likelihood="mixture", components=5,
                 mode="exact", weight_norm=True, dropout=0.0, one_hot=False, classes=0, map_channels=0, seed=0):
        super().__init__(levels, image_channels, likelihood, components, mode, weight_norm, one_hot, classes,
                         map_channels)
        check_count(self, "units", units, least=1)
        rng = np.random.default_rng(seed)
        self.net = Chain(self.pyramid(channels, units, dropout, rng), ELU(), self.output(channels, rng))

    def pyramid(self, channels, units, dropout, rng):
        """The Pyramid of this width, with so many units a grid."""
        common, inputs = dict(rng=rng, weight_norm=self.weight_norm), self.inputs + 1

        def pair(kind, grid, skips):
            """Units or SkipUnits; u takes u's skip, ul the new u and its skip."""
            parts = [GatedResNet(lambda i, o: ShiftedConv2d(i, o, *offsets, **common), channels, skip_channels,
                                 self.make_conditional(grid), dropout=dropout, **common)
                     for offsets, skip_channels in zip((KERNEL_U, KERNEL_UL), skips)]
            return kind(*parts, grid)

        def shifted(*offsets):
            return ShiftedConv2d(inputs, channels, *offsets, **common)

        first = First(shifted(*KERNEL_U), AboveAndLeft(shifted((0,), (-1, 0, 1)), shifted((-1, 0), (0,))))
        up, down = [], []
        for grid in range(GRIDS):
            up += [pair(Units, grid, (0, channels)) for _ in range(units)]
            if grid < GRIDS - 1:
                up.append(Halving(*(HalvingConv2d(channels, channels, *offsets, **common)
                                    for offsets in (KERNEL_U, KERNEL_UL)), grid))
        for grid in reversed(range(GRIDS)):
            if grid < GRIDS - 1:
                down.append(Doubling(ConvTranspose2d(channels, channels, (2, 3), 2, (0, 1), (0, 1), **common),
                                     ConvTranspose2d(channels, channels, 2, 2, **common), grid))
            down += [pair(SkipUnits, grid, (channels, 2 * channels)) for _ in range(units + (grid < GRIDS - 1))]
        return Pyramid(inputs, first, up, down)
