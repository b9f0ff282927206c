"""Convolutions that see the whole image and may change its size: down in an encoder, up again in a decoder. Not causal.

Both layers are about windows. A kernel of k x k taps is laid over the image, which has p rows and columns of zeros
on each side, every s pixels. Along an axis of n pixels that gives

    floor((n + 2 p - k) / s) + 1    windows; window r starts at r s - p, and its tap i lies at pixel r s + i - p

`Conv2d` makes one pixel of each window; `ConvTranspose2d` makes one window of each pixel, and adds up where windows
overlap. Each is the other's gradient by x, and so two helpers do all the work: `Windows.columns` writes every window of
an image as one row of a matrix ("im2col"), and `Windows.image`, its transpose, makes an image of windows that add up.
Either is one large matrix product. With the usual 4x4 windows every 2 pixels a pixel is copied only 4 times; for the
7x7 windows at every pixel of an image model it would be 49 times, so `tinyar.layers.conv` goes another way.

The transpose gathers, too, instead of adding rows to where they came from ("col2im"): cut the padded image into blocks
of s x s pixels. Along an axis, tap a s + e of window r lies in block r + a, at place e. So ceil(k / s) windows reach a
block, and their pixels, side by side, times the kernel with its taps sorted by place make the whole block.

Kernel, stride and padding may differ along rows and columns: wherever one of them is asked for, a pair will do.
"""

import math
from dataclasses import dataclass

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.pointwise import as_rows, check_channels, check_images, sum_rows


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
