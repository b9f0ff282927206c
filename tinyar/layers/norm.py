"""Normalisation that keeps causality: over the channels of one pixel, never over the image or the batch."""

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Pointwise
from tinyar.layers.groups import group_slices
from tinyar.layers.pointwise import as_rows, check_channels, check_last_axis, sum_rows


class LayerNorm(Pointwise):
    """Layer normalisation over the channels of each pixel (Ba et al. 2016, arXiv 1607.06450).

    forward     mu = mean of x,  s = sqrt(mean of (x - mu)^2 + eps),  xhat = (x - mu) / s,  y = gamma xhat + beta
    backward    u = gamma dy;  dx = (u - mean of u - xhat * mean of (u xhat)) / s
                dgamma = sum over pixels of dy xhat,  dbeta = sum over pixels of dy

    x, y, xhat (..., channels); mu and s one for each pixel; every mean is over channels; gamma, beta (channels).

    With `colors` > 1 the channels belong to R, G and B (see `group_slices`), and the mean over all of them would
    tell red what green knows of the same pixel. So each group is normalised for itself; gamma and beta keep
    one entry a channel.
    """

    def __init__(self, channels, colors=1, eps=1e-5):
        super().__init__()
        check_channels(self, channels)
        self.channels, self.eps = channels, eps
        self.groups = group_slices(channels, colors)
        self.add_param("gamma", np.ones(channels))
        self.add_param("beta", np.zeros(channels))

    def __call__(self, x):
        xhat, _ = self.normalise(x)
        return self.scale(xhat).reshape(x.shape)

    def forward(self, x):
        self.cache = self.normalise(x)
        return self.scale(self.cache[0]).reshape(x.shape)

    def normalise(self, x):
        """xhat (pixels, channels) and 1 / s, one (pixels, 1) for each group of channels."""
        check_last_axis(self, x, self.channels)
        rows = as_rows(x)
        xhat, scales = xp.empty_like(rows), []
        for group in self.groups:
            part, out = rows[:, group], xhat[:, group]
            average = xp.full(part.shape[1], 1 / part.shape[1], dtype=rows.dtype)
            xp.subtract(part, xp.matmul(part, average)[:, None], out=out)  # x - mu
            variance = xp.einsum("pc,pc->p", out, out) / part.shape[1]
            inverse = 1 / xp.sqrt(variance + self.eps)[:, None]
            out *= inverse
            scales.append(inverse)
        return xhat, scales

    def scale(self, xhat):
        y = xhat * self.params["gamma"]
        y += self.params["beta"]
        return y

    def backward(self, dy):
        xhat, scales = self.take_cache()
        dy_rows, gamma = as_rows(dy), self.params["gamma"]
        dy_xhat = dy_rows * xhat
        self.grads["gamma"] += sum_rows(dy_xhat)
        self.grads["beta"] += sum_rows(dy_rows)
        dx = dy_rows * gamma  # u
        for group, inverse in zip(self.groups, scales):
            # the mean over channels of u = gamma dy, as a product with gamma / n
            mean = gamma[group] / len(gamma[group])
            part = dx[:, group]
            part -= xp.matmul(dy_rows[:, group], mean)[:, None]
            part -= xhat[:, group] * xp.matmul(dy_xhat[:, group], mean)[:, None]
            part *= inverse
        return dx.reshape(dy.shape)
