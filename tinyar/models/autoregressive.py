"""What all autoregressive image models have in common, whatever network they are made of.

    p(image | condition) = product over pixels i, in raster order, of p(x_i | x_1 ... x_(i-1), condition)

and in colour each factor is split again, p(R | past) p(G | past, R) p(B | past, R, G). Every sub-pixel is one of
`levels` values, by a softmax over as many logits. A model of this family is a network, `self.net`, from the scaled
image to the logits of every sub-pixel, in which nothing depends on its own pixel or on later ones. In training all
true pixels are known, so a single forward pass gives all factors. Drawing is sequential (`tinyar.sampling`).
"""

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.conditional import Conditional
from tinyar.layers.conv import conv1x1
from tinyar.likelihoods import Categorical
from tinyar.losses import bits_per_dim

NO_LABEL = -1  # the label of an image whose class isn't told


class AutoregressiveModel(Layer):
    """logits = net(2 x / (levels - 1) - 1), given a condition: the base of the models;
    a subclass builds self.net and self.config.

    x (batch, height, width, image_channels), integers 0 .. levels - 1, of any height and width;
    logits (batch, height, width, image_channels, levels). backward returns the gradient by x as if its levels were
    real numbers.

    With `one_hot` the pixels are codes (`tinyar.codes`), numbers without an order: the network sees the one-hot vector
    of each, and x may also be such vectors (..., levels) themselves, by which backward then returns the gradient.

    With `ordered_colors` (for more than one image channel) a colour of a pixel may depend on those before it in the
    order R, G, B; without, all colours of a pixel are independent of each other, given the earlier pixels.

    The condition is an array (batch, 1 or height, 1 or width, classes + map_channels), made by `condition`: the
    one-hot vector of a class, and beside it a map. None, or zeros, say nothing of the image. Raises ValueError for
    options that don't fit together.
    """

    published_options = {}

    def __init__(self, levels, image_channels, ordered_colors, one_hot=False, classes=0, map_channels=0):
        super().__init__()
        name = type(self).__name__
        if one_hot and image_channels != 1:
            raise ValueError(f"{name}: one_hot is for grids of codes, of one channel, "
                             f"got image_channels={image_channels}")
        for option, value in (("classes", classes), ("map_channels", map_channels)):
            if not isinstance(value, (int, np.integer)) or value < 0:
                raise ValueError(f"{name}: {option} is a whole number of at least 0, got {value!r}")
        self.likelihood = Categorical(levels, most=2 ** 16 if one_hot else 256)
        self.levels, self.image_channels, self.one_hot = self.likelihood.levels, image_channels, one_hot
        self.classes, self.map_channels, self.condition_channels = classes, map_channels, classes + map_channels
        self.unit = "bits/code" if one_hot else "bits/dim"
        self.colors = image_channels if ordered_colors else 1
        # Which sub-pixels of a pixel are drawn from one step: each colour by itself, or all at once.
        self.color_passes = ([slice(c, c + 1) for c in range(self.colors)] if self.colors > 1
                             else [slice(0, image_channels)])
        self.inputs, self.outputs = (levels if one_hot else image_channels,
                                     image_channels * self.likelihood.outputs_per_subpixel)

    @classmethod
    def published(cls, name, **changes):
        """A published configuration of the model by its name, with some options changed.
        Raises ValueError for another name.
        """
        if name not in cls.published_options:
            raise ValueError(f"{cls.__name__}: no published configuration {name!r}; "
                             f"there are {', '.join(cls.published_options)}")
        return cls(**{**cls.published_options[name], **changes})

    def head(self, channels, widths, activation, rng):
        """The last layers, a list: activation, 1x1 convolution for each of the widths,
        then activation, 1x1 to the logits.
        """
        links, widths = [], [channels, *widths, self.outputs]
        for inputs, outputs in zip(widths, widths[1:]):
            links += [activation(), conv1x1(inputs, outputs, self.colors, rng)]
        start_small(links[-1])
        return links

    # -- the condition -------------------------------------------------------------------------------------------------

    def condition(self, n, labels=None, maps=None):
        """The condition of n images as the network takes it:
        float32 (n, 1 or height, 1 or width, condition_channels), on the host.

        labels   one class for all, or (n,): whole numbers 0 .. classes - 1, or NO_LABEL = -1 for an image of
                 an unknown class; None if none is known
        maps     (n, height, width, map_channels), or (n, 1, 1, map_channels) for a vector
        Returns None for a model without conditions. Raises ValueError for what doesn't fit the model.
        """
        name, parts = type(self).__name__, []
        if labels is not None and not self.classes:
            raise ValueError(f"{name}: labels were given, but this model is not conditioned on classes (classes=0)")
        if maps is not None and not self.map_channels:
            raise ValueError(f"{name}: maps were given, but this model is not conditioned on maps (map_channels=0)")
        if maps is None and self.map_channels:
            raise ValueError(f"{name}: this model is conditioned on maps of {self.map_channels} channels, got none")
        if self.classes:
            labels = checked_labels(n, NO_LABEL if labels is None else labels, self.classes)
            parts.append((labels[:, None] == np.arange(self.classes)).astype(np.float32).reshape(n, 1, 1, self.classes))
        if self.map_channels:
            maps = np.asarray(maps, dtype=np.float32)
            if maps.ndim != 4 or maps.shape[0] != n or maps.shape[3] != self.map_channels:
                raise ValueError(f"{name}: maps: expected shape ({n}, height, width, {self.map_channels}), "
                                 f"got {maps.shape}")
            parts.append(maps)
        sides = maps.shape[1:3] if self.map_channels else (1, 1)
        return np.concatenate(
            [np.broadcast_to(part, (n, *sides, part.shape[3])) for part in parts], axis=3) if parts else None

    def tell(self, condition, batch, height, width):
        """Hand the condition of the next images to all layers.
        Raises ValueError if it isn't one of images of this size.
        """
        if condition is not None:
            name, shape = type(self).__name__, condition.shape
            if len(shape) != 4 or shape[3] != self.condition_channels or not self.condition_channels:
                raise ValueError(f"{name}: expected a condition (batch, 1 or height, 1 or width, "
                                 f"{self.condition_channels}), got shape {shape}")
            if shape[0] != batch or shape[1] not in (1, height) or shape[2] not in (1, width):
                raise ValueError(f"{name}: the condition of {shape[0]} images, shape {shape}, "
                                 f"doesn't fit {batch} images of {height} x {width}")
        self.given(condition)

    def condition_gradient(self):
        """d loss / d condition, after a backward: the sum of what reached it in every layer.
        None if there was no condition.
        """
        gradients = [layer.condition_gradient for _, layer in self.layers()
                     if isinstance(layer, Conditional) and layer.condition_gradient is not None]
        return sum(gradients) if gradients else None

    # -- training ------------------------------------------------------------------------------------------------------

    def __call__(self, x, condition=None):
        scaled = self.scale(x)
        self.tell(condition, *scaled.shape[:3])
        return self.logits(self.net(scaled))

    def forward(self, x, condition=None):
        scaled = self.scale(x)
        self.tell(condition, *scaled.shape[:3])
        return self.logits(self.net.forward(scaled))

    def backward(self, dlogits, need_dx=True):
        dnet = dlogits.reshape(*dlogits.shape[:-2], -1)
        dscaled = self.net.backward(dnet, need_dx)
        if not need_dx or self.one_hot:
            return dscaled
        return dscaled * (2 / (self.levels - 1))

    def loss(self, logits, x, weight=1.0):
        """The mean nats per sub-pixel of the images x, and its gradient by the logits;
        both times weight, x's share of a batch.
        """
        loss, dlogits = self.likelihood.loss(logits, x)
        dlogits *= weight
        return loss * weight, dlogits

    def score(self, x, condition=None):
        """The nats of the images x, summed over sub-pixels, by inference alone."""
        return self.likelihood.nats(self(x, condition), x).sum(dtype=xp.float64)

    def figure(self, loss):
        """A mean loss as it is reported, in self.unit."""
        return bits_per_dim(loss)

    # -- drawing -------------------------------------------------------------------------------------------------------

    def start(self, batch, height, width, condition=None):
        self.tell(condition, batch, height, width)
        super().start(batch, height, width)

    def step(self, x, at):
        """The logits (batch, image_channels, levels) at one pixel; x (batch, image_channels),
        of which only earlier colours count.
        """
        return self.logits(self.net.step(self.scale(x), at))

    def see(self, x, at):
        self.net.see(self.scale(x), at)

    # -- shapes --------------------------------------------------------------------------------------------------------

    def scale(self, x):
        """Levels 0 .. levels - 1 as numbers from -1 to 1,
        so that the zeros around the image are a colour of their own; or one-hot.
        """
        if self.one_hot and x.shape[-1] == self.levels:
            return x.astype(self.dtype)
        if x.ndim not in (2, 4) or x.shape[-1] != self.image_channels:
            raise ValueError(f"{type(self).__name__}: expected images (batch, height, width, {self.image_channels}), "
                             f"got shape {x.shape}")
        if self.one_hot:
            return (x == xp.arange(self.levels)).astype(self.dtype)
        return x.astype(self.dtype) * (2 / (self.levels - 1)) - 1

    def logits(self, features):
        """(..., image_channels * levels) as (..., image_channels, levels)."""
        return features.reshape(*features.shape[:-1], self.image_channels, self.levels)


def start_small(layer):
    """Start the weights of the layer that makes the logits at a tenth of their size:
    the first loss is near ln(levels) then.
    """
    for param in layer.params.values():
        param *= 0.1


def check_kernel(model, option):
    """Raise ValueError unless the kernel size is odd and at least 3, so that it has a centre and looks beyond it."""
    size = model.config[option]
    if not isinstance(size, (int, np.integer)) or size < 3 or size % 2 == 0:
        raise ValueError(f"{type(model).__name__}: {option} must be odd and at least 3, got {size!r}")


def whole_numbers(option, values):
    """The values of an option that takes several, as a list; a ValueError unless all are whole and at least 1."""
    found = list(values) if np.iterable(values) else [None]
    if not all(isinstance(value, (int, np.integer)) and value >= 1 for value in found):
        raise ValueError(f"{option}: expected a list of whole numbers of at least 1, got {values!r}")
    return [int(value) for value in found]


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
