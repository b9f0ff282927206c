"""Pictures: grids of images and loss curves. (Films of images being drawn: film.py. Networks: receptive_fields.py.)

Everything here takes NumPy arrays on the host and writes a file. Figures are made with matplotlib's `Figure` itself
rather than through pyplot, which keeps figures alive in a global list and may want a display. A file is written under
a temporary name and then renamed, so that there is never half a picture; folders that are missing are created.

Every `save_...` raises ValueError for arrays that don't fit or a name of another kind than .png, and
OSError, with the path in its message, where nothing can be written.
"""

import functools
import itertools
import math
import pathlib

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from tinyar.data.atomic import atomic_write

# Colours that stay apart for colour-blind readers: Okabe & Ito 2008, "Color Universal Design".
BLUE, VERMILLION, SAND, PALE = "#0072B2", "#D55E00", "#F7CFA0", "#EBEBEB"
SEVERAL = BLUE, VERMILLION, "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
GAP = 128  # the grey between the images of a grid


def with_own_settings(save):
    """Decorator: draw by matplotlib's own settings, whatever a matplotlibrc says; so files are what is promised."""
    @functools.wraps(save)
    def save_by_default(*arguments, **options):
        with matplotlib.style.context("default"):
            return save(*arguments, **options)
    return save_by_default


# -- images ------------------------------------------------------------------------------------------------------------

def grid(images, levels, columns=None, gap=1):
    """All images side by side, row after row, in one picture: uint8 (picture height, picture width, 3).

    images    (N, height, width, channels), channels 1 or 3, integers 0 .. levels - 1, which become 0 .. 255 linearly
    columns   how many images stand in a row; None for ceil(sqrt(N))
    gap       pixels of grey between neighbours

    Raises ValueError for images of another shape, levels out of range, or columns or gap that aren't whole numbers.
    """
    images = checked_images(images, levels)
    n, height, width, channels = images.shape
    columns = check_whole("columns", math.isqrt(n - 1) + 1 if columns is None else columns, least=1)
    gap = check_whole("gap", gap, least=0)
    rows = -(-n // columns)
    shades = np.rint(np.linspace(0, 255, levels)).astype(np.uint8)
    picture = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), GAP, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        picture[top:top + height, left:left + width] = shades[image]  # one channel spreads over three
    return picture


def save_image(path, array, scale=None):
    """Write a picture (height, width, 1 or 3), uint8, as PNG: every pixel a square of scale x scale, nothing smoothed.

    With scale=None the shorter side gets at least 400 pixels, but a pixel never more than 8 x 8.
    """
    array = enlarge(array, scale)
    with atomic_write(checked_name(path, ".png")) as temporary:
        colored = np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
        Image.fromarray(colored).save(temporary, format="PNG")


@with_own_settings
def save_samples(path, samples, real, levels, titles=("drawn by the model", "real"), columns=None):
    """Write drawn and real images (N, height, width, channels) as two grids side by side, each under its title."""
    pictures = [enlarge(grid(images, levels, columns)) for images in (samples, real)]
    margin, head = 15, 40
    height = head + max(len(picture) for picture in pictures) + margin
    width = margin + sum(picture.shape[1] + margin for picture in pictures)
    figure, left = Figure(figsize=(width / 100, height / 100)), margin
    for title, picture in zip(titles, pictures):
        # Axes of exactly as many pixels as the picture has: no pixel of an image is wider than another.
        tall, wide, _ = picture.shape
        axes = figure.add_axes((left / width, 1 - (head + tall) / height, wide / width, tall / height))
        axes.imshow(picture, interpolation="nearest", aspect="auto")
        axes.set_title(title)
        axes.set_axis_off()
        left += wide + margin
    save_figure(path, figure)


# -- curves ------------------------------------------------------------------------------------------------------------

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


# -- files and checks --------------------------------------------------------------------------------------------------

def save_figure(path, figure):
    """Write a Figure as PNG, 100 dots an inch."""
    with atomic_write(checked_name(path, ".png")) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def checked_name(path, suffix):
    """path, or a ValueError unless it ends in `suffix`."""
    if pathlib.Path(path).suffix.lower() != suffix:
        raise ValueError(f"{str(path)!r}: expected a file name that ends in {suffix}")
    return path


def enlarge(picture, scale=None):
    """Repeat every pixel of a picture (height, width, 1 or 3), uint8, scale times both ways, None as in save_image."""
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] not in (1, 3) or picture.size == 0 or picture.dtype != np.uint8:
        raise ValueError("expected a picture (height, width, 1 or 3) of uint8, "
                         f"got {picture.dtype} of shape {picture.shape}")
    scale = check_whole("scale", min(8, -(-400 // min(picture.shape[:2]))) if scale is None else scale, least=1)
    return picture.repeat(scale, axis=0).repeat(scale, axis=1)


def checked_images(images, levels):
    """images as an array, or a ValueError that says what is wrong with them or with levels."""
    levels, images = check_whole("levels", levels, least=2), np.asarray(images)
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.size == 0:
        raise ValueError(f"images: expected shape (N, height, width, 1 or 3), nothing of it 0, got {images.shape}")
    if images.dtype.kind not in "iu":
        raise ValueError(f"images: expected integer levels, got {images.dtype}")
    if images.min() < 0 or images.max() >= levels:
        raise ValueError(f"images: expected levels 0 .. {levels - 1}, got {images.min()} .. {images.max()}")
    return images


def check_whole(name, value, least):
    """value, or a ValueError unless it is a whole number of at least `least`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)
