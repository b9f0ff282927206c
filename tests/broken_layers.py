"""Layers as a user might write them by mistake, each of which breaks one rule of the contract."""

import collections
import functools

import numpy as np

from right_layers import Above, Around, Scale, Tanh

from tinyar.backend import to_device, xp
from tinyar.layer import Layer, Pointwise
from tinyar.layers import Chain, ColorLinear, Linear


class NextPixel(Above):
    """y at a pixel is x of the next pixel in its row."""

    def __call__(self, x):
        y = xp.zeros_like(x)
        y[:, :, :-1] = x[:, :, 1:]
        return y

    def backward(self, dy, need_dx=True):
        dx = xp.zeros_like(dy)
        dx[:, :, 1:] = dy[:, :, :-1]
        return dx if need_dx else None


class WrongStep(Scale):
    def step(self, x, at):
        return 2 * self(x)


class StepOfOneImage(Scale):
    def step(self, x, at):
        return self(x)[:1]


class Appends(Layer):
    """The sum of the row so far."""

    def __call__(self, x):
        return x.cumsum(axis=2)

    def forward(self, x):
        return self(x)

    def backward(self, dy, need_dx=True):
        return dy[:, :, ::-1].cumsum(axis=2)[:, :, ::-1] if need_dx else None

    def start(self, batch, height, width):
        self.row = []

    def step(self, x, at):
        if at[1] == 0:
            self.row = []
        self.row.append(x)
        return sum(self.row)

    def see(self, x, at):
        """Known by the step already."""


class Rolls(Above):
    """A queue of the last row's pixels: each step takes one out and puts one in."""

    def start(self, batch, height, width):
        self.queue = xp.zeros((batch, width, 3), dtype=self.dtype)

    def step(self, x, at):
        y = self.queue[:, 0].copy()
        self.queue = xp.concatenate([self.queue[:, 1:], x[:, None]], axis=1)
        return y

    def see(self, x, at):
        self.queue[:, -1] = x


class KeepsOldRows(Above):
    rows = None

    def start(self, batch, height, width):
        if self.rows is None or self.rows.shape != (batch, 2, width, 3):
            super().start(batch, height, width)


class NoNeedDx(Scale):
    def backward(self, dy):
        return super().backward(dy)


class IgnoresNeedDx(Scale):
    def backward(self, dy, need_dx=True):
        return super().backward(dy)


class LeavesTooEarly(Scale):
    def backward(self, dy, need_dx=True):
        if not need_dx:
            self.take_cache()
            return None
        return super().backward(dy)


class Assigns(Scale):
    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        self.grads["w"] = (x * dy).reshape(-1, 3).sum(axis=0)
        return dy * self.params["w"] if need_dx else None


class WritesX(Scale):
    def forward(self, x):
        self.cache = x.copy()
        x *= self.params["w"]
        return x


class WritesXInInference(Scale):
    def __call__(self, x):
        x *= self.params["w"]
        return x

    def forward(self, x):
        self.cache = x.copy()
        return x * self.params["w"]


class WritesXInBackward(Scale):
    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        x *= dy
        self.grads["w"] += x.reshape(-1, 3).sum(axis=0)
        return dy * self.params["w"] if need_dx else None


class WritesDy(Scale):
    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        self.grads["w"] += (x * dy).reshape(-1, 3).sum(axis=0)
        dy *= self.params["w"]
        return dy if need_dx else None


class HidesInDict(Around):
    def __init__(self):
        super().__init__()
        self.parts = {}
        self.parts["scale"] = Scale()

    def child(self):
        return self.parts["scale"]


class HidesInNestedList(Around):
    def __init__(self):
        super().__init__()
        self.parts = []
        self.parts.append([Scale()])

    def child(self):
        return self.parts[0][0]


class Holder:
    def __init__(self, content):
        self.content = content


class HidesInObject(Around):
    def __init__(self):
        super().__init__()
        self.holder = Holder([Scale()])

    def child(self):
        return self.holder.content[0]


class StandsTwice(Around):
    def __init__(self):
        super().__init__()
        self.one = self.other = Scale()

    def child(self):
        return self.one


class NoGradient(Scale):
    def __init__(self):
        super().__init__()
        self.params["v"] = xp.ones(3, dtype=xp.float32)


class CacheOfTheClass(Scale):
    kept = None

    def forward(self, x):
        CacheOfTheClass.kept = x
        return self(x)

    def backward(self, dy, need_dx=True):
        self.cache, CacheOfTheClass.kept = CacheOfTheClass.kept, None
        return super().backward(dy, need_dx)


class CacheInList(Scale):
    def __init__(self):
        super().__init__()
        self.kept = [None]

    def forward(self, x):
        self.kept[0] = x
        return self(x)

    def backward(self, dy, need_dx=True):
        self.cache, self.kept[0] = self.kept[0], None
        return super().backward(dy, need_dx)


class LeavesCache(Scale):
    def backward(self, dy, need_dx=True):
        x = self.cache
        self.grads["w"] += (x * dy).reshape(-1, 3).sum(axis=0)
        return dy * self.params["w"] if need_dx else None


class CopiesParams(Scale):
    def replica(self):
        return super().replica().astype(self.dtype)


class SharesGrads(Scale):
    def replica(self):
        twin = super().replica()
        twin.grads = self.grads
        return twin


class SharesChild(Chain):
    def replica(self):
        twin = super().replica()
        twin.links = self.links
        return twin


class OtherShape(Scale):
    def __call__(self, x):
        return super().__call__(x)[..., :2]

    def forward(self, x):
        self.cache = x
        return super().__call__(x)


class OneGradientOfTwo(Layer):
    def __call__(self, x, z):
        return x + z

    def forward(self, x, z):
        self.cache = x
        return x + z

    def backward(self, dy, need_dx=True):
        self.take_cache()
        return (dy,) if need_dx else None


class TupleOfOne(Scale):
    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        return (dx,) if need_dx else None


class KeepsInInference(Scale):
    def __call__(self, x):
        self.cache = x
        return x * self.params["w"]


class OtherForward(Scale):
    def forward(self, x):
        self.cache = x
        return self(x) + 1e-3


class Float64(Scale):
    def __call__(self, x):
        return super().__call__(x) * np.sqrt(2.0)

    def backward(self, dy, need_dx=True):
        return super().backward(dy * np.sqrt(2.0), need_dx)


class MixesImages(Scale):
    """Takes the mean of the batch away."""

    def forward(self, x):
        self.cache = x - x.mean(axis=0)
        return self(x)

    def __call__(self, x):
        return super().__call__(x - x.mean(axis=0))

    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        return dx - dx.mean(axis=0) if need_dx else None


class WrongDx(Scale):
    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        return 1.0001 * dx if need_dx else None


class WrongInOnePlace(Linear):
    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        self.grads["w"][1, 2] *= 1.001
        return dx


class ForgetsBias(Linear):
    def backward(self, dy, need_dx=True):
        before = self.grads["b"].copy()
        dx = super().backward(dy, need_dx)
        self.grads["b"][...] = before
        return dx


class WrongShape(Scale):
    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        self.grads["w"] = (x * dy).sum(axis=0)  # one gradient for each pixel
        return dy * self.params["w"] if need_dx else None


class WrongShapeOfDx(Scale):
    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        return dx.sum(axis=3) if need_dx else None


class SendsBack(ColorLinear):
    """Sends gradients to colours that it hasn't read."""

    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        return dx + 0.01 * dy if need_dx else None


class KeepsRowsOfSameSize(Above):
    size = None

    def start(self, batch, height, width):
        if self.size != (batch, height, width):
            super().start(batch, height, width)
        self.size = batch, height, width


class KeepsTheFirstMemory(Above):
    def start(self, batch, height, width):
        if not hasattr(self, "started_once"):
            super().start(batch, height, width)
        self.started_once = True


class WrongRow(Scale):
    def step_row(self, x, row):
        return (1 + row) * self(x)


class ForgetsX(Above):
    """Its step leaves it to see to remember x."""

    def step(self, x, at):
        return self.rows[:, 1 - at[0] % 2, at[1]].copy()


class Blind(Above):
    """Only steps write its memory."""

    def step(self, x, at):
        super().see(x, at)
        return super().step(x, at)

    def see(self, x, at):
        """Forgotten."""


class WritesXInStep(Scale):
    def step(self, x, at):
        x *= self.params["w"]
        return x


class NoStep(Scale):
    step = Layer.step


class AssignsWithoutDx(Scale):
    def backward(self, dy, need_dx=True):
        if not need_dx:
            self.grads["w"][...] = 0
        return super().backward(dy, need_dx)


class WritesDyWithoutDx(Scale):
    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        if not need_dx:
            dy *= 2
        return dx


class MasksWeights(Scale):
    def __init__(self):
        super().__init__()
        self.mask = to_device(np.array([1, 0, 1]), dtype=xp.float32)

    def __call__(self, x):
        self.params["w"] *= self.mask
        return super().__call__(x)

    def backward(self, dy, need_dx=True):
        return super().backward(dy * self.mask, need_dx)


class MovesState(Scale):
    def __init__(self):
        super().__init__()
        self.state["mean"] = xp.zeros(3, dtype=xp.float32)

    def forward(self, x):
        self.state["mean"] *= 0.9
        self.state["mean"] += 0.1 * x.mean(axis=(0, 1, 2))
        return super().forward(x)


class WithSums(Scale):
    def __init__(self):
        super().__init__()
        self.sums["total"] = xp.zeros(3, dtype=xp.float32)

    def forward(self, x):
        self.sums["total"] += x.sum(axis=(0, 1, 2))
        return super().forward(x)


class SumsInInference(WithSums):
    def __call__(self, x):
        self.sums["total"] += x.sum(axis=(0, 1, 2))
        return super().__call__(x)


class SharesSums(WithSums):
    def replica(self):
        twin = super().replica()
        twin.sums = self.sums
        return twin


class Slots:
    __slots__ = ["content"]

    def __init__(self, content):
        self.content = content


WAYS = [lambda layer: collections.deque([layer]), lambda layer: lambda x: layer(x), lambda layer: layer.forward,
        lambda layer: functools.partial(layer), lambda layer: frozenset([layer]), Slots]


class Hides(Scale):
    """A second layer, which is used somewhere."""

    def __init__(self, way):
        super().__init__()
        hidden = way(Scale())
        vars(self)["hidden"] = hidden  # a frozenset can't be set


class HidesInClass(Scale):
    scale = Scale()


class NoInit(Scale):
    def __init__(self):
        self.size = 3


class TanhLeavesCache(Tanh):
    def backward(self, dy, need_dx=True):
        return dy * (1 - self.cache ** 2) if need_dx else None


class TanhInList(Tanh):
    def __init__(self):
        super().__init__()
        self.kept = [None]

    def forward(self, x):
        self.kept[0] = self(x)
        return self.kept[0]

    def backward(self, dy, need_dx=True):
        return dy * (1 - self.kept[0] ** 2) if need_dx else None


class Float64InInference(Scale):
    def __call__(self, x):
        return super().__call__(x) * np.float64(1.0)

    def forward(self, x):
        self.cache = x
        return x * self.params["w"]


class Float64InBackward(Scale):
    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        return dx * np.float64(1.0) if need_dx else None


class Backwards(NextPixel):
    """Turns each row round, as a view of x."""

    def __call__(self, x):
        return x[:, :, ::-1]

    def backward(self, dy, need_dx=True):
        return dy[:, :, ::-1] if need_dx else None


class OtherNames(Scale):
    """An array of the layer under a second name."""

    def __init__(self):
        super().__init__()
        self.w, self.dw = self.params["w"], self.grads["w"]

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        self.dw -= 7 * (x * dy).reshape(-1, 3).sum(axis=0)
        return dy * self.w if need_dx else None


class StateOfIntegers(Scale):
    def __init__(self):
        super().__init__()
        self.state["seen"] = xp.zeros(1, dtype=xp.int64)


class StateNamedLikeAParam(Scale):
    def __init__(self):
        super().__init__()
        self.state["w"] = xp.ones(3, dtype=xp.float32)


class KeepsUpdateToItself(Chain):
    def update(self):
        """The links aren't updated."""


class UpdateFails(Scale):
    def update(self):
        self.state["n"][...] = 1
