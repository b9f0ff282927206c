"""The causal convolution: a kernel that never looks at later pixels. It makes an image model autoregressive.

In raster order a pixel may depend on the rows above it and on the pixels to its left. So the live taps of a causal
kernel lie in few rows, and in each of them side by side: a *segment* (row offset i, column offsets j). A masked
weight doesn't exist here. For the 5x5 kernels of PixelCNN, with live taps 1:

    mask A   1 1 1 1 1      mask B   1 1 1 1 1        segments of mask A: (-2, -2 .. 2), (-1, -2 .. 2), (0, -2 .. -1)
             1 1 1 1 1               1 1 1 1 1                    mask B: (-2, -2 .. 2), (-1, -2 .. 2), (0, -2 .. 0)
             1 1 0 0 0               1 1 1 0 0
             0 0 0 0 0               0 0 0 0 0
             0 0 0 0 0               0 0 0 0 0

Two kinds of kernels are made of segments: `MaskedConv2d` (masked.py), the square kernels above, and `ShiftedConv2d`
(shifted.py), rectangles for models of two streams. This file has what is the same for both: the mathematics, forward
and backward, and drawing.
"""

import numpy as np

from tinyar.backend import on_gpu, xp
from tinyar.layers.columns import expand_taps, expand_width, maps_of_taps, margins, shifted_rows, sum_images, windows
from tinyar.layers.pointwise import as_rows, check_images, sum_rows
from tinyar.layers.weights import Weighted

FEW_INPUTS = 32  # numbers that a segment meets; with fewer, a matrix product runs at a fraction of BLAS's speed


class CausalConv2d(Weighted):
    """Convolution over a list of segments, stride 1, zeros around the image, so that the size stays.

    x (batch, height, width, in), y (batch, height, width, out); x[r, c] is a row vector of `in` numbers. sum_ij runs
    over the taps of all segments, sum_rc over the pixels of all images; x and dy count as 0 outside the image:

    forward     y[r, c]  = b + sum_ij  x[r + i, c + j] w[i, j]
    backward    dx[r, c] = sum_ij  dy[r - i, c - j] w[i, j]^T
                dw[i, j] = sum_rc  x[r + i, c + j]^T dy[r, c]  =  sum_rc  x[r, c]^T dy[r - i, c - j]
                db       = sum_rc  dy[r, c]

    Parameters: w, whose taps lie in the order of the segments, (taps, in, out) or a shape that flattens to it; b (out),
    or none with bias=False. weight_norm: see Weighted.

    Segments: (row offset, column offsets), rows at most 0 and increasing, columns increasing in equal steps. All
    segments begin at the leftmost column; `columns` are those of the widest.

    How it is fast. x is expanded along the width: for each pixel, those at all column offsets lie side by side
    (`expand_width`). A segment is then one matrix product with the expansion, read i rows away (`shifted_rows`).
    Backward expands dy in the same way, for dx and dw both. The offsets are then -j, so the taps lie in reverse order.
    Where a segment meets few numbers of x, as in the first layer, all taps are laid side by side, and one product does
    it (`taps_matrix`). On a GPU that is so in every layer (`expand_taps`): copies cost little there, and calls much.

    Drawing. The last rows of the input, slots = 1 - (the topmost offset) of them, are kept in a ring: row r in slot
    r % slots. So at row r the row with offset i is in slot (r + i) % slots. A step is one matrix product of the ring's
    window around the pixel with the kernel, whose rows are put in the order of the slots.
    """

    def __init__(self, in_channels, out_channels, segments, w, bias=True, weight_norm=False):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.segments = [(row, tuple(columns)) for row, columns in segments]
        self.columns = max((columns for _, columns in self.segments), key=len, default=(0,))
        self.top = self.segments[0][0] if self.segments else 0  # offset of the topmost row
        self.by_maps = not on_gpu and len(self.segments) > 1 and len(self.columns) * in_channels < FEW_INPUTS
        if self.segments:  # a 1x1 kernel may have no tap but the colours of its centre
            self.add_kernel(w, weight_norm)
        if bias:
            self.add_param("b", np.zeros(out_channels))

    def kernel_rows(self, w):
        """Yield (row offset, its taps of w as a view (taps, in, out)) for every segment."""
        first = 0
        for row, columns in self.segments:
            yield row, w.reshape(-1, self.in_channels, self.out_channels)[first:first + len(columns)]
            first += len(columns)

    # -- the whole image -----------------------------------------------------------------------------------------------

    def convolve(self, x, by_tap):
        """y, as in the formula; by_tap is taps_matrix(x)."""
        if by_tap is not None:
            y = xp.matmul(by_tap.swapaxes(1, 2), self.kernel_and_bias())
        else:
            y = None
            for window, w in self.windows_of(x, self.kernel()):
                # y[r, c] += sum_j x[r + i, c + j] w[i, j]
                product = xp.matmul(window, w.reshape(-1, self.out_channels))
                y = product if y is None else xp.add(y, product, out=y)
            if y is None:
                y = xp.zeros((len(x), x.shape[1] * x.shape[2], self.out_channels), dtype=x.dtype)
            if "b" in self.params:
                y += self.params["b"]
        return self.started_by_data(y.reshape(*x.shape[:3], self.out_channels))

    def windows_of(self, x, w):
        """Yield (window, the part of w that it meets): for every segment, (batch, pixels, taps * in); on a GPU for
        all of them at once, (batch * pixels, taps * in).
        """
        if on_gpu and self.segments:
            yield expand_taps(x, self.segments), w
            return
        expanded = expand_width(x, self.columns, above=-self.top)
        for row, w_row in self.kernel_rows(w):
            yield shifted_rows(expanded, row - self.top, x.shape[1])[..., :len(w_row) * self.in_channels], w_row

    def windows_back(self, dy, *kernels):
        """Yield (window of dy, the part of each kernel that it meets): as windows_of, with out for in.

        Pixel (r, c) is read by the outputs (r - i, c - j). The offsets are -j, so the taps of a window lie back to
        front, and a short segment has the last columns of the expansion. On a GPU the segments are reversed too.
        """
        if on_gpu and self.segments:
            mirrored = [(-row, [-j for j in reversed(columns)]) for row, columns in reversed(self.segments)]
            yield expand_taps(dy, mirrored), *(w.reshape(-1, self.in_channels, self.out_channels) for w in kernels)
            return
        expanded = expand_width(dy, [-j for j in reversed(self.columns)], below=-self.top)
        for rows in zip(*map(self.kernel_rows, kernels)):
            row, taps = rows[0][0], len(rows[0][1])
            window = shifted_rows(expanded, -row, dy.shape[1])[..., -taps * self.out_channels:]  # dy[r - i, c - j]
            yield window, *(w for _, w in rows)

    def taps_matrix(self, x):
        """`maps_of_taps`, (batch, taps * in + 1, pixels); None where windows are faster: many channels, or a GPU."""
        check_images(self, x)
        return maps_of_taps(x, self.segments) if self.by_maps else None

    def kernel_and_bias(self):
        """w and below it b, as one matrix (taps * in + 1, out)."""
        w = self.kernel().reshape(-1, self.out_channels)
        return xp.concatenate([w, self.params["b"][None] if "b" in self.params else xp.zeros_like(w[:1])])

    def __call__(self, x):
        return self.convolve(x, self.taps_matrix(x))

    def forward(self, x):
        by_tap = self.taps_matrix(x)
        self.cache = x, by_tap
        return self.convolve(x, by_tap)

    def backward(self, dy, need_dx=True):
        x, by_tap = self.take_cache()
        if "b" in self.grads:
            self.grads["b"] += sum_rows(as_rows(dy))
        return self.backward_taps(x, dy) if need_dx else self.backward_weights(x, by_tap, dy)

    def backward_taps(self, x, dy):
        """dw and dx, both from one expansion of dy."""
        kernel, dx = self.kernel(), None
        dkernel = None if kernel is None else xp.empty_like(kernel)
        for window, w, dw in self.windows_back(dy, kernel, dkernel):
            # y[r, c] += sum_j x[r + i, c + j] w[i, j]
            product = xp.matmul(window, w[::-1].swapaxes(1, 2).reshape(-1, self.in_channels))
            dx = product if dx is None else xp.add(dx, product, out=dx)
            x_by_channel = x.reshape(*window.shape[:-1], -1).swapaxes(-1, -2)  # (batch, in, pixels)
            products = sum_images(xp.matmul(x_by_channel, window))  # (in, taps * out)
            dw[...] = products.reshape(self.in_channels, len(w), self.out_channels).swapaxes(0, 1)[::-1]
        if dkernel is not None:
            self.add_dw(dkernel)
        return xp.zeros_like(x) if dx is None else dx.reshape(x.shape)

    def backward_weights(self, x, by_tap, dy):
        """dw alone, for the layer that reads the data: expanding x is cheaper there than expanding dy."""
        # y[r, c] += sum_ij x[r + i, c + j] w[i, j]
        if by_tap is not None:
            products = xp.matmul(by_tap, dy.reshape(len(x), -1, self.out_channels)).sum(axis=0)  # (taps * in + 1, out)
            self.add_dw(products[:-1].reshape(self.kernel_shape))
        elif self.segments:
            dkernel = xp.empty(self.kernel_shape, dtype=dy.dtype)
            for window, dw in self.windows_of(x, dkernel):
                products = xp.matmul(window.swapaxes(-1, -2), dy.reshape(*window.shape[:-1], -1))
                dw[...] = sum_images(products).reshape(dw.shape)
            self.add_dw(dkernel)

    # -- drawing -------------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        super().start(batch, height, width)
        (self.left, right), self.width, self.slots = margins(self.columns), width, 1 - self.top
        self.column_step = self.columns[1] - self.columns[0] if len(self.columns) > 1 else 1
        self.looks_right = any(row == 0 and columns[-1] > 0 for row, columns in self.segments)
        self.ring = xp.zeros((batch, self.left + width + right, self.slots, self.in_channels), dtype=self.dtype)
        self.turned = {}  # kernels in the order of the slots, by the slot of the pixel's row

    def see(self, x, at):
        row, col = at
        self.ring[:, self.left + col, row % self.slots] = x

    def step(self, x, at):
        row, col = at
        if self.looks_right:
            raise TypeError(f"{type(self).__name__}: a kernel that looks to the right in its own row draws row by row, "
                            "not pixel by pixel")
        self.see(x, at)
        first, last = self.left + col + self.columns[0], self.left + col + self.columns[-1]
        window = self.ring[:, first:last + 1:self.column_step].reshape(len(self.ring), -1)
        y = xp.matmul(window, self.turned_kernel(row % self.slots))
        return y + self.params["b"] if "b" in self.params else y

    def turned_kernel(self, slot):
        """The kernel (columns * slots * in, out) for pixels whose own row is in this slot; zeros where no tap is."""
        if slot not in self.turned:
            kernel = xp.zeros((len(self.columns), self.slots, self.in_channels, self.out_channels), dtype=self.dtype)
            for row, w in self.kernel_rows(self.drawing_kernel):
                kernel[:len(w), (slot + row) % self.slots] = w
            self.turned[slot] = kernel.reshape(-1, self.out_channels)
        return self.turned[slot]

    def see_row(self, x, row):
        """Remember a whole row of inputs, x (batch, width, in)."""
        self.ring[:, self.left:self.left + self.width, row % self.slots] = x

    def output_row(self, row):
        """The outputs (batch, width, out) of a whole row, from the rows seen."""
        y = xp.zeros((len(self.ring), self.width, self.out_channels), dtype=self.dtype)
        for offset, w in self.kernel_rows(self.drawing_kernel):
            seen = windows(self.ring[:, None, :, (row + offset) % self.slots], self.columns, self.width)[:, 0]
            y = y + xp.matmul(seen[..., :len(w) * self.in_channels], w.reshape(-1, self.out_channels))
        return y + self.params["b"] if "b" in self.params else y

    def step_row(self, x, row):
        self.see_row(x, row)
        return self.output_row(row)
