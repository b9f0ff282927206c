"""PixelCNN: a stack of masked convolutions that predicts every pixel from those before it, all at once.

    p(image) = product over pixels i, in raster order, of p(x_i | x_1 ... x_(i-1))

In training all true pixels are known, so a single forward pass gives all factors; the masks alone see to it
that no factor sees its own pixel. What it shares with its relatives (levels, colours, conditions, drawing) is
in `autoregressive.py`.

Source: van den Oord, Kalchbrenner, Kavukcuoglu 2016, "Pixel Recurrent Neural Networks", arXiv 1601.06759.
A k x k network has a blind spot: with each row upwards it sees (k - 1) / 2 more columns to the right, and no
more (`examples/receptive_field.py`).
"""

import numpy as np

from tinyar.layers.colors import conv1x1
from tinyar.layers.combine import Chain, Residual
from tinyar.layers.dropout import Dropout
from tinyar.layers.masked import MaskedConv2d
from tinyar.layers.norm import LayerNorm
from tinyar.layers.pointwise import ReLU
from tinyar.models.autoregressive import AutoregressiveModel
from tinyar.models.options import check_count, check_kernel, whole_numbers

PUBLISHED = {
    # 7x7 blocks 64-32-32-64 with LayerNorm, 5, 8 or 10 of them: with 5 blocks and 2 levels 280,130 parameters,
    # dead taps counted, of which 155,650 live.
    "report": dict(levels=2, channels=64, blocks=5, kernel_size=7, layer_norm=True, head=(64,)),
    # The paper's CIFAR-10 network, 3x3 blocks 2h-h-h-2h with h = 128, 15 of them:
    # 5,340,416 parameters if all taps are counted.
    "paper": dict(levels=256, image_channels=3, channels=256, blocks=15, kernel_size=3,
                  layer_norm=False, head=(1024, 1024)),
    # The same idea at the size of its MNIST networks, h = 16.
    "paper-mnist": dict(levels=2, channels=32, blocks=7, kernel_size=3, layer_norm=False, head=(32, 32)),
    # Berkeley CS294-158, homework 1: five plain 7x7 convolutions, no residuals.
    "homework": dict(levels=2, channels=64, blocks=5, block="plain", kernel_size=7,
                     layer_norm=False, residual=False, head=(64,)),
}


class PixelCNN(AutoregressiveModel):
    """net: one masked convolution of type A, residual blocks of masked convolutions of type B,
    and a head of 1x1 convolutions.

        first      k1 x k1 convolution, mask A                      image channels -> channels
        block      [LayerNorm], then u + body(u); the body is
          bottleneck   ReLU, 1x1; ReLU, k x k mask B; ReLU, 1x1     channels -> channels / 2 -> channels / 2 -> channels
          plain        ReLU, k x k mask B                           channels -> channels
        head       ReLU, 1x1 for each width in `head`, then ReLU, 1x1 to image_channels * levels logits

    residual=False leaves out the "u +", layer_norm=False the LayerNorm. dropout, which the paper doesn't have, is the
    share of body(u) that training drops (see `Dropout`). With ordered_colors the channels of every
    layer are dealt out to the colours and masked in the order R, G, B. With classes or map_channels each k x k
    convolution is followed by a bias that depends on the condition (`tinyar.conditions.Conditional`). The weights of
    the last layer start at a tenth of the usual size, so that the first loss is near ln(levels). What x, logits and
    the other options are: see AutoregressiveModel.

    PixelCNN.published("report", blocks=8) is a published configuration with one option changed. For a body of your own
    write a subclass with another `body`.
    """

    published_options = PUBLISHED

    def __init__(self, levels=2, image_channels=1, ordered_colors=True, channels=64, blocks=5, block="bottleneck",
                 first_kernel=7, kernel_size=7, layer_norm=True, residual=True, head=(64,), one_hot=False, classes=0,
                 map_channels=0, dropout=0.0, seed=0):
        super().__init__(self.make_likelihood(levels, image_channels, one_hot), image_channels, ordered_colors, one_hot,
                         classes, map_channels)
        head = whole_numbers("head", head)
        if block not in ("bottleneck", "plain"):
            raise ValueError(f"PixelCNN: block is 'bottleneck' or 'plain', got {block!r}")
        check_count(self, "blocks", blocks, least=0)
        check_kernel(self, "first_kernel", first_kernel)
        if block == "bottleneck" and (not isinstance(channels, (int, np.integer)) or channels < 2):
            raise ValueError("PixelCNN: channels: a bottleneck block halves them, so expected at least 2, "
                             f"got {channels!r}")
        check_count(self, "channels", channels, least=1)
        if layer_norm and blocks and self.colors <= channels < 2 * self.colors:
            raise ValueError("PixelCNN: channels: LayerNorm leaves nothing of a single channel; expected at least "
                             f"{2 * self.colors}, got {channels}")
        self.channels, self.block, self.kernel_size = channels, block, kernel_size
        rng = np.random.default_rng(seed)
        links = self.convolution(self.inputs, channels, first_kernel, "A", rng)
        for _ in range(blocks):
            body = Chain(*self.body(rng), *([Dropout(dropout)] if dropout else []))
            links += [LayerNorm(channels, self.colors)] if layer_norm else []
            links += [Residual(body) if residual else body]
        self.net = Chain(*links, *self.head(channels, head, ReLU, rng))

    def body(self, rng):
        """The layers of one block, a list, from self.channels to as many: causal, and free to see their own pixel.

        rng draws their first weights. A subclass may return others. It is asked once a block, while PixelCNN.__init__
        runs: what a subclass's body needs is set before that.
        """
        if self.block == "plain":
            return [ReLU(), *self.convolution(self.channels, self.channels, self.kernel_size, "B", rng)]
        half = self.channels // 2
        return [ReLU(), conv1x1(self.channels, half, self.colors, rng),
                ReLU(), *self.convolution(half, half, self.kernel_size, "B", rng),
                ReLU(), conv1x1(half, self.channels, self.colors, rng)]

    def convolution(self, inputs, outputs, kernel_size, mask_type, rng):
        """A masked convolution, and what the condition adds to it: a list of layers."""
        return [MaskedConv2d(inputs, outputs, kernel_size, mask_type, self.colors, rng), *self.conditional(outputs)]
