"""The LSTM cell, and what all recurrent layers share; the simplest of them reads an image as one long sequence.

Z is what the input says at a pixel, h the hidden and c the cell state. As a size, h stands for the number of their
channels. z and Z have 4h channels, the gates in the order o, f, i, g; all others have h:

    z = Z + (hidden states of neighbours) w           o, f, i = sigmoid(z_o, z_f, z_i),  g = tanh(z_g)
    c = f c_prev + i g                                 h = o tanh(c)

and backward, given dh and the dc that arrives from the next step, with t = tanh(c):

    do = dh t                     dc += dh o (1 - t^2)
    df = dc c_prev,  di = dc g,  dg = dc i             dc_prev = dc f
    dz = (do o (1 - o), df f (1 - f), di i (1 - i), dg (1 - g^2))
    dZ = dz,  d(neighbours) = dz w^T,  dw = (neighbours)^T dz, summed over pixels

The layers differ in the neighbours that they read: the pixel before (this file), some pixels of the row above
(`row_lstm`), the pixels to the left and above (`diagonal_lstm`). (Hochreiter & Schmidhuber 1997; van den Oord et al.
2016, "Pixel Recurrent Neural Networks", arXiv 1601.06759, whose order of gates this is.)

The input-to-state map isn't part of these layers. Z comes ready for the whole image, from a convolution or a Linear
with a bias (1 for the forget gates is usual), so that only the state-to-state product is left to the loop over time.

Colours need no masks here: neighbours are earlier pixels, all of whose colours are known, and within a pixel the cell
works on each of the h channels by itself. Whoever makes Z deals out the h channels of every gate to the colours.
"""

import numpy as np

from tinyar.backend import check_size, xp
from tinyar.layer import Layer
from tinyar.layers.pointwise import as_rows, check_channels, check_last_axis, sum_rows


def cell_forward(gates, c_prev, c, h):
    """One step of many cells, in place: gates (4, ..., h) hold z before and o, f, i, g after; c and h are written.

    sigmoid(z) = (1 + tanh(z / 2)) / 2, so one call of tanh serves all four gates.
    """
    sigmoids = gates[:3]
    sigmoids *= 0.5
    xp.tanh(gates, out=gates)
    sigmoids *= 0.5
    sigmoids += 0.5
    o, f, i, g = gates
    xp.multiply(f, c_prev, out=c)
    c += i * g
    xp.tanh(c, out=h)
    h *= o


def cell_backward(gates, c_prev, c, dh, dc, dz):
    """The step's gradient: writes dz (4, ..., h), and turns dc, as it arrives from the next step, into dc_prev."""
    o, f, i, g = gates
    do, df, di, dg = dz
    t = xp.tanh(c)  # tanh is as cheap as remembering its values
    # h = o tanh(c)
    xp.multiply(dh, t, out=do)
    t *= t
    dc += dh * o * (1 - t)
    # c = f c_prev + i g
    xp.multiply(dc, c_prev, out=df)
    xp.multiply(dc, g, out=di)
    xp.multiply(dc, i, out=dg)
    dc *= f
    # o, f, i = sigmoid(z), g = tanh(z)
    sigmoids, dsigmoids = gates[:3], dz[:3]
    dsigmoids *= sigmoids * (1 - sigmoids)
    dg *= 1 - g * g


def by_gate(w):
    """The state-to-state weights (taps, h, 4h) as one matrix a gate, (4, taps * h, h)."""
    hidden = w.shape[1]
    return xp.ascontiguousarray(w.reshape(-1, 4, hidden).swapaxes(0, 1))


def by_gate_transposed(w):
    """The same matrices transposed, (4, h, taps * h), and in memory too:
    BLAS is far faster with small ones that lie so.
    """
    return xp.ascontiguousarray(by_gate(w).swapaxes(1, 2))


class Recurrence(Layer):
    """Base of the recurrent layers: Z (batch, height, width, 4h) -> y (batch, height, width, h), the hidden states.

    Parameters: w (taps, h, 4h), one matrix for each neighbour, normal with standard deviation sqrt(1 / (taps * h)); h0
    and c0 (h), the states before the first step, the same wherever one is needed (the paper learns them too, of
    unstated shape); they start at 0. What a step is, what a place, and their order is up to the subclass. It writes

        scan(z)                       -> y, gates (steps, 4, places, h) after activation, cells (steps + 1, places, h)
        scan_back(dy, gates, cells)   -> dz like Z, and the dh, dc (..., h) of all places where h0, c0 were used
        neighbours(y)                 -> (batch, height, width, taps * h), the states that every pixel reads

    and the one-pixel side, `start` and `step`. The gates come first in memory: each is a contiguous block then.
    Raises ValueError for hidden below 1, and for a Z of other than 4h channels.
    """

    def __init__(self, hidden, taps, rng=None):
        super().__init__()
        check_channels(self, hidden)
        check_size(type(self).__name__, taps, hidden, 4 * hidden)
        rng = rng or np.random.default_rng()
        self.hidden = hidden
        self.add_param("w", rng.standard_normal((taps, hidden, 4 * hidden)) * (1 / (taps * hidden)) ** 0.5)
        self.add_param("h0", np.zeros(hidden))
        self.add_param("c0", np.zeros(hidden))

    def __call__(self, z):
        check_last_axis(self, z, 4 * self.hidden)
        return self.scan(z)[0]

    def forward(self, z):
        check_last_axis(self, z, 4 * self.hidden)
        self.cache = self.scan(z)
        return self.cache[0]

    def backward(self, dy, need_dx=True):
        y, gates, cells = self.take_cache()
        dz, dh, dc = self.scan_back(dy, gates, cells)
        # z = Z + neighbours(y) w, for all pixels in one product
        self.grads["w"] += xp.matmul(as_rows(self.neighbours(y)).T, as_rows(dz)).reshape(self.grads["w"].shape)
        self.grads["h0"] += sum_rows(as_rows(dh))
        self.grads["c0"] += sum_rows(as_rows(dc))
        return dz if need_dx else None

    def see(self, z, at):
        """A step whose output nobody asks for."""
        self.step(z, at)

    def step_cell(self, z, neighbours, c_prev, c, h):
        """The cell at one pixel: writes c and h (batch, h) and returns a copy of h.

        z (batch, 4h), neighbours (batch, taps * h), c_prev (batch, h); `start` has set self.kernels = by_gate(w).
        """
        gates = xp.matmul(neighbours, self.kernels)  # (4, batch, h)
        gates += z.reshape(len(z), 4, -1).swapaxes(0, 1)
        cell_forward(gates, c_prev, c, h)
        return h.copy()


class SequenceRecurrence(Recurrence):
    """An LSTM over the pixels in raster order: step n = row * width + col reads both states of step n - 1.

    The baseline among image models: height * width steps, one after the other, in training too. Backward is
    backpropagation through time; with `truncate` it takes the states that enter the steps truncate, 2 truncate, ... for
    constants, so no gradient travels further back. Forward is the same. Raises ValueError for truncate below 1.
    """

    def __init__(self, hidden, rng=None, truncate=None):
        super().__init__(hidden, 1, rng)
        if truncate is not None and (not isinstance(truncate, (int, np.integer)) or truncate < 1):
            raise ValueError("SequenceRecurrence: truncate is a whole number of steps of at least 1, or None; "
                             f"got {truncate!r}")
        self.truncate = truncate

    def scan(self, z):
        """y, and what backward reads: see Recurrence."""
        batch, height, width, _ = z.shape
        steps, kernels = height * width, by_gate(self.params["w"])
        gates = z.reshape(batch, steps, 4, self.hidden).transpose(1, 2, 0, 3).astype(self.dtype, order="C")
        cells = xp.empty((steps + 1, batch, self.hidden), dtype=self.dtype)
        states = xp.empty_like(cells)
        cells[0], states[0] = self.params["c0"], self.params["h0"]
        for n in range(steps):
            now = gates[n]  # (4, batch, h)
            now += xp.matmul(states[n], kernels)
            cell_forward(now, cells[n], cells[n + 1], states[n + 1])
        y = xp.ascontiguousarray(states[1:].swapaxes(0, 1)).reshape(batch, height, width, self.hidden)
        return y, gates, cells

    def scan_back(self, dy, gates, cells):
        """The gradient by z, and by the states before the first step: see Recurrence."""
        steps, _, batch, hidden = gates.shape
        kernels = by_gate_transposed(self.params["w"])
        dys, dz = dy.reshape(batch, steps, hidden).swapaxes(0, 1), xp.empty_like(gates)
        dh, dc = xp.zeros_like(cells[0]), xp.zeros_like(cells[0])
        for n in reversed(range(steps)):
            dh += dys[n]
            cell_backward(gates[n], cells[n], cells[n + 1], dh, dc, dz[n])
            dh = xp.matmul(dz[n], kernels).sum(axis=0)
            if self.truncate and n and n % self.truncate == 0:
                dh[...], dc[...] = 0, 0
        return dz.transpose(2, 0, 1, 3).reshape(*dy.shape[:3], 4 * hidden), dh, dc

    def neighbours(self, y):
        """What every pixel reads: see Recurrence."""
        before = xp.empty((len(y), y.shape[1] * y.shape[2], self.hidden), dtype=y.dtype)
        before[:, 0] = self.params["h0"]
        before[:, 1:] = y.reshape(before.shape)[:, :-1]
        return before

    # -- one pixel: step n keeps its states in slot n % 2 --------------------------------------------------------------

    def start(self, batch, height, width):
        self.width, self.kernels = width, by_gate(self.params["w"])
        self.cells = xp.empty((2, batch, self.hidden), dtype=self.dtype)
        self.states = xp.empty_like(self.cells)
        self.cells[1], self.states[1] = self.params["c0"], self.params["h0"]

    def step(self, z, at):
        now = (at[0] * self.width + at[1]) % 2
        return self.step_cell(z, self.states[1 - now], self.cells[1 - now], self.cells[now], self.states[now])
