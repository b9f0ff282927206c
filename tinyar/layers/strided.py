"""Convolutions that see the whole image and may change its size: down in an encoder, up again in a decoder. Not causal.

A kernel of k x k taps is laid over the image, which has p rows and columns of zeros on each side, every s pixels.
`Conv2d` makes one pixel of each such window. `ConvTranspose2d` makes one window of each pixel, and adds up where
windows overlap. Each is the other's gradient by x. Where windows lie, and how an image becomes a matrix of windows and
back, is in `tinyar.layers.windows`: `matrix(image)` has every window as a row, and `image(pixels, w)` adds windows up.

Kernel, stride and padding may differ along rows and columns: wherever one of them is asked for, a pair will do.
"""

import math
from dataclasses import replace

import numpy as np

from tinyar.backend import check_size, xp
from tinyar.layers.pointwise import as_rows, check_channels, check_images, sum_rows
from tinyar.layers.weights import DIRECTION_STD, Weighted
from tinyar.layers.windows import as_matrix, checked_pair, checked_windows


class Conv2d(Weighted):
    """Convolution of every window with the kernel: image (batch, height, width, in) -> (batch, windows, windows, out).

    forward     y[r, c]   = b + sum_ij  x[r s + i - p, c s + j - p] w[i, j]          x is 0 outside the image
    backward    dx[u, v]  = sum of  dy[r, c] w[i, j]^T  over all r, c, i, j with r s + i - p = u, c s + j - p = v
                dw[i, j]  = sum_rc  x[r s + i - p, c s + j - p]^T dy[r, c]
                db        = sum_rc  dy[r, c]

    Parameters: w (kernel rows, kernel columns, in, out); b (out). The start is He normal, standard deviation
    sqrt(2 / (taps * in)), biases 0. weight_norm: see Weighted. Kernel size 4, stride 2, padding 1 halve an even size
    exactly; 3, 1, 1 keep it.

    Raises ValueError for arguments out of range, and for an x that has other channels or is smaller than one window.
    """

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, rng=None, weight_norm=False):
        super().__init__()
        check_channels(self, in_channels, out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.windows = checked_windows(self, kernel_size, stride, padding)
        rng, kernel = rng or np.random.default_rng(), self.windows.kernel
        check_size(type(self).__name__, *kernel, in_channels, out_channels)
        std = DIRECTION_STD if weight_norm else (2 / (math.prod(kernel) * in_channels)) ** 0.5
        self.add_kernel(rng.standard_normal((*kernel, in_channels, out_channels)) * std, weight_norm)
        self.add_param("b", np.zeros(out_channels))

    def __call__(self, x):
        check_images(self, x)
        grid = self.windows.grid(x.shape[1:3])
        if min(grid) < 1:
            raise ValueError(f"Conv2d: an image of {x.shape[1:3]} pixels is too small for a kernel of "
                             f"{self.windows.kernel} with padding {self.windows.padding}")
        y = xp.matmul(self.windows.matrix(x), as_matrix(self.kernel()))  # (batch * windows, out)
        y += self.params["b"]
        return self.started_by_data(y.reshape(len(x), *grid, self.out_channels))

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        # y = matrix(x) w + b
        self.add_dw(xp.matmul(self.windows.matrix(x).T, as_rows(dy)).reshape(self.kernel_shape))
        self.grads["b"] += sum_rows(as_rows(dy))
        return self.windows.image(dy, self.kernel(), x.shape[1:3]) if need_dx else None


class ConvTranspose2d(Weighted):
    """Every pixel makes a window, and windows add up: (batch, rows, columns, in) -> (batch, height, width, out).

    forward     y[u, v]   = b + sum of  x[r, c] w[i, j]^T  over all r, c, i, j with r s + i - p = u, c s + j - p = v
    backward    dx[r, c]  = sum_ij  dy[r s + i - p, c s + j - p] w[i, j]              dy is 0 outside the image
                dw[i, j]  = sum_rc  dy[r s + i - p, c s + j - p]^T x[r, c]
                db        = sum_uv  dy[u, v]

    An axis of n pixels becomes (n - 1) s - 2 p + k + output_padding. A convolution makes the same n of up to s sizes;
    output_padding, from 0 to s - 1, says which of them is meant. Kernel size 4, stride 2, padding 1 double it exactly.

    Parameters: w (kernel rows, kernel columns, out, in), the kernel of the convolution that goes the other way, so its
    inputs stand where that one's outputs do; b (out). The start is He normal, standard deviation
    sqrt(2 / (in * taps that meet at a pixel)), with k / s such taps along an axis (at least 1); biases 0. weight_norm:
    see Weighted.

    Raises ValueError for arguments out of range, and for an x that has other channels or makes an image of no pixels.
    """

    output_axis = 2

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, rng=None,
                 weight_norm=False):
        super().__init__()
        check_channels(self, in_channels, out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.windows = checked_windows(self, kernel_size, stride, padding)
        self.output_padding = checked_pair(self, "output_padding", output_padding, 0)
        if any(extra >= s for extra, s in zip(self.output_padding, self.windows.stride)):
            raise ValueError(f"ConvTranspose2d: output_padding {self.output_padding} must be smaller than "
                             f"the stride {self.windows.stride}")
        rng, kernel = rng or np.random.default_rng(), self.windows.kernel
        check_size(type(self).__name__, *kernel, in_channels, out_channels)
        meeting = math.prod(max(k / s, 1) for k, s in zip(kernel, self.windows.stride))
        std = DIRECTION_STD if weight_norm else (2 / (meeting * in_channels)) ** 0.5
        self.add_kernel(rng.standard_normal((*kernel, out_channels, in_channels)) * std, weight_norm)
        self.add_param("b", np.zeros(out_channels))

    def __call__(self, x):
        uncut = self.whole_image(x) if self.moments == "official" else None
        return self.started_by_data(self.image(x, self.kernel()), uncut)

    def image(self, x, w):
        """y, as in the formula."""
        check_images(self, x)
        size = tuple(n + extra for n, extra in zip(self.windows.covered(x.shape[1:3]), self.output_padding))
        if min(size) < 1:
            raise ValueError(f"ConvTranspose2d: {x.shape[1:3]} pixels make an image of {size} with a kernel of "
                             f"{self.windows.kernel}, stride {self.windows.stride}, padding {self.windows.padding}")
        return self.windows.image(x, w, size) + self.params["b"]

    def whole_image(self, x):
        """The image of n s + k - 1 rows and columns of which the code of PixelCNN++ takes the moments; its border is 0.

        Without bias.
        """
        windows = replace(self.windows, padding=(0, 0))
        size = tuple(n * s + k - 1 for n, s, k in zip(x.shape[1:3], windows.stride, windows.kernel))
        return windows.image(x, self.kernel(), size)

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        windows = self.windows.matrix(dy)  # (pixels of x, taps * out)
        # y = image(x w^T) + b
        self.add_dw(xp.matmul(windows.T, as_rows(x)).reshape(self.kernel_shape))
        self.grads["b"] += sum_rows(as_rows(dy))
        return xp.matmul(windows, as_matrix(self.kernel())).reshape(x.shape) if need_dx else None
