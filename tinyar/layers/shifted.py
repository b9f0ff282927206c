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

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.columns import expand_width, margins, shifted_rows, windows
from tinyar.layers.pointwise import as_rows, check_channels, check_images, sum_rows


class ShiftedConv2d(Layer):
    """Convolution, stride 1, with a tap at every pair of a row offset and a column offset;
    zeros around the image (the size stays).

    With x (batch, height, width, in), y (batch, height, width, out), i over `rows`, j over `columns`:

    forward     y[r, c]  = b + sum_ij  x[r + i, c + j] w[i, j]
    backward    dx[r, c] = sum_ij  dy[r - i, c - j] w[i, j]^T
                dw[i, j] = sum_rc  x[r, c]^T dy[r - i, c - j]
                db       = sum_rc  dy[r, c]

    Parameters: w (rows, columns, in, out), b (out), or none with bias=False. The start is normal, standard deviation
    sqrt(1 / inputs of an output), as suits the gate behind it, which is nearly linear around 0. It is computed like
    MaskedConv2d: x, or in backward dy, is expanded along the width, and each row of the kernel is one matrix product.

    Drawing, pixel by pixel: `see` and `step`, if no tap lies on or after pixels of later steps, that is, if row 0 has
    no column above 0. Row by row: `see_row` and `output_row`, for a stream that computes whole rows. Both remember
    the rows from the topmost offset down to the pixel's own. Raises ValueError for row offsets above 0, for offsets
    that don't increase in equal steps, and for bad channel counts.
    """

    def __init__(self, in_channels, out_channels, rows, columns, bias=True, rng=None):
        super().__init__()
        check_channels(self, in_channels, out_channels)
        self.rows, self.columns = checked_offsets("rows", rows), checked_offsets("columns", columns)
        if self.rows[-1] > 0:
            raise ValueError("ShiftedConv2d: rows: offsets above 0 are rows below the pixel, which come later; "
                             f"got {rows}")
        rng = rng or np.random.default_rng()
        self.in_channels, self.out_channels = in_channels, out_channels
        shape = len(self.rows), len(self.columns), in_channels, out_channels
        self.add_param("w", rng.standard_normal(shape) * (1 / np.prod(shape[:3])) ** 0.5)
        if bias:
            self.add_param("b", np.zeros(out_channels))

    # -- the whole image -----------------------------------------------------------------------------------------------

    def __call__(self, x):
        check_images(self, x)
        batch, height, width, _ = x.shape
        expanded = expand_width(x, self.columns, above=-self.rows[0])
        y = xp.zeros((batch, height * width, self.out_channels), dtype=x.dtype)
        if "b" in self.params:
            y += self.params["b"]
        for i, w in zip(self.rows, self.params["w"]):
            y += xp.matmul(shifted_rows(expanded, i - self.rows[0], height), w.reshape(-1, self.out_channels))
        return y.reshape(batch, height, width, self.out_channels)

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        if "b" in self.grads:
            self.grads["b"] += sum_rows(as_rows(dy))
        return self.backward_taps(x, dy) if need_dx else self.backward_weights(x, dy)

    def backward_taps(self, x, dy):
        """dw and dx, both from one expansion of dy, in which the taps of a row stand back to front."""
        batch, height, width, _ = x.shape
        expanded = expand_width(dy, [-j for j in reversed(self.columns)], below=-self.rows[0])
        x_columns = x.reshape(batch, height * width, -1).swapaxes(1, 2)  # (batch, in, pixels)
        dx = xp.zeros((batch, height * width, self.in_channels), dtype=x.dtype)
        for i, w, dw in zip(self.rows, self.params["w"], self.grads["w"]):
            # y[r, c] += sum_j x[r + i, c + j] w[i, j]
            window = shifted_rows(expanded, -i, height)  # dy[r - i, c - j]
            dx += xp.matmul(window, w[::-1].swapaxes(1, 2).reshape(-1, self.in_channels))
            products = xp.matmul(x_columns, window).sum(axis=0)  # (in, columns * out)
            dw += products.reshape(self.in_channels, len(self.columns), self.out_channels).swapaxes(0, 1)[::-1]
        return dx.reshape(x.shape)

    def backward_weights(self, x, dy):
        """dw alone, for the layer that reads the data: with its few channels,
        expanding x is far cheaper than expanding dy.
        """
        batch, height, width, _ = x.shape
        expanded = expand_width(x, self.columns, above=-self.rows[0])
        dy_pixels = dy.reshape(batch, height * width, -1)
        for i, dw in zip(self.rows, self.grads["w"]):
            window = shifted_rows(expanded, i - self.rows[0], height)  # x[r + i, c + j]
            dw += xp.matmul(window.swapaxes(1, 2), dy_pixels).sum(axis=0).reshape(dw.shape)

    # -- drawing -------------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        left, right = margins(self.columns)
        self.width, self.left = width, left
        self.ring = xp.zeros((batch, 1 - self.rows[0], left + width + right, self.in_channels), dtype=self.dtype)

    def slot(self, row):
        """Where the ring keeps this row; those above the image are slots that nothing has been written to yet."""
        return row % self.ring.shape[1]

    def see(self, x, at):
        row, col = at
        self.ring[:, self.slot(row), self.left + col] = x

    def step(self, x, at):
        row, col = at
        if self.rows[-1] == 0 and self.columns[-1] > 0:
            raise TypeError("ShiftedConv2d: a kernel that looks to the right in its own row draws row by row, "
                            "not pixel by pixel")
        self.see(x, at)
        taps = [self.ring[:, self.slot(row + i), self.left + col + j] for i in self.rows for j in self.columns]
        return self.with_bias(xp.matmul(xp.concatenate(taps, axis=1), self.params["w"].reshape(-1, self.out_channels)))

    def see_row(self, x, row):
        """Remember a whole row of inputs, x (batch, width, in)."""
        self.ring[:, self.slot(row), self.left:self.left + self.width] = x

    def output_row(self, row):
        """The outputs (batch, width, out) of a whole row, from the rows seen."""
        return self.with_bias(sum(
            xp.matmul(windows(self.ring[:, self.slot(row + i)][:, None], self.columns, self.width)[:, 0],
                      w.reshape(-1, self.out_channels))
            for i, w in zip(self.rows, self.params["w"])))

    def with_bias(self, y):
        return y + self.params["b"] if "b" in self.params else y


def checked_offsets(name, offsets):
    """The offsets as a tuple, or a ValueError unless they increase in equal steps."""
    offsets = tuple(offsets)
    steps = {b - a for a, b in zip(offsets, offsets[1:])}
    if not offsets or len(steps) > 1 or not all(step > 0 for step in steps):
        raise ValueError(f"ShiftedConv2d: {name}: expected offsets that increase in equal steps, got {offsets}")
    return offsets
