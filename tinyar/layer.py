"""The contract that every layer and every model of tinyar keeps, and the two ways of putting layers together.

A layer has two modes and no switch between them:

    y = layer(x)              inference: the formula, nothing kept, nothing random
    y = layer.forward(x)      training: the same formula, and layer.cache keeps just what backward reads
    dx = layer.backward(dy)   adds d loss / d param into layer.grads, returns d loss / d x; uses the cache up

and causal ones (all that may stand in an autoregressive model) a third entrance, to draw an image pixel by pixel:

    layer.start(batch, height, width)   forget everything; empty images of this size come next
    y = layer.step(x, at)               the output at the one pixel at = (row, col); x is the input there
    layer.see(x, at)                    remember x at a pixel without computing anything

Steps go through the raster, row by row, left to right. A step looks at the pixel itself, where the layer may, and
at what earlier steps saw; it may be repeated at the same pixel with another x, and the last x counts. That is how
a pixel is drawn: step while it is unknown, draw, and let the network `see` what was drawn.

In training nobody asks for the gradient of the image, and it is costly. Layers that may read the data (convolutions,
Linear, Chain, the models) therefore take `backward(dy, need_dx=False)`, which leaves it out and returns None.

Models may know something of an image besides its pixels: its class, a map. `model(x, condition)`,
`model.forward(x, condition)` and `model.start(..., condition)` pass it to all their layers by `layer.given(condition)`,
before anything is computed; the layers that use it (`tinyar.layers.Conditional`) hold it until the next one comes.

Some layers also learn without a gradient (a codebook by running means). Their arrays are in layer.state, which no
optimizer touches; forward adds what it sees to layer.sums, which live and are reset with the gradients, and once a
batch, after the optimizer, `layer.update()` moves the state by them. So it doesn't matter how a batch is cut up over
threads. Before that, a model may have something to say of the batch besides its loss: `model.note()`, a few words
for the progress bar.

Arrays are channels-last: images (batch, height, width, channels), features of one pixel (batch, channels).
`dx` is d loss / d x and has the shape of x, always. backward never writes into dy, nor forward into x: both may
belong to others.
"""

import copy

from tinyar.backend import to_device, xp


class Layer:
    """Base of all layers: parameters, their gradients, states, the cache,
    and everything that walks over the tree of layers.

    A subclass fills `self.params` with `add_param` and sets its children as attributes (a Layer, or a list of Layers),
    all in __init__; it writes `__call__`, `forward` and `backward`, and `step` if it is causal.
    """

    # training batches are cut into pieces of at least this, if every thread gets one (tinyar.parallel)
    least_images = 2

    def __init__(self):
        self.params = {}
        self.grads = {}
        self.state = {}
        self.sums = {}
        self.cache = None

    def add_param(self, name, value):
        """Register a parameter, float32, with a zero gradient of the same shape beside it."""
        self.params[name] = to_device(value, dtype=xp.float32)
        self.grads[name] = xp.zeros_like(self.params[name])

    # -- the three entrances -------------------------------------------------------------------------------------------

    def __call__(self, x):
        raise TypeError(f"{type(self).__name__} has no inference call")

    def forward(self, x):
        raise TypeError(f"{type(self).__name__} has no forward")

    def backward(self, dy):
        raise TypeError(f"{type(self).__name__} has no backward")

    def start(self, batch, height, width):
        """Forget every pixel: `batch` empty images of height x width come next."""
        for _, child in self.children():
            child.start(batch, height, width)

    def step(self, x, at):
        """The output (batch, channels) at the pixel at = (row, col), x being the input there."""
        raise TypeError(f"{type(self).__name__} isn't causal: it has no step, so nothing can be drawn through it")

    def see(self, x, at):
        """Remember that the input at the pixel at = (row, col) is x."""
        raise TypeError(f"{type(self).__name__} isn't causal: it can't see pixels one by one")

    def take_cache(self):
        """What forward kept, handed over once: backward calls this first."""
        if self.cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward without a forward before it: "
                               "every backward uses up what one forward kept, so call forward(x) first")
        cache, self.cache = self.cache, None
        return cache

    def given(self, condition):
        """Tell the tree what the next images are conditioned on:
        (batch, 1 or height, 1 or width, channels), or None for nothing.
        """
        for _, child in self.children():
            child.given(condition)

    # -- the tree ------------------------------------------------------------------------------------------------------

    def children(self):
        """Yield (name, layer) for every attribute that is a layer, or a list of layers, in the order of __init__."""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value
            elif isinstance(value, list) and value and isinstance(value[0], Layer):
                yield from ((f"{name}.{i}", child) for i, child in enumerate(value))

    def layers(self, prefix=""):
        """Yield (dotted name, layer) over the whole tree, this layer first (its name is the empty string)."""
        yield prefix.rstrip("."), self
        for name, child in self.children():
            yield from child.layers(f"{prefix}{name}.")

    def parameters(self):
        """Yield (dotted name, param, grad) over the whole tree, always in the same order."""
        for path, layer in self.layers():
            for name, param in layer.params.items():
                yield (f"{path}.{name}" if path else name), param, layer.grads[name]

    def arrays(self):
        """Yield (dotted name, array) of all that makes up the layer: parameters, and states that no optimizer moves."""
        for path, layer in self.layers():
            for name, array in (*layer.params.items(), *layer.state.items()):
                yield (f"{path}.{name}" if path else name), array

    def add_from(self, replica):
        """Add the gradients and the sums of a replica to one's own."""
        for (_, mine), (_, theirs) in zip(self.layers(), replica.layers()):
            for ours, addends in ((mine.grads, theirs.grads), (mine.sums, theirs.sums)):
                for name in ours:
                    ours[name] += addends[name]

    @property
    def dtype(self):
        """The number type of the parameters: what the layer computes in."""
        return next((param.dtype for _, param, _ in self.parameters()), xp.dtype(xp.float32))

    def count_parameters(self):
        """How many numbers training can move."""
        return sum(param.size for _, param, _ in self.parameters())

    def zero_grads(self):
        """Set every gradient and every sum of the tree to zero, in place."""
        for _, layer in self.layers():
            for array in (*layer.grads.values(), *layer.sums.values()):
                array[...] = 0

    def prepare(self, images):
        """Look at the training images once, before training begins; most layers have nothing to do here."""

    def note(self):
        """What there is to tell of the last batch, whose sums are still there, beside its loss: nothing, by default."""
        return ""

    def update(self):
        """Move the states of the tree by the sums of the batch."""
        for _, child in self.children():
            child.update()

    def astype(self, dtype):
        """Cast all parameters, gradients, states and sums to dtype, in place; returns the layer.
        Replicas made before don't follow.
        """
        for _, layer in self.layers():
            for arrays in (layer.params, layer.grads, layer.state, layer.sums):
                for name in arrays:
                    arrays[name] = arrays[name].astype(dtype)
        return self

    def replica(self):
        """A twin that shares parameters and states but has gradients, sums, caches and memories of its own:
        one for each thread.
        """
        twin = copy.copy(self)
        twin.cache = None
        twin.params, twin.state = dict(self.params), dict(self.state)
        twin.grads = {name: xp.zeros_like(param) for name, param in self.params.items()}
        twin.sums = {name: xp.zeros_like(array) for name, array in self.sums.items()}
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                setattr(twin, name, value.replica())
            elif isinstance(value, list) and value and isinstance(value[0], Layer):
                setattr(twin, name, [child.replica() for child in value])
        return twin


class Pointwise(Layer):
    """A layer that treats every pixel for itself, so that a step is the same formula on one pixel."""

    def step(self, x, at):
        return self(x)

    def see(self, x, at):
        """Nothing to remember."""


class Chain(Layer):
    """y = last(... second(first(x)))."""

    def __init__(self, *links):
        super().__init__()
        self.links = list(links)

    def __call__(self, x):
        for link in self.links:
            x = link(x)
        return x

    def forward(self, x):
        for link in self.links:
            x = link.forward(x)
        return x

    def backward(self, dy, need_dx=True):
        for link in reversed(self.links[1:]):
            dy = link.backward(dy)
        if not self.links:
            return dy
        return self.links[0].backward(dy) if need_dx else self.links[0].backward(dy, need_dx=False)

    def step(self, x, at):
        for link in self.links:
            x = link.step(x, at)
        return x

    def see(self, x, at):
        for link in self.links[:1]:
            link.see(x, at)


class Residual(Layer):
    """y = x + body(x), so dx = dy + (the body's backward of dy): the gradient has a way around the body."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def __call__(self, x):
        return x + self.body(x)

    def forward(self, x):
        return x + self.body.forward(x)

    def backward(self, dy):
        return dy + self.body.backward(dy)

    def step(self, x, at):
        return x + self.body.step(x, at)


class Sum(Layer):
    """y = first(x) + second(x) + ...: layers side by side, so dx is the sum of their gradients."""

    def __init__(self, *terms):
        super().__init__()
        self.terms = list(terms)

    def __call__(self, x):
        return sum(term(x) for term in self.terms)

    def forward(self, x):
        return sum(term.forward(x) for term in self.terms)

    def backward(self, dy, need_dx=True):
        gradients = [term.backward(dy, need_dx) for term in self.terms]
        return sum(gradients) if need_dx else None

    def step(self, x, at):
        return sum(term.step(x, at) for term in self.terms)

    def see(self, x, at):
        for term in self.terms:
            term.see(x, at)
