"""What autoencoders have in common: images in and images out, what a reconstruction costs, and the parts of networks.

The reconstruction y of images x is judged in one of two ways:

    output="mse"           y is the image from -1 to 1. The loss is the mean squared error divided by the variance of
                           the training images: 1 is no better than their mean
    output="categorical"   y are logits over the levels of each sub-pixel. The loss is in nats per sub-pixel, given what
                           the bottleneck says; with the bits of the bottleneck added it bounds the bits per dimension
                           of the image (`tinyar.codes.bound`)
"""

import numpy as np

from tinyar.backend import to_host, xp
from tinyar.layers.combine import Chain, Residual
from tinyar.layers.pointwise import Linear, ReLU
from tinyar.layers.strided import Conv2d
from tinyar.likelihoods import Categorical
from tinyar.losses import bits_per_dim
from tinyar.model import Model


class Autoencoder(Model):
    """Base of autoencoders: levels, sizes, and the reconstruction's loss. A subclass builds the network.

    Sides of images are multiples of `stride`. Raises ValueError for another `output`.
    """

    def __init__(self, levels, image_channels, output, stride):
        super().__init__()
        if output not in ("mse", "categorical"):
            raise ValueError(f"{type(self).__name__}: output is 'mse' or 'categorical', got {output!r}")
        self.likelihood = Categorical(levels)
        self.levels, self.image_channels, self.output, self.stride = levels, image_channels, output, stride
        self.outputs = self.likelihood.outputs(image_channels) if output == "categorical" else image_channels
        self.unit = "bits/dim given the codes" if output == "categorical" else "squared error / variance"
        self.state["variance"] = xp.ones(1, dtype=xp.float32)

    def measure_variance(self, images):
        """Take the variance of the training images (on the host), by which squared errors are divided."""
        scaled = images.astype(np.float64) * (2 / (self.levels - 1))
        self.state["variance"][...] = float(scaled.var()) or 1.0

    def reconstruction_loss(self, y, x):
        """The mean over sub-pixels of what the reconstructions y of the images x cost, and its gradient by y."""
        if self.output == "categorical":
            return self.likelihood.loss(y, x)
        difference = y - self.scale(x)
        scale = 1 / (difference.size * self.state["variance"])
        return (difference * difference).sum() * scale[0], 2 * scale * difference

    def score(self, x, condition=None):
        """The reconstruction loss of the images x, summed over sub-pixels, by inference alone."""
        if self.output == "categorical":
            return self.likelihood.nats(self(x), x).sum(dtype=xp.float64)
        difference = self(x) - self.scale(x)
        return (difference * difference).sum(dtype=xp.float64) / self.state["variance"][0]

    def figure(self, loss):
        return bits_per_dim(loss) if self.output == "categorical" else loss

    def arrange(self, features):
        """The network's last features as a reconstruction y."""
        return self.likelihood.arrange(features) if self.output == "categorical" else features

    def levels_of(self, y):
        """A reconstruction as an image: levels, uint8, on the host; of a softmax the likeliest level."""
        if self.output == "categorical":
            return to_host(y.argmax(axis=-1)).astype(np.uint8)
        levels = np.rint((to_host(y) + 1) * ((self.levels - 1) / 2))
        return levels.clip(0, self.levels - 1).astype(np.uint8)

    def scale(self, x):
        """Levels 0 .. levels - 1 as numbers from -1 to 1. Raises ValueError for images that don't fit."""
        if x.ndim != 4 or x.shape[-1] != self.image_channels:
            raise ValueError(f"{type(self).__name__}: expected images (batch, height, width, {self.image_channels}), "
                             f"got shape {x.shape}")
        self.check_size(*x.shape[1:3])
        return x.astype(self.dtype) * (2 / (self.levels - 1)) - 1

    def check_size(self, height, width):
        """Raise ValueError unless both sides are multiples of the stride."""
        if height < 1 or width < 1 or height % self.stride or width % self.stride:
            raise ValueError(f"{type(self).__name__}: images of {height}x{width} pixels can't be halved "
                             f"{self.stride.bit_length() - 1} times; expected multiples of {self.stride}, "
                             "so pad the images or use fewer widths")


def units(channels, hidden, count, rng):
    """A list of units u + body(u), the body ReLU, 3x3 to `hidden`, ReLU, 1x1 back; and a last ReLU."""
    return [Residual(Chain(ReLU(), Conv2d(channels, hidden, 3, 1, 1, rng), ReLU(), Linear(hidden, channels, rng)))
            for _ in range(count)] + [ReLU()]


def joined_by_relu(convolutions):
    """The convolutions with a ReLU between neighbours, a list."""
    return [link for convolution in convolutions for link in (ReLU(), convolution)][1:]
