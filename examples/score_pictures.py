"""The pictures that evaluate.py leaves: what images cost, which cost least and most, and on which two models differ.

Every save_... returns the names of the files that it wrote, a list.
"""

import numpy as np

from fitting import ONE_LEVEL

from tinyar.pictures import grid
from tinyar.pictures.grids import save_grids
from tinyar.pictures.histogram import save_histograms

MOST_SHOWN, COLUMNS = 30, 6  # images in one of the two grids of a picture


def save_histogram(folder, sets, unit):
    """histogram.png: what the images of each set cost, {title: costs (N,)}; that of the black one is marked."""
    flat = sets.get(ONE_LEVEL)
    save_histograms(folder / "histogram.png", sets, unit, None if flat is None else (flat[0], "level 0 all over"))
    return ["histogram.png"]


def save_extremes(folder, images, scores, levels):
    """extremes.png: the images that cost least, the least first, and those that cost most, the most first."""
    order = np.argsort(scores.shown, kind="stable")
    some = min(MOST_SHOWN, -(-len(order) // 2))
    least, most = order[:some], order[::-1][:some]
    words = ("likeliest", "least likely") if scores.in_nats else ("least error", "largest error")
    save_grids(folder / "extremes.png", [titled(images[chosen], levels, word, scores.shown[chosen], scores.in_nats)
                                         for word, chosen in zip(words, (least, most))])
    return ["extremes.png"]


def save_differences(folder, images, every, names, levels):
    """difference.png: how much more an image costs under the second model. And deciding.png: the images on which the
    models differ most, to the left where the first is better, to the right where the second is.
    """
    differences = every[1].shown - every[0].shown
    save_histograms(folder / "difference.png", {f"{names[1]} minus {names[0]}": differences}, every[0].shown_unit,
                    (0, "equal"))
    order = np.argsort(differences, kind="stable")
    some = min(MOST_SHOWN, -(-len(order) // 2))
    sides = [(names[0], order[::-1][:some], 1), (names[1], order[:some], -1)]
    grids = [titled(images[chosen], levels, f"{name} better by", sign * differences[chosen], every[0].in_nats)
             for name, side, sign in sides for chosen in [side[sign * differences[side] > 0]] if len(chosen)]
    if not grids:  # the two models are the same
        return ["difference.png"]
    save_grids(folder / "deciding.png", grids)
    return ["difference.png", "deciding.png"]


def titled(images, levels, title, values, nats):
    """A grid of images for save_grids, under its title and the values of its first and last image."""
    heading = f"{title}: {values[0]:.3g} to {values[-1]:.3g}" + " nats" * nats
    return grid(images, levels, min(COLUMNS, len(images))), {heading: 1}
