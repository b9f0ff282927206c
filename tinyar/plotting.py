"""Pictures: grids of images, loss curves, masks, receptive fields, and films of an image being drawn.

Everything here takes NumPy arrays on the host and writes a file; the only computation is `receptive_field`, which asks a model's
backward pass which pixels an output depends on. Figures are made with matplotlib's `Figure` itself rather than through pyplot,
which keeps figures alive in a global list and may want a display. A file is written under a temporary name beside its own
and then renamed, so that there is never half a picture; folders that are missing are created.

Every `save_...` raises ValueError for arrays that don't fit or a name of another kind than .png (.gif for a film), and OSError,
with the path in its message, where nothing can be written.
"""

import copy
import math
import pathlib

import matplotlib.image
import numpy as np
from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from tinyar.backend import one_blas_thread, to_device, to_host, xp
from tinyar.files import atomic_write

# Colours that stay apart for colour-blind readers: Okabe & Ito 2008, "Color Universal Design".
BLUE, VERMILLION, SAND, PALE = "#0072B2", "#D55E00", "#F7CFA0", "#EBEBEB"
SEEN = LinearSegmentedColormap.from_list("seen", ["#C6DDF0", "#56A0D3", "#0B559F", "#08204A"])
GAP = 128  # the grey between the images of a grid


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
    """Write a picture (height, width, 1 or 3), uint8, as PNG: every pixel a square of scale x scale pixels, nothing smoothed.

    With scale=None the shorter side gets at least 400 pixels, but a pixel never more than 8 x 8.
    """
    array = enlarge(array, scale)
    with atomic_write(checked_name(path, ".png")) as temporary:
        matplotlib.image.imsave(temporary, np.broadcast_to(array, (*array.shape[:2], 3)), format="png")


def save_samples(path, samples, real, levels):
    """Write drawn and real images (N, height, width, channels) as two grids side by side, under the titles that say which is which."""
    pictures = [enlarge(grid(images, levels)) for images in (samples, real)]
    margin, head = 15, 40
    height = head + max(len(picture) for picture in pictures) + margin
    width = margin + sum(picture.shape[1] + margin for picture in pictures)
    figure, left = Figure(figsize=(width / 100, height / 100)), margin
    for title, picture in zip(("drawn by the model", "real"), pictures):
        # Axes of exactly as many pixels as the picture has: no pixel of an image is wider than another.
        tall, wide, _ = picture.shape
        axes = figure.add_axes((left / width, 1 - (head + tall) / height, wide / width, tall / height))
        axes.imshow(picture, interpolation="nearest", aspect="auto")
        axes.set_title(title)
        axes.set_axis_off()
        left += wide + margin
    save_figure(path, figure)


class Film:
    """Watches images being drawn and makes an animated GIF of it.

        film = Film(levels=2)
        sample(model, 16, (28, 28), watch=film.watch)
        film.save("drawing.gif")

    levels    of the images, as for `grid`
    every     a frame for every so many pixels, and one for the last; None for about 80 frames

    A drawing that starts anew starts the film anew. Raises ValueError for bad levels, every, images or seconds.
    """

    def __init__(self, levels, every=None):
        self.levels = check_whole("levels", levels, least=2)
        self.every = None if every is None else check_whole("every", every, least=1)
        self.frames = []

    def watch(self, row, col, images):
        """The hook for `tinyar.sampling.sample`: images (N, height, width, channels), of which the pixel (row, col) is the newest."""
        _, height, width, _ = images.shape
        done, total = row * width + col + 1, height * width
        if done == 1:
            self.frames = []
        if done % (self.every or -(-total // 80)) == 0 or done == total:
            self.frames.append(checked_images(images, self.levels).copy())

    def save(self, path, seconds=4):
        """Write the GIF: the drawing lasts about `seconds`, then the finished images stay for 2 seconds, then it starts again."""
        if not self.frames:
            raise ValueError("the film is empty: pass film.watch to sample(..., watch=film.watch) first")
        if not 0 < seconds < math.inf:
            raise ValueError(f"seconds: expected a number above 0, got {seconds!r}")
        pictures = [Image.fromarray(enlarge(grid(frame, self.levels))) for frame in self.frames]
        if self.frames[0].shape[3] == 1:
            pictures = [picture.convert("L") for picture in pictures]
        else:  # a GIF holds 256 colours: those of the finished images, and of what isn't drawn yet
            palette = Image.fromarray(np.concatenate([grid(self.frames[i], self.levels) for i in (0, -1)])).quantize()
            pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
        pause = max(20, round(1000 * seconds / len(pictures), -1))  # GIF counts in 10 ms, and many viewers refuse a single one
        with atomic_write(checked_name(path, ".gif")) as temporary:
            pictures[0].save(temporary, format="GIF", save_all=True, append_images=pictures[1:], loop=0,
                             duration=[pause] * (len(pictures) - 1) + [2000])


# -- curves ------------------------------------------------------------------------------------------------------------

def save_curve(path, rows):
    """Write the loss curve of a training: bits per dimension against the epoch, the best validation marked.

    rows    a dict for each epoch with the keys epoch, train_bits_per_dim and validation_bits_per_dim, of which the last may
            be None (not measured). Values that aren't finite are left out
    """
    if not rows:
        raise ValueError("rows: expected at least one epoch, got none")
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="epoch", ylabel="bits per dimension")
    for name, color, style in (("train", BLUE, "o--"), ("validation", VERMILLION, "s-")):
        points = measured(rows, f"{name}_bits_per_dim")
        if points:
            axes.plot(*zip(*points), style, color=color, markersize=4, label=name)
    if points:  # of the validation
        epoch, best = min(points, key=lambda point: point[1])
        axes.plot(epoch, best, "o", markersize=12, markerfacecolor="none", markeredgecolor="black",
                  label=f"best validation: {best:.4f} in epoch {epoch}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.grid(color=PALE)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    save_figure(path, figure)


def measured(rows, key):
    """The points (epoch, row[key]) at which the value was measured and is finite. ValueError for a row without the key."""
    for row in rows:
        for expected in ("epoch", key):
            if expected not in row:
                raise ValueError(f"rows: expected a key {expected!r} in every row, got {', '.join(row)}")
    return [(row["epoch"], row[key]) for row in rows if row[key] is not None and math.isfinite(row[key])]


# -- what a network sees -----------------------------------------------------------------------------------------------

def live_pairs(layer):
    """Which (input, output) pairs of a MaskedConv2d live at each tap: 1 or 0, (kernel, kernel, in, out)."""
    ones = copy.deepcopy(layer)  # a weight that happens to be 0 lives too
    for param in ones.params.values():
        param[...] = 1
    return to_host(ones.dense_kernel())


def save_masks(path, layers):
    """Write which taps of masked convolutions live: a grid of taps for each, 1 live, 0 masked.

    layers    {title: MaskedConv2d}. Where only some pairs of channels live, as in the centre of a layer with colours, the tap shows
              which: inputs from top to bottom, outputs from left to right; their share is written below
    """
    if not layers:
        raise ValueError("layers: expected at least one {title: layer}, got none")
    for title, layer in layers.items():
        if not hasattr(layer, "dense_kernel"):
            raise ValueError(f"layers: {title!r} is a {type(layer).__name__}, expected a MaskedConv2d")
    columns = len(layers) if len(layers) <= 3 else math.isqrt(len(layers) - 1) + 1
    rows = -(-len(layers) // columns)
    figure = Figure(figsize=(3.6 * columns, 4 * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.15)
    for place, (title, layer) in enumerate(layers.items(), start=1):
        draw_mask(figure.add_subplot(rows, columns, place, title=title, xticks=[], yticks=[]), live_pairs(layer))
    save_figure(path, figure)


def draw_mask(axes, pairs):
    """Draw the taps of pairs (kernel, kernel, in, out), of 1 and 0, as a grid of squares with the centre framed."""
    k, _, inputs, outputs = pairs.shape
    axes.imshow(pairs.transpose(0, 2, 1, 3).reshape(k * inputs, k * outputs), interpolation="nearest", vmin=0, vmax=1,
                cmap=LinearSegmentedColormap.from_list("live", [PALE, BLUE]), extent=(-0.5, k - 0.5, k - 0.5, -0.5))
    for (i, j), share in np.ndenumerate(pairs.mean(axis=(2, 3))):
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor="white", linewidth=2))
        if share in (0, 1):
            axes.text(j, i, f"{share:.0f}", ha="center", va="center", color="white" if share else "black")
        else:
            axes.set_xlabel(f"{share:.2f} of the channel pairs live at the centre\n(down: inputs, across: outputs)")
    axes.add_patch(Rectangle((k // 2 - 0.5, k // 2 - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=2))
    axes.set(xlim=(-0.55, k - 0.45), ylim=(k - 0.45, -0.55))
    axes.spines[:].set_visible(False)


def receptive_field(model, height, width, at, channels=None):
    """How much the output at the pixel at = (row, col) depends on each pixel of the image: float64 (height, width).

    An entry is |d L / d x|, summed over channels, where L = sum(dy * y) with a random dy at that one output pixel and 0 elsewhere.
    It is exactly 0 where no path leads from the pixel to the output. The converse must not hang on luck, on a ReLU that
    happens to be shut or on terms that cancel: the largest of eight random images and dy counts, computed in float64.

    model     any layer that maps (batch, height, width, channels) to one output a pixel, by forward and backward; the model
              itself isn't touched. Where it has `levels` it gets random levels, otherwise normal numbers
    channels  of the images; None for model.image_channels, or 1 where there is no such thing

    Raises ValueError for an `at` outside the image or a model whose outputs aren't one a pixel.
    """
    height, width = check_whole("height", height, least=1), check_whole("width", width, least=1)
    row, col = checked_pixel(at, height, width)
    channels = channels or getattr(model, "image_channels", 1)
    rng = np.random.default_rng(0)
    size, levels = (8, height, width, channels), getattr(model, "levels", None)
    x = rng.integers(0, levels, size) if levels else rng.standard_normal(size)
    twin = copy.deepcopy(model).astype(xp.float64)  # forward may move things that a replica shares, an average or a codebook
    with one_blas_thread():  # the products are small
        y = twin.forward(to_device(x))
        if y.shape[:3] != x.shape[:3]:
            raise ValueError(f"{type(model).__name__}: expected an output for every pixel of images {x.shape}, got shape {y.shape}")
        dy = np.zeros(y.shape)
        dy[:, row, col] = rng.standard_normal(dy[:, row, col].shape)
        dx = to_host(twin.backward(to_device(dy)))
    return np.abs(dx).sum(axis=3).max(axis=0)


def earlier_pixels(height, width, at):
    """Which pixels come before at = (row, col) in raster order, the only ones its output may depend on: bool (height, width)."""
    row, col = at
    return np.arange(height * width).reshape(height, width) < row * width + col


def save_receptive_field(path, fields, at, blind=None):
    """Write receptive fields side by side: how strongly each pixel is seen (log scale), and which earlier ones aren't seen at all.

    fields    {title: (height, width) array of `receptive_field`}, all of one size; each is shown relative to its largest entry
    at        the (row, col) of the output
    blind     {title: bool (height, width)}: which pixels no depth would reach; None draws all unseen ones alike
    """
    fields = checked_fields(fields)
    if blind and {title: np.shape(array) for title, array in blind.items()} != {title: field.shape for title, field in fields.items()}:
        raise ValueError("blind: expected an array for every title of fields, of the same size")
    height, width = next(iter(fields.values())).shape
    row, col = checked_pixel(at, height, width)
    earlier = earlier_pixels(height, width, (row, col))
    relative = {title: np.ma.masked_equal(field / (field.max() or 1), 0) for title, field in fields.items()}
    faintest = min((values.min() for values in relative.values() if values.count()), default=1)
    norm = LogNorm(10.0 ** max(-6, math.floor(math.log10(faintest) - 0.1)), 1)
    panel = min(3.8, 8.5 / len(fields))  # inches
    figure = Figure(figsize=(max(6.5, 1.5 + panel * len(fields)), 1.1 + panel * min(2, height / width)), layout="constrained")
    all_axes = figure.subplots(1, len(fields), squeeze=False)[0]
    for axes, (title, values) in zip(all_axes, relative.items()):
        background = np.full((height, width, 3), to_rgb(PALE))
        background[earlier] = to_rgb(VERMILLION)
        if blind:
            background[earlier & ~blind[title]] = to_rgb(SAND)
        axes.imshow(background)
        shown = axes.imshow(values, cmap=SEEN, norm=norm)  # a later pixel that is seen, by mistake, would show too
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), 1, 1, facecolor="white", edgecolor="black", linewidth=2))
        axes.set(title=title, xlabel="column", ylabel="row")
    bar = all_axes[-1].inset_axes((1.06, 0, 0.05, 1))
    figure.colorbar(shown, cax=bar, label="influence, relative to the largest")
    labels = [("white", "pixel to be predicted"), (SEEN(0.7), "seen"), (VERMILLION, "earlier, but never seen"), (PALE, "later")]
    if blind:
        labels[2:3] = [(VERMILLION, "blind spot at any depth"), (SAND, "out of reach at this depth")]
    handles = [Patch(facecolor=color, edgecolor="black", linewidth=0.5, label=label) for color, label in labels]
    figure.legend(handles=handles, loc="outside lower center", ncols=3 if len(fields) == 1 else 5, frameon=False)
    save_figure(path, figure)


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
    """Repeat every pixel of a picture (height, width, 1 or 3), uint8, scale times down and across; None as in `save_image`."""
    picture = np.asarray(picture)
    if picture.ndim != 3 or picture.shape[2] not in (1, 3) or picture.size == 0 or picture.dtype != np.uint8:
        raise ValueError(f"expected a picture (height, width, 1 or 3) of uint8, got {picture.dtype} of shape {picture.shape}")
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


def checked_fields(fields):
    """fields with arrays for values, or a ValueError that names the one that doesn't fit."""
    fields = {title: np.asarray(field) for title, field in fields.items()}
    if not fields:
        raise ValueError("fields: expected at least one {title: array}, got none")
    shape = next(iter(fields.values())).shape
    for title, field in fields.items():
        if field.ndim != 2 or field.size == 0 or field.shape != shape:
            raise ValueError(f"fields: expected arrays (height, width) of one size, got {field.shape} for {title!r}")
        if not (np.isfinite(field) & (field >= 0)).all():
            raise ValueError(f"fields: expected finite numbers of at least 0, {title!r} has others")
    return fields


def checked_pixel(at, height, width):
    """(row, col) of a pixel of the image, or a ValueError."""
    at = tuple(at)
    if len(at) != 2 or not (0 <= at[0] < height and 0 <= at[1] < width):
        raise ValueError(f"at: expected (row, col) within {height} x {width} pixels, got {at}")
    return at


def check_whole(name, value, least):
    """value, or a ValueError unless it is a whole number of at least `least`."""
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value!r}")
    return int(value)
