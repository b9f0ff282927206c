"""The network of PixelCNN++: two streams that go up a pyramid of three grids, each half as fine, and down again.

    u     at a pixel knows the rows above it         (kernels 2x3: the row above and its own, after a move down)
    ul    knows these, and the pixels to its left    (kernels 2x2: up and left)

    up      First, then on each grid `units` Units; a Halving between two grids
    down    `units` SkipUnits on the coarsest grid; then a Doubling and `units` + 1 SkipUnits on each finer one

On the way up, every stage leaves its (u, ul) on a pile. On the way down, each SkipUnits takes the topmost from it: a
skip from the stage of the same grid, the latest first. The last one takes what First made, and the pile is empty.

Backward goes the other way round. The SkipUnits give the gradients of the skips, which lie on a second pile until the
stages that made them are reached.

Grids: grid l has ceil(height / 2^l) rows and ceil(width / 2^l) columns, and a doubling is cut to the size of the skip
that waits. Published are multiples of 4 only; the rest is an extension, causal as well.
"""

from tinyar.layers.streams import RowThenPixel
from tinyar.models.stages import Doubling, SkipUnits


class Pyramid(RowThenPixel):
    """x (batch, height, width, in) -> ul (batch, height, width, channels), which sees earlier pixels alone.

    first    First; `up` and `down` are the lists of stages that follow it, as above

    Drawing. At row r the stages of grid l have something to do if r is a multiple of 2^l, and at pixel (r, c) if c is
    one, too. Their place is (r / 2^l, c / 2^l) then. The skips of a step are used up in the same step.
    """

    def __init__(self, in_channels, first, up, down):
        super().__init__(in_channels)
        self.first, self.up, self.down = first, up, down

    # -- the whole image -----------------------------------------------------------------------------------------------

    def __call__(self, x):
        return self.up_and_down(x, lambda stage: stage)

    def forward(self, x):
        return self.up_and_down(x, lambda stage: stage.forward)

    def up_and_down(self, x, entrance):
        """ul of x, each stage entered by entrance(stage): itself, or its forward."""
        pile = [entrance(self.first)(x)]
        for stage in self.up:
            pile.append(entrance(stage)(*pile[-1]))
        u, ul = pile.pop()
        for stage in self.down:
            others = [pile[-1][0].shape[1:3]] if isinstance(stage, Doubling) else pile.pop()
            u, ul = entrance(stage)(u, ul, *others)
        return ul

    def backward(self, dul, need_dx=True):
        du, dpile = None, []  # nobody reads the last u
        for stage in reversed(self.down):
            du, dul, *dskip = stage.backward(du, dul)
            if dskip:
                dpile.append(dskip)
        for stage in reversed(self.up):
            du, dul = stage.backward(du, dul)
            du_skip, dul_skip = dpile.pop()
            du, dul = du + du_skip, dul + dul_skip
        return self.first.backward(du, dul, need_dx)

    # -- drawing -------------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        self.start_row(batch, width)
        self.first.start(batch, height, width)
        for stage in (*self.up, *self.down):
            stage.start(batch, -(-height // 2 ** stage.grid), -(-width // 2 ** stage.grid))

    def begin_row(self, row):
        """u of a row, up to the coarsest grid that has something to do at it, and down again."""
        pile = [self.first.step_row(self.row_pixels, row)]
        for stage in self.up:
            u = stage.step_row(pile[-1], row >> stage.grid)
            if u is None:  # a Halving at an odd row: the coarser grids are left as they are
                break
            pile.append(u)
        u = pile.pop() if len(pile) > len(self.up) else None
        for stage in self.down:
            if row % 2 ** stage.grid == 0:
                skip = [pile.pop()] if isinstance(stage, SkipUnits) else []
                u = stage.step_row(u, row >> stage.grid, *skip)

    def step_pixel(self, x, at):
        """ul at a pixel in the same way. It doesn't depend on x, the pixel itself."""
        row, col = at
        pile = [self.first.step(self.row_pixels[:, col - 1], at)]
        for stage in self.up:
            ul = stage.step(pile[-1], (row >> stage.grid, col >> stage.grid))
            if ul is None:
                break
            pile.append(ul)
        ul = pile.pop() if len(pile) > len(self.up) else None
        for stage in self.down:
            if row % 2 ** stage.grid == 0 and col % 2 ** stage.grid == 0:
                skip = [pile.pop()] if isinstance(stage, SkipUnits) else []
                ul = stage.step(ul, (row >> stage.grid, col >> stage.grid), *skip)
        return ul
