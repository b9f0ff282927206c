"""The causal convolution that halves an image: ShiftedConv2d at every second row and column."""

from tinyar.backend import xp
from tinyar.layers.pointwise import as_rows, check_images, sum_rows
from tinyar.layers.shifted import ShiftedConv2d
from tinyar.layers.windows import Windows, as_matrix, window_rows


class HalvingConv2d(ShiftedConv2d):
    """Convolution over rectangles, stride 2: (batch, height, width, in) -> (batch, ceil(height/2), ceil(width/2), out).

    With row offsets i and column offsets j that follow each other without gaps:

    forward     y[r, c]   = b + sum_ij  x[2 r + i, 2 c + j] w[i, j]          x is 0 outside the image
    backward    dx[u, v]  = sum of  dy[r, c] w[i, j]^T  over all r, c, i, j with 2 r + i = u, 2 c + j = v
                dw[i, j]  = sum_rc  x[2 r + i, 2 c + j]^T dy[r, c],  db = sum_rc dy[r, c]

    So y[r, c] is what ShiftedConv2d has at (2 r, 2 c), and drawing is as there, at even rows and columns: a step takes
    the place in x. Raises ValueError for offsets with gaps.
    """

    def __init__(self, in_channels, out_channels, rows, columns, rng=None, weight_norm=False):
        super().__init__(in_channels, out_channels, rows, columns, rng=rng, weight_norm=weight_norm)
        for offsets in (self.rows, self.columns):
            if len(offsets) > 1 and offsets[1] - offsets[0] > 1:
                raise ValueError(f"HalvingConv2d: expected offsets without gaps, got {offsets}")
        self.windows = Windows((len(self.rows), len(self.columns)), (2, 2), (-self.rows[0], -self.columns[0]))

    def matrix(self, x):
        """The windows of x, one a row, (batch * windows, taps * in); and how many there are along each axis."""
        check_images(self, x)
        grid = tuple(-(-n // 2) for n in x.shape[1:3])
        return window_rows(x, self.windows.kernel, self.windows.stride, self.windows.padding, grid), grid

    def __call__(self, x):
        windows, grid = self.matrix(x)
        y = xp.matmul(windows, as_matrix(self.kernel()))
        y += self.params["b"]
        return self.started(y.reshape(len(x), *grid, self.out_channels))

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        windows, _ = self.matrix(x)
        # y = windows w + b
        self.add_dw(xp.matmul(windows.T, as_rows(dy)).reshape(self.kernel_shape))
        self.grads["b"] += sum_rows(as_rows(dy))
        return self.windows.image(dy, self.kernel(), x.shape[1:3]) if need_dx else None

    def output_row(self, row):
        """The outputs (batch, ceil(width / 2), out) of an even row of x, from the rows seen."""
        return super().output_row(row)[:, ::2]
