"""A layer that computes nothing: it only lays the same numbers out in another shape."""

import math

from tinyar.layer import Layer


class Reshape(Layer):
    """x (batch, ...) as y (batch, *shape), so dx is dy in the shape of x. Raises ValueError if the sizes differ."""

    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def __call__(self, x):
        if math.prod(x.shape[1:]) != math.prod(self.shape):
            raise ValueError(f"Reshape: expected {math.prod(self.shape)} numbers an image, for shape {self.shape}, got shape {x.shape}")
        return x.reshape(len(x), *self.shape)

    def forward(self, x):
        self.cache = x.shape
        return self(x)

    def backward(self, dy):
        return dy.reshape(self.take_cache())
