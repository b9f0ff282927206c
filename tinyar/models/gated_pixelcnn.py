"""Gated PixelCNN: PixelCNN without a blind spot, with gates instead of ReLU, conditioned on a class or a map.

Two streams of features go through the layers, one of the rows above and one of the pixels to the left
(`tinyar.layers.GatedBlock`). Together they see every earlier pixel within reach. With layers of half-widths m_1, m_2,
... (times their dilation) and M their sum, the output at (r, c) sees, unless the dilations leave gaps,

    own row      columns c - M .. c - 1
    rows above   columns c - M .. c + M of rows r - M - 1 .. r - 1, or of rows r - M .. r - 1 with first="plain"

Dilations of 1, 2, 1, 4 leave no gaps; 2 alone behind a 3x3 first layer skips the second pixel to the left.

Source: van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu 2016, "Conditional Image Generation with
PixelCNN Decoders", arXiv 1606.05328.
"""

import numpy as np

from tinyar.layer import Layer
from tinyar.layers.combine import Chain
from tinyar.layers.gated import GatedBlock, horizontal_convolution
from tinyar.layers.masked import LARGEST_KERNEL
from tinyar.layers.pointwise import ELU, ReLU
from tinyar.layers.shifted import ShiftedConv2d
from tinyar.layers.streams import RowThenPixel
from tinyar.models.autoregressive import AutoregressiveModel
from tinyar.models.conditioner import Conditioner
from tinyar.models.options import check_count, check_kernel, whole_numbers

PUBLISHED = {
    # A first layer of 7x7 and seven of 3x3: 634,434 parameters with 2 levels, 650,944 with 256.
    "small": dict(levels=2, channels=64, first_kernel=7, kernel_size=3, dilations=(1,) * 7, head=(64,)),
    # University of Amsterdam, deep learning tutorial 12: 852,160 parameters, dead taps counted, of which 622,272 live.
    # Adam, 0.001 times 0.99 an epoch, batch 128, up to 150 epochs: 0.808 bits/dim on 8-bit MNIST.
    "tutorial": dict(levels=256, channels=64, first="plain", first_kernel=3, kernel_size=3,
                     dilations=(1, 2, 1, 4, 1, 2, 1), head=(), activation="elu"),
    # The paper's network for ImageNet 32x32: 20 layers of 5x5, 384 channels.
    "imagenet": dict(levels=256, image_channels=3, channels=384, first_kernel=5, kernel_size=5,
                     dilations=(1,) * 19, head=(384,)),
}


class GatedPixelCNN(AutoregressiveModel):
    """net: a first layer, gated blocks with residuals, one for each dilation, and a head of 1x1 convolutions
    on the horizontal stream.

        first="gated"   a GatedBlock of size first_kernel with mask A; the vertical stream, moved down a row,
                        reaches the horizontal one
        first="plain"   two convolutions without a gate: of rows above the pixel alone, and of pixels to its left;
                        nothing is moved then
        head            activation, 1x1 for each width in `head`, then activation, 1x1 to image_channels * levels logits

    activation is "relu" or "elu". dropout, which the paper doesn't have, is the share that training drops of what each
    block adds to the horizontal stream (see `Dropout`). classes and map_channels: the condition enters every gated
    block, both streams. With map_codes a Conditioner of map_units residual units makes features of the codes first.
    The weights of the last layer start at a tenth of the usual size, so that the first loss is near ln(levels).
    What x, logits and the other options are: see AutoregressiveModel. GatedPixelCNN.published("tutorial", classes=10)
    is a published configuration with one option changed.
    """

    published_options = PUBLISHED

    def __init__(self, levels=2, image_channels=1, ordered_colors=True, channels=64, first="gated", first_kernel=7,
                 kernel_size=3, dilations=(1,) * 7, head=(64,), activation="relu", one_hot=False, classes=0,
                 map_channels=0, map_codes=0, map_units=2, dropout=0.0, seed=0):
        super().__init__(self.make_likelihood(levels, image_channels, one_hot), image_channels, ordered_colors, one_hot,
                         classes, map_channels, map_codes, map_width=channels)
        dilations, head = whole_numbers("dilations", dilations), whole_numbers("head", head)
        check_kernel(self, "first_kernel", first_kernel)
        check_kernel(self, "kernel_size", kernel_size)
        for option, value, known in (("first", first, ("gated", "plain")), ("activation", activation, ("relu", "elu"))):
            if value not in known:
                raise ValueError(f"GatedPixelCNN: {option} is {known[0]!r} or {known[1]!r}, got {value!r}")
        if max(dilations, default=1) > LARGEST_KERNEL:
            raise ValueError(f"GatedPixelCNN: dilations: expected at most {LARGEST_KERNEL}, got {max(dilations)}")
        if first == "plain" and not dilations:
            raise ValueError("GatedPixelCNN: dilations: behind a plain first layer there has to be a block, got none")
        check_count(self, "map_units", map_units, least=0)
        rng, colors = np.random.default_rng(seed), self.colors
        if map_codes:
            self.conditioner = Conditioner(classes, map_codes, channels, max(1, channels // 2), map_units, rng)
        common = dict(colors=colors, condition_channels=self.condition_channels, rng=rng)
        if first == "plain":
            blocks = [PlainFirst(self.inputs, channels, first_kernel, colors, rng)]
        else:
            blocks = [GatedBlock(self.inputs, channels, first_kernel, "A",
                                 residual=False, last=not dilations, **common)]
        blocks += [GatedBlock(channels, channels, kernel_size, dilation=d, shift=first == "gated",
                              last=i == len(dilations), dropout=dropout, **common)
                   for i, d in enumerate(dilations, start=1)]
        last = self.head(channels, head, ReLU if activation == "relu" else ELU, rng)
        self.net = Chain(TwoStreams(blocks, shift=first == "gated"), *last)


class PlainFirst(Layer):
    """A first layer without a gate: v of the rows above the pixel, h of the pixels to its left;
    same interface as GatedBlock.

        v' = conv(x), rows -m .. -1, columns -m .. m        h' = conv(x), row 0, columns -m .. -1
        m = (kernel_size - 1) / 2
    """

    def __init__(self, in_channels, channels, kernel_size, colors=1, rng=None):
        super().__init__()
        m = kernel_size // 2
        self.vertical = ShiftedConv2d(in_channels, channels, range(-m, 0), range(-m, m + 1), rng=rng)
        self.horizontal = horizontal_convolution(in_channels, channels, m, 1, "A", colors, 1, rng)

    def __call__(self, v, h):
        return self.vertical(v), self.horizontal(h)

    def forward(self, v, h):
        v_out, h_out = self.vertical.forward(v), self.horizontal.forward(h)
        return v_out, h_out

    def backward(self, dv_out, dh_out, need_dx=True):
        return self.vertical.backward(dv_out, need_dx), self.horizontal.backward(dh_out, need_dx)

    def step_row(self, v, row):
        """v' at a row, from v at the row above it."""
        self.vertical.see_row(v, row - 1)
        return self.vertical.output_row(row)

    def step(self, h, at):
        return self.horizontal.step(h, at)

    def see(self, h, at):
        self.horizontal.see(h, at)


class TwoStreams(RowThenPixel):
    """x -> h: blocks of two streams one after the other, both starting as the image x;
    what comes out is the horizontal stream.

    Drawing: the vertical stream of a row is computed whole, in all blocks, when the first pixel of the row is drawn,
    from the row above. With `shift` (see GatedBlock) it is that of the row above, of which nothing is needed at row 0.
    """

    def __init__(self, blocks, shift):
        super().__init__(blocks[0].vertical.in_channels)
        self.blocks, self.shift = blocks, shift

    def __call__(self, x):
        v = h = x
        for block in self.blocks:
            v, h = block(v, h)
        return h

    def forward(self, x):
        v = h = x
        for block in self.blocks:
            v, h = block.forward(v, h)
        return h

    def backward(self, dh, need_dx=True):
        dv = None
        for block in reversed(self.blocks[1:]):
            dv, dh = block.backward(dv, dh)
        dv, dh = self.blocks[0].backward(dv, dh, need_dx)
        return dv + dh if need_dx else None

    def begin_row(self, row):
        if self.shift and row == 0:
            return
        v = self.row_pixels
        for block in self.blocks:
            v = block.step_row(v, row - 1 if self.shift else row)

    def step_pixel(self, x, at):
        h = x
        for block in self.blocks:
            h = block.step(h, at)
        return h

    def see(self, x, at):
        super().see(x, at)
        self.blocks[0].see(x, at)
