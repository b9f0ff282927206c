"""Layers as a user might write them, all of which keep the contract. Some are broken in broken_layers.py."""

import numpy as np

from tinyar.backend import to_device, xp
from tinyar.layer import Layer, Pointwise
from tinyar.layers import Chain, MaskedConv2d, ReLU
from tinyar.losses import softmax_cross_entropy
from tinyar.model import Model
from tinyar.models.autoregressive import AutoregressiveModel, softmax_over


class Scale(Pointwise):
    """y = w x, channel by channel."""

    def __init__(self):
        super().__init__()
        self.add_param("w", np.array([1.0, -2.0, 0.5]))

    def __call__(self, x):
        return x * self.params["w"]

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        self.grads["w"] += (x * dy).reshape(-1, 3).sum(axis=0)
        return dy * self.params["w"] if need_dx else None


class Above(Layer):
    """y at a pixel is x of the pixel above."""

    def __call__(self, x):
        y = xp.zeros_like(x)
        y[:, 1:] = x[:, :-1]
        return y

    def forward(self, x):
        return self(x)

    def backward(self, dy, need_dx=True):
        if not need_dx:
            return None
        dx = xp.zeros_like(dy)
        dx[:, :-1] = dy[:, 1:]
        return dx

    def start(self, batch, height, width):
        self.rows = xp.zeros((batch, 2, width, 3), dtype=self.dtype)

    def step(self, x, at):
        self.see(x, at)
        return self.rows[:, 1 - at[0] % 2, at[1]].copy()

    def see(self, x, at):
        self.rows[:, at[0] % 2, at[1]] = x


class Around(Layer):
    """A child, wherever `child` finds it."""

    def __call__(self, x):
        return self.child()(x)

    def forward(self, x):
        return self.child().forward(x)

    def backward(self, dy, need_dx=True):
        return self.child().backward(dy, need_dx)


class TwoWays(Layer):
    """y = first(x) + second(x), of layers that stay at their pixel."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Scale(), Scale()

    def __call__(self, x):
        return self.first(x) + self.second(x)

    def forward(self, x):
        return self.first.forward(x) + self.second.forward(x)

    def backward(self, dy, need_dx=True):
        dfirst, dsecond = self.first.backward(dy, need_dx), self.second.backward(dy, need_dx)
        return dfirst + dsecond if need_dx else None

    def step(self, x, at):
        return self.first.step(x, at) + self.second.step(x, at)

    def see(self, x, at):
        self.first.see(x, at)
        self.second.see(x, at)


class OwnChain(Chain):
    """A Chain by another name."""


class ByPlace(Layer):
    """y = x + p, with a parameter for every place: made for images of 4 x 5."""

    def __init__(self):
        super().__init__()
        self.add_param("p", np.linspace(-1, 1, 60).reshape(4, 5, 3))

    def __call__(self, x):
        return x + self.params["p"]

    def forward(self, x):
        self.cache = ()
        return self(x)

    def backward(self, dy, need_dx=True):
        self.take_cache()
        self.grads["p"] += dy.sum(axis=0)
        return dy if need_dx else None

    def step(self, x, at):
        return x + self.params["p"][at]

    def see(self, x, at):
        """Nothing to remember."""


class Tanh(Pointwise):
    def __call__(self, x):
        return xp.tanh(x)

    def forward(self, x):
        self.cache = self(x)
        return self.cache

    def backward(self, dy, need_dx=True):
        y = self.take_cache()
        return dy * (1 - y * y) if need_dx else None


class ShiftedSoftmax(Pointwise):
    """y = 10,000 softmax(x + b): one b for all channels, which changes nothing, so its gradient is 0."""

    def __init__(self):
        super().__init__()
        self.add_param("b", np.array([0.3]))

    def __call__(self, x):
        powers = xp.exp(x + self.params["b"])
        return 1e4 * powers / powers.sum(axis=-1, keepdims=True)

    def forward(self, x):
        self.cache = self(x)
        return self.cache

    def backward(self, dy, need_dx=True):
        y = self.take_cache()
        dx = y * (dy - (y * dy).sum(axis=-1, keepdims=True) / 1e4)
        self.grads["b"] += dx.sum()
        return dx if need_dx else None


class LeakyReLU(Pointwise):
    """Its kink is known by `sides`."""

    def __call__(self, x):
        return xp.where(x > 0, x, 0.1 * x)

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        return xp.where(x > 0, dy, 0.1 * dy) if need_dx else None

    def sides(self):
        return self.cache > 0


class Network(AutoregressiveModel):
    """A model of images around the layers that `make` makes."""

    def __init__(self, make, colors=1):
        super().__init__(softmax_over(3, False), colors, True)
        self.net = Chain(*make())


def masked(inputs, outputs, mask, colors=1, size=3):
    return MaskedConv2d(inputs, outputs, size, mask, colors, np.random.default_rng(0))


class WithConstants(Scale):
    """An array that is no parameter, a generator, a function, and lists without layers."""

    def __init__(self):
        super().__init__()
        self.table = to_device(np.arange(3), dtype=xp.float32)
        self.state["shift"] = xp.ones(3, dtype=xp.float32)
        self.rng = np.random.default_rng(0)
        self.half = lambda x: 0.5 * x
        self.sizes, self.names, self.options = (3, 4), [["a"], ["b"]], {"kind": ReLU, "size": 3}

    def __call__(self, x):
        return self.half(super().__call__(x)) + self.table + self.state["shift"]

    def backward(self, dy, need_dx=True):
        return super().backward(self.half(dy), need_dx)


class WithTuple(Around):
    def __init__(self):
        super().__init__()
        self.pair = (Chain(Scale(), Tanh()), "a text")

    def child(self):
        return self.pair[0]


class WithLaterList(WithTuple):
    def __init__(self):
        super().__init__()
        self.pair = []
        self.pair.append(Scale())


class MeanOfImage(Layer):
    """y (batch, channels), and a dx that can't be written into."""

    def __call__(self, x):
        return x.mean(axis=(1, 2))

    def forward(self, x):
        self.cache = x.shape
        return self(x)

    def backward(self, dy, need_dx=True):
        shape = self.take_cache()
        return xp.broadcast_to(dy[:, None, None] / (shape[1] * shape[2]), shape) if need_dx else None


class Unchanged(Pointwise):
    """y is x itself, not a copy, and dx is dy."""

    def __call__(self, x):
        return x

    def forward(self, x):
        return x

    def backward(self, dy, need_dx=True):
        return dy if need_dx else None


class Pair(Layer):
    """Two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Scale(), Scale()

    def __call__(self, u, v):
        return self.first(u), self.second(v)

    def forward(self, u, v):
        return self.first.forward(u), self.second.forward(v)

    def backward(self, dfirst, dsecond, need_dx=True):
        return self.first.backward(dfirst, need_dx), self.second.backward(dsecond, need_dx)


class Widen(Pointwise):
    """Three channels of one."""

    def __call__(self, x):
        return xp.concatenate([x, x, x], axis=-1)

    def forward(self, x):
        return self(x)

    def backward(self, dy, need_dx=True):
        return dy.sum(axis=-1, keepdims=True) if need_dx else None


class SumOfTwo(Layer):
    """Two inputs, one output."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Scale(), Scale()

    def __call__(self, u, v):
        return self.first(u) + self.second(v)

    def forward(self, u, v):
        return self.first.forward(u) + self.second.forward(v)

    def backward(self, dy, need_dx=True):
        return self.first.backward(dy, need_dx), self.second.backward(dy, need_dx)


class CountsLevels(Model):
    """How often each level stands at each place: logits that look at no image, an array that can't be written into."""

    def __init__(self):
        super().__init__()
        self.levels, self.image_channels = 3, 1
        self.add_param("z", np.linspace(-1, 1, 60).reshape(4, 5, 1, 3))

    def __call__(self, x):
        return xp.broadcast_to(self.params["z"], (len(x), 4, 5, 1, 3))

    def forward(self, x):
        self.cache = x.shape
        return self(x)

    def backward(self, dy, need_dx=True):
        shape = self.take_cache()
        self.grads["z"] += dy.sum(axis=0)
        return xp.zeros(shape, dtype=self.dtype) if need_dx else None

    def loss(self, outputs, x, weight=1.0):
        loss, doutputs = softmax_cross_entropy(outputs, x)
        return loss * weight, doutputs * weight


class LargeLoss(CountsLevels):
    """Beside the constant in its loss the differences that prove its gradient are small."""

    def loss(self, outputs, x, weight=1.0):
        loss, doutputs = super().loss(outputs, x, weight)
        return loss + 1e5 * weight, doutputs
