"""The convolution whose kernel looks up, or to the left, but never on: without masks, for models of two streams.

Where MaskedConv2d has a square kernel with dead taps, here the kernel is a rectangle of live taps, moved as a whole
to where it may look (a "shifted" convolution). Rows are offsets -2, -1, 0, ... of which 0 is the pixel's own row,
columns likewise. For k = 3:

    vertical stack of Gated PixelCNN     rows -1, 0    columns -1, 0, 1    the row above and the own, at full width
    horizontal stack, mask B             rows 0        columns -1, 0       the left neighbour and the pixel itself
    horizontal stack, mask A             rows 0        columns -1          the left neighbour

and a dilation of 2 gives rows -2, 0 and columns -2, 0, 2.
"""

import numpy as np

from tinyar.backend import check_size
from tinyar.layers.conv import CausalConv2d
from tinyar.layers.pointwise import check_channels
from tinyar.layers.weights import DIRECTION_STD


class ShiftedConv2d(CausalConv2d):
    """Convolution with a tap at every pair of a row offset and a column offset; forward and backward: CausalConv2d.

    Its segments are (i, columns) for i in `rows`. Parameters: w (rows, columns, in, out), b (out), or none with
    bias=False. The start is normal, standard deviation sqrt(1 / inputs of an output), as suits the gate behind it,
    which is nearly linear around 0. weight_norm: see Weighted.

    Drawing goes pixel by pixel if row 0 has no column above 0, else row by row. Raises ValueError for row offsets above
    0, for offsets that don't increase in equal steps, and for bad channel counts.
    """

    def __init__(self, in_channels, out_channels, rows, columns, bias=True, rng=None, weight_norm=False):
        check_channels(self, in_channels, out_channels)
        self.rows, columns = checked_offsets("rows", rows), checked_offsets("columns", columns)
        if self.rows[-1] > 0:
            raise ValueError("ShiftedConv2d: rows: offsets above 0 are rows below the pixel, which come later; "
                             f"got {rows}")
        rng, shape = rng or np.random.default_rng(), (len(self.rows), len(columns), in_channels, out_channels)
        check_size(type(self).__name__, *shape)
        w = rng.standard_normal(shape) * (DIRECTION_STD if weight_norm else (1 / np.prod(shape[:3])) ** 0.5)
        super().__init__(in_channels, out_channels, [(row, columns) for row in self.rows], w, bias, weight_norm)


def checked_offsets(name, offsets):
    """The offsets as a tuple, or a ValueError unless they increase in equal steps."""
    offsets = tuple(offsets)
    steps = {b - a for a, b in zip(offsets, offsets[1:])}
    if not offsets or len(steps) > 1 or not all(step > 0 for step in steps):
        raise ValueError(f"ShiftedConv2d: {name}: expected offsets that increase in equal steps, got {offsets}")
    return offsets
