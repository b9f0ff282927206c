"""The masked convolution of PixelCNN: a square kernel of which only the taps on earlier pixels live.

    mask A   1 1 1 1 1      mask B   1 1 1 1 1        here for k = 5; 1 lives, 0 doesn't
             1 1 1 1 1               1 1 1 1 1
             1 1 0 0 0               1 1 1 0 0
             0 0 0 0 0               0 0 0 0 0
             0 0 0 0 0               0 0 0 0 0

The first layer, which reads the image, has mask A: it must not see the pixel that is to be predicted. All later layers
have mask B: their input at a pixel already excludes that pixel. (van den Oord et al. 2016, "Pixel Recurrent Neural
Networks", arXiv 1601.06759.) The paper multiplies a whole kernel by the mask; here a masked weight doesn't exist.
"""

import numpy as np

from tinyar.backend import check_size, xp
from tinyar.layers.colors import ColorLinear, check_mask_type, color_blocks
from tinyar.layers.conv import CausalConv2d
from tinyar.layers.pointwise import check_channels

LARGEST_KERNEL = 255  # far beyond any use: a slip, or a damaged file, shouldn't fill the memory


class MaskedConv2d(CausalConv2d):
    """Convolution with an odd square kernel of size k under mask A or B, stride 1, zeros around the image.

    Mathematics. With m = (k - 1) / 2 the live taps (i, j) are the offsets of earlier pixels: i in -m .. -1 with j in
    -m .. m, and i = 0 with j in -m .. -1 under mask A, -m .. 0 under mask B. x (batch, height, width, in), y (batch,
    height, width, out); x[r, c] is a row vector of `in` numbers. sum_ij runs over the live taps, sum_rc over the pixels
    of all images; x and dy count as 0 outside the image:

    forward     y[r, c]  = b + sum_ij  x[r + i, c + j] w[i, j]
    backward    dx[r, c] = sum_ij  dy[r - i, c - j] w[i, j]^T
                dw[i, j] = sum_rc  x[r + i, c + j]^T dy[r, c]  =  sum_rc  x[r, c]^T dy[r - i, c - j]
                db       = sum_rc  dy[r, c]

    Parameters: w (live taps in raster order, in, out), b (out). The code of the formulas is in CausalConv2d.

    Colours. With `colors` > 1 the channels of x and y are dealt out to the colours R, G, B. The centre tap then lives
    from colour a to colour o only if a < o (mask A) or a <= o (mask B). It is a layer of its own, `centre`
    (ColorLinear, a matrix C of live blocks): y[r, c] += x[r, c] C, so dx[r, c] += dy[r, c] C^T and
    dC = sum_rc x[r, c]^T dy[r, c].
    With `parts` > 1 the outputs are that many maps side by side, each dealt out by itself.

    The start is He normal, standard deviation sqrt(2 / n) with n the live inputs that an output has on average, biases
    0. Raises ValueError for an even kernel size, a mask type other than 'A' or 'B', or channels that don't fit.
    """

    def __init__(self, in_channels, out_channels, kernel_size, mask_type, colors=1, rng=None, parts=1):
        whole = isinstance(kernel_size, (int, np.integer))
        if not whole or not 1 <= kernel_size <= LARGEST_KERNEL or kernel_size % 2 == 0:
            raise ValueError(f"MaskedConv2d: kernel_size must be odd and at least 1 (and at most {LARGEST_KERNEL}), so "
                             f"that it has a centre; got {kernel_size!r}")
        check_mask_type("MaskedConv2d", mask_type)
        if not isinstance(colors, (int, np.integer)) or colors < 1:
            raise ValueError(f"MaskedConv2d: colors is a whole number of at least 1, got {colors!r}")
        check_channels(self, in_channels, out_channels)
        rng, m = rng or np.random.default_rng(), int(kernel_size) // 2
        own_row = range(-m, 1 if mask_type == "B" and colors == 1 else 0)
        segments = [(row, range(-m, m + 1)) for row in range(-m, 0)] + [(0, own_row)] * (len(own_row) > 0)
        taps = sum(len(columns) for _, columns in segments)
        check_size(type(self).__name__, taps, in_channels, out_channels)
        blocks = color_blocks(in_channels, out_channels, mask_type, colors, parts) if colors > 1 else []
        centre_weights = sum(visible.stop * (group.stop - group.start) for _, visible, group in blocks)
        live = taps * in_channels + centre_weights / out_channels  # inputs of an output, on average
        std = (2 / max(live, 1)) ** 0.5
        w = rng.standard_normal((taps, in_channels, out_channels)) * std
        super().__init__(in_channels, out_channels, segments, w)
        self.kernel_size, self.half = int(kernel_size), m
        self.centre = ColorLinear(in_channels, out_channels, colors, mask_type, parts, bias=False, std=std,
                                  rng=rng) if colors > 1 else None

    def dense_kernel(self):
        """The whole kernel (k, k, in, out), with zeros at the masked taps: to look at, and to compare with others."""
        k, m = self.kernel_size, self.half
        dense = xp.zeros((k, k, self.in_channels, self.out_channels), dtype=self.dtype)
        for row, w in self.kernel_rows(self.kernel()):
            dense[m + row, :len(w)] = w
        if self.centre:
            dense[m, m] = self.centre.dense_matrix()
        return dense

    def __call__(self, x):
        y = super().__call__(x)
        return y + self.centre(x) if self.centre else y

    def forward(self, x):
        y = super().forward(x)
        return y + self.centre.forward(x) if self.centre else y

    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        dx_centre = self.centre.backward(dy, need_dx) if self.centre else None
        return dx if dx_centre is None else dx + dx_centre

    def step(self, x, at):
        y = super().step(x, at)
        return y + self.centre(x) if self.centre else y

    def output_row(self, row):
        y = super().output_row(row)
        x = self.ring[:, self.left:self.left + self.width, row % self.slots]  # the row itself, (batch, width, in)
        return y + self.centre(x) if self.centre else y
