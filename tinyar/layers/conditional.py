"""How a class, or a map, gets into a network: as a bias that depends on it, added layer after layer."""

import numpy as np

from tinyar.backend import to_device, xp
from tinyar.layer import Layer
from tinyar.layers.pointwise import as_rows, check_last_axis


class Conditional(Layer):
    """Adds a linear map of the condition to every pixel (van den Oord et al. 2016, arXiv 1606.05328, its V^T h).

    forward     y = x + c v                 x, y (batch, height, width, channels), v (condition channels, channels)
    backward    dx = dy,  dv = sum over pixels of c^T dy,  dc = dy v^T

    The condition c, told by `given`, is (batch, height, width, condition channels), a map; or (batch, 1, 1, condition
    channels), the same everywhere, and then dy is summed over the image first. A class is a one-hot vector, so that
    c v is the row of v that belongs to it: a bias for each class. No class, all zeros, or no condition at all, adds
    nothing. No mask is needed: c holds no pixel of the image.

    v starts at 0, so that an untrained model ignores the condition. After backward, dc is in `condition_gradient`.
    """

    def __init__(self, condition_channels, channels):
        super().__init__()
        self.condition_channels = condition_channels
        self.condition = self.condition_gradient = None
        if condition_channels:
            self.add_param("v", np.zeros((condition_channels, channels)))

    def given(self, condition):
        if condition is not None and self.condition_channels:
            check_last_axis(self, condition, self.condition_channels)
            condition = to_device(condition, dtype=self.dtype)
        self.condition = condition if self.condition_channels else None

    def shift(self):
        """c v, (batch, 1 or height, 1 or width, channels)."""
        c = self.condition
        return xp.matmul(as_rows(c), self.params["v"]).reshape(*c.shape[:-1], -1)

    def __call__(self, x):
        return x if self.condition is None else x + self.shift()

    def forward(self, x):
        self.cache = (self.condition,)
        return self(x)

    def backward(self, dy):
        c, = self.take_cache()
        self.condition_gradient = None
        if c is None:
            return dy
        alike = tuple(axis for axis in (1, 2) if c.shape[axis] < dy.shape[axis])  # where one c serves many pixels
        dy_sums = dy.sum(axis=alike, keepdims=True) if alike else dy
        self.grads["v"] += xp.matmul(as_rows(c).T, as_rows(dy_sums))
        self.condition_gradient = xp.matmul(as_rows(dy_sums), self.params["v"].T).reshape(c.shape)
        return dy

    def start(self, batch, height, width):
        self.shifts = None if self.condition is None else xp.broadcast_to(
            self.shift(), (batch, height, width, self.params["v"].shape[1]))

    def step(self, x, at):
        return x if self.shifts is None else x + self.shifts[:, at[0], at[1]]

    def see(self, x, at):
        """Nothing to remember."""

    def step_row(self, x, row):
        """The same for a whole row, x (batch, width, channels)."""
        return x if self.shifts is None else x + self.shifts[:, row]
