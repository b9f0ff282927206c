"""The gated residual unit, of which PixelCNN++ and PixelSNAIL are made."""

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.combine import Chain
from tinyar.layers.dropout import Dropout
from tinyar.layers.pointwise import ConcatELU, Gate, Linear

SMALL = 0.1  # the standard deviation of what a new unit adds to x, before its gate


class GatedResNet(Layer):
    """x [, a] -> y: a residual unit with a gate (Salimans et al. 2017, arXiv 1701.05517).

    x, y (batch, height, width, channels); a (..., skip_channels), features from elsewhere in the network; f is the
    activation, K_1 and K_2 the convolutions, V the condition's matrix:

    forward     u = K_1(f(x)) [+ f(a) W + b]                          (..., channels)
                (p, q) = K_2(dropout(f(u))) + c V                      two halves of (..., 2 * channels)
                y = x + p sigmoid(q)
    backward    (dp, dq) = gate's backward of dy;  dV = sum c^T (dp, dq)
                du = f's, dropout's and K_2's backward of (dp, dq)
                dx = dy + f's and K_1's backward of du
                da = f's backward of du W^T;  dW = sum f(a)^T du

    conv               conv(in, out) makes a convolution: a Linear for units of single pixels
    activation         ConcatELU, which doubles the channels, or ELU
    condition          a function of (channels) that makes the layer for the condition; None for none
    dropout            share of f(u) that is dropped in training

    `first` is f and K_1, `skip` f and W, `second` the rest up to the gate. Drawing: by `step`, or by `step_row` if conv
    makes convolutions that are drawn row by row. Raises ValueError for an a where none is expected, or without one
    where it is.
    """

    def __init__(self, conv, channels, skip_channels=0, condition=None, activation=ConcatELU, dropout=0.0,
                 weight_norm=False, rng=None):
        super().__init__()
        wide = activation()(xp.zeros((1, channels))).shape[-1] // channels  # f makes so many channels of one
        self.first = Chain(activation(), conv(wide * channels, channels))
        self.skip = None
        if skip_channels:
            self.skip = Chain(activation(), Linear(wide * skip_channels, channels, rng, weight_norm))
        second = conv(wide * channels, 2 * channels)
        second.start_at(SMALL)
        told = [condition(2 * channels)] if condition else []
        self.second = Chain(activation(), Dropout(dropout), second, *told, Gate(activation=None))

    def __call__(self, x, a=None):
        u = self.first(x)
        if self.takes(a):
            u += self.skip(a)
        return x + self.second(u)

    def forward(self, x, a=None):
        u = self.first.forward(x)
        if self.takes(a):
            u += self.skip.forward(a)
        return x + self.second.forward(u)

    def backward(self, dy, need_dx=True):
        """dx; (dx, da) of a unit that takes a."""
        # y = x + second(first(x) + skip(a))
        du = self.second.backward(dy)
        dx = self.first.backward(du, need_dx)
        if need_dx:
            dx += dy
        return (dx, self.skip.backward(du, need_dx)) if self.skip else dx

    def step(self, x, at, a=None):
        u = self.first.step(x, at)
        if self.takes(a):
            u += self.skip.step(a, at)
        return x + self.second.step(u, at)

    def step_row(self, x, row, a=None):
        u = self.first.step_row(x, row)
        if self.takes(a):
            u += self.skip.step_row(a, row)
        return x + self.second.step_row(u, row)

    def see(self, x, at):
        self.first.see(x, at)

    def takes(self, a):
        """Whether a is given. Raises ValueError unless that agrees with skip_channels."""
        if (a is None) == bool(self.skip):
            raise ValueError(f"GatedResNet: expected {'a second input' if self.skip else 'a single input'}")
        return a is not None
