"""Exercise 05: the convolution, backward.

    python examples/exercises/05_convolution_backward.py

Exercise 04 went from x to y. With m = (k - 1) / 2, offsets i and j from -m to m, x[r, c] a row vector:

    y[r, c] = b + sum over i, j of  x[r + i, c + j] w[m + i, m + j]

Behind y a network goes on to the loss. Its backward pass hands over dy, the gradient of the loss by each entry of y, in
the shape of y. Asked for are the gradients by all that y was made of: dx, dw and db, in the shapes of x, w and b.

The rule is always the same. Ask where a number was used, and add up what comes back from there.

    b is in y at every pixel of every image:
        db               = sum over images and r, c of  dy[r, c]
    The tap w[m + i, m + j] meets x[r + i, c + j] in every output (r, c):
        dw[m + i, m + j] = sum over images and r, c of  x[r + i, c + j]^T dy[r, c]
    The pixel x[r, c] is read by the output (r - i, c - j) with the tap (i, j), since (r - i) + i = r:
        dx[r, c]         = sum over i, j of  dy[r - i, c - j] w[m + i, m + j]^T

x and dy count as zeros outside the image. x^T dy is the product of a column and a row, a matrix (in, out). Backward
adds over the batch. If the loss is a mean over the batch, dy has already been divided by its size: don't divide again.

In a loop over taps, dw needs the part of the padded x that begins at (m + i, m + j), as forward did. For dx there are
two ways. Either take the part of a padded dy that begins at (m - i, m - j). Or make a padded dx of zeros, add dy w^T to
the part of it that begins at (m + i, m + j), and cut off the margin.

NumPy: np.einsum("nrci,nrco->io", a, dy) multiplies and sums over n, r, c. w.T turns a matrix (in, out).
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar.layers.conv import CausalConv2d
from tinyar.layers.masked import MaskedConv2d
from tinyar.layers.strided import Conv2d


def convolution_backward(x, w, dy):
    """The gradients of a convolution.

    x (batch, height, width, in), w (k, k, in, out), dy (batch, height, width, out)
    Returns dx like x, dw like w, db (out).
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def right(x, w, dy):
    """(dx, dw, db) by tinyar's layer."""
    layer = Conv2d(*w.shape[2:], kernel_size=len(w), stride=1, padding=len(w) // 2).astype(np.float64)
    layer.params["w"][...] = w
    layer.forward(x)
    layer.zero_grads()
    dx = layer.backward(dy)
    return dx, layer.grads["w"], layer.grads["b"]


def rules(convolution_backward):
    """The rules, in the order of the derivation."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 4, 5, 3)), rng.standard_normal((3, 3, 3, 2))
    dy = rng.standard_normal((2, 4, 5, 2))  # (batch, height, width, out)
    dx, dw, db = convolution_backward(x, w, dy)
    right_dx, right_dw, right_db = right(x, w, dy)
    yield judge.Rule("db: b is in every output", "db", db, right_db, {
        "This isn't summed over the batch: every image's outputs have b in them.": dy.sum(axis=(1, 2)),
        "This is summed over the batch only. Sum over the pixels too.": dy.sum(axis=0),
        "This is summed over the channels too. Each output channel has its own b.": dy.sum(),
        "This is the mean over images and pixels. It is the sum.": dy.mean(axis=(0, 1, 2)),
        "This is the mean over the images. It is the sum.": right_db / 2,
        "The sign is turned.": -right_db})
    by_image = np.stack([right(one[None], w, done[None])[1] for one, done in zip(x, dy)])
    yield judge.Rule("dw: each tap meets all pixels", "dw", dw, right_dw, {
        "The taps are turned by 180 degrees: tap (i, j) meets x[r + i, c + j].": right_dw[::-1, ::-1],
        "Rows and columns of the kernel are exchanged: dw[m + i, m + j], i for rows.": right_dw.swapaxes(0, 1),
        "The matrices are transposed: x^T dy has the shape (in, out).": right_dw.swapaxes(2, 3),
        "This isn't summed over the batch: all images use the same kernel.": by_image,
        "This has the gradient of the first image only.": by_image[0],
        "This has the gradient of the last image only: add up the images, +=, not =.": by_image[-1],
        "This is the mean over the images. It is the sum.": right_dw / 2,
        "This is the mean over images and pixels. It is the sum.": right_dw / 40,
        "The sign is turned.": -right_dw,
        "Every tap got what belongs to the centre: move x by (i, j).":
            np.broadcast_to(right_dw[1, 1], right_dw.shape)})
    first, centre, last = np.zeros((3, *w.shape))  # kernels of one tap
    first[0, 0], centre[1, 1], last[2, 2] = w[0, 0], w[1, 1], w[2, 2]
    overwritten = np.zeros((2, 6, 7, 3))  # dx with its margin, if each tap's part were set, not added
    for i, j in np.ndindex(3, 3):
        overwritten[:, i:i + 4, j:j + 5] = dy @ w[i, j].T
    overwritten = overwritten[:, 1:-1, 1:-1]
    yield judge.Rule("dx: each pixel is read by k x k outputs", "dx", dx, right_dx, {
        "The signs of the offsets are turned: x[r, c] is read by the output (r - i, c - j).":
            right(x, w[::-1, ::-1], dy)[0],
        "The signs of the row offsets are turned: (r - i, c - j).": right(x, w[::-1], dy)[0],
        "The signs of the column offsets are turned: (r - i, c - j).": right(x, w[:, ::-1], dy)[0],
        "Rows and columns of the kernel are exchanged: w[m + i, m + j], i for rows.":
            right(x, w.swapaxes(0, 1), dy)[0],
        "Only the last tap is there: add up the taps, +=, not =.": right(x, last, dy)[0],
        "Only the first tap is there. Is `return` inside the loop?": right(x, first, dy)[0],
        "Only the centre is there. A pixel is read by its neighbours too.": right(x, centre, dy)[0],
        "This is the mean over the taps. It is the sum.": right_dx / 9,
        "This is divided by the number of images. An image's gradient doesn't depend on how many others there are.":
            right_dx / 2,
        "The taps overwrite each other: add, +=, not =.": overwritten,
        "The margin was cut off on one side only: the image begins at (m, m).":
            right(np.pad(x, MARGIN), w, np.pad(dy, MARGIN))[0][:, :4, :5],
        "The margin wasn't cut off: dx has the shape of x.":
            right(np.pad(x, MARGIN), w, np.pad(dy, MARGIN))[0],
        "The sign is turned.": -right_dx})
    w = rng.standard_normal((5, 5, 3, 2))
    for name, got, expected in zip(("dx", "dw", "db"), convolution_backward(x, w, dy), right(x, w, dy)):
        yield judge.Rule(f"{name} for a kernel of 5x5", name, got, expected)


MARGIN = ((0, 0), (1, 1), (1, 1), (0, 0))


def finale(run, convolution_backward):
    """A PixelCNN whose masked convolutions go backward by your function."""
    class MyMaskedConv2d(MaskedConv2d):
        """tinyar's layer, with your backward."""

        def backward(self, dy, need_dx=True):
            x, _ = self.take_cache()
            dx, dw, db = convolution_backward(x, self.dense_kernel(), dy)  # dw (k, k, in, out), of dead taps too
            m = self.half
            self.grads["w"] += np.concatenate([dw[m + row, m + np.array(columns)] for row, columns in self.segments])
            self.grads["b"] += db
            return dx.astype(dy.dtype) if need_dx else None

    with mock.patch("tinyar.models.pixelcnn.MaskedConv2d", MyMaskedConv2d):
        return run.pixels()


EXERCISE = judge.Exercise(write={"convolution_backward": "dx, dw, db"}, rules=rules, finale=finale,
                          read=(CausalConv2d.backward, CausalConv2d.backward_taps, CausalConv2d.windows_back,
                                Conv2d.backward))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
