"""What computes nothing: the same numbers in another shape, repeated, or moved to another row."""

import math

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Layer


class Reshape(Layer):
    """x (batch, ...) as y (batch, *shape), so dx is dy in the shape of x. Raises ValueError if the sizes differ."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def __call__(self, x):
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(f"Reshape: expected {math.prod(self.shape)} numbers an image, for shape {self.shape}, "
                             f"got shape {x.shape}")
        return x.reshape(len(x), *self.shape)

    def forward(self, x):
        self.cache = x.shape
        return self(x)

    def backward(self, dy, need_dx=True):
        shape = self.take_cache()
        return dy.reshape(shape) if need_dx else None


class Repeat(Layer):
    """Each pixel of x (batch, height, width, channels) as a cell of `factor` x `factor` equal ones.

    forward     y[r, c] = x[r // factor, c // factor]            y is as many times as high and as wide
    backward    dx[i, j] = sum of dy over the cell of (i, j)

    Raises ValueError for a factor that isn't a whole number of at least 1.
    """

    def __init__(self, factor):
        super().__init__()
        if not isinstance(factor, (int, np.integer)) or factor < 1:
            raise ValueError(f"Repeat: factor is a whole number of at least 1, got {factor!r}")
        self.factor = int(factor)

    def __call__(self, x):
        return xp.repeat(xp.repeat(x, self.factor, axis=1), self.factor, axis=2)

    def forward(self, x):
        self.cache = x.shape
        return self(x)

    def backward(self, dy, need_dx=True):
        batch, height, width, channels = self.take_cache()
        cells = dy.reshape(batch, height, self.factor, width, self.factor, channels)
        return cells.sum(axis=(2, 4)) if need_dx else None


def move_down(x):
    """x (batch, height, width, channels) one row further down: a zero row comes in at the top, the last row is lost."""
    y = xp.empty_like(x)
    y[:, 0], y[:, 1:] = 0, x[:, :-1]
    return y


def move_right(x):
    """x (batch, height, width, channels) one column further right: a zero column comes in, the last column is lost."""
    y = xp.empty_like(x)
    y[:, :, 0], y[:, :, 1:] = 0, x[:, :, :-1]
    return y


def move_left(dy):
    """The gradient of move_right, its transpose: one column further left, a zero column on the right."""
    dx = xp.empty_like(dy)
    dx[:, :, -1], dx[:, :, :-1] = 0, dy[:, :, 1:]
    return dx


def move_up(dy):
    """The gradient of move_down, its transpose: one row further up, a zero row at the bottom."""
    dx = xp.empty_like(dy)
    dx[:, -1], dx[:, :-1] = 0, dy[:, 1:]
    return dx
