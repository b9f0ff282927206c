"""Exercise 03: masks A and B.

    python examples/exercises/03_masks.py

PixelCNN predicts each pixel from the earlier ones, in reading order: row by row, each from left to right. A convolution
with a k x k kernel looks in all directions. So its kernel is multiplied by a mask of zeros and ones that leaves only
the taps (places of the kernel) on earlier pixels. k is odd, the centre of the kernel lies on the pixel itself:

    the first row of a kernel lies ABOVE the pixel, its first column to the LEFT

    1   on all taps of the rows above the centre, over the whole width
    1   on the taps to the left of the centre, in its own row
    ?   on the centre: 0 in mask A, 1 in mask B
    0   on all others

The first layer has mask A. It reads the image, and may not see the pixel that is to be predicted. All later layers have
mask B. What they read at a pixel was made by the first layer, from earlier pixels only, so they may read it.

Colour. A pixel has three sub-pixels, drawn in the order R, G, B: G may know the R of its own pixel, B may know R and G.
So the channels of a layer are dealt out: the first third belongs to R, the second to G, the last to B (6 channels:
R R G G B B). At the centre tap the mask is then a matrix, (channels in, channels out). With R = 0, G = 1, B = 2, an
input of colour a and an output of colour o, it has a 1

    in mask A   where a < o           R sees nothing of its own pixel, G sees R, B sees R and G
    in mask B   where a <= o

NumPy: np.arange(6) // 2 is [0 0 1 1 2 2], where 2 is a third of 6. a[:, None] < b[None, :] compares each a with each
b; .astype(float) makes 0 and 1 of it.
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar.layers.colors import ColorLinear, color_blocks
from tinyar.layers.conv import CausalConv2d
from tinyar.layers.masked import MaskedConv2d


def mask(kernel_size, mask_type):
    """The mask of a kernel for grey images.

    kernel_size, odd; mask_type "A" or "B"
    Returns (kernel_size, kernel_size), 0 or 1, real numbers: the axes are row and column.
    """
    raise NotImplementedError


def centre_mask(in_channels, out_channels, mask_type):
    """The mask of the centre tap for colour images.

    in_channels and out_channels, both multiples of 3; mask_type "A" or "B"
    Returns (in_channels, out_channels), 0 or 1, real numbers.
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def rules(mask, centre_mask):
    """The rules, in the order of the derivation."""
    for mask_type, middle in (("A", 0), ("B", 1)):
        right = (MaskedConv2d(1, 1, 5, mask_type).dense_kernel()[..., 0, 0] != 0) * 1.
        other, rows_above, left = right.copy(), np.zeros((5, 5)), right.copy()
        other[2, 2], rows_above[:2], left[:, 3:] = 1 - middle, 1, 0
        whole_row = right.copy()
        whole_row[2] = 1
        rows_above[2, 2] = middle
        yield judge.Rule(f"mask {mask_type}, 5x5", f"mask(5, '{mask_type}')", mask(5, mask_type), right, {
            f"The masks are exchanged: the centre of mask {mask_type} is {middle}.": other,
            "The mask is flipped: this one leaves the LATER pixels.": right[::-1, ::-1],
            "The mask is upside down: the first row of a kernel lies above the pixel.": right[::-1],
            "Left and right are exchanged: the first column of a kernel lies to the left.": right[:, ::-1],
            "Rows and columns are exchanged: the first axis is the row.": right.T,
            "In the rows above all columns live, those to the right of the centre too: such pixels are earlier.": left,
            "The taps to the left of the centre, in its own row, are earlier pixels too.": rows_above,
            "The taps to the right of the centre, in its own row, are later pixels.": whole_row})
    for size in (1, 3, 7):
        right = (MaskedConv2d(1, 1, size, "B").dense_kernel()[..., 0, 0] != 0) * 1.
        yield judge.Rule(f"mask B, {size}x{size}", f"mask({size}, 'B')", mask(size, "B"), right)
    for mask_type, channels in (("A", (6, 12)), ("B", (6, 12)), ("A", (3, 9))):
        name, right = f"centre_mask({channels[0]}, {channels[1]}, '{mask_type}')", right_centre(*channels, mask_type)
        ways = [(np.arange(count) % 3) for count in channels]  # the colours, if they were dealt out one by one
        threes = [np.arange(count) // 3 for count in channels]  # if every three channels were a colour
        yield judge.Rule(f"the centre for colours, mask {mask_type}, {channels[0]} channels in, {channels[1]} out",
                         name, centre_mask(*channels, mask_type), right, {
            "The masks are exchanged: a colour sees itself in mask B, not in mask A.":
                right_centre(*channels, "AB"[mask_type == "A"]),
            "Inputs and outputs are exchanged (or the order of colours): the first axis is the input, R sees least.":
                right_centre(*channels[::-1], mask_type).T,
            "Colours lie in thirds, R R G G B B, not by turns, R G B R G B.":
                np.subtract.outer(*ways) < (mask_type == "B"),
            "A colour has a third of the channels: divide by channels / 3, not by 3.":
                np.subtract.outer(*threes) < (mask_type == "B"),
            "A colour is a whole third of the channels. This compares the numbers of channels.":
                np.subtract.outer(*map(np.arange, channels)) < (mask_type == "B"),
            "A colour sees only itself here. It sees the colours before it.":
                right_centre(*channels, "B") - right_centre(*channels, "A")})


def right_centre(in_channels, out_channels, mask_type):
    """Where tinyar's centre tap has weights: (in_channels, out_channels), 0 or 1."""
    return (ColorLinear(in_channels, out_channels, 3, mask_type).dense_matrix() != 0) * 1.


def finale(run, mask, centre_mask):
    """A PixelCNN whose kernels have just the taps that your mask leaves."""
    def masked_convolution(in_channels, out_channels, kernel_size, mask_type, colors, rng):
        live = mask(kernel_size, mask_type)  # (kernel_size, kernel_size)
        m = kernel_size // 2
        rows = [(r - m, np.flatnonzero(live[r]) - m) for r in range(kernel_size) if live[r].any()]
        taps = int(live.sum())
        w = rng.standard_normal((taps, in_channels, out_channels)) * (2 / (taps * in_channels)) ** 0.5
        return CausalConv2d(in_channels, out_channels, rows, w)

    with mock.patch("tinyar.models.pixelcnn.MaskedConv2d", masked_convolution):
        return run.pixels()


EXERCISE = judge.Exercise(write={"mask": "mask", "centre_mask": "mask"}, rules=rules, finale=finale,
                          read=(MaskedConv2d.__init__, MaskedConv2d.dense_kernel, color_blocks))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
