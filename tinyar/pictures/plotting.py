"""Pictures: loss curves and the usage of codes, and by import grids of images (grids.py).

(Films of images being drawn: film.py. Networks: receptive_fields.py.)

Everything here takes NumPy arrays on the host and writes a file. Figures are made with matplotlib's `Figure` itself
rather than through pyplot, which keeps figures alive in a global list and may want a display.

Every `save_...` raises ValueError for arrays that don't fit or a name of another kind than .png, and
OSError, with the path in its message, where nothing can be written.
"""

import itertools
import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinyar.pictures.grids import (GAP, UNKNOWN, check_whole, checked_images, checked_name, enlarge, grid, save_figure,
                                   save_grids, save_image, save_samples, with_own_settings)

__all__ = ["GAP", "UNKNOWN", "check_whole", "checked_images", "checked_name", "enlarge", "grid", "save_figure",
           "save_grids", "save_image", "save_samples", "with_own_settings", "save_curve", "save_curves", "save_usage",
           "measured"]

# Colours that stay apart for colour-blind readers: Okabe & Ito 2008, "Color Universal Design".
BLUE, VERMILLION, SAND, PALE = "#0072B2", "#D55E00", "#F7CFA0", "#EBEBEB"
SEVERAL = BLUE, VERMILLION, "#009E73", "#CC79A7", "#56B4E9", "#E69F00"


@with_own_settings
def save_curve(path, rows, unit="bits/dim"):
    """Write the loss curve of a training: its figures, in `unit`, against the epoch, the best validation marked.

    rows    a dict for each epoch with the keys epoch, train and validation, of which the last
            may be None (not measured). Values that aren't finite are left out
    """
    if not rows:
        raise ValueError("rows: expected at least one epoch, got none")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel=unit)
    train, validation = measured(rows, "train"), measured(rows, "validation")
    for name, points, color, style in (("train", train, BLUE, "o--"), ("validation", validation, VERMILLION, "s-")):
        if points:
            axes.plot(*zip(*points), style, color=color, markersize=4, label=name)
    if validation:
        epoch, best = min(validation, key=lambda point: point[1])
        axes.plot(epoch, best, "o", markersize=12, markerfacecolor="none", markeredgecolor="black",
                  label=f"best validation: {best:.4f} in epoch {epoch}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.grid(color=PALE)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save_figure(path, figure)


@with_own_settings
def save_curves(path, curves, xlabel, ylabel):
    """Write several curves in one picture, {title: (xs, ys)}, each in a colour and style of its own,
    the one that gets lowest first.
    """
    if not curves or not all(len(xs) == len(ys) >= 1 for xs, ys in curves.values()):
        raise ValueError("curves: expected at least one {title: (xs, ys)}, with as many xs as ys, at least one of each")
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot(xlabel=xlabel, ylabel=ylabel)
    styles = [(color, style) for style in ("o-", "s--") for color in SEVERAL]
    for (title, (xs, ys)), (color, style) in zip(sorted(curves.items(), key=lambda item: min(item[1][1])),
                                                 itertools.cycle(styles)):
        axes.plot(xs, ys, style, color=color, markersize=4, label=f"{title}: {min(ys):.4f}")
    axes.grid(color=PALE)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save_figure(path, figure)


@with_own_settings
def save_usage(path, counts):
    """Write how often each code of a codebook was chosen, counts (codes), the most used first, beside even use."""
    counts = np.sort(np.asarray(counts))[::-1]
    if counts.ndim != 1 or not counts.sum() > 0:
        raise ValueError(f"counts: expected a count for each code, not all of them 0, got shape {counts.shape}")
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="codes, the most used first", ylabel="share of all positions")
    axes.bar(np.arange(len(counts)), counts / counts.sum(), width=1, color=BLUE)
    axes.axhline(1 / len(counts), color=VERMILLION, linestyle="--", label="if all were used alike")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    save_figure(path, figure)


def measured(rows, key):
    """The points (epoch, row[key]) where the value was measured and is finite. ValueError for a row without the key."""
    for row in rows:
        for expected in ("epoch", key):
            if expected not in row:
                raise ValueError(f"rows: expected a key {expected!r} in every row, got {', '.join(row)}")
    return [(row["epoch"], row[key]) for row in rows if row[key] is not None and math.isfinite(row[key])]
