"""What autoencoders have in common: images in and images out, what a reconstruction costs, and the parts of networks.

The reconstruction y of images x is judged in one of three ways:

    output="mse"           y is the image from -1 to 1. The loss is the mean squared error, divided by the variance of
                           all sub-pixels of the training images. 1 is no better than one grey for all
    output="categorical"   y are logits over the levels of each sub-pixel. The loss is in nats per sub-pixel, given what
                           the bottleneck says; with the bits of the bottleneck added it bounds the bits per dimension
                           of the image (`tinyar.codes.bound`)
    output="mixture"       the same with a mixture of logistics for each pixel (`tinyar.likelihoods.LogisticMixture`)

The bottleneck is made of one or more quantizers, each with a loss of its own. What is minimised is the sum of them all:

    forward     outputs = (y, own loss)            loss = reconstruction(y, x) + own loss
    backward    doutputs = (dy, dloss)             dloss goes to every quantizer, dy to the decoder

Inference, model(x), is y alone.
"""

import numpy as np

from tinyar.backend import to_device, to_host, xp
from tinyar.layers.combine import Chain, Residual
from tinyar.layers.pointwise import Linear, ReLU
from tinyar.layers.quantizer import VectorQuantizer
from tinyar.layers.strided import Conv2d
from tinyar.layers.usage import perplexity
from tinyar.likelihoods import Categorical, LogisticMixture
from tinyar.losses import bits_per_dim
from tinyar.model import Model, check_levels
from tinyar.models.options import check_count

IMAGES_TO_START_FROM, LEAST, NUMBERS = 1024, 64, 2 ** 24  # the codebooks; fewer images, if they have more numbers
PIXELS_AT_ONCE = 2 ** 20  # of the encoder then
IMAGES_AT_ONCE = 1024  # to count the levels of

class Autoencoder(Model):
    """Base of autoencoders: levels, sizes, losses. A subclass builds the network, with its quantizers.

    x (batch, height, width, image_channels), integers 0 .. levels - 1, which the network sees as -1 .. 1. Sides of
    images are multiples of `stride`. components: of the mixture. A subclass writes start_codebooks(pieces), __call__,
    forward and backward. Its quantizers are VectorQuantizers, or subclasses: notes, codes and the gradient check look
    for these. Raises ValueError for another `output`.
    """

    def __init__(self, levels, image_channels, output, components, stride):
        super().__init__()
        if output not in ("mse", "categorical", "mixture"):
            raise ValueError(f"{type(self).__name__}: output is 'mse', 'categorical' or 'mixture', got {output!r}")
        check_count(self, "image_channels", image_channels, least=1)
        mixture = LogisticMixture(levels, image_channels if output == "mixture" else 1, components)  # checks components
        self.likelihood = mixture if output == "mixture" else Categorical(levels)
        self.levels, self.image_channels, self.output, self.stride = int(levels), image_channels, output, stride
        self.outputs = image_channels if output == "mse" else self.likelihood.outputs(image_channels)
        self.unit = "squared error / variance" if output == "mse" else "bits/dim given the codes"
        self.state["variance"] = xp.ones(1, dtype=xp.float32)
        self.state["prepared"] = xp.zeros(1, dtype=xp.float32)  # a state, so that a resumed run doesn't prepare again

    @property
    def quantizers(self):
        """{name: VectorQuantizer}, in the order of the tree."""
        return {name: layer for name, layer in self.layers() if isinstance(layer, VectorQuantizer)}

    def prepare(self, images):
        """Take the variance of the images, by which squared errors are divided, and, only once, start the codebooks."""
        if not len(images):
            raise ValueError(f"{type(self).__name__}: prepare: expected at least one image, got none")
        check_levels(type(self).__name__, images, self.levels)
        self.state["variance"][...] = self.variance_of(images)
        if self.state["prepared"][0]:
            return
        self.start_codebooks(self.pieces(images[:min(IMAGES_TO_START_FROM, max(LEAST, NUMBERS // images[0].size))]))
        self.state["prepared"][...] = 1

    def variance_of(self, images):
        """The variance of all sub-pixels as the network sees them, from -1 to 1; 1 if they are all alike."""
        counts = sum(np.bincount(images[i:i + IMAGES_AT_ONCE].ravel(), minlength=self.levels)
                     for i in range(0, len(images), IMAGES_AT_ONCE))
        share, x = counts / counts.sum(), np.arange(self.levels) * (2 / (self.levels - 1))
        return share @ (x - share @ x) ** 2 if np.count_nonzero(counts) > 1 else 1.0

    def pieces(self, images):
        """The images, scaled, in pieces of so many that the encoder's maps don't fill the memory: a list."""
        n = max(1, PIXELS_AT_ONCE // (images.shape[1] * images.shape[2]))
        return [self.scale(to_device(images[i:i + n])) for i in range(0, len(images), n)]

    def start_codebooks(self, pieces):
        """Start every codebook from the encoder's vectors for these pieces of scaled images."""
        raise TypeError(f"{type(self).__name__} doesn't start its codebooks")

    # -- what it costs -------------------------------------------------------------------------------------------------

    def loss(self, outputs, x, weight=1.0):
        """reconstruction(y, x) + the quantizers' own loss, and the gradient by both outputs; all times weight."""
        y, own_loss = outputs
        reconstruction, dy = self.reconstruction_loss(y, x)
        dy *= weight
        return (reconstruction + own_loss) * weight, (dy, weight)

    def penalty(self):
        """The quantizers' own loss of the last batch."""
        return sum(quantizer.mean_loss() for quantizer in self.quantizers.values())

    def note(self, loss):
        """The parts of the last batch's loss, and for each quantizer the perplexity of the codes that it chose."""
        penalty = float(self.penalty())
        used = ", ".join(f"{perplexity(quantizer.sums['counts']):.1f}" for quantizer in self.quantizers.values())
        return (f"reconstruction {self.figure(loss - penalty):.4f}, codebook terms {penalty:.4f}, "
                f"perplexity {used}")

    def reconstruction_loss(self, y, x):
        """The mean over sub-pixels of what the reconstructions y of the images x cost, and its gradient by y."""
        if self.output != "mse":
            return self.likelihood.loss(y, x)
        difference = y - self.scale(x)
        scale = 1 / (difference.size * self.state["variance"])
        return (difference * difference).sum() * scale[0], 2 * scale * difference

    def costs(self, x, condition=None):
        """The reconstruction loss of each of the images x, summed over its sub-pixels, by inference alone: (batch,)."""
        if self.output != "mse":
            nats = self.likelihood.nats(self(x), x)  # (batch, height, width, ...)
            return nats.reshape(len(x), -1).sum(axis=1, dtype=xp.float64)
        difference = (self(x) - self.scale(x)).reshape(len(x), -1)
        return (difference * difference).sum(axis=1, dtype=xp.float64) / self.state["variance"][0]

    def figure(self, loss):
        return loss if self.output == "mse" else bits_per_dim(loss)

    # -- images and numbers --------------------------------------------------------------------------------------------

    def arrange(self, features):
        """The network's last features as a reconstruction y."""
        return features if self.output == "mse" else self.likelihood.arrange(features)

    def levels_of(self, y):
        """A reconstruction as an image: levels, uint8, on the host; of a likelihood its guess."""
        if self.output != "mse":
            return to_host(self.likelihood.guess(y)).astype(np.uint8)
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
