"""The masked convolution, the one layer that makes an image model autoregressive.

In raster order a pixel may depend on the rows above it and on the pixels to its left. A k x k kernel,
m = (k - 1) / 2, whose tap (i, j) reads the input at (row + i - m, col + j - m), keeps this order if only these taps
live (1), here for k = 5:

    mask A   1 1 1 1 1      mask B   1 1 1 1 1
             1 1 1 1 1               1 1 1 1 1
             1 1 0 0 0               1 1 1 0 0
             0 0 0 0 0               0 0 0 0 0
             0 0 0 0 0               0 0 0 0 0

The first layer, which reads the image, has mask A: it must not see the pixel that is to be predicted. All later layers
have mask B: their input at a pixel already excludes that pixel. (van den Oord et al. 2016, "Pixel Recurrent Neural
Networks", arXiv 1601.06759.) The paper multiplies a whole kernel by the mask; here a masked weight doesn't exist.
"""

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.columns import expand_width, shifted_rows
from tinyar.layers.groups import group_slices
from tinyar.layers.pointwise import Linear, as_rows, check_channels, check_images, sum_rows


class MaskedConv2d(Layer):
    """Convolution with an odd square kernel, stride 1, zeros around the image (the size stays),
    over its live taps alone.

    With x (batch, height, width, in), y (batch, height, width, out), and sums over live taps (i, j)
    and over pixels (r, c):

    forward     y[r, c]  = b + sum_ij  x[r + i - m, c + j - m] w[i, j]
    backward    dx[r, c] = sum_ij  dy[r - i + m, c - j + m] w[i, j]^T
                dw[i, j] = sum_rc  x[r, c]^T dy[r - i + m, c - j + m]
                db       = sum_rc  dy[r, c]

    Parameters: w (taps, in, out), the live taps in raster order; b (out). With `colors` > 1 the channels of x and
    of y are dealt out to the colours (`group_slices`), and the centre tap lives from colour a to colour o only if
    a < o (mask A) or a <= o (mask B): it isn't part of w then, but one block a colour, centre_o (visible inputs,
    outputs of the group). With `parts` > 1 the outputs are that many maps side by side, each dealt out by itself
    (the two halves of a gate, the four gates of an LSTM), and a block is centre_o_part. The start is He normal,
    standard deviation sqrt(2 / live inputs of an output), biases 0.

    How it is fast (`tinyar.layers.columns`). x is expanded along the width only: the k pixels around each column lie
    side by side (batch, height + m, width, k * in), k copies instead of the usual k * k. Row i of the kernel is then
    one matrix product with the expansion, i rows further down; the products of the m + 1 live rows add up to y.
    Backward does the same with dy, expanded once: read upside down and back to front it gives dx, multiplied by x it
    gives dw. x is kept as it is.

    Drawing: the last m + 1 rows of inputs are kept in a ring, row r in slot r % (m + 1), with m zero columns on
    either side. They lie so that the window of one pixel, k columns of m + 1 slots, is one contiguous piece: a step
    is a single matrix product of the window with the live block of the kernel, its rows turned like the ring. Pixels
    of the window that aren't known yet meet zeros of that block.

    Raises ValueError for an even kernel size, a mask type other than 'A' or 'B', or channels that don't fit.
    """

    def __init__(self, in_channels, out_channels, kernel_size, mask_type, colors=1, rng=None, parts=1):
        super().__init__()
        check_channels(self, in_channels, out_channels)
        if not isinstance(kernel_size, (int, np.integer)) or kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError("MaskedConv2d: kernel_size must be odd and at least 1, so that it has a centre; "
                             f"got {kernel_size!r}")
        if mask_type not in ("A", "B"):
            raise ValueError("MaskedConv2d: mask_type is 'A' (centre hidden) or 'B' (centre visible), "
                             f"got {mask_type!r}")
        rng = rng or np.random.default_rng()
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, int(kernel_size)
        self.half = self.kernel_size // 2
        self.columns = range(-self.half, self.half + 1)
        self.taps = self.half * self.kernel_size + self.half  # all rows above, and what is left of the centre
        self.centres = []  # (name, visible inputs, outputs) of each colour's block of the centre tap
        if colors > 1:
            self.centres = list(centre_blocks(in_channels, out_channels, mask_type, colors, parts))
        elif mask_type == "B":
            self.taps += 1
        centre_weights = sum(inputs.stop * (outputs.stop - outputs.start) for _, inputs, outputs in self.centres)
        live = self.taps * in_channels + centre_weights / out_channels  # on average over the outputs
        std = (2 / max(live, 1)) ** 0.5
        if self.taps:  # a 1x1 kernel may have none but its centre, or none at all
            self.add_param("w", rng.standard_normal((self.taps, in_channels, out_channels)) * std)
        self.add_param("b", np.zeros(out_channels))
        for name, inputs, outputs in self.centres:
            self.add_param(name, rng.standard_normal((inputs.stop, outputs.stop - outputs.start)) * std)

    def kernel_rows(self, arrays):
        """Yield (i, row i of the kernel) for the live rows, as views (taps in the row, in, out)
        of arrays["w"]; the last is shorter.
        """
        k = self.kernel_size
        for i in range(-(-self.taps // k)):
            yield i, arrays["w"][i * k:(i + 1) * k]

    def dense_kernel(self):
        """The whole kernel (kernel, kernel, in, out), with zeros at the masked taps:
        to look at, and to compare with other code.
        """
        k, m = self.kernel_size, self.half
        dense = xp.zeros((k * k, self.in_channels, self.out_channels), dtype=self.dtype)
        if self.taps:
            dense[:self.taps] = self.params["w"]
        for name, inputs, outputs in self.centres:
            dense[k * m + m, inputs, outputs] = self.params[name]
        return dense.reshape(k, k, self.in_channels, self.out_channels)

    # -- the whole image -----------------------------------------------------------------------------------------------

    def __call__(self, x):
        check_images(self, x)
        batch, height, width, _ = x.shape
        expanded = expand_width(x, self.columns, above=self.half)
        y = xp.empty((batch, height * width, self.out_channels), dtype=x.dtype)
        y[...] = self.params["b"]
        for i, w in self.kernel_rows(self.params):
            window = shifted_rows(expanded, i, height)[..., :len(w) * self.in_channels]
            y += xp.matmul(window, w.reshape(-1, self.out_channels))
        for name, inputs, outputs in self.centres:
            y[..., outputs] += xp.matmul(x.reshape(batch, height * width, -1)[..., inputs], self.params[name])
        return y.reshape(batch, height, width, self.out_channels)

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        batch, height, width, _ = x.shape
        self.grads["b"] += sum_rows(as_rows(dy))
        dx = self.backward_taps(x, dy) if need_dx else self.backward_weights(x, dy)
        for name, inputs, outputs in self.centres:
            # y[..., outputs] += x[..., inputs] centre
            self.grads[name] += xp.matmul(as_rows(x)[:, inputs].T, as_rows(dy)[:, outputs])
            if need_dx:
                dx[..., inputs] += xp.matmul(dy[..., outputs], self.params[name].T)
        return dx

    def backward_taps(self, x, dy):
        """dw and dx, both from one expansion of dy, in which tap j of a row stands at place k - 1 - j."""
        batch, height, width, _ = x.shape
        k, m = self.kernel_size, self.half
        expanded = expand_width(dy, self.columns, below=m)
        x_columns = x.reshape(batch, height * width, -1).swapaxes(1, 2)  # (batch, in, pixels)
        dx = xp.zeros((batch, height * width, self.in_channels), dtype=x.dtype)
        for (i, w), (_, dw) in zip(self.kernel_rows(self.params), self.kernel_rows(self.grads)):
            # y[r, c] += sum_j x[r + i - m, c + j - m] w[i, j]
            window = shifted_rows(expanded, m - i, height)[..., (k - len(w)) * self.out_channels:]
            dx += xp.matmul(window, w[::-1].swapaxes(1, 2).reshape(-1, self.in_channels))
            products = xp.matmul(x_columns, window).sum(axis=0)  # (in, taps * out)
            dw += products.reshape(self.in_channels, len(w), self.out_channels).swapaxes(0, 1)[::-1]
        return dx.reshape(x.shape)

    def backward_weights(self, x, dy):
        """dw alone, for the layer that reads the data: with its few channels,
        expanding x is far cheaper than expanding dy.
        """
        batch, height, width, _ = x.shape
        expanded = expand_width(x, self.columns, above=self.half)
        dy_pixels = dy.reshape(batch, height * width, -1)
        for i, dw in self.kernel_rows(self.grads):
            # y[r, c] += sum_j x[r + i - m, c + j - m] w[i, j]
            window = shifted_rows(expanded, i, height)[..., :len(dw) * self.in_channels]
            dw += xp.matmul(window.swapaxes(1, 2), dy_pixels).sum(axis=0).reshape(dw.shape)

    # -- one pixel -----------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        k, rows = self.kernel_size, self.half + 1
        self.ring = xp.zeros((batch, width + 2 * self.half, rows, self.in_channels), dtype=self.dtype)
        live_block = self.dense_kernel()[:rows].swapaxes(0, 1)  # (column, row, in, out)
        turned = [live_block[:, [(slot - row - 1) % rows for slot in range(rows)]] for row in range(rows)]
        self.turned_kernels = [kernel.reshape(k * rows * self.in_channels, -1) for kernel in turned]

    def see(self, x, at):
        row, col = at
        self.ring[:, col + self.half, row % (self.half + 1)] = x

    def step(self, x, at):
        row, col = at
        self.see(x, at)
        window = self.ring[:, col:col + self.kernel_size].reshape(len(self.ring), -1)  # (batch, columns * rows * in)
        return xp.matmul(window, self.turned_kernels[row % (self.half + 1)]) + self.params["b"]


def conv1x1(in_channels, out_channels, colors=1, rng=None, parts=1):
    """The 1x1 convolution: a Linear layer, or with `colors` > 1 a MaskedConv2d of mask B,
    which keeps the order of the colours.
    """
    if colors == 1:
        return Linear(in_channels, out_channels, rng)
    return MaskedConv2d(in_channels, out_channels, 1, "B", colors, rng, parts)


def centre_blocks(in_channels, out_channels, mask_type, colors, parts):
    """Yield (parameter name, visible inputs, outputs) for each colour, and part,
    whose outputs see something at the centre tap.
    """
    if out_channels % parts:
        raise ValueError(f"MaskedConv2d: {out_channels} output channels can't be cut into {parts} equal parts")
    size = out_channels // parts
    groups_in, groups_out = group_slices(in_channels, colors), group_slices(size, colors)
    for color, outputs in enumerate(groups_out):
        visible = groups_in[color].stop if mask_type == "B" else groups_in[color].start
        for part in range(parts if visible else 0):
            name = f"centre_{color}" if parts == 1 else f"centre_{color}_{part}"
            yield name, slice(0, visible), slice(part * size + outputs.start, part * size + outputs.stop)
