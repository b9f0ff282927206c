"""Slow definitions: every formula as plain Python loops, to judge the fast code by. Host arrays in and out."""

import itertools

import numpy as np

from tinyar.backend import to_device, to_host
from tinyar.layers.colors import group_slices


def live(kernel_size, mask_type, colors, in_channels, out_channels):
    """The 0/1 mask (kernel, kernel, in, out), tap by tap, channel by channel."""
    m = kernel_size // 2
    group_in = [color for color, group in enumerate(group_slices(in_channels, colors))
                for _ in range(in_channels)[group]]
    group_out = [color for color, group in enumerate(group_slices(out_channels, colors))
                 for _ in range(out_channels)[group]]
    mask = np.zeros((kernel_size, kernel_size, in_channels, out_channels))
    for i, j, a, o in np.ndindex(mask.shape):
        before = i < m or (i == m and j < m)
        if (i, j) == (m, m):
            before = group_in[a] < group_out[o] or (mask_type == "B" and group_in[a] == group_out[o])
        mask[i, j, a, o] = before
    return mask


def masked_conv(x, kernel, b):
    """y[n, r, c] = b + the sum over taps (i, j) inside the image of x[n, r + i - m, c + j - m] kernel[i, j]."""
    batch, height, width, _ = x.shape
    m = len(kernel) // 2
    y = np.zeros((batch, height, width, kernel.shape[3])) + b
    for n, r, c, i, j in itertools.product(*map(range, (batch, height, width, *kernel.shape[:2]))):
        row, col = r + i - m, c + j - m
        if 0 <= row < height and 0 <= col < width:
            y[n, r, c] += x[n, row, col] @ kernel[i, j]
    return y


def masked_conv_backward(x, kernel, dy):
    """(dx, dkernel, db): every product of the forward loops sends its share of dy back; dkernel holds dead taps too."""
    batch, height, width, _ = x.shape
    m = len(kernel) // 2
    dx, dkernel = np.zeros_like(x), np.zeros_like(kernel)
    for n, r, c, i, j in itertools.product(*map(range, (batch, height, width, *kernel.shape[:2]))):
        row, col = r + i - m, c + j - m
        if 0 <= row < height and 0 <= col < width:
            dx[n, row, col] += dy[n, r, c] @ kernel[i, j].T
            dkernel[i, j] += np.outer(x[n, row, col], dy[n, r, c])
    return dx, dkernel, dy.sum(axis=(0, 1, 2))


def steps_over_raster(layer, x, *condition):
    """The outputs of layer.step at every pixel of x, put together as an image."""
    batch, height, width, _ = x.shape
    layer.start(batch, height, width, *condition)
    rows = [[to_host(layer.step(to_device(x[:, r, c]), (r, c))) for c in range(width)] for r in range(height)]
    return np.stack([np.stack(row, axis=1) for row in rows], axis=1)


def sample(model, n, height, width, seed, *condition, known=0, mask=False):
    """Plain ancestral sampling: the whole network for every sub-pixel that is drawn.

    Where mask is true the sub-pixel is that of `known`.
    """
    rng = np.random.default_rng(seed)
    images = np.zeros((n, height, width, model.image_channels), dtype=np.uint8)
    known, mask = np.broadcast_to(known, images.shape), np.broadcast_to(mask, images.shape)
    for r in range(height):
        uniforms = rng.random((width, n, model.image_channels))
        for c, colors in itertools.product(range(width), model.color_passes):
            outputs = model(to_device(images), *condition)[:, r, c, colors]
            drawn = to_host(model.likelihood.sample(outputs, uniforms[c][:, colors]))
            images[:, r, c, colors] = np.where(mask[:, r, c, colors], known[:, r, c, colors], drawn)
    return images


def all_images(height, width, channels, levels):
    """Every possible image, one after the other."""
    pixels = list(itertools.product(range(levels), repeat=height * width * channels))
    return np.array(pixels, dtype=np.uint8).reshape(-1, height, width, channels)
