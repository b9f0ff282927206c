"""Exercise 09: the vector quantizer, and a gradient through an argmin.

    python examples/exercises/09_vector_quantizer.py

The encoder of a VQ-VAE makes vectors z_i of d numbers, N of them in a batch. The codebook E has K vectors, the codes.
Each z_i becomes the code nearest to it, and the decoder sees the codes:

    k_i = the k with the smallest |z_i - E_k|^2           e_i = E_(k_i)

An argmin has no useful derivative: moving z_i a little doesn't change k_i. So backward acts as if e were z: dy, the
decoder's gradient by e, is passed to z as it is, "straight through". A loss of the quantizer's own keeps e and z close.
With sg ("stop gradient") for what counts as a constant in backward, and means over all N d numbers:

    loss = mean of (sg[z] - e)^2                          the codes move to the vectors
         + beta * mean of (z - sg[e])^2                   the vectors stay near their codes

As numbers both means are the same. Their gradients are not: the first goes to the codes only, the second to z only.

    dz_i = dy_i + beta * 2 (z_i - e_i) / (N d)            dy is the gradient by e that the decoder hands over
    dE_k = sum over all i with k_i = k of  2 (e_i - z_i) / (N d)         codes that nobody chose get 0

Nothing of dy goes to the codebook: backward passes all of it to z.

NumPy: z[:, None] - codebook has the shape (N, K, d). argmin(axis=1) finds the place of the smallest. codebook[k] looks
up all codes. Several i may have the same k: a[k] += b adds only once for each k, np.add.at(a, k, b) adds them all.
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar import models
from tinyar.layers.quantizer import VectorQuantizer


def quantize(z, codebook, beta):
    """Each vector's nearest code, and the quantizer's own loss.

    z (N, d), codebook (K, d), beta a number
    Returns k (N), whole numbers; e (N, d); loss, a number.
    """
    raise NotImplementedError


def quantize_backward(dy, z, codebook, k, beta):
    """The gradients by z, straight through and by the own loss, and by the codebook.

    dy (N, d); the others as above; e is codebook[k]
    Returns dz (N, d), dcodebook (K, d).
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def quantizer(codebook, beta):
    """tinyar's layer with this codebook."""
    layer = VectorQuantizer(*codebook.shape, beta).astype(np.float64)
    layer.params["codebook"][...] = codebook
    return layer


def rules(quantize, quantize_backward):
    """The rules, in the order of the derivation."""
    rng, beta, count = np.random.default_rng(0), 0.25, 8 * 3  # N d
    z, dy = rng.standard_normal((2, 8, 3))  # (N, d) each
    codebook = rng.standard_normal((5, 3)) * [[1], [1], [1], [2], [3]]  # (K, d), some codes far out
    layer = quantizer(codebook, beta)
    e = layer.forward(z)
    right_k, squares = layer.indices(z), (z - e) ** 2
    k, got_e, loss = quantize(z, codebook, beta)
    difference = z[:, None] - codebook  # (N, K, d)
    yield judge.Rule("k: the nearest code", "k", k, right_k, {
        "These are the codes farthest away: argmin, not argmax.": (difference ** 2).sum(axis=2).argmax(axis=1),
        "The code with the largest product z E_k isn't the nearest: |z - E_k|^2 has |E_k|^2 in it too.":
            (z @ codebook.T).argmax(axis=1),
        "Differences must be squared before they are added up.": difference.sum(axis=2).argmin(axis=1),
        "This is the smallest sum of |differences|. The distance has squares.":
            np.abs(difference).sum(axis=2).argmin(axis=1),
        "The smallest is looked for over the vectors. Look over the codes, axis=1 of (N, K).":
            (difference ** 2).sum(axis=2).argmin(axis=0),
        "This compares one number at a time. Add up the squares over d first.":
            (difference ** 2).argmin(axis=1)})
    yield judge.Rule("e: the codes of these numbers", "e", got_e, e, {
        "These are the vectors themselves. e_i = E_(k_i).": z})
    yield judge.Rule("loss: both means", "loss", loss, layer.loss, {
        "This is a sum over the channels, and a mean over the vectors. It is a mean over all N d numbers.":
            layer.loss * 3,
        "This is the sum. It is the mean over all N d numbers.": layer.loss * count,
        "beta is forgotten: the second mean counts beta times.": 2 * squares.mean(),
        "Only the first mean is there.": squares.mean(),
        "Only the second mean is there.": beta * squares.mean(),
        "A root was taken. The loss has squared distances.": (1 + beta) * (squares.sum(axis=1) ** 0.5).mean()})
    yield from rules_of_gradients(quantize_backward, z, codebook, right_k, dy)


def rules_of_gradients(quantize_backward, z, codebook, k, dy):
    """The rules of the backward pass."""
    beta, count = 0.25, z.size
    layer = quantizer(codebook, beta)
    difference = z - layer.forward(z)
    right_dz, right_de = layer.backward(dy), layer.grads["codebook"]
    dz, de = quantize_backward(dy, z, codebook, k, beta)
    pull = right_dz - dy  # what beta's mean gives
    used = np.bincount(k, minlength=5)[:, None]
    yield judge.Rule("dz: straight through, and near the code", "dz", dz, right_dz, {
        "Only dy is there. The second mean pulls z to its code.": dy,
        "dy is missing: it goes straight through, from e to z.": pull,
        "beta is forgotten.": dy + pull / beta,
        "The first mean has sg[z]: z is a constant there, so it gives nothing to z.": dy + pull / beta * (1 + beta),
        "The sign of the second part is turned: the gradient is z - e, and descent moves z towards e.": dy - pull,
        "The mean is over N d numbers. This is divided by N.": dy + pull * 3,
        "1 / (N d) is forgotten: the loss is a mean.": dy + pull * count,
        "The 2 of the square's derivative is forgotten.": dy + pull / 2})
    straight, last, pull = np.zeros((5, 3)), np.zeros((5, 3)), -2 * difference / count
    np.add.at(straight, k, dy)
    last[k] = pull
    yield judge.Rule("dcodebook: the codes move to their vectors", "dcodebook", de, right_de, {
        "dy went to the codebook too. It comes straight through to z, and leaves nothing here.": right_de + straight,
        "Only dy is here. It goes straight through to z. The codes get the gradient of the first mean.": straight,
        "The sign is turned: the gradient by e of (z - e)^2 is 2 (e - z).": -right_de,
        "Several vectors chose the same code, and only one of them counted. Use np.add.at(dcodebook, k, ...).": last,
        "beta belongs to the second mean. The first has none.": right_de * beta,
        "The second mean has sg[e]: e is a constant there.": right_de * (1 + beta),
        "This is the mean over the vectors of each code. It is their sum.": right_de / np.maximum(used, 1),
        "The mean is over N d numbers. This is divided by N.": right_de * 3,
        "1 / (N d) is forgotten: the loss is a mean.": right_de * count,
        "The 2 of the square's derivative is forgotten.": right_de / 2,
        "These are the gradients of e, one for each vector. Add them up for each code.": pull})


def finale(run, quantize, quantize_backward):
    """A VQ-VAE whose quantizer is yours, forward and backward."""
    class MyQuantizer(VectorQuantizer):
        """tinyar's layer, with your functions."""

        def nearest(self, rows):
            return quantize(rows, self.codebook, self.beta)[0]

        def forward(self, z):
            rows = z.reshape(-1, self.channels)
            k, e, loss = quantize(rows, self.codebook, self.beta)
            self.codebook_loss = self.commitment_loss = loss / (1 + self.beta)
            self.sums["counts"] += np.bincount(k, minlength=self.codes)
            self.cache, self.seen = (rows, k), rows
            return e.reshape(z.shape).astype(z.dtype)

        def backward(self, dy, need_dx=True, dloss=1.0):
            rows, k = self.take_cache()
            dz, dcodebook = quantize_backward(dy.reshape(rows.shape), rows, self.codebook, k, self.beta)
            self.grads["codebook"] += dcodebook
            return dz.reshape(dy.shape).astype(dy.dtype)

    with mock.patch("tinyar.models.vqvae.VectorQuantizer", MyQuantizer):
        return run.codes(models.VQVAE(levels=17, widths=(32,), mix=False, residual_units=1, codes=64, code_channels=8,
                                      learning="gradient"))


EXERCISE = judge.Exercise(
    write={"quantize": "k, e, loss", "quantize_backward": "dz, dcodebook"}, rules=rules, finale=finale,
    read=(VectorQuantizer.nearest, VectorQuantizer.forward, VectorQuantizer.backward))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
