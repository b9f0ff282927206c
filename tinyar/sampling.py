"""Drawing images pixel by pixel, the same way for every autoregressive model.

The slow way runs the whole network once for every pixel and throws all but one of its outputs away. But by causality
the features of a pixel never change once the pixels before it are known, so each needs to be computed only once:
`model.step` computes the features of one pixel in every layer, from what earlier steps remembered. The result
is the same to rounding, the cost per pixel doesn't grow with the image, and the memory is a few rows of features
(Ramachandran et al. 2017, arXiv 1704.06001). Attention is the exception: it looks at all earlier pixels, and keeps keys
and values of them all. The slow way stands in the tests, as the definition.

Why draw at random rather than take the likeliest level of every pixel? The likeliest image isn't a typical one: on
binary digits nearly every pixel, taken for itself, is likeliest black, and an all but black image is no digit. Only
draws have the distribution that the model learned; a temperature below 1 leans towards the likelier levels, at the
price of variety.
"""

import numpy as np
from tqdm import tqdm

from tinyar.backend import keep_freed_memory, one_blas_thread, to_device
from tinyar.model import check_finite


def sample(model, n, shape, *, labels=None, maps=None, temperature=1.0, known=None, mask=None,
           seed=0, progress=False, watch=None):
    """Draw n images from an autoregressive model: integers (n, height, width, channels),
    levels 0 .. model.levels - 1, on the host.

    shape         (height, width) or (height, width, channels); any size, whatever the model was trained on
    labels, maps  what a conditional model draws: one class for all images or (n,), -1 for none;
                  maps (n, height, width, channels) (see AutoregressiveModel.condition)
    temperature   divides the logits, and multiplies a mixture's scales: 1 draws from the model, below 1 leans to
                  likelier levels
    known, mask   completion: where mask is 1 (or True) the pixel is taken from `known`, elsewhere it is drawn. Both
                  broadcast against (n, height, width, channels). Pixels are drawn given the *earlier* ones only, so
                  this is the exact conditional distribution just if every known pixel comes before every unknown one
                  (an upper half, say); known pixels further down don't influence what is drawn above them.
    seed          equal seeds draw equal images: the random numbers depend neither on the mask nor on the backend
    progress      show a bar that counts rows
    watch         called as watch(row, col, images) after each pixel, with the images so far: for films of the drawing
                  (`tinyar.pictures.Film.watch`)

    Raises ValueError for sizes, temperatures, masks or known levels that don't fit, TypeError for a model that
    isn't causal, NonFiniteError for weights or outputs that aren't finite.
    """
    height, width = checked_shape(model, n, shape)
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed: expected a whole number of at least 0, got {seed!r}")
    if not 1e-30 <= temperature <= 1e30:  # logits / temperature stay within float32
        raise ValueError(f"temperature: expected a number from 1e-30 to 1e+30, got {temperature!r}")
    size = (n, height, width, model.image_channels)
    known, mask = checked_known(model, known, mask, size)
    check_finite(model)
    condition = model.condition(n, labels, maps)
    images = np.where(mask, known, 0).astype(np.uint8 if model.levels <= 256 else np.uint16)
    rng = np.random.default_rng(seed)
    keep_freed_memory()
    given = [] if condition is None else [to_device(condition)]
    with one_blas_thread():  # the products of one pixel are too small to be shared out
        model.start(n, height, width, *given)
        for row in tqdm(range(height), desc="drawing", unit="row", disable=not progress):
            uniforms = rng.random((width, n, model.image_channels))
            for col in range(width):
                draw_pixel(model, images[:, row, col], mask[:, row, col], (row, col), uniforms[col], temperature)
                if watch:
                    watch(row, col, images)
    return images


def draw_pixel(model, pixel, keep, at, uniforms, temperature):
    """Fill in what isn't kept of one pixel of every image, in place, colour after colour;
    all arrays (batch, channels).
    """
    for colors in model.color_passes:
        outputs = model.step(to_device(pixel), at)
        model.likelihood.draw(outputs, pixel, keep, uniforms, temperature, colors)
    model.see(to_device(pixel), at)


def checked_shape(model, n, shape):
    """(height, width), or an error that says what is wrong with model, n or shape."""
    if not hasattr(model, "color_passes"):
        raise TypeError(f"{type(model).__name__} isn't a model that images can be drawn from: "
                        "it has no order of colours")
    if not isinstance(n, (int, np.integer)) or n < 1:
        raise ValueError(f"n: expected a whole number of images of at least 1, got {n!r}")
    shape = tuple(shape) if np.iterable(shape) else (shape,)
    if len(shape) not in (2, 3) or not all(isinstance(s, (int, np.integer)) and s >= 1 for s in shape):
        raise ValueError(f"shape: expected (height, width) or (height, width, channels), each at least 1, got {shape}")
    if len(shape) == 3 and shape[2] != model.image_channels:
        raise ValueError(f"shape: {shape} has {shape[2]} channels, "
                         f"but the model draws images of {model.image_channels}")
    return shape[:2]


def checked_known(model, known, mask, size):
    """known and mask as arrays of the full size, or a ValueError that says which of them doesn't fit."""
    if (known is None) != (mask is None):
        raise ValueError("known and mask go together: known holds the pixels, mask says which of them to keep")
    if known is None:
        return np.zeros(size, dtype=np.uint8), np.zeros(size, dtype=bool)
    known, mask = np.asarray(known), np.asarray(mask)
    for name, array in (("known", known), ("mask", mask)):
        try:
            np.broadcast_to(array, size)
        except ValueError:
            raise ValueError(f"{name}: shape {array.shape} doesn't broadcast to the images' {size}") from None
    if known.dtype.kind not in "iu":
        raise ValueError(f"known: expected integer levels, got {known.dtype}")
    if not np.isin(mask, (0, 1)).all():
        raise ValueError("mask: expected only 0 and 1 (or False and True)")
    known, mask = np.broadcast_to(known, size), np.broadcast_to(mask.astype(bool), size)
    kept = known[mask]
    if kept.size and not 0 <= kept.min() <= kept.max() < model.levels:
        raise ValueError(f"known: expected levels 0 .. {model.levels - 1}, got {kept.min()} .. {kept.max()}")
    return known, mask
