"""The causal convolution that halves an image: ShiftedConv2d at every second row and column."""

from tinyar.layers.shifted import ShiftedConv2d
from tinyar.layers.strided import Conv2d
from tinyar.layers.windows import Windows


class HalvingConv2d(ShiftedConv2d):
    """Convolution over rectangles, stride 2: (batch, height, width, in) -> (batch, ceil(height/2), ceil(width/2), out).

    With row offsets i and column offsets j that follow each other without gaps:

    forward     y[r, c]   = b + sum_ij  x[2 r + i, 2 c + j] w[i, j]          x is 0 outside the image
    backward    dx[u, v]  = sum of  dy[r, c] w[i, j]^T  over all r, c, i, j with 2 r + i = u, 2 c + j = v
                dw[i, j]  = sum_rc  x[2 r + i, 2 c + j]^T dy[r, c],  db = sum_rc dy[r, c]

    So it computes as Conv2d does, with padding on the sides where the kernel looks. y[r, c] is what ShiftedConv2d has
    at (2 r, 2 c), and drawing is as there, at even rows and columns: a step takes the place in x. Raises ValueError for
    offsets with gaps.
    """

    def __init__(self, in_channels, out_channels, rows, columns, rng=None, weight_norm=False):
        super().__init__(in_channels, out_channels, rows, columns, rng=rng, weight_norm=weight_norm)
        for offsets in (self.rows, self.columns):
            if len(offsets) > 1 and offsets[1] - offsets[0] > 1:
                raise ValueError(f"HalvingConv2d: expected offsets without gaps, got {offsets}")
        self.windows = Windows((len(self.rows), len(self.columns)), (2, 2), (-self.rows[0], -self.columns[0]),
                               after=(self.rows[-1], self.columns[-1]))

    __call__, forward, backward = Conv2d.__call__, Conv2d.forward, Conv2d.backward

    def output_row(self, row):
        """The outputs (batch, ceil(width / 2), out) of an even row of x, from the rows seen."""
        return super().output_row(row)[:, ::2]
