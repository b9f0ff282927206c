"""Where the pixels of an image look: the weights of attention."""

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tinyar.pictures.grids import save_figure, with_own_settings
from tinyar.pictures.levels import shown_up_to
from tinyar.pictures.plotting import VERMILLION

HALF = 0.5  # titles say how few pixels have this share of the weight


@with_own_settings
def save_attention(path, rows, titles):
    """Write a row for each pixel: its image up to there, then a map of weights for each title, over the dimmed image.

    rows    (image (height, width, 1 or 3) of numbers from 0 to 1, (row, col), maps), where maps has an array (height,
            width) of weights for each title, which sum to 1, or to 0 at the first pixel

    Above each map stands how few of the pixels have half of the weight. Raises ValueError unless each row has a map for
    each title.
    """
    if not rows or not all(len(maps) == len(titles) for *_, maps in rows):
        raise ValueError(f"rows: expected at least one, each with {len(titles)} maps")
    figure = Figure(figsize=(1.7 * (1 + len(titles)), 1.85 * len(rows) + 0.3), layout="constrained")
    axes = figure.subplots(len(rows), 1 + len(titles), squeeze=False)
    for line, (image, at, maps) in zip(axes, rows):
        line[0].imshow(shown_up_to(image, at))
        line[0].set_title(f"row {at[0]}, column {at[1]}", fontsize=8)
        for axis, weights in zip(line[1:], maps):
            axis.imshow(over_dimmed(image, weights))
            axis.set_title(f"half of it on {fewest(weights)} of {at[0] * image.shape[1] + at[1]} pixels", fontsize=8)
        for axis in line:
            axis.plot(at[1], at[0], "s", markersize=4, markerfacecolor="none", markeredgecolor="tab:blue")
            axis.set(xticks=[], yticks=[])
    for axis, title in zip(axes[-1], ["what is known", *titles]):
        axis.set_xlabel(title, fontsize=9)
    save_figure(path, figure)


def over_dimmed(image, weights):
    """(height, width, 3): the image, darkened, and over it the weights in orange, the largest of them opaque."""
    dimmed = 0.45 * np.broadcast_to(image, (*image.shape[:2], 3))
    strength = (weights / (weights.max() or 1))[..., None] ** 0.5
    return (1 - strength) * dimmed + strength * np.array(to_rgb(VERMILLION))


def fewest(weights):
    """How many of the largest weights make up half of all."""
    largest_first = np.sort(weights, axis=None)[::-1].astype(np.float64)
    reached = np.cumsum(largest_first) >= HALF * largest_first.sum() * (1 - 1e-6)  # weights are rounded to float32
    return int(reached.argmax()) + 1 if largest_first.any() else 0
