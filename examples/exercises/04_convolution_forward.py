"""Exercise 04: the convolution, forward.

    python examples/exercises/04_convolution_forward.py

A convolution makes each pixel of y from the pixels of x around it. The kernel w has k x k taps, k is odd, and m = (k -
1) / 2. Each tap is a matrix, from the channels of x to those of y. With the offsets i (rows) and j (columns) from -m to
m, and x[r, c] the row vector of the channels at a pixel:

    y[r, c] = b + sum over i, j of  x[r + i, c + j] w[m + i, m + j]

Pixels outside the image count as zeros, so y is as high and as wide as x. Mind the signs: the first row of the kernel,
i = -m, lies on the pixel ABOVE. (In mathematics a convolution has x[r - i, c - j]. Networks have the sum above, which
is called a correlation there.) In a PixelCNN w is masked already (exercise 03): later taps are zeros.

A loop over pixels is slow in Python. A loop over the k x k taps is fast enough: pad x with m zeros on each side. For
one tap, the pixels x[r + i, c + j] of all (r, c) are then a part of the padded array as large as the image, and one
matrix product takes them through w[m + i, m + j].

NumPy: np.pad(x, ((0, 0), (m, m), (m, m), (0, 0))) pads the second and the third axis. a @ w multiplies the last axis of
a (batch, height, width, in) with w (in, out).
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar.layers.conv import CausalConv2d
from tinyar.layers.masked import MaskedConv2d
from tinyar.layers.strided import Conv2d


def convolution(x, w, b):
    """The convolution of images with a kernel.

    x (batch, height, width, in), w (k, k, in, out), b (out)
    Returns y (batch, height, width, out).
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def right(x, w, b):
    """y by tinyar's layer."""
    layer = Conv2d(*w.shape[2:], kernel_size=len(w), stride=1, padding=len(w) // 2).astype(np.float64)
    layer.params["w"][...], layer.params["b"][...] = w, b
    return layer(x)


def rules(convolution):
    """The rules, in the order of the derivation."""
    rng = np.random.default_rng(0)
    x, b = rng.standard_normal((2, 4, 5, 3)), rng.standard_normal(2)  # (batch, height, width, in), (out)
    w = rng.standard_normal((1, 1, 3, 2))
    y = right(x, w, b)
    yield judge.Rule("one tap: a matrix product at each pixel", "y", convolution(x, w, b), y, {
        "b is forgotten.": y - b,
        "b is subtracted.": y - 2 * b,
        "b is added twice. Add it once, outside the loop over taps.": y + b})
    w = rng.standard_normal((3, 3, 3, 2))
    y = right(x, w, b)
    none_below, none_right = w.copy(), w.copy()
    none_below[2], none_right[:, 2] = 0, 0
    yield judge.Rule("nine taps: a kernel of 3x3", "y", convolution(x, w, b), y, {
        "The kernel is turned by 180 degrees: its first row lies above, its first column to the left.":
            right(x, w[::-1, ::-1], b),
        "The kernel is upside down: its first row lies on the pixel above, i = -m.": right(x, w[::-1], b),
        "Left and right are exchanged: the first column lies on the left, j = -m.": right(x, w[:, ::-1], b),
        "Rows and columns of the kernel are exchanged: w[m + i, m + j], i for rows.": right(x, w.swapaxes(0, 1), b),
        "b is added once for each tap. It is added once.": y + 8 * b,
        "b is forgotten.": y - b,
        "This is the mean over the taps. It is their sum.": right(x, w, 0) / 9 + b,
        "Only the last tap is there: add up the taps, y += ..., not y = ...": one_tap(x, w, b, 2, 2),
        "Only the centre is there. The sum runs over all i and j.": one_tap(x, w, b, 1, 1),
        "The last row of the kernel is left out: offsets go from -m to m, m included.": right(x, none_below, b),
        "The last column of the kernel is left out: offsets go from -m to m, m included.": right(x, none_right, b),
        "The last row and column are left out: offsets go from -m to m, m included.":
            right(x, none_below * (none_right != 0), b),
        "The image goes on at its other side here. Outside there are zeros.": wrapped(x, w, b, "wrap"),
        "The border pixels are repeated outside. There should be zeros.": wrapped(x, w, b, "edge"),
        "y is smaller than the image: pad x with m zeros on each side.": y[:, 1:-1, 1:-1],
        "y is larger than the image: there is one output for each pixel of x.":
            right(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), w, b)})
    w = rng.standard_normal((5, 5, 3, 2))
    yield judge.Rule("a kernel of 5x5", "y", convolution(x, w, b), right(x, w, b), {
        "The padding is that of a 3x3 kernel. It has m rows and columns.": right(x, w, b)[:, 1:-1, 1:-1]})


def one_tap(x, w, b, row, column):
    """The convolution with a single tap of a kernel."""
    alone = np.zeros_like(w)
    alone[row, column] = w[row, column]
    return right(x, alone, b)


def wrapped(x, w, b, mode):
    """The convolution with something else than zeros around the image."""
    return right(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode), w, b)[:, 1:-1, 1:-1]


def finale(run, convolution):
    """A PixelCNN whose masked convolutions go forward by your function."""
    class MyMaskedConv2d(MaskedConv2d):
        """tinyar's layer, with your convolution for whole images."""

        def __call__(self, x):
            return convolution(x, self.dense_kernel(), self.params["b"]).astype(x.dtype)

        def forward(self, x):
            self.cache = x, self.taps_matrix(x)  # what tinyar's backward reads
            return self(x)

    with mock.patch("tinyar.models.pixelcnn.MaskedConv2d", MyMaskedConv2d):
        return run.pixels()


EXERCISE = judge.Exercise(write={"convolution": "y"}, rules=rules, finale=finale,
                          read=(CausalConv2d.convolve, CausalConv2d.windows_of, Conv2d.__call__))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
