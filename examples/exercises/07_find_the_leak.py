"""Exercise 07: find the leak.

    python examples/exercises/07_find_the_leak.py

Somebody trained a PixelCNN on the digits. It came to 0.4 bits/dim, where good networks come to 1.8. That is too good to
be true: somewhere a pixel sees itself, or a later one. Such a network is worth nothing, because in drawing there is no
later pixel to look at. Which layer leaks?

Write a test that finds it, without looking at any mask. Change the input of a layer at one pixel, and see which pixels
of its output change. Pixels are read in raster order: pixel (r, c) has the number r * width + c. If the input changes
at the pixel number p, then

    layer 0, with mask A           may change its output at numbers > p
    all other layers, with mask B  may change their output at numbers >= p

A change anywhere else is a leak. It must be looked for at every pixel p. Each layer is tested by itself: its input is
what the layers before it make of the image, and the change is made there.

"Changes" means in any channel, up or down. Add a number to all channels of the one pixel, and compare the outputs.
Changes of opposite sign in two channels must not cancel.

NumPy: copy an array before you change it, y = x.copy(). (a != b).any(axis=-1) looks for differences over the last axis.
np.arange(height * width).reshape(height, width) are the numbers of the pixels.
"""

import judge  # first: see there

import numpy as np

from tinyar import models, pictures
from tinyar.gradcheck import drawing
from tinyar.layers.conv import CausalConv2d
from tinyar.layers.masked import MaskedConv2d
from tinyar.layers.strided import Conv2d


def influence(layer, x, at):
    """Where the output of a layer changes when its input changes at one pixel.

    layer, a function from x (1, height, width, in) to (1, height, width, out); at = (row, col)
    Returns (height, width): True where the output changes, in any channel.
    """
    raise NotImplementedError


def find_leak(layers, x):
    """The number of the first layer that leaks, counted from 0; -1 if none does.

    layers, a list of functions, each of which takes what the one before it returns; x (1, height, width, 1), the image
    Returns a whole number.
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

A, B = (np.abs(MaskedConv2d(1, 1, 3, kind).dense_kernel()[..., 0, 0]) > 0 for kind in "AB")
RIGHT, BELOW = B.copy(), B.copy()
RIGHT[1, 2] = BELOW[2, 0] = True  # a tap on the right neighbour; one on the left neighbour in the row below


def convolution(mask, channels, rng):
    """A 3x3 convolution with this mask, from channels[0] to channels[1]."""
    layer = Conv2d(*channels, 3, 1, 1, rng)
    layer.params["w"] *= mask[..., None, None]
    return layer


def rules(influence, find_leak):
    """The rules, in the order of the derivation."""
    yield from rules_of_influence(influence)
    rng = np.random.default_rng(0)
    masks = [(A, B, B, B), (B, B, B, B), (A, RIGHT, B, B), (A, B, np.ones((3, 3), bool), B), (A, B, B, BELOW),
             (A, RIGHT, B, BELOW)]
    networks = [[convolution(mask, channels, rng) for mask, channels in zip(four, ((1, 3), (3, 3), (3, 3), (3, 2)))]
                for four in masks]
    x = rng.standard_normal((1, 4, 5, 1)).astype(np.float32)
    found = [find_leak(layers, x) for layers in networks]
    yield judge.Rule("find_leak: an honest network, and five that leak", "find_leak of network", found,
                     [-1, 0, 1, 2, 3, 1], {
        "A layer with mask B may see its own pixel: numbers >= p.": [1, 0, 1, 1, 1, 1],
        "Layer 0 has mask A. It may not see its own pixel: numbers > p.": [-1, -1, 1, 2, 3, 1],
        "Rows alone don't tell what is later: in the row of p itself, only pixels to the right are.":
            [-1, -1, -1, 2, 3, 3],
        "Layers count from 0, and -1 says that none leaks.": [-1, 1, 2, 3, 4, 2],
        "Layers count from 0; -1 says that none leaks.": [0, 1, 2, 3, 4, 2],
        "The first layer that leaks is asked for, not the last.": [-1, 0, 1, 2, 3, 3],
        "Columns alone don't tell what is later. A pixel in the row below is, whatever its column.": [0] * 6,
        "A change at p may not reach its left neighbour: in its own row, only pixels to the right are later.":
            [-1, 0, -1, 2, 3, 3],
        "The change was made at the first pixel alone, or in layer 0 alone. Try every pixel of every layer.":
            [-1, 0, -1, -1, -1, -1],
        "Every network is called honest. Are the layers given their own inputs, layer after layer?": [-1] * 6})


def rules_of_influence(influence):
    """The rules of influence."""
    rng, at = np.random.default_rng(0), (1, 2)
    layer = convolution(B, (3, 2), rng)
    w = layer.params["w"]  # (3, 3, in, out), whole numbers, so that what cancels does so exactly
    w[..., 0] = rng.integers(1, 9, (3, 3, 3)) * B[..., None]
    w[..., 1] = -w[..., 0]
    w[0, 0, :, 0], w[0, 1, :, 1] = 0, 0  # taps that reach one channel alone
    w[0, :2] *= -1
    x = rng.integers(-9, 9, (1, 4, 5, 3)).astype(np.float32)
    moved = x.copy()
    moved[0, 1, 2] += 1
    change = (layer(moved) - layer(x))[0]  # (height, width, out)
    readers, read = np.zeros((4, 5), bool), np.zeros((4, 5), bool)
    for i, j in zip(*np.nonzero(B)):
        readers[1 - (i - 1), 2 - (j - 1)] = read[1 + i - 1, 2 + j - 1] = True
    yield judge.Rule("influence: which outputs read one pixel", "influence", influence(layer, x, at), readers, {
        "These are the inputs that the output at the pixel depends on. Asked for are the outputs that change.": read,
        "Changes of opposite sign cancel here. Compare each channel, then take any.": change.sum(axis=-1) != 0,
        "Only the first channel is looked at. A change in any channel counts.": change[..., 0] != 0,
        "A change has to be in any channel, not in all of them.": (change != 0).all(axis=-1),
        "Only increases count here. A decrease is a change too.": (change > 0).any(axis=-1),
        "Nothing changes. Is the copy that you changed the one that went into the layer?": np.zeros((4, 5), bool),
        "The axis of the batch is still there: take image 0.": readers[None],
        "The axis of the channels is still there: any(axis=-1).": change != 0,
        "All pixels changed. Change the input at one pixel only.": np.ones((4, 5), bool)})


class Suspect(models.PixelCNN):
    """A PixelCNN without residual connections. One of its convolutions leaks."""

    def convolution(self, inputs, outputs, kernel_size, mask_type, rng):
        self.number = getattr(self, "number", -1) + 1
        layer, = super().convolution(inputs, outputs, kernel_size, mask_type, rng)
        return [layer if self.number != 2 else CausalConv2d(
            inputs, outputs, [(-1, (-1, 0, 1)), (0, (-1, 0, 1))], rng.standard_normal((6, inputs, outputs)) * 0.1)]


def drawn(model):
    """36 images by whole runs, in which later pixels are zeros: a layer that leaks has no steps to draw by."""
    images, rng = np.zeros((36, 8, 8, 1), np.uint8), np.random.default_rng(1)
    for r, c in np.ndindex(8, 8):
        images[:, r, c] = model.likelihood.sample(model(images)[:, r, c], rng.random((36, 1)))
    return images


def finale(run, influence, find_leak):
    """Your function names the layer that leaks; then the network is trained with a right mask."""
    options = dict(levels=17, channels=32, blocks=3, block="plain", kernel_size=3, first_kernel=3, layer_norm=False,
                   residual=False)
    honest, suspect = models.PixelCNN(**options), Suspect(**options)
    seconds, run.seconds = run.seconds, run.seconds * 0.3
    print("\nFirst the network that is too good.", end="")
    run.train(suspect)
    convolutions = [layer for _, layer in suspect.layers() if isinstance(layer, CausalConv2d)]
    x = run.digits.test.images[:1].astype(np.float32)
    print(f"Your find_leak says: layer {find_leak(convolutions, x)} leaks. Now the same with a right mask.", end="")
    run.seconds = seconds
    figure = run.train(honest)
    pictures.plotting.save_samples(run.picture, drawn(suspect), drawn(honest), 17,
                                   titles=("drawn by the one that leaks", "by the honest one"))
    print(f"wrote {run.picture}")
    return figure


EXERCISE = judge.Exercise(write={"influence": "changed", "find_leak": "number"}, rules=rules, finale=finale,
                          read=(drawing.check_causality, pictures.receptive_field))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
