"""The Diagonal BiLSTM: two LSTMs that go over the diagonals of an image (van den Oord et al. 2016, arXiv 1601.06759).

One direction reads the pixels to the left and above,

    z[r, j] = Z[r, j] + h[r, j - 1] w[0] + h[r - 1, j] w[1]            the cell's c_prev is c[r, j - 1]

and so, by and by, everything that isn't to the right or below. Left of the image stand h0 and c0, above it h = 0. (The
paper leaves the borders open. Common code also runs the empty cells of the skewed map, below, like pixels.)

Pixels of one anti-diagonal don't read each other. Skewed, row r moved right by r, they stand in one column,

    a b c          a b c . .
    d e f    ->    . d e f .          both neighbours of a pixel in the column before: in its row, and in the row above
    g h i          . . g h i

so a scan takes width + height - 1 steps instead of width * height. Column t holds pixels in the rows r with
0 <= t - r < width, and only they are computed.

The other direction reads to the right and above: the same on the mirrored image. At [r, j] it knows [r, j + 1], which
is still to come; so its output is moved down one row before the two are added (`DiagonalBiRecurrence`).
"""

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.pointwise import check_channels, check_last_axis
from tinyar.layers.recurrent import Recurrence, by_gate, by_gate_transposed, cell_backward, cell_forward
from tinyar.layers.shape import move_down, move_up


class DiagonalRecurrence(Recurrence):
    """One direction, from the left: Z (batch, height, width, 4h), gates o, f, i, g -> y (batch, height, width, h).

    forward, diagonal by diagonal     gates = Z + left w[0] + up w[1];  o, f, i, g;  c = f c + i g;  y = h = o tanh(c)
    backward, from the last           dh += dy;  (dz, dc) by the cell;  dZ = dz
                                      dh(left) = dz w[0]^T;  dh(up) += dz w[1]^T

    w (2, h, 4h) for left and up, both in one matrix product; it, h0 and c0 start as in `Recurrence`, and the cell is
    that of `tinyar.layers.recurrent`. Raises ValueError for hidden below 1 and for a Z of other than 4h channels.
    """

    def __init__(self, hidden, rng=None):
        super().__init__(hidden, 2, rng)

    def scan(self, z):
        """y, and what backward reads: see Recurrence."""
        batch, height, width, _ = z.shape
        kernels = by_gate(self.params["w"])  # (4, 2h, h)
        gates = skew(z, 4)  # (steps, 4, height, batch, h)
        steps = len(gates)
        cells = xp.empty((steps + 1, height, batch, self.hidden), dtype=self.dtype)
        states = xp.empty((steps + 1, height + 1, batch, self.hidden), dtype=self.dtype)  # row r in place r + 1
        cells[...], states[...] = self.params["c0"], self.params["h0"]  # what a row holds until its first pixel
        states[:, 0] = 0
        for t in range(steps):
            rows, places = rows_of(t, height, width)
            now = gates[t][:, rows]  # (4, rows, batch, h)
            left_and_up = xp.concatenate([states[t, places], states[t, rows]], axis=-1).reshape(-1, 2 * self.hidden)
            now += xp.matmul(left_and_up, kernels).reshape(now.shape)
            cell_forward(now, cells[t, rows], cells[t + 1, rows], states[t + 1, places])
        return unskew(states[1:, None, 1:]), gates, cells

    def scan_back(self, dy, gates, cells):
        """The gradient by z, and by the states before the first step: see Recurrence."""
        steps, _, height, batch, hidden = gates.shape
        kernels = by_gate_transposed(self.params["w"])  # (4, h, 2h)
        dys, dz = skew(dy)[:, 0], xp.empty_like(gates)
        dh = xp.zeros((height + 1, batch, hidden), dtype=self.dtype)  # row r in place r + 1; place 0 is nobody's
        dc = xp.zeros((height, batch, hidden), dtype=self.dtype)
        for t in reversed(range(steps)):
            rows, places = rows_of(t, height, dy.shape[2])
            dh_now, dz_now = dh[places], dz[t][:, rows]
            dh_now += dys[t, rows]
            cell_backward(gates[t][:, rows], cells[t, rows], cells[t + 1, rows], dh_now, dc[rows], dz_now)
            # z = Z + left w[0] + up w[1]
            dleft_and_up = xp.matmul(dz_now.reshape(4, -1, hidden), kernels).sum(axis=0).reshape(*dh_now.shape[:2], -1)
            dh_now[...] = dleft_and_up[..., :hidden]
            dh[rows] += dleft_and_up[..., hidden:]
        return unskew(dz), dh[1:], dc  # behind its first pixel, what a row has left belongs to h0 and c0

    def neighbours(self, y):
        """What every pixel reads: see Recurrence."""
        both = xp.zeros((*y.shape[:3], 2 * self.hidden), dtype=y.dtype)
        left, up = both[..., :self.hidden], both[..., self.hidden:]
        left[:, :, 0] = self.params["h0"]
        left[:, :, 1:] = y[:, :, :-1]
        up[:, 1:] = y[:, :-1]
        return both

    # -- one pixel -----------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        self.kernels = by_gate(self.params["w"])
        # Column c in place c + 1, left of the image in place 0; states of two rows, row r in slot r % 2.
        self.cells = xp.empty((width + 1, batch, self.hidden), dtype=self.dtype)
        self.states = xp.zeros((2, width + 1, batch, self.hidden), dtype=self.dtype)
        self.cells[0], self.states[:, 0] = self.params["c0"], self.params["h0"]

    def step(self, z, at):
        row, col = at
        now, above = self.states[row % 2], self.states[1 - row % 2]
        neighbours = xp.concatenate([now[col], above[col + 1]], axis=-1)
        return self.step_cell(z, neighbours, self.cells[col], self.cells[col + 1], now[col + 1])


class DiagonalBiRecurrence(Layer):
    """Both directions: Z (batch, height, width, 8h), the left direction's 4h first -> y (batch, height, width, h).

    forward     y  = left(Z_left) + down(mirror(right(mirror(Z_right))))
    backward    dZ = (left's backward of dy, mirror(right's backward of mirror(up(dy))))

    down moves the rows of an image down by one, with zeros for row 0; up, its transpose, moves them up.

    Drawing: the right direction runs through a row from its last pixel to its first, so it waits for the row to be
    complete, that is for the first step of the next row. Until then its Z is kept, and a step may be repeated.
    Raises ValueError for hidden below 1 and for a Z of other than 8h channels.
    """

    def __init__(self, hidden, rng=None):
        super().__init__()
        check_channels(self, hidden)
        self.hidden = hidden
        self.left = DiagonalRecurrence(hidden, rng)
        self.right = DiagonalRecurrence(hidden, rng)

    def __call__(self, z):
        z_left, z_right = self.split(z)
        return self.left(z_left) + move_down(mirror(self.right(mirror(z_right))))

    def forward(self, z):
        z_left, z_right = self.split(z)
        return self.left.forward(z_left) + move_down(mirror(self.right.forward(mirror(z_right))))

    def backward(self, dy, need_dx=True):
        # y = left(Z_left) + down(mirror(right(mirror(Z_right))))
        dz_right = self.right.backward(mirror(move_up(dy)), need_dx)
        dz_left = self.left.backward(dy, need_dx)
        return xp.concatenate([dz_left, mirror(dz_right)], axis=-1) if need_dx else None

    def split(self, z):
        check_last_axis(self, z, 8 * self.hidden)
        return z[..., :4 * self.hidden], z[..., 4 * self.hidden:]

    # -- one pixel -----------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        super().start(batch, height, width)
        self.z_right = xp.empty((width, batch, 4 * self.hidden), dtype=self.dtype)  # right's Z of this row
        self.right_above = xp.zeros((width, batch, self.hidden), dtype=self.dtype)  # its y of the row above
        self.row = 0

    def step(self, z, at):
        row, col = at
        if row > self.row:
            self.sweep()
            self.row = row
        z_left, self.z_right[col] = self.split(z)
        return self.left.step(z_left, at) + self.right_above[col]

    def see(self, z, at):
        """A step whose output nobody asks for."""
        self.step(z, at)

    def sweep(self):
        """Let the right direction run through the row that is complete now."""
        for mirrored, z in enumerate(self.z_right[::-1]):
            self.right_above[-1 - mirrored] = self.right.step(z, (self.row, mirrored))


def rows_of(t, height, width):
    """The slice of rows that have a pixel in column t of the skewed map, and the same slice one place further down."""
    first, stop = max(0, t - width + 1), min(height, t + 1)
    return slice(first, stop), slice(first + 1, stop + 1)


def skew(x, parts=1):
    """x (batch, height, width, parts * channels) with row r moved right by r, zeros in the empty cells, columns first.

    Returns (width + height - 1, parts, height, batch, channels). Its transpose is `unskew`, and so its gradient.
    """
    batch, height, width, channels = x.shape
    pixels = x.reshape(batch, height, width, parts, channels // parts).transpose(1, 2, 3, 0, 4)
    skewed = xp.zeros((width + height - 1, parts, height, batch, channels // parts), dtype=x.dtype)
    for r in range(height):
        skewed[r:r + width, :, r] = pixels[r]
    return skewed


def unskew(skewed):
    """What `skew` returned, as (batch, height, width, parts * channels) again; the empty cells are dropped."""
    steps, parts, height, batch, channels = skewed.shape
    width = steps - height + 1
    x = xp.empty((batch, height, width, parts, channels), dtype=skewed.dtype)
    for r in range(height):
        x[:, r] = skewed[r:r + width, :, r].transpose(2, 0, 1, 3)
    return x.reshape(batch, height, width, parts * channels)


def mirror(x):
    """x (batch, height, width, channels) with left and right exchanged, a view."""
    return x[:, :, ::-1]
