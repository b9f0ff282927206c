"""The layer by which a condition enters a network, and how its layers are told."""

import contextlib

import numpy as np

from tinyar.backend import check_size, to_device, xp
from tinyar.layer import Pointwise


class Conditional(Pointwise):
    """Adds a linear map of the condition to every pixel (van den Oord et al. 2016, arXiv 1606.05328, its V^T h).

    forward     y = x + c v                 x, y (batch, height, width, channels), v (condition channels, channels)
    backward    dx = dy,  dv = sum over the pixels of all images of c^T dy,  dc = dy v^T

    The condition c is (batch, height, width, condition channels), a map; or (batch, 1, 1, condition channels), the same
    everywhere, and then dy is summed over the image first. For a class, c v is the row of v that belongs to it: a bias
    for each class. No mask is needed, since c holds no pixel of the image.

    `told` sets c; forward and start keep what backward and step need. v starts at 0, so that an untrained model ignores
    the condition. After backward, dc is in `dcondition`.
    """

    def __init__(self, condition_channels, channels):
        super().__init__()
        self.condition_channels = condition_channels
        self.condition = self.dcondition = None
        if condition_channels:
            check_size(type(self).__name__, condition_channels, channels)
            self.add_param("v", np.zeros((condition_channels, channels)))

    def tell(self, condition):
        """Know this condition from now on, None for none. Raises ValueError for another number of channels."""
        if condition is None or not self.condition_channels:
            self.condition = None
            return
        if condition.shape[-1] != self.condition_channels:
            raise ValueError(f"Conditional: expected {self.condition_channels} channels in the condition's last axis, "
                             f"got shape {condition.shape}")
        self.condition = to_device(condition, dtype=self.dtype)

    def bias(self):
        """c v, (batch, 1 or height, 1 or width, channels)."""
        return xp.matmul(self.condition, self.params["v"])

    def __call__(self, x):
        return x if self.condition is None else x + self.bias()

    def forward(self, x):
        self.cache = (self.condition,)
        return self(x)

    def backward(self, dy, need_dx=True):
        c, = self.take_cache()
        self.dcondition = None
        if c is not None:
            alike = tuple(axis for axis in (1, 2) if c.shape[axis] < dy.shape[axis])  # where one c serves many pixels
            dbias = dy.sum(axis=alike, keepdims=True) if alike else dy
            dbias_rows, c_rows = (array.reshape(-1, array.shape[-1]) for array in (dbias, c))
            # y = x + c v
            self.grads["v"] += xp.matmul(c_rows.T, dbias_rows)
            self.dcondition = xp.matmul(dbias_rows, self.params["v"].T).reshape(c.shape)
        return dy if need_dx else None

    def replica(self):
        """A twin that hasn't been told anything yet."""
        twin = super().replica()
        twin.condition = twin.dcondition = None
        return twin

    def start(self, batch, height, width):
        self.biases = None if self.condition is None else xp.broadcast_to(
            self.bias(), (batch, height, width, self.params["v"].shape[1]))

    def step(self, x, at):
        return x if self.biases is None else x + self.biases[:, at[0], at[1]]

    def step_row(self, x, row):
        return x if self.biases is None else x + self.biases[:, row]


@contextlib.contextmanager
def told(network, condition):
    """A context in which every Conditional of the network knows the condition, an array or None."""
    layers = [layer for _, layer in network.layers() if isinstance(layer, Conditional)]
    try:
        for layer in layers:
            layer.tell(condition)
        yield
    finally:
        for layer in layers:
            layer.tell(None)


def condition_gradient(network):
    """d loss / d condition, after a backward: the sum of what reached it in every layer. None without a condition."""
    gradients = [layer.dcondition for _, layer in network.layers()
                 if isinstance(layer, Conditional) and layer.dcondition is not None]
    return sum(gradients) if gradients else None
