"""PixelSNAIL: convolutions for what is near, attention for everything that came before.

    PixelCNN++                                 PixelSNAIL
    two streams on three grids, with skips     one stream on one grid
    reach: far by the coarse grids             reach: every earlier pixel, by attention in every block
    mixture of logistics                       the same
    weight normalization, units with a gate    the same, with ELU in place of [elu(x), elu(-x)]

The network is in `tinyar.models.snail`, its attention in `tinyar.layers.CausalAttention`.

Source: Chen, Mishra, Rohaninejad, Abbeel 2018, "PixelSNAIL: An improved autoregressive generative model", arXiv
1712.09763, and the code published with it.
"""

import numpy as np

from tinyar.layers.above_left import AboveAndLeft
from tinyar.layers.attention import CausalAttention
from tinyar.layers.combine import Chain
from tinyar.layers.gated_resnet import GatedResNet
from tinyar.layers.pointwise import ELU, Linear
from tinyar.layers.shifted import ShiftedConv2d
from tinyar.models.normalized import NormalizedModel
from tinyar.models.options import check_count
from tinyar.models.snail import Snail, SnailBlock

PUBLISHED = {
    # CIFAR-10: 46,180,788 parameters, 46,110,132 without weight normalization. 2.85 bits/dim; batch 64 on 8 GPUs, Adam
    # with betas 0.95 and 0.9995 and a root's eps, learning rate 0.001 times 0.999998 an update, averages of 0.9995.
    "cifar10": dict(levels=256, image_channels=3, channels=256, blocks=12, units=4, key_channels=16, value_channels=128,
                    components=10, dropout=0.5),
    # ImageNet, 32x32: 46,237,548 parameters, 3.80 bits/dim; averages of 0.9997.
    "imagenet32": dict(levels=256, image_channels=3, channels=256, blocks=12, units=4, key_channels=16,
                       value_channels=128, components=32),
    # For a CPU, not from the paper: 438,845 parameters on grey images.
    "small": dict(levels=256, image_channels=1, channels=64, blocks=3, units=2, key_channels=16, value_channels=32,
                  components=5),
}


class PixelSNAIL(NormalizedModel):
    """net: a Snail, then ELU and a 1x1 convolution to the likelihood's outputs.

        channels, blocks, units         features a pixel; blocks; convolutional units in each of them
        key_channels, value_channels    of attention: numbers a pixel that keys and values have
        heads, chunk                    of attention: see CausalAttention
        dropout                         share of features that each unit drops in training
        repeat_place                    the coordinates stand once for every colour, as published; False: once

    What the other options are: see NormalizedModel and AutoregressiveModel.
    """

    published_options = PUBLISHED

    def __init__(self, levels=256, image_channels=1, channels=64, blocks=3, units=2, key_channels=16, value_channels=32,
                 heads=1, chunk=32, likelihood="mixture", components=5, mode="exact", weight_norm=True, dropout=0.0,
                 repeat_place=True, one_hot=False, classes=0, map_channels=0, seed=0):
        super().__init__(levels, image_channels, likelihood, components, mode, weight_norm, one_hot, classes,
                         map_channels)
        check_count(self, "blocks", blocks, least=1)
        check_count(self, "units", units, least=0)
        if not isinstance(repeat_place, bool):
            raise ValueError(f"PixelSNAIL: repeat_place is True or False, got {repeat_place!r}")
        self.channels, self.dropout, self.repeats = channels, dropout, image_channels if repeat_place else 1
        rng = np.random.default_rng(seed)
        common, inputs = dict(rng=rng, weight_norm=weight_norm), self.inputs + 1
        first = AboveAndLeft(ShiftedConv2d(inputs, channels, (0,), (-1, 0, 1), **common),
                             ShiftedConv2d(inputs, channels, (-1, 0), (0,), **common))
        body = [self.block(units, (key_channels, value_channels, heads, chunk), common) for _ in range(blocks)]
        self.net = Chain(Snail(inputs, first, body), ELU(), self.output(channels, rng))

    def block(self, units, attention, common):
        """A SnailBlock with so many convolutional units; attention: the options of CausalAttention."""
        keys, values, *_ = attention
        query_inputs = self.channels + 2 * self.repeats  # features and place
        key_inputs = self.inputs + query_inputs  # and the image

        def conv(inputs, outputs):
            return ShiftedConv2d(inputs, outputs, (-1, 0), (-1, 0), **common)

        def pointwise(inputs, outputs):
            return Linear(inputs, outputs, **common)

        def unit(conv, channels, skip_channels=0):
            return GatedResNet(conv, channels, skip_channels, self.make_conditional(), ELU, self.dropout, **common)

        return SnailBlock(
            units=[unit(conv, self.channels) for _ in range(units)],
            key_value=Chain(unit(pointwise, key_inputs), pointwise(key_inputs, keys + values)),
            query=Chain(unit(pointwise, query_inputs), pointwise(query_inputs, keys)),
            attention=CausalAttention(*attention),
            merge=unit(pointwise, self.channels, values), repeats=self.repeats)
