"""The windows of a strided convolution: where they lie, and how an image becomes a matrix of them and back.

A kernel of k x k taps is laid over the image, which has p rows and columns of zeros on each side, every s pixels. Along
an axis of n pixels that gives

    floor((n + 2 p - k) / s) + 1    windows; window r starts at r s - p, and its tap i lies at pixel r s + i - p

Two methods do all the work of strided convolutions and of their gradients, with one large matrix product each:

    Windows.matrix    every window of an image as one row of a matrix ("im2col")
    Windows.image     its transpose: the sum of windows laid over an image

With the usual 4x4 windows every 2 pixels a pixel is copied only 4 times; for the 7x7 windows at every pixel of an image
model it would be 49 times, so `tinyar.layers.conv` goes another way. The definition of Windows.image is the loop

    for r, c in windows:
        for i, j in taps:
            u, v = r s + i - p, c s + j - p
            if (u, v) lies in the image:
                image[u, v] += pixels[r, c] w[i, j]^T

which adds rows of a matrix to where they came from ("col2im"), in many small steps. The code gathers instead. It cuts
the padded image into blocks of s x s pixels. Window r starts at row r s of the padded image, where block r starts.
Write a tap as i = a s + e with 0 <= e < s: tap i of window r lies in block r + a, at place e. So block q gets the taps
(a, e) of window q - a, for each a, which are ceil(k / s) windows. Their pixels, side by side, times the kernel with its
taps sorted by e, make the block in one product.
"""

from dataclasses import dataclass

import numpy as np

from tinyar.backend import xp


@dataclass(frozen=True)
class Windows:
    """Where the windows of a kernel lie in an image; kernel, stride and padding are pairs (rows, columns).

    after   the padding below and on the right, where it isn't that above and on the left
    """

    kernel: tuple
    stride: tuple
    padding: tuple
    after: tuple = None

    def around(self):
        """How many rows and columns of zeros there are on both sides together."""
        return tuple(before + after for before, after in zip(self.padding, self.after or self.padding))

    def grid(self, size):
        """How many windows (rows, columns) an image of this size has; less than 1 where it is too small."""
        return tuple((n + p - k) // s + 1 for n, k, s, p in zip(size, self.kernel, self.stride, self.around()))

    def covered(self, grid):
        """The size (height, width) of the smallest image that has so many windows."""
        return tuple((n - 1) * s - p + k for n, k, s, p in zip(grid, self.kernel, self.stride, self.around()))

    def matrix(self, image):
        """The windows of an image (batch, height, width, channels) as a matrix (batch * windows, taps * channels)."""
        return window_rows(image, self.kernel, self.stride, self.padding, self.grid(image.shape[1:3]))

    def image(self, pixels, w, size):
        """The transpose: an image (batch, *size, channels) to which each pixel adds a window, the pixel times w^T.

        pixels (batch, rows, columns, features), as many as the image has windows; w (*kernel, channels, features).
        """
        (s, t), channels = self.stride, w.shape[2]
        reach = tuple(-(-k // s) for k, s in zip(self.kernel, self.stride))  # how many windows reach a block
        skipped, margin = zip(*map(divmod, self.padding, self.stride))  # no block that is all padding is computed
        blocks = tuple(-(-(m + n) // s) for m, n, s in zip(margin, size, self.stride))
        before = tuple(n - 1 - m for n, m in zip(reach, skipped))  # windows -before, ... reach the first block
        neighbours = window_rows(pixels, reach, (1, 1), before, blocks)  # (batch * blocks, reach * features)
        image = xp.matmul(neighbours, self.kernel_by_place(w, reach).T).reshape(-1, *blocks, s, t, channels)
        image = image.swapaxes(2, 3).reshape(-1, blocks[0] * s, blocks[1] * t, channels)
        return image[:, margin[0]:margin[0] + size[0], margin[1]:margin[1] + size[1]]

    def kernel_by_place(self, w, reach):
        """w as (places e * channels, offsets a * features), the last a first; zeros where a s + e is no tap."""
        (a, b), (s, t), (channels, features) = reach, self.stride, w.shape[2:]
        if self.kernel != (a * s, b * t):
            w = framed(w.reshape(1, *self.kernel, -1), (0, 0), (a * s, b * t))
        w = w.reshape(a, s, b, t, channels, features)[::-1, :, ::-1]
        return w.transpose(1, 3, 4, 0, 2, 5).reshape(s * t * channels, -1)


def window_rows(image, kernel, stride, before, grid):
    """Windows of an image as a matrix (batch * windows, taps * channels); the first begins `before` the first pixel."""
    padded = framed(image, before, tuple((n - 1) * s + k for n, s, k in zip(grid, stride, kernel)))
    # Neighbours in a row lie side by side already: a window is kernel[0] contiguous pieces of kernel[1] pixels.
    (batch, _, _, channels), (by_image, by_row, by_pixel, by_channel) = padded.shape, padded.strides
    windows = xp.lib.stride_tricks.as_strided(
        padded, (batch, *grid, kernel[0], kernel[1] * channels),
        (by_image, stride[0] * by_row, stride[1] * by_pixel, by_row, by_channel))
    return xp.ascontiguousarray(windows).reshape(-1, kernel[0] * kernel[1] * channels)


def framed(image, before, size):
    """The image after so many rows and columns of zeros, then zeros up to this size; what doesn't fit in is cut off."""
    frame = xp.zeros((len(image), *size, image.shape[3]), dtype=image.dtype)
    inside = [slice(max(b, 0), max(b + n, 0)) for b, n in zip(before, image.shape[1:3])]
    kept = [slice(max(-b, 0), max(n - b, 0)) for b, n in zip(before, size)]
    frame[:, inside[0], inside[1]] = image[:, kept[0], kept[1]]
    return frame


def as_matrix(w):
    """A kernel (..., channels, features) as the matrix (taps * channels, features) that windows are multiplied by."""
    return w.reshape(-1, w.shape[-1])


def checked_windows(layer, kernel_size, stride, padding):
    """The Windows of a layer; ValueError for a kernel or stride below 1 or a padding below 0."""
    return Windows(checked_pair(layer, "kernel_size", kernel_size, 1), checked_pair(layer, "stride", stride, 1),
                   checked_pair(layer, "padding", padding, 0))


def checked_pair(layer, name, value, least):
    """A whole number, or two of them for rows and columns, as a pair; ValueError for less than `least`."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(number, (int, np.integer)) and number >= least for number in pair):
        raise ValueError(f"{type(layer).__name__}: {name} is a whole number of at least {least}, or a pair of them for "
                         f"rows and columns; got {value!r}")
    return tuple(int(number) for number in pair)
