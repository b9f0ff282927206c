"""A condition for the coarser grids of a network: the map's mean over cells of several pixels."""

from tinyar.backend import xp
from tinyar.conditions import Conditional


class CellConditional(Conditional):
    """Conditional for a coarser grid. One of its pixels covers a cell of `cell` x `cell` pixels of the condition.

    forward     m = means of the condition over the cells,  y = x + m v          cells at the edge may be smaller
    backward    dx = dy,  dv = sum of m^T dy,  dm = dy v^T, as in Conditional
                d condition = dm / (number of pixels of the cell), the same at each of them

    A condition that is the same everywhere, such as a class, has no cells: this is Conditional then.
    """

    def __init__(self, condition_channels, channels, cell):
        super().__init__(condition_channels, channels)
        self.cell, self.size = cell, None

    def tell(self, condition):
        super().tell(condition)
        if self.condition is not None:
            self.size = self.condition.shape[1:3]
            for axis in (1, 2):
                self.condition = cell_means(self.condition, axis, self.cell)

    def forward(self, x):
        y = super().forward(x)
        self.told_size = self.size
        return y

    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        if self.dcondition is not None:
            for axis in (1, 2):
                self.dcondition = spread_means(self.dcondition, axis, self.cell, self.told_size[axis - 1])
        return dx


def cell_means(x, axis, cell):
    """Means of x over `cell` neighbours at a time along an axis; the last group may have fewer."""
    starts = range(0, x.shape[axis], cell)
    return xp.stack([x[along(axis, start, start + cell)].mean(axis=axis) for start in starts], axis=axis)


def spread_means(dmeans, axis, cell, size):
    """The backward of cell_means: the gradient of each mean, in equal shares to the numbers that it is the mean of."""
    counts = [min(cell, size - start) for start in range(0, size, cell)]
    parts = [xp.repeat(dmeans[along(axis, place, place + 1)], count, axis=axis) * (1 / count)
             for place, count in enumerate(counts)]
    return xp.concatenate(parts, axis=axis)


def along(axis, start, stop):
    """The index of entries start .. stop - 1 along an axis."""
    return (slice(None),) * axis + (slice(start, stop),)
