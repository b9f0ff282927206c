"""Row LSTM and Diagonal BiLSTM, the recurrent networks of the PixelRNN paper: they look up as far as the image goes.

A masked convolution sees as far as its kernels add up to. A recurrence hands on what it knows from pixel to pixel,
however far; the price is a loop, in training too, here over rows or diagonals:

    Row LSTM          each row from the one above, all its pixels at once: sees a triangle upwards, without end, but to
                      the right it has the blind spot of a PixelCNN
    Diagonal BiLSTM   each diagonal from the one before, in two directions: sees every earlier pixel but one. Where the
                      last column is farther away than half the first kernel, the last pixel of the row above is
                      never seen

(The paper calls the latter global and doesn't mention the one pixel. What comes down from the row above was computed
there, where its last pixel couldn't be known yet; only the first convolution looks at it from the row below.)

Source: van den Oord, Kalchbrenner, Kavukcuoglu 2016, "Pixel Recurrent Neural Networks", arXiv 1601.06759. The
recurrences, and what stands at the borders, are in `tinyar.layers.row_lstm` and `diagonal_lstm`.
"""

import numpy as np

from tinyar.layers.colors import conv1x1
from tinyar.layers.combine import Chain, Residual
from tinyar.layers.diagonal_lstm import DiagonalBiRecurrence
from tinyar.layers.gated import horizontal_convolution
from tinyar.layers.masked import MaskedConv2d
from tinyar.layers.pointwise import ReLU
from tinyar.layers.row_lstm import RowRecurrence
from tinyar.models.autoregressive import AutoregressiveModel
from tinyar.models.options import check_count, check_kernel, whole_numbers
from tinyar.models.pixelrnn import open_forget_gates

# Parameters are counted with a softmax, over two logits for two levels, and with the dead weights that others store:
# masked taps, masked pairs of colours.
PUBLISHED_ROW = {
    # The paper doesn't say how large its Row LSTM for MNIST was. This is as wide and deep as its Diagonal BiLSTM:
    # 72,770 parameters.
    "paper-mnist": dict(levels=2, hidden=16, layers=7, head=(32, 32)),
    # CIFAR-10: 9,621,248 parameters, 3.07 bits/dim.
    "paper-cifar10": dict(levels=256, image_channels=3, hidden=128, layers=12, head=(1024, 1024)),
    # ImageNet 32x32 and 64x64: 3.86 and 3.63 bits/dim.
    "paper-imagenet32": dict(levels=256, image_channels=3, hidden=384, layers=12, head=(1024, 1024)),
    "paper-imagenet64": dict(levels=256, image_channels=3, hidden=512, layers=4, residual=False,
                             head=(1024, 1024)),
}

PUBLISHED_DIAGONAL = {
    # MNIST: 66,274 parameters, 79.20 nats an image (0.1457 bits/dim), each pixel drawn. RMSProp, batch 16.
    "paper-mnist": dict(levels=2, hidden=16, layers=7, head=(32, 32)),
    # A single wide layer for the same images: 41,666 parameters.
    "one-layer": dict(levels=2, hidden=32, layers=1, head=(32, 32)),
    # CIFAR-10: 8,844,032 parameters, 3.00 bits/dim.
    "paper-cifar10": dict(levels=256, image_channels=3, hidden=128, layers=12, head=(1024, 1024)),
}


class ResidualLSTM(AutoregressiveModel):
    """net: a masked convolution, LSTM layers with residuals, a head of 1x1 convolutions; h = hidden.

        first      k1 x k1 convolution, mask A                           image channels -> 2h
        layer      u + up(recurrence(Z(u)))
          Z            the gates, four for each direction                2h -> 4h or 8h
          recurrence   over rows or diagonals                            4h or 8h -> h
          up           1x1, no nonlinearity before or behind it          h -> 2h
        head       ReLU, 1x1 for each width in `head`, then ReLU, 1x1 to image_channels * levels logits

    A subclass says what Z and the recurrence are. residual=False leaves out the "u +". With ordered_colors all channels
    are dealt out to the colours and masked in the order R, G, B, those of Z within each gate; the recurrence has no
    masks. With classes or map_channels the first convolution and each Z are followed by a bias that depends on the
    condition (`tinyar.conditions.Conditional`). The biases of the forget gates start at 1, as is usual: the cell
    remembers at first. The weights of the last layer start at a tenth of the usual size, so that the first loss is near
    ln(levels). What x, logits and the other options are: see AutoregressiveModel.
    """

    def build(self, hidden, layers, first_kernel, residual, head, rng):
        """Make self.net. Raises ValueError for options that don't fit."""
        check_count(self, "layers", layers, least=1)
        check_kernel(self, "first_kernel", first_kernel)
        links = [MaskedConv2d(self.inputs, 2 * hidden, first_kernel, "A", self.colors, rng),
                 *self.conditional(2 * hidden)]
        for _ in range(layers):
            gates, channels, recurrence = self.gates_and_recurrence(hidden, rng)
            open_forget_gates(gates, hidden)
            body = Chain(gates, *self.conditional(channels), recurrence,
                         conv1x1(hidden, 2 * hidden, self.colors, rng))
            links += [Residual(body) if residual else body]
        self.net = Chain(*links, *self.head(2 * hidden, whole_numbers("head", head), ReLU, rng))

    def gates_and_recurrence(self, hidden, rng):
        """The layer u -> Z, the number of its channels, and the recurrence."""
        raise TypeError(f"{type(self).__name__} does not say what its gates and its recurrence are")


class RowLSTM(ResidualLSTM):
    """net: that of ResidualLSTM, with LSTM layers down the rows; h = hidden, k1 = first_kernel, k = kernel_size.

          Z            k columns of the row, mask B                      2h -> 4h, the four gates
          recurrence   k pixels of the row above (RowRecurrence)         4h -> h

    k1 and k are odd. With m1 = (k1 - 1) / 2 and m = (k - 1) / 2 <= m1 + 1, the output at (r, c) sees the columns
    c - layers m - m1 .. c - 1 of its own row, and, a rows above, c - (layers + a) m - m1 .. c + (a - 1) m + m1.
    RowLSTM.published("paper-mnist", layers=4) is a published configuration with one option changed. Raises ValueError
    for options that don't fit.
    """

    published_options = PUBLISHED_ROW

    def __init__(self, levels=2, image_channels=1, ordered_colors=True, hidden=16, layers=7, first_kernel=7,
                 kernel_size=3, residual=True, head=(32, 32), one_hot=False, classes=0, map_channels=0, seed=0):
        super().__init__(self.make_likelihood(levels, image_channels, one_hot), image_channels, ordered_colors, one_hot,
                         classes, map_channels)
        check_kernel(self, "kernel_size", kernel_size)
        self.kernel_size = kernel_size
        self.build(hidden, layers, first_kernel, residual, head, np.random.default_rng(seed))

    def gates_and_recurrence(self, hidden, rng):
        gates = horizontal_convolution(2 * hidden, 4 * hidden, self.kernel_size // 2, 1, "B", self.colors, 4, rng)
        return gates, 4 * hidden, RowRecurrence(hidden, self.kernel_size, rng)


class DiagonalBiLSTM(ResidualLSTM):
    """net: that of ResidualLSTM, with LSTM layers over the diagonals, from the left and from the right; h = hidden.

          Z            1x1                                               2h -> 8h, four gates in each direction
          recurrence   left or right neighbour, and the one above        8h -> h, the sum of both directions
                       (DiagonalBiRecurrence)

    The output at (r, c) sees every earlier pixel, except (r - 1, W - 1) where c < W - 1 - m1. W is the width of the
    image, m1 = (first_kernel - 1) / 2. Raises ValueError for options that don't fit.
    """

    published_options = PUBLISHED_DIAGONAL

    def __init__(self, levels=2, image_channels=1, ordered_colors=True, hidden=16, layers=7, first_kernel=7,
                 residual=True, head=(32, 32), one_hot=False, classes=0, map_channels=0, seed=0):
        super().__init__(self.make_likelihood(levels, image_channels, one_hot), image_channels, ordered_colors, one_hot,
                         classes, map_channels)
        self.build(hidden, layers, first_kernel, residual, head, np.random.default_rng(seed))

    def gates_and_recurrence(self, hidden, rng):
        gates = conv1x1(2 * hidden, 8 * hidden, self.colors, rng, parts=8)
        return gates, 8 * hidden, DiagonalBiRecurrence(hidden, rng)
