"""The contract that every layer of tinyar keeps.

A layer has two modes and no switch between them:

    y = layer(x)                            inference: the formula, nothing kept, nothing random
    y = layer.forward(x)                    training: the same formula; layer.cache keeps just what backward reads
    dx = layer.backward(dy, need_dx=True)   adds d loss / d param into layer.grads, returns d loss / d x

Arrays are those of `tinyar.backend.xp`, channels-last: images (batch, height, width, channels), features of one pixel
(batch, channels). They have the number type of the parameters (`self.dtype`).

Backward. dx has the shape of x. Gradients are added (+=), since one layer may serve several micro-batches before an
optimizer steps. A backward begins with `take_cache`, which uses up what one forward kept (keep x itself, not a copy).
With need_dx=False it returns None (or several): nobody asks for the gradient of the image, and it is costly. forward
never writes into x, nor backward into dy.

Kinks. A layer that isn't smooth (ReLU) says on which side of its kink each number stands: `sides`. Finite differences
mean nothing across a kink, so tinyar.gradcheck keeps to one side.

Drawing. Layers that may stand in an autoregressive model are causal: y at a pixel depends on x at earlier pixels in
raster order, and, where the layer is made so, on x at the pixel itself. They have a third entrance, pixel by pixel:

    layer.start(batch, height, width)   forget everything; empty images of this size come next
    y = layer.step(x, at)               the output at the pixel at = (row, col); x (batch, channels) is the input there
    layer.see(x, at)                    the input at this pixel is known to be x; there is no output

Steps go through the raster, row by row, left to right. In each a layer with a memory writes x into it. A step
may be repeated at a pixel with another x, and the last one counts. So memory is made in start (with super().start
for the children) and written by position: nothing is appended, rolled or popped. To draw a pixel the sampler steps,
draws a level, and calls `see` with it. That reaches the layers that read the image, and the keys and values of
attention. Later layers need no `see`: their x at a pixel depends on earlier pixels and on earlier colours of this one,
and the last step had those. A stream that looks right in its own row (the vertical one of Gated PixelCNN) is drawn row
by row instead:

    layer.see_row(x, row)               the inputs of a whole row are known to be x (batch, width, channels)
    y = layer.output_row(row)           the outputs of a row, from the rows seen
    y = layer.step_row(x, row)          both at once

States. Some layers learn without a gradient too (a codebook by running means). Their arrays are in layer.state, which
no optimizer touches. forward adds what it sees to layer.sums, which are set to zero with the gradients. Once a batch,
after the optimizer, `layer.update()` moves the states by the sums, in place, since replicas share them. So it doesn't
matter how a batch is cut up over threads (but for codes that a quantizer revives, from what one replica saw). States
are floats like parameters, and `update` calls super().update() for the children.

The tree. Children are attributes of a layer: a Layer, or a list or tuple of Layers. Parameters have dotted names, the
path through the tree. All of this is checked for any layer, your own too, by `tinyar.gradcheck.check_layer`.
"""

import copy

from tinyar.backend import counted, to_device, xp


class Layer:
    """Base of all layers: parameters, gradients, states, the cache, and all that walks over the tree of layers.

    A subclass fills `self.params` with `add_param` and sets its children, all in __init__. It writes `__call__`,
    `forward` and `backward`, and `step` and `see` (with `start`, if it remembers) where it is causal.
    """

    def __init__(self):
        self.params = {}
        self.grads = {}
        self.state = {}
        self.sums = {}
        self.cache = None
        self.cast_to = xp.dtype(xp.float32)

    def __setattr__(self, name, value):
        """Set an attribute; a TypeError for a value in a method's place, and for layers that the tree would miss."""
        if callable(getattr(type(self), name, None)) and (isinstance(value, Layer) or not callable(value)):
            raise TypeError(f"{type(self).__name__}.{name} is a method; choose another name for this attribute")
        if isinstance(value, (dict, set, list, tuple)):
            nested = value if isinstance(value, (list, tuple)) else (value,)
            if any(holds_layers(item) for item in nested if not isinstance(item, Layer)):
                raise TypeError(f"{type(self).__name__}.{name}: a {type(value).__name__} hides the layers in it from "
                                "the tree, so they would not be trained; expected a layer, or a flat list or tuple")
        super().__setattr__(name, value)

    def add_param(self, name, value):
        """Register a parameter, float32, with a zero gradient of the same shape beside it."""
        self.params[name] = counted(to_device(value, dtype=xp.float32).copy())  # counted, against damaged files
        self.grads[name] = xp.zeros_like(self.params[name])

    # -- the three entrances -------------------------------------------------------------------------------------------

    def __call__(self, x):
        raise TypeError(f"{type(self).__name__} has no inference call")

    def forward(self, x):
        raise TypeError(f"{type(self).__name__} has no forward")

    def backward(self, dy, need_dx=True):
        raise TypeError(f"{type(self).__name__} has no backward")

    def start(self, batch, height, width):
        """Forget every pixel: `batch` empty images of height x width come next."""
        for _, child in self.children():
            child.start(batch, height, width)

    def step(self, x, at):
        """The output (batch, channels) at the one pixel at = (row, col); x is the input there."""
        raise TypeError(f"{type(self).__name__} isn't causal: it has no step, so nothing can be drawn through it")

    def see(self, x, at):
        """Remember that the input at the pixel at = (row, col) is x."""
        raise TypeError(f"{type(self).__name__} isn't causal: it can't see pixels one by one")

    def take_cache(self):
        """What forward kept, handed over once: backward calls this first."""
        if self.cache is None:
            raise RuntimeError(f"{type(self).__name__}.backward found no cache: forward(x) sets self.cache, and every "
                               "backward uses it up, so call forward first")
        cache, self.cache = self.cache, None
        return cache

    def sides(self):
        """On which side of its kink each number of the last forward is: an array, or None. Asked before backward."""

    # -- the tree ------------------------------------------------------------------------------------------------------

    def children(self):
        """Yield (name, layer) for every attribute that is a layer, or a list or tuple with layers in it, in order."""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value
            elif isinstance(value, (list, tuple)):
                yield from ((f"{name}.{i}", child) for i, child in enumerate(value) if isinstance(child, Layer))

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

    @property
    def dtype(self):
        """The number type of the parameters: what the layer computes in. (Without parameters, what `astype` said.)"""
        return next((param.dtype for _, param, _ in self.parameters()), self.cast_to)

    def count_parameters(self):
        """How many numbers the optimizer moves. (States, such as a codebook of running means, don't count.)"""
        return sum(param.size for _, param, _ in self.parameters())

    def zero_grads(self):
        """Set every gradient and every sum of the tree to zero, in place."""
        for array in self.addends():
            array[...] = 0

    def update(self):
        """Move the states of the tree by the sums of the batch."""
        for _, child in self.children():
            child.update()

    def astype(self, dtype):
        """Cast all parameters, gradients, states and sums to dtype, in place; returns the layer.

        Replicas made before don't follow.
        """
        for _, layer in self.layers():
            layer.cast_to = xp.dtype(dtype)
            for arrays in (layer.params, layer.grads, layer.state, layer.sums):
                for name in arrays:
                    arrays[name] = arrays[name].astype(dtype)
        return self

    def replica(self):
        """A twin for another thread: it shares parameters and states; gradients, sums and cache are its own."""
        twin = copy.copy(self)
        twin.cache = None
        twin.params, twin.state = dict(self.params), dict(self.state)
        twin.grads = {name: xp.zeros_like(param) for name, param in self.params.items()}
        twin.sums = {name: xp.zeros_like(array) for name, array in self.sums.items()}
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                setattr(twin, name, value.replica())
            elif isinstance(value, (list, tuple)) and any(isinstance(item, Layer) for item in value):
                setattr(twin, name, type(value)(item.replica() if isinstance(item, Layer) else item for item in value))
        return twin

    def addends(self):
        """Yield what is added up over the parts of a batch: all gradients and sums of the tree, in order."""
        for _, layer in self.layers():
            yield from (*layer.grads.values(), *layer.sums.values())

    def add_from(self, replica):
        """Add the gradients and the sums of a replica to one's own."""
        for mine, theirs in zip(self.addends(), replica.addends()):
            mine += theirs


def holds_layers(value):
    """Whether a value is a layer, or a container with one somewhere in it."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (set, list, tuple)) else ()
    return isinstance(value, Layer) or any(map(holds_layers, items))


class Pointwise(Layer):
    """A layer that treats every pixel for itself, so that a step is the same formula on one pixel."""

    def step(self, x, at):
        return self(x)

    def see(self, x, at):
        """Nothing to remember."""

    def step_row(self, x, row):
        return self(x)
