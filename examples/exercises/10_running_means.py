"""Exercise 10: a codebook that learns by running means.

    python examples/exercises/10_running_means.py

In exercise 09 a gradient moved the codes to the vectors that chose them. There is a way without a gradient. The best
place for a code, for squared distances, is the mean of its vectors. But each batch has only a few of them, so the mean
is taken over many batches, with weights that fade: an exponential moving average, EMA.

For each code k two running means are kept: N_k of how many vectors choose it in a batch, and m_k of the sum of these
vectors (d numbers). In a batch of vectors z_i with codes k_i, let n_k be the number of vectors with k_i = k, and s_k
their sum. With gamma, the decay, near 1 (0.99):

    N_k <- gamma N_k + (1 - gamma) n_k                    E_k <- m_k / Nhat_k
    m_k <- gamma m_k + (1 - gamma) s_k

A code that nobody chooses has n_k = 0 and s_k = 0. Its N_k and m_k fade alike, so their quotient, the code, stays where
it is; but N_k comes near 0. So the counts are smoothed before they divide. With N the sum of all (new) N_k, and K
codes:

    Nhat_k = (N_k + eps) / (N + K eps) * N                the sum of all Nhat_k is N again

NumPy: np.bincount(k, minlength=K) counts how often each number stands in k. Several vectors have the same code:
np.add.at(s, k, z) adds them all up, s[k] += z only the last of each. Or use (k[:, None] == np.arange(K)), (N, K), and a
matrix product.
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar import models
from tinyar.layers.quantizer import VectorQuantizer


def move_codebook(counts, means, z, k, gamma, eps):
    """One update of a codebook by running means.

    counts (K), the N_k; means (K, d), the m_k; z (N, d), a batch; k (N), whole numbers, their codes
    Returns the new counts (K) and means (K, d), and the codebook (K, d).
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def right(counts, means, z, codebook, gamma, eps):
    """(k, counts, means, codebook) by tinyar's layer."""
    layer = VectorQuantizer(*means.shape, learning="ema", decay=gamma, eps=eps).astype(np.float64)
    for name, array in (("counts", counts), ("means", means), ("codebook", codebook)):
        layer.state[name][...] = array
    k = layer.indices(z)
    layer.forward(z)
    layer.update()
    return k, *(layer.state[name].copy() for name in ("counts", "means", "codebook"))


def rules(move_codebook):
    """The rules, in the order of the derivation."""
    rng, gamma, eps = np.random.default_rng(1), 0.9, 0.1
    codebook, z = rng.standard_normal((4, 2)), rng.standard_normal((9, 2))
    codebook[3] = 30  # nobody chooses it
    counts = rng.random(4) + 1
    means = codebook * counts[:, None]
    k, right_counts, right_means, right_codebook = right(counts, means, z, codebook, gamma, eps)
    n, s, last = np.bincount(k, minlength=4), np.zeros((4, 2)), np.zeros((4, 2))
    np.add.at(s, k, z)
    last[k] = z
    new_counts, new_means, new_codebook = move_codebook(counts, means, z, k, gamma, eps)
    yield judge.Rule("counts: N_k", "counts", new_counts, right_counts, {
        "gamma and 1 - gamma are exchanged: the old count has gamma, near 1.": (1 - gamma) * counts + gamma * n,
        "The old counts are forgotten.": n,
        "Only the part of this batch is there: add gamma times the old count.": (1 - gamma) * n,
        "This is a sum over batches. The old count fades: gamma N_k.": counts + n,
        "n_k counts all vectors with code k. Here each code counts once: s[k] += 1 adds once.":
            gamma * counts + (1 - gamma) * (n > 0),
        "n_k is a number of vectors, not their share of the batch.": gamma * counts + (1 - gamma) * n / 9,
        "The new part isn't multiplied by 1 - gamma.": gamma * counts + n})
    yield judge.Rule("means: m_k", "means", new_means, right_means, {
        "gamma and 1 - gamma are exchanged: the old sum has gamma, near 1.": (1 - gamma) * means + gamma * s,
        "Several vectors have the same code, and only the last one counted. Use np.add.at(s, k, z).":
            gamma * means + (1 - gamma) * last,
        "s_k is the sum of the vectors of a code, not their mean.":
            gamma * means + (1 - gamma) * s / np.maximum(n, 1)[:, None],
        "The old sums are forgotten.": s,
        "The new part isn't multiplied by 1 - gamma.": gamma * means + s})
    total = right_counts.sum()
    smoothed = right_counts + eps
    yield judge.Rule("codebook: m_k / Nhat_k", "codebook", new_codebook, right_codebook, {
        "The counts aren't smoothed: divide by Nhat_k.": right_means / right_counts[:, None],
        "eps is added, but the sum isn't kept: divide by N + K eps, and multiply by N.":
            right_means / smoothed[:, None],
        "Nhat_k isn't multiplied by N: it is a share here.": right_means / (smoothed / (total + 4 * eps))[:, None],
        "The sum of all N_k + eps is N + K eps, not N + eps.":
            right_means / (smoothed / (total + eps) * total)[:, None],
        "The m_k aren't divided at all.": right_means,
        "The m_k are divided by the counts of this batch: use the running ones.":
            right_means / np.maximum(n, 1)[:, None],
        "These are the means of this batch alone.": s / np.maximum(n, 1)[:, None],
        "N is the sum of the NEW counts.":
            right_means / (smoothed / (counts.sum() + 4 * eps) * counts.sum())[:, None],
        "The m_k are divided by the OLD counts.":
            right_means / ((counts + eps) / (counts.sum() + 4 * eps) * counts.sum())[:, None]})


def finale(run, move_codebook):
    """A VQ-VAE whose codebook moves by your function."""
    class MyQuantizer(VectorQuantizer):
        """tinyar's layer, with your update."""

        def forward(self, z):
            self.rows = z.reshape(-1, self.channels)
            return super().forward(z)

        def update(self):
            new = move_codebook(self.state["counts"], self.state["means"], self.rows, self.nearest(self.rows),
                                self.decay, self.eps)
            for name, array in zip(("counts", "means", "codebook"), new):
                self.state[name][...] = array

    with mock.patch("tinyar.models.vqvae.VectorQuantizer", MyQuantizer):
        return run.codes(models.VQVAE(levels=17, widths=(32,), mix=False, residual_units=1, codes=64, code_channels=8))


EXERCISE = judge.Exercise(write={"move_codebook": "counts, means, codebook"}, rules=rules, finale=finale,
                          read=(VectorQuantizer.forward, VectorQuantizer.update))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
