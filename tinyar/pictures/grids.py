"""Grids of images, drawn pixel by pixel, with headings and names of rows; and what every picture here shares.

A file is written under a temporary name and then renamed, so that there is never half a picture; folders that are
missing are created.
"""

import functools
import math
import pathlib
import warnings

import matplotlib.style
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from PIL import Image

from tinyar.data.atomic import atomic_write

GAP = 128  # the grey between the images of a grid
UNKNOWN = 204, 121, 167  # what nobody knows of an image: a purple, which is no grey and seldom in photographs


def with_own_settings(save):
    """Decorator: draw by matplotlib's own settings, whatever a matplotlibrc says; so files are what is promised.

    Texts are written as they are: a $ begins no formula, and a letter that the font lacks becomes a box.
    """
    @functools.wraps(save)
    def save_by_default(*arguments, **options):
        with matplotlib.style.context(["default", {"text.parse_math": False}]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")
            return save(*arguments, **options)
    return save_by_default


def grid(images, levels, columns=None, gap=1):
    """All images side by side, row after row, in one picture: uint8 (picture height, picture width, 3).

    images    (N, height, width, channels), channels 1 or 3, integers 0 .. levels - 1, which become 0 .. 255 linearly;
              what a masked array masks is unknown, and gets a colour of its own
    columns   how many images stand in a row; None for ceil(sqrt(N))
    gap       pixels of grey between neighbours

    Raises ValueError for images of another shape, levels out of range, or columns or gap that aren't whole numbers.
    """
    images, unknown = checked_images(np.ma.getdata(images), levels), np.ma.getmaskarray(images).any(axis=-1)
    n, height, width, channels = images.shape
    columns = check_whole("columns", math.isqrt(n - 1) + 1 if columns is None else columns, least=1)
    gap = check_whole("gap", gap, least=0)
    rows = -(-n // columns)
    shades = np.rint(np.linspace(0, 255, levels)).astype(np.uint8)
    picture = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), GAP, dtype=np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        part = picture[top:top + height, left:left + width]
        part[:] = shades[image]  # one channel spreads over three
        part[unknown[i]] = UNKNOWN
    return picture


def save_image(path, array, scale=None):
    """Write a picture (height, width, 1 or 3), uint8, as PNG: every pixel a square of scale x scale, nothing smoothed.

    With scale=None the shorter side gets at least 400 pixels, but a pixel never more than 8 x 8.
    """
    array = enlarge(array, scale)
    with atomic_write(checked_name(path, ".png")) as temporary:
        colored = np.ascontiguousarray(np.broadcast_to(array, (*array.shape[:2], 3)))
        Image.fromarray(colored).save(temporary, format="PNG")


def save_samples(path, samples, real, levels, titles=("drawn by the model", "real"), columns=None, rows=()):
    """Write drawn and real images (N, height, width, channels) as two grids side by side, each under its title.

    rows are the names of their rows, from top to bottom.
    """
    grids = [(grid(images, levels, columns), {title: 1}) for images, title in zip((samples, real), titles)]
    save_grids(path, grids, rows)


@with_own_settings
def save_grids(path, grids, rows=()):
    """Write pictures of `grid` side by side, with headings above, and the names of their rows to the left.

    grids   pairs (picture, {heading: how many columns of images it stands over}), the headings from left to right
    """
    pictures = [enlarge(picture) for picture, _ in grids]
    head, margin = 40, 15
    side = margin + max((10 + text_width(name) for name in rows), default=0)
    height, width = head + max(map(len, pictures)) + margin, side + sum(len(p[0]) + margin for p in pictures)
    figure, left = Figure(figsize=(width / 100, height / 100)), side
    for i, name in enumerate(rows, start=1):
        middle = head + (i - 0.5) / len(rows) * len(pictures[0])
        figure.text((side - 10) / width, 1 - middle / height, name, ha="right", va="center")
    for picture, (_, headings) in zip(pictures, grids):
        # Axes of exactly as many pixels as the picture has: no pixel of an image is wider than another.
        tall, wide, _ = picture.shape
        axes = figure.add_axes((left / width, 1 - (head + tall) / height, wide / width, tall / height))
        axes.imshow(picture, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        middle, column = left, wide / sum(headings.values())
        for heading, columns in headings.items():
            size = min(12, max(6, 9 * columns * column / text_width(heading)))  # so that it doesn't run into the next
            figure.text((middle + columns * column / 2) / width, 1 - (head - 8) / height, heading, ha="center",
                        size=size)
            middle += columns * column
        left += wide + margin
    save_figure(path, figure)


def text_width(text):
    """Of a text of size 10, in dots."""
    return math.ceil(TextPath((0, 0), printable(text), size=10).get_extents().width * 100 / 72) if text.strip() else 1


def printable(text):
    """The text, with "?" for bytes of a file name that are no letters."""
    return text.encode("utf-8", "replace").decode()


# -- files and checks --------------------------------------------------------------------------------------------------

def save_figure(path, figure):
    """Write a Figure as PNG, 100 dots an inch."""
    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text()))
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
