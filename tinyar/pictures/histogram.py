"""Histograms of several sets of numbers in one picture, such as what each image costs under a model."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from tinyar.pictures.grids import save_figure, with_own_settings
from tinyar.pictures.plotting import PALE, SEVERAL

BINS = 40
WIDE = 20  # numbers of which the largest is so many times the smallest are shown on a logarithmic axis


@with_own_settings
def save_histograms(path, sets, xlabel, mark=None):
    """Write a histogram of each set, {title: numbers}, all with the same bins, and a dashed line at its mean.

    The height of a bar is the share of the set's numbers in the bin, so that sets of different sizes compare. Where the
    numbers are above 0 and far apart, the axis is logarithmic. mark, if given, is a number to mark, (number, title).
    Raises ValueError for no sets, an empty one, or numbers that aren't finite.
    """
    sets = {title: np.asarray(numbers, float).reshape(-1) for title, numbers in sets.items()}
    if not sets or not all(numbers.size and np.isfinite(numbers).all() for numbers in sets.values()):
        raise ValueError("sets: expected at least one {title: finite numbers}, none of them empty")
    edges, scale = bins_of(np.concatenate(list(sets.values())))
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel=xlabel, ylabel="share of images", xscale=scale)
    for i, (title, numbers) in enumerate(sets.items()):
        color = SEVERAL[i % len(SEVERAL)]
        axes.hist(numbers, edges, weights=np.full(numbers.size, 1 / numbers.size), color=color, alpha=0.5)
        axes.axvline(numbers.mean(), color=color, linestyle="--", label=f"{title}: mean {numbers.mean():,.4g}")
    if scale == "log":
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:,g}")  # 1,000: powers of ten would be formulas
        axes.xaxis.set_minor_formatter(NullFormatter())
    if mark is not None:
        axes.axvline(mark[0], color="black", linewidth=1, label=mark[1])
    axes.grid(color=PALE)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    save_figure(path, figure)


def bins_of(numbers):
    """(edges of the bins, "linear" or "log"), so that all numbers lie in between."""
    low, high = numbers.min(), numbers.max()
    if low > 0 and high > WIDE * low:
        return np.geomspace(low, high, BINS + 1), "log"
    return np.linspace(low, high, BINS + 1) if high > low else np.array([low - 0.5, high + 0.5]), "linear"
