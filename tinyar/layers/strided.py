"""Convolutions that see the whole image and may change its size: down in an encoder, up again in a decoder. Not causal.

Both layers are about windows. A kernel of k x k taps is laid over the image, which has p rows and columns of zeros
on each side, every s pixels. Along an axis of n pixels that gives

    floor((n + 2 p - k) / s) + 1    windows; window r starts at r s - p, and its tap i lies at pixel r s + i - p

`Conv2d` makes one pixel of each window; `ConvTranspose2d` makes one window of each pixel, and adds up where windows
overlap. Each is the other's gradient by x, and so two helpers do all the work: `Windows.columns` writes every window of
an image as one row of a matrix ("im2col"), and `Windows.image`, its transpose, adds such rows to where they came from
("col2im"). The rest is large matrix products. With the usual 4x4 windows every 2 pixels a pixel is copied only 4 times;
for the 7x7 windows at every pixel of an image model it would be 49 times, so `tinyar.layers.conv` goes another way.

Kernel, stride and padding may differ along rows and columns: wherever one of them is asked for, a pair will do.
"""

import math
from dataclasses import dataclass

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.pointwise import as_rows, check_channels, sum_rows


class Conv2d(Layer):
    """Convolution of every window with the kernel: image (batch, height, width, in) -> (batch, windows, windows, out).

    forward     y[r, c]   = b + sum_ij  x[r s + i - p, c s + j - p] w[i, j]          x is 0 outside the image
    backward    dx[u, v]  = sum of  dy[r, c] w[i, j]^T  over all r, c, i, j with r s + i - p = u, c s + j - p = v
                dw[i, j]  = sum_rc  x[r s + i - p, c s + j - p]^T dy[r, c]
                db        = sum_rc  dy[r, c]

    Parameters: w (kernel rows, kernel columns, in, out); b (out). The start is He normal, standard deviation
    sqrt(2 / (taps * in)), biases 0. Kernel size 4, stride 2, padding 1 halve an even size exactly; 3, 1, 1 keep it.

    Raises ValueError for arguments out of range, and for an x that has other channels or is smaller than one window.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, rng=None):
        super().__init__()
        check_channels(self, in_channels, out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.windows = checked_windows(self, kernel_size, stride, padding)
        rng, kernel = rng or np.random.default_rng(), self.windows.kernel
        std = (2 / (math.prod(kernel) * in_channels)) ** 0.5
        self.add_param("w", rng.standard_normal((*kernel, in_channels, out_channels)) * std)
        self.add_param("b", np.zeros(out_channels))

    def __call__(self, x):
        check_images(self, x)
        grid = self.windows.grid(x.shape[1:3])
        if min(grid) < 1:
            raise ValueError(f"Conv2d: an image of {x.shape[1:3]} pixels is too small for a kernel of "
                             f"{self.windows.kernel} with padding {self.windows.padding}")
        y = xp.matmul(self.windows.columns(x), as_columns(self.params["w"]))  # (batch * windows, out)
        y += self.params["b"]
        return y.reshape(len(x), *grid, self.out_channels)

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        # y = columns(x) w + b
        self.grads["w"] += xp.matmul(self.windows.columns(x).T, as_rows(dy)).reshape(self.grads["w"].shape)
        self.grads["b"] += sum_rows(as_rows(dy))
        return self.windows.image(dy, self.params["w"], x.shape[1:3]) if need_dx else None


class ConvTranspose2d(Layer):
    """Every pixel makes a window, and windows add up: (batch, rows, columns, in) -> (batch, height, width, out).

    forward     y[u, v]   = b + sum of  x[r, c] w[i, j]^T  over all r, c, i, j with r s + i - p = u, c s + j - p = v
    backward    dx[r, c]  = sum_ij  dy[r s + i - p, c s + j - p] w[i, j]              dy is 0 outside the image
                dw[i, j]  = sum_rc  dy[r s + i - p, c s + j - p]^T x[r, c]
                db        = sum_uv  dy[u, v]

    An axis of n pixels becomes (n - 1) s - 2 p + k + output_padding. A convolution makes the same n of up to s sizes;
    output_padding, from 0 to s - 1, says which of them is meant. Kernel size 4, stride 2, padding 1 double it exactly.

    Parameters: w (kernel rows, kernel columns, out, in), the kernel of the convolution that goes the other way, so its
    inputs stand where that one's outputs do; b (out). The start is He normal, standard deviation
    sqrt(2 / (in * taps that meet at a pixel)), with k / s such taps along an axis (at least 1); biases 0.

    Raises ValueError for arguments out of range, and for an x that has other channels or makes an image of no pixels.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, rng=None):
        super().__init__()
        check_channels(self, in_channels, out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.windows = checked_windows(self, kernel_size, stride, padding)
        self.output_padding = checked_pair(self, "output_padding", output_padding, 0)
        if any(extra >= s for extra, s in zip(self.output_padding, self.windows.stride)):
            raise ValueError(f"ConvTranspose2d: output_padding {self.output_padding} must be smaller than "
                             f"the stride {self.windows.stride}")
        rng, kernel = rng or np.random.default_rng(), self.windows.kernel
        meeting = math.prod(max(k / s, 1) for k, s in zip(kernel, self.windows.stride))
        std = (2 / (meeting * in_channels)) ** 0.5
        self.add_param("w", rng.standard_normal((*kernel, out_channels, in_channels)) * std)
        self.add_param("b", np.zeros(out_channels))

    def __call__(self, x):
        check_images(self, x)
        size = tuple(n + extra for n, extra in zip(self.windows.covered(x.shape[1:3]), self.output_padding))
        if min(size) < 1:
            raise ValueError(f"ConvTranspose2d: {x.shape[1:3]} pixels make an image of {size} with a kernel of "
                             f"{self.windows.kernel}, stride {self.windows.stride}, padding {self.windows.padding}")
        return self.windows.image(x, self.params["w"], size) + self.params["b"]

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        columns = self.windows.columns(dy)  # (pixels of x, taps * out)
        # y = image(x w^T) + b
        self.grads["w"] += xp.matmul(columns.T, as_rows(x)).reshape(self.grads["w"].shape)
        self.grads["b"] += sum_rows(as_rows(dy))
        return xp.matmul(columns, as_columns(self.params["w"])).reshape(x.shape) if need_dx else None


@dataclass(frozen=True)
class Windows:
    """Where the windows of a kernel lie in an image; kernel, stride and padding are pairs (rows, columns)."""

    kernel: tuple
    stride: tuple
    padding: tuple

    def grid(self, size):
        """How many windows (rows, columns) an image of this size has; less than 1 where it is too small."""
        return tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(size, self.kernel, self.stride, self.padding))

    def covered(self, grid):
        """The size (height, width) of the smallest image that has so many windows."""
        return tuple((n - 1) * s - 2 * p + k for n, k, s, p in zip(grid, self.kernel, self.stride, self.padding))

    def columns(self, image):
        """The windows of an image (batch, height, width, channels) as a matrix (batch * windows, taps * channels)."""
        batch, height, width, channels = image.shape
        (k_rows, k_cols), (s_rows, s_cols), (p_rows, p_cols) = self.kernel, self.stride, self.padding
        padded = xp.zeros((batch, height + 2 * p_rows, width + 2 * p_cols, channels), dtype=image.dtype)
        padded[:, p_rows:p_rows + height, p_cols:p_cols + width] = image
        # Neighbours in a row lie side by side already: a window is k_rows contiguous pieces of k_cols pixels.
        by_image, by_row, by_pixel, by_channel = padded.strides
        windows = xp.lib.stride_tricks.as_strided(
            padded, (batch, *self.grid((height, width)), k_rows, k_cols * channels),
            (by_image, s_rows * by_row, s_cols * by_pixel, by_row, by_channel))
        return xp.ascontiguousarray(windows).reshape(-1, k_rows * k_cols * channels)

    def image(self, pixels, w, size):
        """The transpose: an image (batch, *size, channels) to which each pixel adds a window, the pixel times w^T.

        pixels (batch, rows, columns, features), as many as the image has windows; w (*kernel, channels, features). The
        products are made one row of the kernel at a time: then they are still in the core's cache when they are added.
        """
        batch, rows, cols, features = pixels.shape
        (k_rows, k_cols), (s_rows, s_cols), (p_rows, p_cols) = self.kernel, self.stride, self.padding
        height, width = size
        padded = xp.zeros((batch, height + 2 * p_rows, width + 2 * p_cols, w.shape[2]), dtype=pixels.dtype)
        for i in range(k_rows):
            columns = xp.matmul(as_rows(pixels), as_columns(w[i]).T).reshape(batch, rows, cols, k_cols, -1)
            at_rows = slice(i, i + rows * s_rows, s_rows)  # where tap i of all windows lies: no two at one place
            for j in range(k_cols):
                padded[:, at_rows, j:j + cols * s_cols:s_cols] += columns[:, :, :, j]
        return padded[:, p_rows:p_rows + height, p_cols:p_cols + width]


def as_columns(w):
    """A kernel (..., channels, features) as the matrix (taps * channels, features) that columns are multiplied by."""
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


def check_images(layer, x):
    """Raise ValueError unless x is (batch, height, width, channels) with the channels the layer was made for."""
    if x.ndim != 4 or x.shape[-1] != layer.in_channels:
        raise ValueError(f"{type(layer).__name__}: expected images (batch, height, width, {layer.in_channels}), "
                         f"got shape {x.shape}")
