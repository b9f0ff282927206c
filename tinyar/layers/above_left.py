"""The first convolutions of PixelCNN++ and PixelSNAIL: what is above the pixel, and what is to its left."""

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.shape import move_down, move_left, move_right, move_up


class AboveAndLeft(Layer):
    """x -> y, which depends on the earlier neighbours of a pixel, not on itself.

    forward     y = move_down(K_above x) + move_right(K_left x)          K_above 1x3, K_left 2x1: at (row, col)
                    columns col - 1 .. col + 1 of the row above, and rows row - 1 .. row of the column to the left
    backward    dx = K_above^T move_up(dy) + K_left^T move_left(dy)

    The zeros that come in behind a move stand after the bias: in the first row the first term is 0, not b.

    Drawing: `begin_row` at the first pixel of a row, with the whole row above; then `step_pixel` from pixel to pixel,
    each with the pixel to its left.
    """

    def __init__(self, above, left):
        super().__init__()
        self.above, self.left = above, left

    def __call__(self, x):
        return move_down(self.above(x)) + move_right(self.left(x))

    def forward(self, x):
        return move_down(self.above.forward(x)) + move_right(self.left.forward(x))

    def backward(self, dy, need_dx=True):
        dx_above = self.above.backward(move_up(dy), need_dx)
        dx_left = self.left.backward(move_left(dy), need_dx)
        return dx_above + dx_left if need_dx else None

    def begin_row(self, row_above, row):
        """Make the first term at a row; row_above (batch, width, in) doesn't count in the first row."""
        self.from_above = (self.above.step_row(row_above, row - 1) if row else
                           xp.zeros((*row_above.shape[:2], self.above.out_channels), dtype=self.dtype))

    def step_pixel(self, pixel_to_the_left, at):
        """y at a pixel; the pixel to its left (batch, in) doesn't count in the first column."""
        row, col = at
        y = self.from_above[:, col]
        return y + self.left.step(pixel_to_the_left, (row, col - 1)) if col else y
