"""What a model knows of an image besides its pixels: its class, a map. Told for one batch, and gone after it.

A condition enters a network as a bias that depends on it, added layer after layer (`Conditional`). This file has all of
it, from the labels of a data set to that layer:

    Conditions(model, images)     the labels and maps of a set of images; .batch(index) gives those of a batch
    encode(n, labels, maps)       labels and maps as one array (n, 1 or height, 1 or width, condition_channels)
    told(network, condition)      inside this context, and only there, the network's layers know the condition
    Conditional                   the layer that adds it
    condition_gradient(network)   d loss / d condition, after a backward

A class is a one-hot vector, the same at every pixel. A map lies beside it, other channels of the same array. No class,
or no condition at all, is all zeros, which adds nothing.
"""

import contextlib
import copy
import zlib

import numpy as np

from tinyar.backend import NonFiniteError, check_size, to_device, xp
from tinyar.layer import Layer

NO_LABEL = -1  # the label of an image whose class isn't told


class Conditional(Layer):
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

    def start(self, batch, height, width):
        self.biases = None if self.condition is None else xp.broadcast_to(
            self.bias(), (batch, height, width, self.params["v"].shape[1]))

    def step(self, x, at):
        return x if self.biases is None else x + self.biases[:, at[0], at[1]]

    def see(self, x, at):
        """Nothing to remember."""

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


def encode(name, n, labels, maps, classes, map_channels):
    """The condition of n images: float32 (n, 1 or height, 1 or width, classes + map_channels), on the host.

    labels   one class for all, or (n,): whole numbers 0 .. classes - 1, or NO_LABEL; None if none is known
    maps     (n, height, width, map_channels), or (n, 1, 1, map_channels) for a vector
    Returns None for a model without conditions. Raises ValueError, which begins with `name`, for what doesn't fit.
    """
    if labels is not None and not classes:
        raise ValueError(f"{name}: labels were given, but this model is not conditioned on classes (classes=0)")
    if maps is not None and not map_channels:
        raise ValueError(f"{name}: maps were given, but this model is not conditioned on maps (map_channels=0)")
    if maps is None and map_channels:
        raise ValueError(f"{name}: this model is conditioned on maps of {map_channels} channels, got none")
    parts, sides = [], (1, 1)
    if classes:
        labels = checked_labels(n, NO_LABEL if labels is None else labels, classes)
        parts.append((labels[:, None] == np.arange(classes)).astype(np.float32).reshape(n, 1, 1, classes))
    if map_channels:
        maps = np.asarray(maps, dtype=np.float32)
        if maps.ndim != 4 or maps.shape[0] != n or maps.shape[3] != map_channels:
            raise ValueError(f"{name}: maps: expected shape ({n}, height, width, {map_channels}), got {maps.shape}")
        if not np.isfinite(maps).all():
            raise NonFiniteError(f"{name}: maps: expected finite numbers, got infinities or NaN")
        parts.append(maps)
        sides = maps.shape[1:3]
    if not parts:
        return None
    return np.concatenate([np.broadcast_to(part, (n, *sides, part.shape[3])) for part in parts], axis=3)


def checked_labels(n, labels, classes, name="labels"):
    """Labels as an array (n,), one label serving for all; or a ValueError that says what doesn't fit."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape not in ((), (n,)):
        raise ValueError(f"{name}: expected one whole number, or {n} of them, "
                         f"got shape {labels.shape} of {labels.dtype}")
    labels = np.broadcast_to(labels.astype(np.int64), (n,))
    wrong = labels[(labels < NO_LABEL) | (labels >= classes)]
    if wrong.size:
        raise ValueError(f"{name}: expected 0 .. {classes - 1}, or {NO_LABEL} for none, got {wrong[0]}")
    return labels


class Conditions:
    """The labels (N,) and maps (N, height, width, channels) of a set of N images, for a model conditioned on them.

    images is an array, or a Split of tinyar.data with labels and maps. A model without conditions ignores both.
    An array has no labels: then all classes count as unknown; with `required` that is an error. Missing maps always
    are. Raises ValueError, with `name` in the message, for labels or maps that are missing or don't fit.
    """

    def __init__(self, model, images, name, required=False):
        self.model, self.labels, self.maps = model, None, None
        classes, map_channels = getattr(model, "classes", 0), getattr(model, "map_channels", 0)
        n = len(images) if classes or map_channels else 0
        if classes:
            self.labels = getattr(images, "labels", None)
            if self.labels is None and required:
                raise ValueError(f"{name}: the model is conditioned on {model.classes} classes, "
                                 "but the images have no labels: expected a Split with labels, "
                                 "tinyar.data.Split(images, labels)")
            self.labels = checked_labels(n, NO_LABEL if self.labels is None else self.labels,
                                         model.classes, f"{name}: labels")
        if map_channels:
            maps, sides = getattr(images, "maps", None), getattr(images, "images", images).shape[1:3]
            self.maps = None if maps is None else np.asarray(maps)
            if maps is None or self.maps.shape not in ((n, *sides, map_channels), (n, 1, 1, map_channels)):
                raise ValueError(f"{name}: the model is conditioned on maps: expected a Split with maps "
                                 f"({n}, {sides[0]}, {sides[1]}, {map_channels}), "
                                 f"got {'none' if maps is None else self.maps.shape}: "
                                 "tinyar.data.Split(images, labels, maps=maps)")

    def batch(self, index):
        """The condition of the images at these places; None for a model without conditions."""
        if self.labels is None and self.maps is None:
            return None
        return self.model.condition(len(index), *(None if array is None else array[index]
                                                  for array in (self.labels, self.maps)))

    def hiding(self, share, seed, epoch):
        """The same with the labels of this share of the images hidden, others in every epoch.

        So the model learns to do without a class.
        """
        if self.labels is None or not share:
            return self
        hidden = np.random.default_rng([seed, epoch, 1]).random(len(self.labels)) < share
        twin = copy.copy(self)
        twin.labels = np.where(hidden, NO_LABEL, self.labels)
        return twin

    def fingerprint(self):
        """Checksums, by which a resumed run knows that it has the same labels and maps."""
        return [None if array is None else zlib.crc32(np.ascontiguousarray(array))
                for array in (self.labels, self.maps)]
