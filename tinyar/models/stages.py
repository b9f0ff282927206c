"""What the network of PixelCNN++ is built from: stages, each of which takes both streams a step further.

The streams are those of `tinyar.models.pyramid`: u, of the rows above the pixel, and ul, of those and of the pixels to
its left. Each is (batch, height, width, channels). Information goes from u to ul only.

Drawing: `step_row` takes u a step further at a row, `step` ul at a pixel. Rows and places count in the stage's grid. A
stage remembers the row of u that it made, for the steps of ul that follow.
"""

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.shape import move_down, move_up


class First(Layer):
    """image -> (u, ul), neither of which sees its own pixel.

    forward     u = move_down(K x),  ul = AboveAndLeft(x)             K 2x3: the two rows above
    backward    dx = K^T move_up(du) + AboveAndLeft's backward of dul

    The zeros that come in behind a move stand after the bias: in the first row u is 0, not b.
    """

    def __init__(self, first_u, above_and_left):
        super().__init__()
        self.first_u, self.above_and_left = first_u, above_and_left

    def __call__(self, x):
        return move_down(self.first_u(x)), self.above_and_left(x)

    def forward(self, x):
        return move_down(self.first_u.forward(x)), self.above_and_left.forward(x)

    def backward(self, du, dul, need_dx=True):
        dx_u, dx_ul = self.first_u.backward(move_up(du), need_dx), self.above_and_left.backward(dul, need_dx)
        return dx_u + dx_ul if need_dx else None

    def step_row(self, row_above, row):
        """u of a row, from the pixels of the row above it."""
        self.above_and_left.begin_row(row_above, row)
        if row == 0:
            return xp.zeros((*row_above.shape[:2], self.first_u.out_channels), dtype=self.dtype)
        return self.first_u.step_row(row_above, row - 1)

    def step(self, pixel_to_the_left, at):
        """ul at a pixel, from the pixel before it in its row."""
        return self.above_and_left.step_pixel(pixel_to_the_left, at)


class Units(Layer):
    """A gated residual unit in each stream, U and UL. That of ul is told the new u.

    forward     u' = U(u),  ul' = UL(ul, u')                          all (batch, height, width, channels)
    backward    (dul, du_told) = UL's backward of dul'
                du = U's backward of du' + du_told
    """

    def __init__(self, unit_u, unit_ul, grid):
        super().__init__()
        self.unit_u, self.unit_ul, self.grid = unit_u, unit_ul, grid

    def __call__(self, u, ul):
        u = self.unit_u(u)
        return u, self.unit_ul(ul, u)

    def forward(self, u, ul):
        u = self.unit_u.forward(u)
        return u, self.unit_ul.forward(ul, u)

    def backward(self, du, dul, need_dx=True):
        # ul' = UL(ul, u'),  u' = U(u)
        dul, du_told = self.unit_ul.backward(dul)
        du = self.unit_u.backward(du + du_told, need_dx)
        return du, dul if need_dx else None

    def step_row(self, u, row):
        self.u_row = self.unit_u.step_row(u, row)
        return self.u_row

    def step(self, ul, at):
        return self.unit_ul.step(ul, at, self.u_row[:, at[1]])


class SkipUnits(Layer):
    """The same with skips, u_s and ul_s, from the other side of the network.

    forward     u' = U(u, u_s),  ul' = UL(ul, [u', ul_s])             [ , ] side by side, twice the channels
    backward    (dul, [du_told, dul_s]) = UL's backward of dul'
                (du, du_s) = U's backward of du' + du_told            du' is None where nobody reads u'

    backward returns (du, dul, du_s, dul_s).
    """

    def __init__(self, unit_u, unit_ul, grid):
        super().__init__()
        self.unit_u, self.unit_ul, self.grid = unit_u, unit_ul, grid

    def __call__(self, u, ul, u_skip, ul_skip):
        u = self.unit_u(u, u_skip)
        return u, self.unit_ul(ul, xp.concatenate([u, ul_skip], axis=-1))

    def forward(self, u, ul, u_skip, ul_skip):
        u = self.unit_u.forward(u, u_skip)
        return u, self.unit_ul.forward(ul, xp.concatenate([u, ul_skip], axis=-1))

    def backward(self, du, dul, need_dx=True):
        channels = dul.shape[-1]
        # ul' = UL(ul, [u', ul_s]),  u' = U(u, u_s)
        dul, dtold = self.unit_ul.backward(dul)
        du_told = dtold[..., :channels]
        du, du_skip = self.unit_u.backward(du_told if du is None else du + du_told, need_dx)
        return (du, dul, du_skip, dtold[..., channels:]) if need_dx else (None,) * 4

    def step_row(self, u, row, u_skip):
        self.u_row = self.unit_u.step_row(u, row, u_skip)
        return self.u_row

    def step(self, ul, at, ul_skip):
        return self.unit_ul.step(ul, at, xp.concatenate([self.u_row[:, at[1]], ul_skip], axis=-1))


class Halving(Layer):
    """Both streams on a grid half as fine: u' = H_u(u), ul' = H_ul(ul), two HalvingConv2d, each with its own backward.

    (batch, height, width, channels) -> (batch, ceil(height / 2), ceil(width / 2), channels). `grid` is that of the
    finer grid, which it reads.
    """

    def __init__(self, halve_u, halve_ul, grid):
        super().__init__()
        self.halve_u, self.halve_ul, self.grid = halve_u, halve_ul, grid

    def __call__(self, u, ul):
        return self.halve_u(u), self.halve_ul(ul)

    def forward(self, u, ul):
        return self.halve_u.forward(u), self.halve_ul.forward(ul)

    def backward(self, du, dul, need_dx=True):
        return self.halve_u.backward(du, need_dx), self.halve_ul.backward(dul, need_dx)

    def step_row(self, u, row):
        """u on the coarse grid; None at odd rows, which are only remembered."""
        self.halve_u.see_row(u, row)
        return None if row % 2 else self.halve_u.output_row(row)

    def step(self, ul, at):
        if at[0] % 2 or at[1] % 2:
            self.halve_ul.see(ul, at)
            return None
        return self.halve_ul.step(ul, at)


class Doubling(Layer):
    """Both streams on a grid twice as fine, whose size is that of the waiting skip: two ConvTranspose2d D_u and D_ul.

    forward     u' = the first height rows and width columns of D_u(u);  ul' likewise
    backward    du = D_u's backward of du' with zeros where something was cut off;  dul likewise

    A row of u makes rows 2 i and 2 i + 1, a pixel of ul the 2x2 pixels from (2 i, 2 j) on, so nothing comes from below.
    (The gradient of a halving would make rows 2 i - 1 and 2 i, and tell a row of what comes after it.) `grid` is that
    of the finer grid, which it makes.
    """

    def __init__(self, double_u, double_ul, grid):
        super().__init__()
        self.double_u, self.double_ul, self.grid = double_u, double_ul, grid

    def __call__(self, u, ul, size):
        return cut(self.double_u(u), size), cut(self.double_ul(ul), size)

    def forward(self, u, ul, size):
        return cut(self.double_u.forward(u), size), cut(self.double_ul.forward(ul), size)

    def backward(self, du, dul, need_dx=True):
        return self.double_u.backward(filled(du), need_dx), self.double_ul.backward(filled(dul), need_dx)

    def start(self, batch, height, width):
        """Of the finer grid. Two rows of each stream wait, those that the latest coarse row makes."""
        super().start(batch, height, width)
        self.width = width
        self.u_rows, self.ul_rows = (xp.zeros((batch, 2, width + width % 2, layer.out_channels), dtype=self.dtype)
                                     for layer in (self.double_u, self.double_ul))

    def step_row(self, u, row):
        """u of a fine row; at even rows from u of the coarse row."""
        if row % 2 == 0:
            self.u_rows[...] = self.double_u.image(u[:, None], self.double_u.drawing_kernel)
        return self.u_rows[:, row % 2, :self.width]

    def step(self, ul, at):
        """ul of a fine pixel; where row and column are even, from ul of the coarse pixel."""
        row, col = at
        if row % 2 == 0 and col % 2 == 0:
            self.ul_rows[:, :, col:col + 2] = self.double_ul.image(ul[:, None, None], self.double_ul.drawing_kernel)
        return self.ul_rows[:, row % 2, col]


def cut(x, size):
    """The upper left part of x of this size (height, width)."""
    return x[:, :size[0], :size[1]]


def filled(dx):
    """Undo cut: dx with zero rows and columns at the end, so that height and width are even."""
    height, width = dx.shape[1:3]
    if height % 2 == 0 and width % 2 == 0:
        return dx
    whole = xp.zeros((len(dx), height + height % 2, width + width % 2, dx.shape[3]), dtype=dx.dtype)
    whole[:, :height, :width] = dx
    return whole
