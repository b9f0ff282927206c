"""The naive image RNN, an LSTM that reads pixel after pixel: the baseline that the other models have to beat.

All that a layer knows of the past are two vectors of `hidden` numbers, its hidden and its cell state, handed on from
pixel to pixel; the pixel right above is as many steps away as the image is wide. And nothing runs in parallel, not even
in training: height * width steps, one after the other. But it is an image model like any other: its likelihood is
exact, and it draws by the same steps.

The LSTM is in `tinyar.layers.recurrent`. Source: Berkeley CS294-158, lecture 2, where it is the first neural model.
"""

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.combine import Chain
from tinyar.layers.pointwise import Linear
from tinyar.layers.recurrent import SequenceRecurrence
from tinyar.models.autoregressive import AutoregressiveModel, start_small
from tinyar.models.options import check_count

PUBLISHED = {
    # Berkeley CS294-158, lecture 2: 264,706 parameters with a softmax over two logits; here 265,218, as h0 and c0, 512
    # numbers, are learned. MNIST with threshold 128, batch 128: 0.123 bits/dim after 9 epochs, 0.111 after 20.
    "course": dict(levels=2, hidden=256),
}


class PixelRNN(AutoregressiveModel):
    """net: the pixel before, an LSTM, and a linear map of its state to the logits; h = hidden.

        previous     x moved on by one pixel in raster order; the first pixel gets zeros, the start symbol
        layer        Z = x w + b, then the recurrence over the raster (SequenceRecurrence)     inputs -> 4h -> h
        last         h -> image_channels * levels logits

    x is scaled to -1 .. 1, so the start symbol is a grey in the middle; with one_hot it is a code that no pixel has.
    `layers` LSTMs stand one upon the other. truncate limits backpropagation through time, in steps (see
    SequenceRecurrence); None goes all the way back. (With it, `tinyar.pictures.receptive_field` shows only
    what the gradient reaches.) With classes or map_channels each Z is followed by a bias that depends on the condition
    (`tinyar.conditions.Conditional`).

    Colours of a pixel are independent of each other, given the earlier pixels, because a step of this LSTM is a pixel.
    To let G see R, colours would have to be steps of their own, three times as many; so ordered_colors=True is refused
    with more than one channel.

    The biases of the forget gates start at 1, as is usual: the cell remembers at first, which a sequence of hundreds of
    steps needs. The weights of the last layer start at a tenth of the usual size, so that the first loss is near
    ln(levels). What x, logits and the other options are: see AutoregressiveModel. Raises ValueError for options that
    don't fit.
    """

    published_options = PUBLISHED

    def __init__(self, levels=2, image_channels=1, ordered_colors=False, hidden=256, layers=1, truncate=None,
                 one_hot=False, classes=0, map_channels=0, seed=0):
        super().__init__(self.make_likelihood(levels, image_channels, one_hot), image_channels, ordered_colors, one_hot,
                         classes, map_channels)
        if self.colors > 1:
            raise ValueError("PixelRNN: ordered_colors: its steps are pixels, so the colours of one can't depend on "
                             f"each other; expected False for image_channels={image_channels}")
        check_count(self, "layers", layers, least=1)
        rng = np.random.default_rng(seed)
        links = [Previous()]
        for layer in range(layers):
            gates = Linear(hidden if layer else self.inputs, 4 * hidden, rng)
            open_forget_gates(gates, hidden)
            links += [gates, *self.conditional(4 * hidden), SequenceRecurrence(hidden, rng, truncate)]
        links += [Linear(hidden, self.outputs, rng)]
        start_small(links[-1])
        self.net = Chain(*links)


class Previous(Layer):
    """y (batch, height, width, channels): at each pixel x of the pixel before, in raster order; at the first one zeros.

    backward moves dy back by one pixel; the last pixel, which nobody reads, gets dx = 0.
    """

    def __call__(self, x):
        y = xp.zeros(x.shape, dtype=x.dtype)
        pixels(y)[:, 1:] = pixels(x)[:, :-1]
        return y

    def forward(self, x):
        return self(x)

    def backward(self, dy, need_dx=True):
        if not need_dx:
            return None
        dx = xp.zeros(dy.shape, dtype=dy.dtype)
        pixels(dx)[:, :-1] = pixels(dy)[:, 1:]
        return dx

    # -- one pixel: step n is remembered in slot n % 2 -----------------------------------------------------------------

    def start(self, batch, height, width):
        self.width, self.seen = width, [None, None]

    def step(self, x, at):
        self.see(x, at)
        before = self.seen[1 - self.slot(at)]
        return xp.zeros_like(x) if before is None else before

    def see(self, x, at):
        self.seen[self.slot(at)] = x.copy()

    def slot(self, at):
        return (at[0] * self.width + at[1]) % 2


def pixels(x):
    """x (batch, height, width, channels) as a sequence (batch, pixels, channels), a view."""
    return x.reshape(len(x), -1, x.shape[3])


def open_forget_gates(gates, hidden):
    """Start the biases of the forget gates at 1; the outputs of the layer are o, f, i, g, `hidden` channels each, once
    or in each direction.
    """
    for _, part in gates.layers():
        if "b" in part.params:
            part.params["b"].reshape(-1, 4, hidden)[:, 1] = 1
