"""The Row LSTM, which goes down the rows, all pixels of a row at once (van den Oord et al. 2016, arXiv 1601.06759).

    z[r, j] = Z[r, j] + sum_i h[r - 1, j + i - m] w[i]         i = 0 .. k - 1,  m = (k - 1) / 2
    the cell's c_prev is c[r - 1, j]                           at row r and column j

Above row 0 stand h0 and c0, at every column; left and right of the image h = 0. A pixel sees the triangle above it, m
columns wider on either side with each row, and nothing beside it. The cell is that of `tinyar.layers.recurrent`.
"""

import numpy as np

from tinyar.backend import xp
from tinyar.layers.recurrent import Recurrence, by_gate, by_gate_transposed, cell_backward, cell_forward


class RowRecurrence(Recurrence):
    """Z (batch, height, width, 4h), gates in the order o, f, i, g -> y (batch, height, width, h), the hidden states.

    forward, for every row      gates = Z[r] + windows(h) w;  o, f, i, g;  c = f c + i g;  h = o tanh(c);  y[r] = h
    backward, from the last     dh += dy[r];  (dz, dc) by the cell;  dZ[r] = dz;  dh = windows^T(dz w^T)

    A row is one matrix product: windows(h) (batch, width, k * h) holds side by side the k states that each pixel reads,
    and its transpose adds windows up where they overlap. w (k, h, 4h) isn't masked: the whole row above is known. The
    start is that of `Recurrence`. Drawing keeps two rows of states, row r in slot r % 2; a step may be repeated.

    Raises ValueError for hidden below 1, for an even kernel_size, and for a Z of other than 4h channels.
    """

    def __init__(self, hidden, kernel_size=3, rng=None):
        if not isinstance(kernel_size, (int, np.integer)) or kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError("RowRecurrence: kernel_size must be odd and at least 1, so that it has a centre; "
                             f"got {kernel_size!r}")
        super().__init__(hidden, int(kernel_size), rng)
        self.kernel_size, self.half = int(kernel_size), kernel_size // 2

    def scan(self, z):
        """y, and what backward reads: see Recurrence."""
        batch, height, width, _ = z.shape
        kernels = by_gate(self.params["w"])  # (4, k * h, h)
        gates = z.reshape(batch, height, width, 4, self.hidden).transpose(1, 3, 0, 2, 4).astype(self.dtype, order="C")
        cells = xp.empty((height + 1, batch, width, self.hidden), dtype=self.dtype)
        padded, states = self.padded_states(height + 1, batch, width)
        cells[0], states[0] = self.params["c0"], self.params["h0"]
        windows = row_windows(padded, self.kernel_size)
        for r in range(height):
            now = gates[r]  # (4, batch, width, h)
            above = xp.ascontiguousarray(windows[r]).reshape(batch * width, -1)
            now += xp.matmul(above, kernels).reshape(now.shape)
            cell_forward(now, cells[r], cells[r + 1], states[r + 1])
        return xp.ascontiguousarray(states[1:].swapaxes(0, 1)), gates, cells

    def scan_back(self, dy, gates, cells):
        """The gradient by z, and by the states before the first step: see Recurrence."""
        height, _, batch, width, hidden = gates.shape
        kernels = by_gate_transposed(self.params["w"])  # (4, h, k * h)
        dz = xp.empty_like(gates)
        dpadded, dh = self.padded_states(batch, width)
        dc = xp.zeros_like(cells[0])
        for r in reversed(range(height)):
            dh += dy[:, r]
            cell_backward(gates[r], cells[r], cells[r + 1], dh, dc, dz[r])
            # z = Z + windows(h) w
            dwindows = xp.matmul(dz[r].reshape(4, batch * width, hidden), kernels).sum(axis=0)
            dwindows = dwindows.reshape(batch, width, self.kernel_size, hidden)
            dpadded[...] = 0
            for j in range(self.kernel_size):
                dpadded[:, j:j + width] += dwindows[:, :, j]
        return dz.transpose(2, 0, 3, 1, 4).reshape(batch, height, width, 4 * hidden), dh, dc

    def neighbours(self, y):
        """What every pixel reads: see Recurrence."""
        batch, height, width, _ = y.shape
        padded, above = self.padded_states(batch, height, width)
        above[:, 0] = self.params["h0"]
        above[:, 1:] = y[:, :-1]
        return xp.ascontiguousarray(row_windows(padded, self.kernel_size))

    def padded_states(self, *shape):
        """Zeros (..., width + 2 m, h) for shape (..., width), and a view of them without the m columns beside."""
        *others, width = shape
        padded = xp.zeros((*others, width + 2 * self.half, self.hidden), dtype=self.dtype)
        return padded, padded[..., self.half:self.half + width, :]

    # -- one pixel -----------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        self.kernels = by_gate(self.params["w"])
        self.cells = xp.empty((2, batch, width, self.hidden), dtype=self.dtype)
        self.padded, self.states = self.padded_states(2, batch, width)
        self.cells[1], self.states[1] = self.params["c0"], self.params["h0"]

    def step(self, z, at):
        row, col = at
        now, above = row % 2, 1 - row % 2
        window = self.padded[above, :, col:col + self.kernel_size].reshape(len(z), -1)  # (batch, k * h)
        return self.step_cell(z, window, self.cells[above, :, col], self.cells[now, :, col], self.states[now, :, col])


def row_windows(padded, size):
    """A view of all windows of `size` pixels: (..., width + size - 1, h), contiguous -> (..., width, size * h).

    Neighbours in a row lie side by side already: a window is a contiguous piece, and the windows overlap.
    """
    *others, width, hidden = padded.shape
    return xp.lib.stride_tricks.as_strided(padded, (*others, width - size + 1, size * hidden), padded.strides)
