"""Exercise 06: LayerNorm over channels, forward and backward.

    python examples/exercises/06_layer_norm.py

Numbers in a deep network grow and shrink from layer to layer. LayerNorm sets them right: at each pixel, by itself, the
C channels get the mean 0 and the variance 1; then each channel has a scale gamma and a shift beta, which are learned.
It may not look at other pixels, or a PixelCNN would see later ones. All means are over the channels of one pixel:

    mu   = mean of x                      v    = mean of (x - mu)^2
    s    = sqrt(v + eps)                  xhat = (x - mu) / s
    y    = gamma xhat + beta              eps is small: nothing is divided by 0

Backward. dy is the gradient by y. gamma and beta serve all pixels of all images, so their gradients are sums over them:

    dbeta = sum of dy                     dgamma = sum of dy xhat

For dx let u = gamma dy, the gradient by xhat. Moving x moves xhat in three ways: directly, through mu, and through s.

    directly      u / s
    through mu    - (mean of u) / s                  mu is a mean, so each of the C channels moves all by 1 / C
    through s     - xhat (mean of (u xhat)) / s      d s / d x_c = (x_c - mu) / (C s) = xhat_c / C

    dx = (u - mean of u - xhat * mean of (u xhat)) / s

Write it down for yourself once: xhat_a = (x_a - mu) / s; its derivative by x_c is ([a = c] - 1/C - xhat_a xhat_c / C) /
s; multiply by u_a and sum over a.

NumPy: x.mean(axis=-1, keepdims=True) has the shape (..., 1). Sum over all axes but the last: axis=(0, 1, 2).
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar.layers.norm import LayerNorm


def layer_norm(x, gamma, beta, eps):
    """LayerNorm over the channels of each pixel.

    x (batch, height, width, C), gamma and beta (C), eps a number
    Returns y like x.
    """
    raise NotImplementedError


def layer_norm_backward(dy, x, gamma, eps):
    """Its gradients. dy like x; the others as above.

    Returns dx like x, dgamma (C), dbeta (C).
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def right(x, gamma, beta, eps, dy=None):
    """y, or (dx, dgamma, dbeta) if there is a dy, by tinyar's layer."""
    layer = LayerNorm(x.shape[-1], eps=eps).astype(np.float64)
    layer.params["gamma"][...], layer.params["beta"][...] = gamma, beta
    y = layer.forward(x)
    return y if dy is None else (layer.backward(dy), layer.grads["gamma"], layer.grads["beta"])


def rules(layer_norm, layer_norm_backward):
    """The rules, in the order of the derivation."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 3, 3, 4)) + [[[1.], [2], [3]]]  # each (batch, height, width, C)
    gamma, beta, eps = rng.standard_normal(4), rng.standard_normal(4), 0.1
    y, xc, v = right(x, gamma, beta, eps), x - x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)

    def over(axes):
        """y if the mean and the variance were those over other axes."""
        return gamma * (x - x.mean(axes, keepdims=True)) / (x.var(axes, keepdims=True) + eps) ** 0.5 + beta

    yield judge.Rule("y: the channels of a pixel, normalised", "y", layer_norm(x, gamma, beta, eps), y, {
        "The means are over the batch, axis 0: that is BatchNorm. LayerNorm's are over the channels.": over((0,)),
        "The means are over batch and pixels: that is BatchNorm. LayerNorm's are over the channels.": over((0, 1, 2)),
        "The means are over an image. A pixel may not look at others: axis=-1.": over((1, 2, 3)),
        "The means are over the whole array. Each pixel has its own: axis=-1.": over((0, 1, 2, 3)),
        "The variance has C - 1 below it, ddof=1. Here it is a mean, over C.":
            gamma * xc / (v * 4 / 3 + eps) ** 0.5 + beta,
        "eps is added outside the root. It belongs inside: sqrt(v + eps).": gamma * xc / (v ** 0.5 + eps) + beta,
        "eps is forgotten.": gamma * xc / v ** 0.5 + beta,
        "The root is forgotten: s = sqrt(v + eps).": gamma * xc / (v + eps) + beta,
        "The mean isn't subtracted.": gamma * x / (v + eps) ** 0.5 + beta,
        "gamma is forgotten.": xc / (v + eps) ** 0.5 + beta,
        "beta is forgotten.": y - beta,
        "beta goes in before gamma: y = gamma xhat + beta.": y - beta + gamma * beta})
    yield from rules_of_gradients(layer_norm_backward, dy, x, gamma, beta, eps)


def rules_of_gradients(layer_norm_backward, dy, x, gamma, beta, eps):
    """The rules of the backward pass."""
    dx, dgamma, dbeta = layer_norm_backward(dy, x, gamma, eps)
    y, xc, v = right(x, gamma, beta, eps), x - x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    right_dx, right_dgamma, right_dbeta = right(x, gamma, beta, eps, dy)
    s = (v + eps) ** 0.5
    xhat, u = xc / s, gamma * dy
    yield judge.Rule("dbeta: beta is in every pixel", "dbeta", dbeta, right_dbeta, {
        "This isn't summed over the batch.": dy.sum(axis=(1, 2)),
        "This is summed over the batch, not over the pixels.": dy.sum(axis=0),
        "This is the mean over batch and pixels. It is the sum.": dy.mean(axis=(0, 1, 2)),
        "beta is added behind gamma, so gamma isn't in its gradient.": right_dbeta * gamma})
    yield judge.Rule("dgamma: gamma is in every pixel", "dgamma", dgamma, right_dgamma, {
        "gamma is multiplied by xhat, not by x.": (dy * x).sum(axis=(0, 1, 2)),
        "gamma is multiplied by xhat. The division by s is forgotten.": (dy * xc).sum(axis=(0, 1, 2)),
        "gamma is multiplied by xhat, not by y.": (dy * y).sum(axis=(0, 1, 2)),
        "This isn't summed over the batch.": (dy * xhat).sum(axis=(1, 2)),
        "This is the mean over batch and pixels. It is the sum.": right_dgamma / 18,
        "gamma itself isn't in its own gradient.": right_dgamma * gamma})
    mean_u, mean_u_xhat = u.mean(axis=-1, keepdims=True), (u * xhat).mean(axis=-1, keepdims=True)
    yield judge.Rule("dx: in three ways", "dx", dx, right_dx, {
        "mu and s count as constants here. They depend on x too.": u / s,
        "The way through s is missing: - xhat * mean of (u xhat).": (u - mean_u) / s,
        "The way through mu is missing: - mean of u.": (u - xhat * mean_u_xhat) / s,
        "The way through s has the wrong sign: a larger s makes y smaller.": (u - mean_u + xhat * mean_u_xhat) / s,
        "The way through mu has the wrong sign: a larger mu makes y smaller.": (u + mean_u - xhat * mean_u_xhat) / s,
        "Sums stand here for means over the C channels.": (u - 4 * mean_u - 4 * xhat * mean_u_xhat) / s,
        "The division by s is forgotten.": right_dx * s,
        "gamma is forgotten: u = gamma dy.": right(x, 1., beta, eps, dy)[0],
        "x - mu stands here for xhat in the third term.": (u - mean_u - xc * (u * xc).mean(-1, keepdims=True)) / s,
        "The means are over batch and pixels. They are over channels.":
            (u - u.mean((0, 1, 2)) - xhat * (u * xhat).mean((0, 1, 2))) / s})


def finale(run, layer_norm, layer_norm_backward):
    """A PixelCNN whose LayerNorms are yours, forward and backward."""
    class MyLayerNorm(LayerNorm):
        """tinyar's layer, with your functions for whole images."""

        def __call__(self, x):
            return layer_norm(x, self.params["gamma"], self.params["beta"], self.eps).astype(x.dtype)

        def forward(self, x):
            self.cache = x
            return self(x)

        def backward(self, dy, need_dx=True):
            dx, dgamma, dbeta = layer_norm_backward(dy, self.take_cache(), self.params["gamma"], self.eps)
            self.grads["gamma"] += dgamma
            self.grads["beta"] += dbeta
            return dx.astype(dy.dtype)

    with mock.patch("tinyar.models.pixelcnn.LayerNorm", MyLayerNorm):
        return run.pixels()


EXERCISE = judge.Exercise(
    write={"layer_norm": "y", "layer_norm_backward": "dx, dgamma, dbeta"}, rules=rules, finale=finale,
    read=(LayerNorm.normalise, LayerNorm.backward))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
