"""What all autoregressive image models have in common, whatever network they are made of.

    p(image | condition) = product over pixels i, in raster order, of p(x_i | x_1 ... x_(i-1), condition)

A model of this family is a network, `self.net`, from the scaled image to some numbers for every pixel, in which nothing
depends on its own pixel or on later ones; and a likelihood (`tinyar.likelihoods`) that says what these numbers mean. In
training all true pixels are known, so a single forward pass gives all factors. Drawing is sequential
(`tinyar.sampling`).

In colour each factor may be split again, p(R | past) p(G | past, R) p(B | past, R, G).
"""

import contextlib

import numpy as np

from tinyar import conditions
from tinyar.backend import xp
from tinyar.layers.colors import conv1x1
from tinyar.likelihoods import Categorical
from tinyar.losses import bits_per_dim
from tinyar.model import Model
from tinyar.models.conditioner import MAP_FACTOR
from tinyar.models.options import check_count

class AutoregressiveModel(Model):
    """outputs = net(2 x / (levels - 1) - 1), given a condition. A subclass builds self.net in its __init__.

    x (batch, height, width, image_channels), integers 0 .. levels - 1, of any height and width. outputs are as the
    likelihood arranges them: for a softmax, logits (batch, height, width, image_channels, levels). backward returns the
    gradient by x as if its levels were real numbers.

    likelihood      what the outputs mean: for a softmax `softmax_over(levels, one_hot)`
    ordered_colors  in the network a colour of a pixel may depend on those before it in the order R, G, B; without, all
                    are independent given the earlier pixels, unless the likelihood itself keeps the order
    one_hot         the pixels are codes (`tinyar.codes`), numbers without an order: the network sees the one-hot vector
                    of each. x may also be such vectors (..., levels) themselves. backward returns the gradient by the
                    vectors, (batch, height, width, levels), whichever form x had
    classes, map_channels   what the model is conditioned on: see `condition`
    map_codes       maps are grids of so many codes, half as high and as wide as the image, of which self.conditioner, a
                    `Conditioner` that the subclass builds, makes map_width features: for the priors of a VQ-VAE-2

    `published` and the rest of the contract: `tinyar.model`. Raises ValueError for options that don't fit together.
    """

    ones = False  # whether a channel of ones lies beside the image

    def __init__(self, likelihood, image_channels, ordered_colors, one_hot=False, classes=0, map_channels=0,
                 map_codes=0, map_width=0):
        super().__init__()
        name = type(self).__name__
        if one_hot and image_channels != 1:
            raise ValueError(f"{name}: one_hot is for grids of codes, of one channel, "
                             f"got image_channels={image_channels}")
        check_count(self, "image_channels", image_channels, least=1)
        for option, value in (("classes", classes), ("map_channels", map_channels), ("map_codes", map_codes)):
            if not isinstance(value, (int, np.integer)) or value < 0:
                raise ValueError(f"{name}: {option} is a whole number of at least 0, got {value!r}")
        self.likelihood, self.levels = likelihood, likelihood.levels
        self.image_channels, self.one_hot = image_channels, one_hot
        if map_codes == 1:
            raise ValueError(f"{name}: map_codes: one code can say nothing; expected at least 2, or 0 for none")
        if map_channels and map_codes:
            raise ValueError(f"{name}: maps are numbers (map_channels) or codes (map_codes), not both")
        classes, map_channels, map_codes = int(classes), int(map_channels), int(map_codes)
        self.classes, self.map_codes = classes, map_codes
        self.map_channels = 1 if map_codes else map_channels  # of a map as it is given
        self.condition_channels = classes + (map_width if map_codes else map_channels)  # as the layers are told it
        self.map_factor = MAP_FACTOR if map_codes else 1  # how much coarser it is than the image
        self.conditioner = self.dcondition = None
        self.unit = "bits/code" if one_hot else "bits/dim"
        self.colors = image_channels if ordered_colors else 1  # how many colours depend on each other in the network
        self.color_passes = likelihood.passes(self.colors)
        self.inputs, self.outputs = self.levels if one_hot else image_channels, likelihood.outputs(image_channels)

    def make_likelihood(self, levels, image_channels, one_hot):
        """The likelihood of PixelCNN and its relatives: a softmax. A subclass may return another one.

        How many outputs the network has follows from it. It is asked before __init__ has set anything.
        """
        return softmax_over(levels, one_hot)

    def head(self, channels, widths, activation, rng):
        """The last layers, a list: (activation, 1x1 convolution) to each of the widths, then to the outputs."""
        links, widths = [], [channels, *widths, self.outputs]
        for inputs, outputs in zip(widths, widths[1:]):
            links += [activation(), conv1x1(inputs, outputs, self.colors, rng)]
        start_small(links[-1])
        return links

    def conditional(self, channels):
        """What follows a layer of so many channels, a list: a Conditional, if there are conditions."""
        return [conditions.Conditional(self.condition_channels, channels)] if self.condition_channels else []

    # -- the condition -------------------------------------------------------------------------------------------------

    def condition(self, n, labels=None, maps=None):
        """The condition of n images as the network takes it, None for a model without conditions.

        labels   one class for all, or (n,): whole numbers 0 .. classes - 1, or -1 for an image of an unknown class
        maps     (n, height, width, map_channels), or (n, 1, 1, map_channels) for a vector; codes, whole numbers
                 (n, height / 2, width / 2, 1)
        Returns float32 (n, rows, columns, classes + map_channels), on the host: the one-hot vector of the class, and
        the map beside it; 1 row and column where there is no map. Raises ValueError for what doesn't fit the model.
        """
        return conditions.encode(type(self).__name__, n, labels, maps, self.classes, self.map_channels, self.map_codes)

    def told(self, condition, batch, height, width, training=False):
        """A context in which all layers know the condition of the images. Raises ValueError if it isn't one of them.

        Of codes they know what the conditioner makes of them; in training it keeps what its backward needs.
        """
        if condition is not None:
            channels = {self.classes + self.map_channels, self.classes + (self.map_codes or self.map_channels)}
            conditions.check_condition(type(self).__name__, condition.shape, (batch, height, width), channels,
                                       self.map_factor if self.map_codes else None)
            if self.conditioner is not None:
                condition = (self.conditioner.forward if training else self.conditioner)(condition)
        return conditions.told(self, condition) if self.condition_channels else contextlib.nullcontext()

    def condition_gradient(self):
        """d loss / d condition, after a backward; None if there was no condition.

        Of codes it is the gradient by their vectors, and a backward with need_dx=False doesn't compute it.
        """
        return conditions.condition_gradient(self) if self.conditioner is None else self.dcondition

    # -- training ------------------------------------------------------------------------------------------------------

    def __call__(self, x, condition=None):
        scaled = self.scale_images(x)
        with self.told(condition, *scaled.shape[:3]):
            return self.likelihood.arrange(self.net(scaled))

    def forward(self, x, condition=None):
        scaled = self.scale_images(x)
        with self.told(condition, *scaled.shape[:3], training=True):
            return self.likelihood.arrange(self.net.forward(scaled))

    def backward(self, doutputs, need_dx=True):
        # outputs = arrange(net(scaled x))
        dscaled = self.net.backward(doutputs.reshape(*doutputs.shape[:3], self.outputs), need_dx)
        if self.conditioner is not None:
            dmap = conditions.condition_gradient(self)
            self.dcondition = None if dmap is None else self.conditioner.backward(dmap, need_dx)
        if not need_dx:
            return None
        dscaled = dscaled[..., :self.inputs]  # the ones aren't x's
        return dscaled if self.one_hot else dscaled * (2 / (self.levels - 1))

    def loss(self, outputs, x, weight=1.0):
        """The mean nats per sub-pixel of the images x, and its gradient by the outputs; both times weight."""
        loss, doutputs = self.likelihood.loss(outputs, x)
        doutputs *= weight
        return loss * weight, doutputs

    def costs(self, x, condition=None):
        """The nats of each of the images x, by inference alone: (batch,)."""
        nats = self.likelihood.nats(self(x, condition), x)  # (batch, height, width, ...)
        return nats.reshape(len(x), -1).sum(axis=1, dtype=xp.float64)

    def figure(self, loss):
        return bits_per_dim(loss)

    # -- drawing -------------------------------------------------------------------------------------------------------

    def start(self, batch, height, width, condition=None):
        with self.told(condition, batch, height, width):
            super().start(batch, height, width)

    def step(self, x, at):
        """The outputs at one pixel, without the axes of the image; x (batch, image_channels), the levels known so far.

        With ordered colours the outputs of a colour depend on the colours before it; the rest of x is ignored.
        """
        return self.likelihood.arrange(self.net.step(self.scale(x), at))

    def see(self, x, at):
        self.net.see(self.scale(x), at)

    def scale(self, x):
        """Levels 0 .. levels - 1 as numbers from -1 to 1; codes as one-hot vectors; with `ones`, a channel of ones too.

        The zeros that convolutions put around the image look like a grey in the middle, or like no code. The channel of
        ones tells them apart.
        """
        scaled = self.scale_levels(x)
        return xp.concatenate([scaled, xp.ones_like(scaled[..., :1])], axis=-1) if self.ones else scaled

    def scale_images(self, x):
        """scale, of whole images."""
        if x.ndim != 4:
            raise ValueError(f"{type(self).__name__}: expected images (batch, height, width, {self.image_channels}), "
                             f"got shape {x.shape}")
        return self.scale(x)

    def scale_levels(self, x):
        """scale, without ones."""
        if self.one_hot and x.shape[-1] == self.levels:
            return x.astype(self.dtype)
        if x.ndim not in (2, 4) or x.shape[-1] != self.image_channels:
            raise ValueError(f"{type(self).__name__}: expected images (batch, height, width, {self.image_channels}), "
                             f"got shape {x.shape}")
        if self.one_hot:
            return (x == xp.arange(self.levels)).astype(self.dtype)
        return x.astype(self.dtype) * (2 / (self.levels - 1)) - 1


def softmax_over(levels, one_hot):
    """The likelihood of pixels, at most 256 levels, or of codes, at most 65,536."""
    return Categorical(levels, max_levels=2 ** 16 if one_hot else 256)


def start_small(layer):
    """Start a layer at a tenth of its size. If it makes logits, the first loss is near ln(levels) then."""
    for param in layer.params.values():
        param *= 0.1
