"""Dropout without a generator: which numbers are dropped is a pure function of where and when they are.

A generator that is consumed would give other masks for another number of threads or another cut into micro-batches, and
a resumed run would need its state. So here each number's fate is computed from

    seed of the run, number of the update, place of the image in its batch, which dropout layer, which number

by an integer mixer, a function of 32 bits to 32 bits that changes about half of its output's bits for any change of its
input ("lowbias32", C. Wellons 2018, "Prospecting for hash functions", public domain):

    z ^= z >> 16;  z *= 0x7feb352d;  z ^= z >> 15;  z *= 0x846ca68b;  z ^= z >> 16        modulo 2^32

The same masks come out on a CPU and on a GPU. (Srivastava et al. 2014, "Dropout: a simple way to prevent neural
networks from overfitting".)
"""

import contextlib

import numpy as np

from tinyar.backend import to_device, xp
from tinyar.layer import Pointwise


class Dropout(Pointwise):
    """In training each number is 0 with probability `rate`, and the others are scaled up, so that the mean stays.

    forward     y = x m / (1 - rate)          m is 0 or 1, (batch, height, width, channels) like x
    backward    dx = dy m / (1 - rate)

    Inference, layer(x) and step, is the identity. forward needs to be told the noise: see `noise_told`. Raises
    ValueError for a rate outside [0, 0.99999], RuntimeError for a forward without noise.
    """

    def __init__(self, rate):
        super().__init__()
        if not isinstance(rate, (int, float, np.number)) or not 0 <= rate <= 0.99999:  # `mask` rounds to 2 ** -16
            raise ValueError(f"{type(self).__name__}: rate is a share from 0 to 0.99999, got {rate!r}")
        self.rate, self.noise = float(rate), None

    def __call__(self, x):
        return x

    def forward(self, x):
        if not self.rate:
            self.cache = 1.0  # backward asks whether there was a forward
            return x
        self.cache = self.mask(x.shape).astype(x.dtype) * (1 / (1 - self.rate))
        return x * self.cache

    def backward(self, dy, need_dx=True):
        scaled_mask = self.take_cache()
        if not need_dx:
            return None
        return dy * scaled_mask if self.rate else dy

    def replica(self):
        twin = super().replica()
        twin.noise = None
        return twin

    def mask(self, shape):
        """Which numbers stay: bool. Each word of the mixer decides on two of them, by its halves of 16 bits."""
        if self.noise is None:
            raise RuntimeError("Dropout: forward without noise: its mask is a function of seed, update and place, told "
                               "by `with noise_told(model, seed, update, place):`; training does so by itself")
        seed, update, place, number = self.noise
        batch, size = shape[0], int(np.prod(shape[1:]))
        words = -(-size // 2)
        key = mixed(mixed(mixed(np.array([seed], np.uint32)) ^ np.uint32(update)) ^ np.uint32(number))
        images = mixed(key ^ np.arange(place, place + batch, dtype=np.uint32))  # one key an image
        elements = xp.arange(words, dtype=xp.uint32) * xp.uint32(0x9E3779B9)  # far apart, by the golden ratio
        halves = mixed(to_device(images)[:, None] ^ elements).view(xp.uint16)[:, :size]
        return (halves >= round(self.rate * 2 ** 16)).reshape(shape)


class HideImages(Dropout):
    """In training all of x is 0 for an image, with probability `rate`; the other images stay as they are.

    forward     y = x m          m is 0 or 1 for an image, (batch, 1, 1, 1)
    backward    dx = dy m

    Nothing is scaled up: an image without x is another task, not a noisy form of the same. Else as Dropout.
    """

    def forward(self, x):
        if not self.rate:
            self.cache = 1.0
            return x
        self.cache = self.mask((len(x),) + (1,) * (x.ndim - 1)).astype(x.dtype)
        return x * self.cache


def drops(network):
    """Whether its forward, in training, computes something else than inference does."""
    return any(isinstance(part, Dropout) and part.rate for _, part in network.layers())


def mixed(z):
    """The integer mixer, of an array of uint32; a new array."""
    z = z ^ (z >> 16)
    z *= z.dtype.type(0x7feb352d)
    z ^= z >> 15
    z *= z.dtype.type(0x846ca68b)
    z ^= z >> 16
    return z


@contextlib.contextmanager
def noise_told(network, seed, update, place=0):
    """A context in which every Dropout of the network knows its noise; images of the batch are place, place + 1, ...

    Dropout layers are numbered in the order of the tree. Numbers count modulo 2^32. The context is a function that
    moves on to the images from another place.
    """
    layers = [layer for _, layer in network.layers() if isinstance(layer, Dropout)]

    def move_to(place):
        for number, layer in enumerate(layers):
            layer.noise = seed % 2 ** 32, update % 2 ** 32, place, number

    try:
        move_to(place)
        yield move_to
    finally:
        for layer in layers:
            layer.noise = None
