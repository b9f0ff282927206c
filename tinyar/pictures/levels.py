"""What models say of single pixels: a probability for each level."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from tinyar.pictures.grids import save_figure, with_own_settings
from tinyar.pictures.plotting import BLUE, VERMILLION


@with_own_settings
def save_level_tables(path, rows, titles):
    """Write a row for each pixel: its image up to there, then a diagram for each title; the true level is marked.

    rows    (image (height, width, 1 or 3) of numbers from 0 to 1, (row, col), true level, tables), where tables has the
            probabilities of all levels for each title
    """
    if not rows or not all(len(tables) == len(titles) for *_, tables in rows):
        raise ValueError(f"rows: expected at least one, each with {len(titles)} tables")
    figure = Figure(figsize=(1.8 + 3 * len(titles), 1.6 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), 1 + len(titles), squeeze=False, width_ratios=[1.4] + [3] * len(titles))
    for line, (image, at, level, tables) in zip(axes, rows):
        line[0].imshow(shown_up_to(image, at), cmap="gray", vmin=0, vmax=1)
        line[0].plot(at[1], at[0], "s", markersize=5, markerfacecolor="none", markeredgecolor=VERMILLION)
        line[0].set_axis_off()
        for axis, p in zip(line[1:], tables):
            axis.bar(np.arange(len(p)), p, width=1, color=BLUE)
            axis.axvline(level, color=VERMILLION, linestyle="--", linewidth=1)
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_title(f"{p[level]:.3f} for the true level", fontsize=8)
            axis.tick_params(labelsize=7)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axis, title in zip(axes[-1, 1:], titles):
        axis.set_xlabel(f"level, by {title}", fontsize=8)
    save_figure(path, figure)


def shown_up_to(image, at):
    """The image with the pixels from `at` on in an even light grey, as they aren't known yet."""
    shown = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image.copy()
    known = np.arange(shown[..., 0].size) < at[0] * shown.shape[1] + at[1]
    shown.reshape(-1, 3)[~known] = (0.75, 0.8, 0.9)
    return shown
