"""The kernel of a layer: plain weights w; or, with weight normalization, weights with their length as a parameter.

Each output channel o then has a direction v_o and a length g_o in the kernel's place. With |v| the root of the sum of
v^2 over all entries that make an output channel,

    forward     W  = g v / |v|
    backward    dg = (sum of dW v over those entries) / |v|
                dv = g / |v| (dW - dg v / |v|)

dv is orthogonal to v. (Salimans & Kingma 2016, "Weight normalization", arXiv 1602.07868.)

The lengths and biases are started by data, layer after layer, in one inference pass over some images. With t the output
of a layer for g = 1 and b = 0, and moments per channel, over all pixels of all images,

    g = scale / sd(t),  b = -mean(t) scale / sd(t)          sd(t) = sqrt(variance + 1e-10)

so that the layer's outputs begin with mean 0 and standard deviation `scale`: see `preparing`. A constant channel has
g = scale. (On the coarse grid of a small image a layer may know nothing yet. To divide by its standard deviation,
nearly 0, would blow up rounding errors.)
"""

import contextlib

from tinyar.backend import xp
from tinyar.layer import Layer

LEAST_VARIANCE = 1e-8  # of a channel that isn't the same everywhere
DIRECTION_STD = 0.05  # of the first v, as published: the smaller v is, the faster Adam turns it


class Weighted(Layer):
    """Base of the layers with a kernel: Linear, Conv2d, ConvTranspose2d, CausalConv2d.

    `kernel()` is w, or g v / |v|, of `kernel_shape`; `add_dw(dw)` passes its gradient on. In drawing the kernel is made
    once, in `start`, and lies in `drawing_kernel`. `started_by_data` is the last thing that a call does to its output.

    output_axis   which axis of the kernel is that of the output channels
    first_scale   the standard deviation with which outputs begin
    moments       how the layer takes its moments, "cut" or "official", inside the context `preparing`; None outside
    """

    output_axis = -1
    shared_kernel = dshared_kernel = None  # the kernel and its gradient, inside `kernels_made_once`
    moments = None
    first_scale = 1.0

    def add_kernel(self, w, weight_norm):
        """Register the kernel that begins as w; with weight_norm w is the first v, and every g begins at 1."""
        self.kernel_shape = w.shape
        self.add_param("v" if weight_norm else "w", w)
        if weight_norm:
            self.add_param("g", [1.0] * w.shape[self.output_axis])

    def kernel(self):
        """The kernel, in the shape of w or v; None for a layer that has none."""
        if "g" not in self.params:
            return self.params.get("w")
        if self.shared_kernel is not None:
            return self.shared_kernel
        v, length = self.params["v"], self.lengths()
        return v * (self.params["g"].reshape(length.shape) / length)

    def add_dw(self, dw):
        """Add the gradient by the kernel, dw in its shape, to that of w; or by the chain rule to those of v and g."""
        if "g" not in self.params:
            self.grads["w"] += dw
            return
        if self.shared_kernel is not None:
            self.dshared_kernel += dw
            return
        # W = g v / |v|
        v, length = self.params["v"], self.lengths()
        dg = (dw * v).sum(axis=self.entries(), keepdims=True) / length
        self.grads["g"] += dg.reshape(-1)
        self.grads["v"] += (self.params["g"].reshape(length.shape) / length) * (dw - v * (dg / length))

    def lengths(self):
        """|v| of every output channel, with axes of size 1 where the entries were."""
        v = self.params["v"]
        return xp.sqrt((v * v).sum(axis=self.entries(), keepdims=True))

    def entries(self):
        """The axes of the kernel that run over the entries of one output channel."""
        axes = len(self.kernel_shape)
        return tuple(axis for axis in range(axes) if axis != self.output_axis % axes)

    def start_at(self, scale):
        """Let the outputs of a new layer begin at this scale, not 1: for the last of a residual branch, say."""
        self.params["g" if "g" in self.params else "w"] *= scale / self.first_scale
        self.first_scale = scale

    def started_by_data(self, y, moments_of=None):
        """y as it is; inside `preparing`, g and b are set first, and y is the output with them.

        moments_of, if given, is the array that mean and variance are taken of, in place of y.
        """
        if not self.moments:
            return y
        t = (y if moments_of is None else moments_of).reshape(-1, y.shape[-1])
        mean, variance = t.mean(axis=0, dtype=xp.float64), t.var(axis=0, dtype=xp.float64)
        varies = variance > LEAST_VARIANCE
        g = self.first_scale / xp.sqrt(xp.where(varies, variance + 1e-10, 1))
        self.params["g"][...] = g
        if "b" in self.params:
            self.params["b"][...] = -mean * g
        y = y * self.params["g"]
        return y + self.params["b"] if "b" in self.params else y

    def replica(self):
        twin = super().replica()
        twin.shared_kernel = twin.dshared_kernel = twin.moments = None
        return twin

    def start(self, batch, height, width):
        super().start(batch, height, width)
        self.drawing_kernel = self.kernel()


def normalized(network):
    """The layers of a network whose kernels are weight-normalized."""
    return [layer for _, layer in network.layers() if isinstance(layer, Weighted) and "g" in layer.params]


@contextlib.contextmanager
def kernels_made_once(network):
    """A context in which the parameters don't change, so that kernels needn't be made for every micro-batch.

    Their gradients are added up, and at the end passed on to v and g, once.
    """
    layers, dkernels = normalized(network), []
    try:
        for layer in layers:
            layer.shared_kernel = layer.kernel()
            layer.dshared_kernel = xp.zeros_like(layer.shared_kernel)
        yield
        dkernels = [layer.dshared_kernel for layer in layers]
    finally:
        for layer in layers:
            layer.shared_kernel = layer.dshared_kernel = None
    for layer, dkernel in zip(layers, dkernels):
        layer.add_dw(dkernel)


@contextlib.contextmanager
def preparing(network, official=False):
    """A context in which one call of the network starts g and b of the weight-normalized layers that it goes through.

    official    as in the code of PixelCNN++: a transposed convolution takes its moments over the uncut map, with the
                border that is zero
    """
    layers = normalized(network)
    before = [{name: layer.params[name].copy() for name in "gb" if name in layer.params} for layer in layers]
    try:
        for layer in layers:
            layer.moments = "official" if official else "cut"
            layer.params["g"][...] = 1
            if "b" in layer.params:
                layer.params["b"][...] = 0
        yield
    except BaseException:  # half a start is none
        for layer, arrays in zip(layers, before):
            for name, array in arrays.items():
                layer.params[name][...] = array
        raise
    finally:
        for layer in layers:
            layer.moments = None
