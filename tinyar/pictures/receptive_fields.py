"""What a network sees: pictures of the masks of its convolutions, and of the pixels that an output depends on.

Which pixels these are isn't read off the masks: `receptive_field` asks the model's own backward pass. A gradient
is exactly 0 where no path leads from a pixel to the output, so this picture is a proof of causality, and it
shows the blind spot.
"""

import copy
import math

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from tinyar.backend import one_blas_thread, to_device, to_host, xp
from tinyar.layers.dropout import Dropout
from tinyar.pictures import plotting
from tinyar.pictures.plotting import BLUE, PALE, SAND, VERMILLION

SEEN = LinearSegmentedColormap.from_list("seen", ["#C6DDF0", "#56A0D3", "#0B559F", "#08204A"])
MOST_IN_A_LINE = 4  # receptive fields beside each other


def live_pairs(layer):
    """Which (input, output) pairs of a MaskedConv2d live at each tap: 1 or 0, (kernel, kernel, in, out)."""
    ones = copy.deepcopy(layer)  # a weight that happens to be 0 lives too
    for _, param, _ in ones.parameters():
        param[...] = 1
    return to_host(ones.dense_kernel())


@plotting.with_own_settings
def save_masks(path, layers):
    """Write which taps of masked convolutions live: a grid of taps for each, 1 live, 0 masked.

    layers    {title: MaskedConv2d}. Where only some pairs of channels live, as in the centre of a layer with colours,
              the tap shows which: inputs from top to bottom, outputs from left to right; their share is written below
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
    plotting.save_figure(path, figure)


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

    An entry is |d L / d x|, summed over channels, where L = sum(dy * y) with a random dy at that one output pixel and 0
    elsewhere. It is exactly 0 where no path leads from the pixel to the output. The converse must not hang on luck, on
    a ReLU that happens to be shut or on terms that cancel: the largest of eight random images and dy counts, computed
    in float64.

    model     any layer that maps (batch, height, width, channels) to one output a pixel, by forward and backward; the
              model itself isn't touched. Where it has `levels` it gets random levels, otherwise normal numbers
    channels  of the images; None for model.image_channels, or 1 where there is no such thing

    Raises ValueError for an `at` outside the image or a model whose outputs aren't one a pixel.
    """
    height, width = plotting.check_whole("height", height, least=1), plotting.check_whole("width", width, least=1)
    row, col = checked_pixel(at, height, width)
    channels = channels or getattr(model, "image_channels", 1)
    rng = np.random.default_rng(0)
    size, levels = (8, height, width, channels), getattr(model, "levels", None)
    x = rng.integers(0, levels, size) if levels else rng.standard_normal(size)
    twin = copy.deepcopy(model).astype(xp.float64)  # forward may move what a replica shares: averages, a codebook
    for _, layer in twin.layers():
        if isinstance(layer, Dropout):
            layer.rate = 0.0  # a number that is dropped would cut a path
    with one_blas_thread():  # the products are small
        y = twin.forward(to_device(x))
        if isinstance(y, tuple) or y.shape[:3] != x.shape[:3]:
            raise ValueError(f"{type(model).__name__}: expected an output for every pixel of images {x.shape}, "
                             f"got {'several arrays' if isinstance(y, tuple) else f'shape {y.shape}'}")
        dy = np.zeros(y.shape)
        dy[:, row, col] = rng.standard_normal(dy[:, row, col].shape)
        dx = to_host(twin.backward(to_device(dy)))
    return np.abs(dx).sum(axis=3).max(axis=0)


def earlier_pixels(height, width, at):
    """Which pixels come before at = (row, col) in raster order, all that its output may see: bool (height, width)."""
    row, col = at
    return np.arange(height * width).reshape(height, width) < row * width + col


@plotting.with_own_settings
def save_receptive_field(path, fields, at, blind=None):
    """Write receptive fields side by side: how strongly each pixel is seen (log scale), and which earlier ones aren't.

    fields    {title: (height, width) array of `receptive_field`}, all of one size; each is shown relative to its
              largest entry
    at        the (row, col) of the output
    blind     {title: bool (height, width)}: which pixels no depth would reach; None draws all unseen ones alike
    """
    fields = checked_fields(fields)
    height, width = next(iter(fields.values())).shape
    row, col = checked_pixel(at, height, width)
    if blind and (blind.keys() != fields.keys() or any(np.shape(array) != (height, width) for array in blind.values())):
        raise ValueError("blind: expected an array for every title of fields, of the same size")
    earlier = earlier_pixels(height, width, (row, col))
    relative = {title: np.ma.masked_equal(field / (field.max() or 1), 0) for title, field in fields.items()}
    faintest = min((values.min() for values in relative.values() if values.count()), default=1)
    norm = LogNorm(10.0 ** max(-6, math.floor(math.log10(faintest) - 0.1)), 1)
    lines = 1 if len(fields) <= MOST_IN_A_LINE else 2
    columns = -(-len(fields) // lines)
    panel = min(3.8, 8.5 / columns)  # inches
    figsize = max(6.5, 1.5 + panel * columns), 1.1 + lines * panel * min(2, height / width)
    figure = Figure(figsize=figsize, layout="constrained")
    all_axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes in all_axes[len(fields):]:
        axes.set_axis_off()
    for axes, (title, values) in zip(all_axes, relative.items()):
        background = np.full((height, width, 3), to_rgb(PALE))
        background[earlier] = to_rgb(VERMILLION)
        if blind:
            background[earlier & ~blind[title]] = to_rgb(SAND)
        axes.imshow(background)
        shown = axes.imshow(values, cmap=SEEN, norm=norm)  # a later pixel that is seen, by mistake, would show too
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), 1, 1, facecolor="white", edgecolor="black", linewidth=2))
        axes.set(title=title, xlabel="column", ylabel="row")
    bar = all_axes[columns - 1].inset_axes((1.06, 0, 0.05, 1))
    figure.colorbar(shown, cax=bar, label="influence, relative to the largest", format="%g")  # 0.001, without LaTeX
    labels = [("white", "pixel to be predicted"), (SEEN(0.7), "seen"), (VERMILLION, "earlier, but never seen"),
              (PALE, "later")]
    if blind:
        labels[2:3] = [(VERMILLION, "blind spot at any depth"), (SAND, "out of reach at this depth")]
    handles = [Patch(facecolor=color, edgecolor="black", linewidth=0.5, label=label) for color, label in labels]
    figure.legend(handles=handles, loc="outside lower center", ncols=3 if len(fields) == 1 else 5, frameon=False)
    plotting.save_figure(path, figure)


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
