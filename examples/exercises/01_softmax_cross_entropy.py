"""Exercise 01: softmax, cross-entropy, and its gradient.

    python examples/exercises/01_softmax_cross_entropy.py

A network puts out one number for each level that a pixel may have, the logits z_0 ... z_(L-1). They stand for
probabilities, and the true level y costs what its probability says:

    p_k  = exp(z_k) / sum over j of exp(z_j)              the softmax: positive, and their sum is 1
    cost = -log p_y = log(sum over j of exp(z_j)) - z_y   natural logarithm, so the unit is nats

The loss is the mean of the costs over all N pixels. Its gradient says how the loss changes with each logit. For one
pixel, d cost / d z_k = p_k - 1 where k = y, and p_k elsewhere. (Derive it: d log(sum of exp(z_j)) / d z_k = p_k.) The
loss is a mean over N pixels, so each pixel has a share of 1 / N in it:

    dz_k = (p_k - [k = y]) / N                            [k = y] is 1 if so, else 0

exp(z) of a large z is too large for a computer. It helps that nothing changes if the same number is subtracted from all
logits of a pixel, since p_k keeps its value. Subtract the largest logit of the pixel. All exponents are at most 0 then.
Compute log(sum) - z_y from these logits, and not the log of p_y, because p_y may be rounded to 0.

NumPy: z.max(axis=1, keepdims=True) has the shape (N, 1). z[np.arange(N), y] picks entry y[n] in each row n.
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar import losses


def softmax_cross_entropy(logits, targets):
    """The loss, and its gradient by the logits.

    logits (N, levels), real numbers; targets (N), whole numbers: y of each pixel
    Returns loss, a number, and dlogits (N, levels).
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def rules(softmax_cross_entropy):
    """The rules, in the order of the derivation."""
    rng = np.random.default_rng(1)
    z, y = rng.standard_normal((4, 3)), np.array([2, 0, 1, 1])
    one_hot, z_target = np.eye(3)[y], z[np.arange(4), y]  # (4, 3), (4)
    loss, dz = softmax_cross_entropy(z, y)
    right_loss, right_dz = losses.softmax_cross_entropy(z, y)
    costs, across = losses.nats(z, y), np.exp(z) / np.exp(z).sum(axis=0)
    yield judge.Rule("the loss is the mean cost of a pixel", "loss", loss, right_loss, {
        "This is the sum over pixels. The loss is their mean.": costs.sum(),
        "These are the costs of all pixels. The loss is their mean, one number.": costs,
        "The sign is turned: a cost is MINUS log p, so it is positive.": -right_loss,
        "log(sum of exp) is missing: the loss is more than the mean of -z_y.": -z_target.mean(),
        "This is in bits. The loss is in nats: use np.log, not np.log2.": losses.bits_per_dim(right_loss),
        "The softmax is over the wrong axis. Levels are the last axis, axis=1.":
            -np.log(across[np.arange(4), y]).mean(),
        "The mean is over all N * levels numbers. Only N of them are costs.": costs.sum() / z.size})
    yield judge.Rule("the gradient is (softmax - one-hot) / N", "dlogits", dz, right_dz, {
        "1 / N is forgotten: the loss is a mean over N pixels.": right_dz * 4,
        "The sign is turned: it is softmax minus one-hot.": -right_dz,
        "The 1 at the true level isn't subtracted.": right_dz + one_hot / 4,
        "Only the softmax is divided by N. The 1 of the true level is too.": right_dz + one_hot / 4 - one_hot,
        "This is divided by N * levels. Only N costs went into the mean.": right_dz / 3,
        "The softmax is over the wrong axis. Levels are the last axis, axis=1.": (across - one_hot) / 4})
    loss, _ = softmax_cross_entropy(np.array([[1000., 999, 998]]), np.array([1]))
    yield judge.Rule("logits of 1,000 are fine", "loss", loss, losses.nats(np.array([2., 1, 0]), np.array(1)), {
        "exp(1000) is infinite. Subtract the largest logit of each pixel before exp.": np.nan})
    loss, _ = softmax_cross_entropy(np.array([[1000., -1000, 0]]), np.array([2]))
    yield judge.Rule("a p that is rounded to 0 costs what it should", "loss", loss, 1000., {
        "p is rounded to 0, and log 0 is infinite. Don't take the log of p: the cost is log(sum of exp) - z_y.": np.nan,
        "p is rounded to 0, and something was added to it before the log. Don't take the log of p: "
        "log(sum of exp) - z_y needs no such help.": np.fmin(loss, 750)})
    both = np.array([[1000., 999, 0], [0, 1, 2]])
    each = "Each pixel has a largest logit of its own, not the whole array: z.max(axis=1, keepdims=True)."
    loss, _ = softmax_cross_entropy(both, np.array([1, 0]))
    yield judge.Rule("each pixel's own largest logit is subtracted", "loss", loss,
                     losses.softmax_cross_entropy(both, np.array([1, 0]))[0], {each: np.nan})


def finale(run, softmax_cross_entropy):
    """A PixelCNN whose loss and its gradient are yours."""
    def loss(outputs, pixels):  # outputs (batch, height, width, 1, levels), pixels (batch, height, width, 1)
        value, doutputs = softmax_cross_entropy(outputs.reshape(-1, outputs.shape[-1]), pixels.reshape(-1))
        return value, doutputs.reshape(outputs.shape)

    with mock.patch("tinyar.likelihoods.categorical.softmax_cross_entropy", loss):
        return run.pixels()


EXERCISE = judge.Exercise(write={"softmax_cross_entropy": "loss, dlogits"}, rules=rules, finale=finale,
                          read=(losses.softmax_cross_entropy,))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
