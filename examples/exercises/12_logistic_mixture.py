"""Exercise 12: the loss of a mixture of logistics.

    python examples/exercises/12_logistic_mixture.py

A softmax over levels doesn't know that level 7 is beside level 8. PixelCNN++ says what a pixel is by a density over
real numbers: a sum of a few bells, rounded to the nearest level. The bell is the logistic distribution. The probability
that such a number is below v is sig((v - m) / e^s), with sig(v) = 1 / (1 + e^-v), a mean m and a log-scale s.

Levels k = 0 .. L - 1 lie on a grid from -1 to 1, and each owns the numbers that are nearest to it, h on either side:

    x = 2 k / (L - 1) - 1,     h = 1 / (L - 1)
    a = (x + h - m) / e^s,     b = (x - h - m) / e^s
    P = sig(a) - sig(b)        the probability of level k under one bell

The lowest and the highest level own all that lies beyond them: sig(b) counts as 0 for k = 0, and sig(a) as 1 for
k = L - 1. Of M bells, bell j has the weight w_j = softmax(logits)_j:

    p(pixel) = sum over j of  w_j P_j                     loss = mean over N pixels of  -log p

Backward. The share of bell j in the probability of a pixel is r_j = w_j P_j / p. The sum of all r_j is 1, and

    d log p / d logit_j = r_j - w_j                       d log p / d m_j = r_j (d P_j / d m_j) / P_j, and so for s_j
    d P / d m = -(A - B) / e^s                            A = sig(a) (1 - sig(a)), the slope of sig at a; B that at b
    d P / d s = -(a A - b B)                              A and B are 0 where sig(a) counts as 1, or sig(b) as 0

The loss is MINUS the mean of log p: mind the sign and 1 / N in all three gradients. Far from a bell P is rounded to 0;
take at least 1e-12 for P, so that the log is finite. (tinyar's form loses no digits there: read it afterwards.)

NumPy: k[:, None] has the shape (N, 1) and goes with (N, M). scipy.special.expit is sig, without overflow. np.where(
condition, A, B) chooses entry by entry.
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar import models
from tinyar.likelihoods import LogisticMixture, logistic


def mixture_loss(logits, means, log_scales, k, levels):
    """The mean of -log p in nats, and its gradients.

    logits, means, log_scales (N, M); k (N), whole numbers 0 .. levels - 1; levels, the number L
    Returns loss, a number, and dlogits, dmeans, dlog_scales, (N, M) each.
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def right(logits, means, log_scales, k, levels):
    """What tinyar says."""
    components = logits.shape[1]
    outputs = np.concatenate([logits, means, log_scales], axis=1)
    loss, doutputs = LogisticMixture(levels, 1, components).loss(outputs, k[:, None])
    return loss, *np.split(doutputs, 3, axis=1)


def rules(mixture_loss):
    """The rules, in the order of the derivation."""
    rng, levels = np.random.default_rng(0), 9
    logits, means, s = rng.standard_normal((3, 6, 2)) * [[[1.]], [[0.4]], [[0.3]]] - [[[0.]], [[0]], [[1]]]  # (N, M)
    for k, which in ((np.array([1, 3, 4, 5, 7, 2]), "levels in the middle"),
                     (np.array([0, 8, 4, 0, 8, 2]), "the lowest and the highest level")):
        loss = mixture_loss(logits, means, s, k, levels)[0]
        right_loss = right(logits, means, s, k, levels)[0]
        across = logits - np.log(np.exp(logits).sum(axis=0))
        each = [right(*(array[:, j:j + 1] for array in (logits, means, s)), k, levels)[0] for j in (0, 1)]
        yield judge.Rule(f"loss: {which}", "loss", loss, right_loss, {
            **({} if which.startswith("levels") else ends(logits, means, s, k, levels)),
            "The sign is turned: the loss is MINUS the mean of log p.": -right_loss,
            "This is the sum over pixels. The loss is their mean.": right_loss * 6,
            "This is in bits. The loss is in nats: use np.log.": right_loss / np.log(2),
            "All bells have the same weight here: w = softmax(logits).": right(logits * 0, means, s, k, levels)[0],
            "It is divided by e^s, not multiplied: s is the logarithm of the width.":
                right(logits, means, -s, k, levels)[0],
            "The softmax is over the pixels. It is over the bells, axis=1.":
                right(across, means, s, k, levels)[0] - mean_log(across),
            "The weights are exp(logits), and don't add up to 1: divide by their sum.": right_loss - mean_log(logits),
            "The bells are added up with equal weights after the log. Add w_j P_j first, then take the log.":
                np.mean(each),
            "The grid goes from -1 to 1: x = 2 k / (L - 1) - 1. Here it goes from 0 to 1.":
                on_grid(k / (levels - 1), logits, means, s, k, levels),
            "The grid goes from -1 to 1: x = 2 k / (L - 1) - 1. Here it goes from 0 to 2.":
                on_grid(2 * k / (levels - 1), logits, means, s, k, levels),
            "h is half the distance of two levels, 1 / (L - 1). Here it is the whole.":
                on_grid(2 * k / (levels - 1) - 1, logits, means, s, np.ones_like(k), (levels + 1) // 2),
            "h is 1 / (L - 1), not 1 / L: L levels have L - 1 distances.":
                on_grid(2 * k / (levels - 1) - 1, logits, means, s, np.where(k == levels - 1, levels, k), levels + 1)})
    yield from rules_of_gradients(mixture_loss, logits, means, s, k, levels)


def ends(logits, means, s, k, levels):
    """Mistakes at the ends. With two more levels, on a grid as fine, the old ends lie in the middle."""
    finer = (levels - 1) / (levels + 1)
    return {"The ends own all that lies beyond: sig(b) = 0 for k = 0, sig(a) = 1 for k = L - 1.":
            right(logits, means * finer, s + np.log(finer), k + 1, levels + 2)[0]}


def mean_log(logits):
    """The mean of log of the sum of exp(logits)."""
    return np.log(np.exp(logits).sum(axis=1)).mean()


def rules_of_gradients(mixture_loss, logits, means, s, k, levels):
    """The rules of the backward pass."""
    n, w = len(k), np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    _, *got = mixture_loss(logits, means, s, k, levels)
    _, dlogits, dmeans, dscales = right(logits, means, s, k, levels)
    r, log_p = w - n * dlogits, logistic.exact_log_probability(2 * k / (levels - 1) - 1, k, means, s, levels)[0]
    usual = {"1 / N is forgotten: the loss is a mean over N pixels.": n,
             "The sign is turned: the loss is MINUS the mean of log p.": -1,
             "The sign is turned, and 1 / N is forgotten: the loss is minus the MEAN of log p.": -n}
    yield judge.Rule("dlogits: (w - r) / N", "dlogits", got[0], dlogits, {
        **{hint: dlogits * factor for hint, factor in usual.items()},
        "r is missing: it is the share of each bell in p.": w / n,
        "w is missing: the softmax makes the other weights smaller.": -r / n,
        "This is divided by N M. There are N pixels.": dlogits / 2})
    for name, mine, expected, word in (("dmeans", got[1], dmeans, "m"), ("dlog_scales", got[2], dscales, "s")):
        yield judge.Rule(f"{name}: -r (d P / d {word}) / (P N)", name, mine, expected, {
            **{hint: expected * factor for hint, factor in usual.items()},
            "r is forgotten: a bell moves by its share in p.": expected / r,
            "w stands here for r. The share of a bell in p is r = w P / p.": expected / r * w,
            "The division by e^s is missing, or once too often." if word == "m" else
            "a and b are the slopes' factors in d P / d s. There is no division by e^s in it.":
                expected * np.exp(s) if word == "m" else expected / np.exp(s),
            f"The division by P is forgotten: r (d P / d {word}) / P.":
                expected * np.exp(log_p)})


def on_grid(x, logits, means, s, k, levels):
    """The loss for levels at x (N), with h = 1 / (levels - 1); k tells which of them are the ends."""
    log_p = logistic.exact_log_probability(x, k, means, s, levels)[0]  # (N, M)
    return -logistic.log_sum_exp(logistic.log_softmax(logits) + log_p).mean()


def finale(run, mixture_loss):
    """A PixelCNN++ whose loss and its gradient are yours."""
    class MyMixture(LogisticMixture):
        """tinyar's likelihood of grey pixels, with your loss."""

        def loss(self, outputs, pixels):
            logits, means, s = np.split(outputs.reshape(-1, outputs.shape[-1]).astype(np.float64), 3, axis=1)
            inside = s > -7  # tinyar lets no bell become narrower than e^-7
            loss, dlogits, dmeans, ds = mixture_loss(logits, means, np.maximum(s, -7), pixels.reshape(-1), self.levels)
            return loss, np.concatenate([dlogits, dmeans, ds * inside], 1).reshape(outputs.shape).astype(outputs.dtype)

    with mock.patch("tinyar.models.normalized.LogisticMixture", MyMixture):
        return run.pixels(models.PixelCNNpp(levels=17, channels=16))


EXERCISE = judge.Exercise(write={"mixture_loss": "loss, dlogits, dmeans, dlog_scales"}, rules=rules, finale=finale,
                          read=(LogisticMixture.loss, logistic.exact_log_probability))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
