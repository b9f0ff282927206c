"""Two streams of features, drawn each in its own way: one row by row, the other pixel by pixel."""

from tinyar.backend import xp
from tinyar.layer import Layer


class RowThenPixel(Layer):
    """Base of networks with a stream of the rows above, and one of the pixels to the left, which reads the first.

    The first stream looks to the right in its own row, so it can't be drawn pixel by pixel. It is computed for a whole
    row when the first pixel of the row is drawn. `row_pixels` (batch, width, in) holds the pixels known so far of the
    current row, and before its first pixel those of the row above. A subclass writes

        begin_row(row)        the first stream, as pixels of this row need it; row_pixels is the row above (zeros at 0)
        step_pixel(x, at)     the second stream at a pixel, and thus the output

    and tells layers that read the image in `see`.
    """

    def __init__(self, in_channels):
        super().__init__()
        self.in_channels = in_channels

    def start(self, batch, height, width):
        super().start(batch, height, width)
        self.start_row(batch, width)

    def start_row(self, batch, width):
        """Forget all rows."""
        self.row_pixels = xp.zeros((batch, width, self.in_channels), dtype=self.dtype)
        self.at_row = -1

    def step(self, x, at):
        if at[0] != self.at_row:
            self.at_row = at[0]
            self.begin_row(at[0])
        self.row_pixels[:, at[1]] = x
        return self.step_pixel(x, at)

    def see(self, x, at):
        self.row_pixels[:, at[1]] = x

    def begin_row(self, row):
        raise TypeError(f"{type(self).__name__} has no begin_row")

    def step_pixel(self, x, at):
        raise TypeError(f"{type(self).__name__} has no step_pixel")
