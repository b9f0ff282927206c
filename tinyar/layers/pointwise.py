"""Layers that treat every pixel for itself: the linear map over channels (a 1x1 convolution), ReLU, ELU, and the gate.

x is (..., channels): a feature map (batch, height, width, channels), or the features of one pixel (batch, channels).
Nothing passes from pixel to pixel, so these layers are causal whatever the mask, and a step is the same formula.
"""

import numpy as np

from tinyar.backend import check_size, xp
from tinyar.layer import Pointwise
from tinyar.layers.weights import DIRECTION_STD, Weighted


class Linear(Weighted, Pointwise):
    """A linear map of the channels of each pixel; on a feature map, the 1x1 convolution.

    forward     y = x w + b                x (..., in), w (in, out), b (out), y (..., out)
    backward    dx = dy w^T                dw = sum over pixels of x^T dy        db = sum over pixels of dy

    The weights start as He normal, standard deviation sqrt(2 / in) (He et al. 2015); the biases start at 0.
    weight_norm: see Weighted. (Without it kernel() and drawing_kernel are w, and add_dw adds to its gradient.) Raises
    ValueError when a channel count is not at least 1 or when x has another number of channels.
    """

    def __init__(self, in_channels, out_channels, rng=None, weight_norm=False):
        super().__init__()
        check_channels(self, in_channels, out_channels)
        rng = rng or np.random.default_rng()
        self.in_channels, self.out_channels = in_channels, out_channels
        std = DIRECTION_STD if weight_norm else (2 / in_channels) ** 0.5
        self.add_kernel(rng.standard_normal((in_channels, out_channels)) * std, weight_norm)
        self.add_param("b", np.zeros(out_channels))

    def __call__(self, x):
        check_last_axis(self, x, self.in_channels)
        y = xp.matmul(as_rows(x), self.kernel())  # (pixels, out)
        y += self.params["b"]
        return self.started_by_data(y.reshape(*x.shape[:-1], self.out_channels))

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        dy_rows = as_rows(dy)  # (pixels, out)
        self.add_dw(xp.matmul(as_rows(x).T, dy_rows))
        self.grads["b"] += sum_rows(dy_rows)
        if not need_dx:
            return None
        return xp.matmul(dy_rows, self.kernel().T).reshape(x.shape)

    def step(self, x, at):
        return xp.matmul(x, self.drawing_kernel) + self.params["b"]

    def step_row(self, x, row):
        return xp.matmul(x, self.drawing_kernel) + self.params["b"]


class ReLU(Pointwise):
    """y = max(x, 0), so dx = dy where x > 0, and 0 elsewhere (at x = 0 too).

    The cache is y, not x: y > 0 exactly where x > 0, and the layer behind keeps y anyway.
    """

    def __call__(self, x):
        return xp.maximum(x, 0)

    def forward(self, x):
        self.cache = self(x)
        return self.cache

    def backward(self, dy, need_dx=True):
        y = self.take_cache()
        return dy * (y > 0) if need_dx else None

    def sides(self):
        return self.cache > 0


class ELU(Pointwise):
    """y = x where x > 0, exp(x) - 1 elsewhere (Clevert et al. 2016, arXiv 1511.07289), so dx = dy min(y + 1, 1).

    Smooth at 0, and unlike ReLU it passes some gradient everywhere. dy / dx is 1 or exp(x) = y + 1: y is all
    that backward needs.
    """

    def __call__(self, x):
        return xp.maximum(x, xp.expm1(xp.minimum(x, 0)))

    def forward(self, x):
        self.cache = self(x)
        return self.cache

    def backward(self, dy, need_dx=True):
        y = self.take_cache()
        return dy * xp.minimum(y + 1, 1) if need_dx else None


class ConcatELU(Pointwise):
    """y = [elu(x), elu(-x)] along the channels, twice as many as x has (Salimans et al. 2017, arXiv 1701.05517).

    With elu(z) = z where z > 0, exp(z) - 1 elsewhere, and its slope e(z) = min(elu(z) + 1, 1):

    forward     y1 = elu(x),  y2 = elu(-x)                x (..., channels), y (..., 2 * channels)
    backward    dx = dy1 e(x) - dy2 e(-x)

    At 0 both slopes are 1, so it has no kink. y is all that backward needs.
    """

    def __call__(self, x):
        channels = x.shape[-1]
        y = xp.empty((*x.shape[:-1], 2 * channels), dtype=x.dtype)
        negative = -x
        below = xp.expm1(xp.minimum(x, negative))  # elu(x) where x is below 0, elu(-x) where it is above
        xp.maximum(x, below, out=y[..., :channels])
        xp.maximum(negative, below, out=y[..., channels:])
        return y

    def forward(self, x):
        self.cache = self(x)
        return self.cache

    def backward(self, dy, need_dx=True):
        y = self.take_cache()
        if not need_dx:
            return None
        slopes = y + 1
        xp.minimum(slopes, 1, out=slopes)
        slopes *= dy
        channels = dy.shape[-1] // 2
        return slopes[..., :channels] - slopes[..., channels:]


class Gate(Pointwise):
    """y = tanh(a) * sigmoid(b), with a the first half of the channels and b the second
    (van den Oord et al. 2016, arXiv 1606.05328). With activation=None y = a * sigmoid(b), as in PixelCNN++.

    x = [a, b] (..., 2 * channels), y (..., channels)

    forward     t = tanh(a) or a,  s = 1 / (1 + exp(-b)),  y = t s
    backward    da = dy s (1 - t^2) or dy s,  db = dy t s (1 - s)

    sigmoid(b) = (1 + tanh(b / 2)) / 2, which can't overflow, and NumPy has a fast tanh. Raises ValueError for an odd
    number of channels, and for another activation than "tanh" and None.
    """

    def __init__(self, activation="tanh"):
        super().__init__()
        if activation not in ("tanh", None):
            raise ValueError(f"Gate: activation is 'tanh' or None, got {activation!r}")
        self.activation = activation

    def __call__(self, x):
        t, s = self.halves(x)
        return t * s

    def forward(self, x):
        self.cache = self.halves(x)
        t, s = self.cache
        return t * s

    def halves(self, x):
        """t and s, each (..., channels)."""
        channels, odd = divmod(x.shape[-1], 2)
        if odd:
            raise ValueError(f"Gate: expected an even number of channels, two halves, got shape {x.shape}")
        t = xp.tanh(x[..., :channels]) if self.activation else x[..., :channels]
        s = x[..., channels:] * 0.5
        xp.tanh(s, out=s)
        s *= 0.5
        s += 0.5
        return t, s

    def backward(self, dy, need_dx=True):
        t, s = self.take_cache()
        if not need_dx:
            return None
        dx = xp.empty((*dy.shape[:-1], 2 * dy.shape[-1]), dtype=dy.dtype)
        da, db = dx[..., :dy.shape[-1]], dx[..., dy.shape[-1]:]
        xp.multiply(dy, s, out=da)
        xp.multiply(da * t, 1 - s, out=db)
        if self.activation:
            da *= 1 - t * t
        return dx


def as_rows(x):
    """x (..., channels) as a matrix (pixels, channels)."""
    return x.reshape(-1, x.shape[-1])


def sum_rows(rows):
    """The sum over the first axis of a matrix (rows, channels), as a product with ones:
    BLAS adds faster than sum(axis=0).
    """
    return xp.matmul(xp.ones(len(rows), dtype=rows.dtype), rows)


def check_channels(layer, *counts):
    """Raise ValueError unless every channel count is a whole number >= 1, and their product a possible size."""
    for count in counts:
        if not isinstance(count, (int, np.integer)) or count < 1:
            raise ValueError(f"{type(layer).__name__}: channel counts are whole numbers of at least 1, got {count!r}")
    check_size(type(layer).__name__, *counts)


def check_last_axis(layer, x, channels):
    """Raise ValueError unless the last axis of x has the number of channels that the layer was made for."""
    if x.shape[-1] != channels:
        raise ValueError(f"{type(layer).__name__}: expected {channels} channels in the last axis, got shape {x.shape}")


def check_images(layer, x):
    """Raise ValueError unless x is (batch, height, width, channels) with the channels the layer was made for."""
    if x.ndim != 4 or x.shape[-1] != layer.in_channels:
        raise ValueError(f"{type(layer).__name__}: expected images (batch, height, width, {layer.in_channels}), "
                         f"got shape {x.shape}")
