"""Normalisation that keeps causality: over the channels of one pixel, never over the image or the batch."""

import numpy as np

from tinyar.backend import on_gpu, xp
from tinyar.layer import Pointwise
from tinyar.layers.colors import group_slices
from tinyar.layers.pointwise import as_rows, check_channels, check_last_axis, sum_rows


class LayerNorm(Pointwise):
    """Layer normalisation over the channels of each pixel (Ba et al. 2016, arXiv 1607.06450).

    x, y (..., channels); mu and s one for each pixel; every mean is over channels; gamma, beta (channels).

    forward     mu = mean of x,  xc = x - mu,  s = sqrt(mean of xc^2 + eps),  y = xc gamma / s + beta
    backward    u  = gamma dy                                   with xhat = xc / s:
                dx = (u - mean of u - xhat * mean of (u xhat)) / s
                   = u / s - xc * mean of (u xc) / s^3 - (mean of u) / s
                dgamma = sum over pixels of dy xhat  =  sum over pixels of (dy xc) / s
                dbeta  = sum over pixels of dy

    With `colors` > 1 the channels belong to R, G and B (see `group_slices`), and the mean over all of them would
    tell red what green knows of the same pixel. So each group is normalised for itself; gamma and beta keep
    one entry a channel.

    How it is fast: few passes over the map. xhat is never formed, and forward keeps xc and 1 / s alone. A number per
    pixel is spread over its channels by `outer`.
    """

    def __init__(self, channels, colors=1, eps=1e-5):
        super().__init__()
        check_channels(self, channels)
        if not eps > 0:
            raise ValueError(f"LayerNorm: eps is a number above 0, got {eps!r}")
        self.channels, self.eps = channels, eps
        self.groups = group_slices(channels, colors)
        self.add_param("gamma", np.ones(channels))
        self.add_param("beta", np.zeros(channels))

    def __call__(self, x):
        return self.normalise(x)[0]

    def forward(self, x):
        y, *self.cache = self.normalise(x)
        return y

    def step(self, x, at):
        """The formula as it stands: at one pixel a pass costs nothing, but a call of NumPy does."""
        check_last_axis(self, x, self.channels)
        y = xp.empty_like(x)
        for group in self.groups:
            size = group.stop - group.start
            xc = x[:, group] - x[:, group].sum(axis=1, keepdims=True) * (1 / size)
            s = xp.sqrt((xc * xc).sum(axis=1, keepdims=True) * (1 / size) + self.eps)
            y[:, group] = xc / s * self.params["gamma"][group]
        y += self.params["beta"]
        return y

    def normalise(self, x):
        """y like x, xc (pixels, channels), and 1 / s, (pixels) for each group of channels."""
        check_last_axis(self, x, self.channels)
        rows = as_rows(x)
        xc, y, inverses = xp.empty_like(rows), xp.empty_like(rows), []
        for group in self.groups:
            mean_of = xp.full(group.stop - group.start, 1 / (group.stop - group.start), dtype=rows.dtype)
            ones, centred = xp.ones_like(mean_of), xc[:, group]
            outer(xp.matmul(rows[:, group], mean_of), -ones, out=centred)
            centred += rows[:, group]
            variance = squared_lengths(centred) * (1 / len(mean_of))
            inverse = 1 / xp.sqrt(variance + self.eps)
            outer(inverse, self.params["gamma"][group], out=y[:, group])
            y[:, group] *= centred
            inverses.append(inverse)
        y += self.params["beta"]
        return y.reshape(x.shape), xc, inverses

    def backward(self, dy, need_dx=True):
        xc, inverses = self.take_cache()
        dy_rows, gamma = as_rows(dy), self.params["gamma"]
        products = dy_rows * xc  # dy xc
        dx = xp.empty_like(dy_rows) if need_dx else None
        self.grads["beta"] += sum_rows(dy_rows)
        for group, inverse in zip(self.groups, inverses):
            # y = xc gamma / s + beta
            self.grads["gamma"][group] += xp.matmul(inverse, products[:, group])
            if need_dx:
                weights = gamma[group] * (1 / (group.stop - group.start))  # a mean over channels, times gamma
                mean_u, mean_u_xc = xp.matmul(dy_rows[:, group], weights), xp.matmul(products[:, group], weights)
                dx_group, scratch, ones = dx[:, group], products[:, group], xp.ones_like(weights)
                outer(inverse, gamma[group], out=dx_group)
                dx_group *= dy_rows[:, group]  # u / s
                outer(mean_u_xc * inverse * inverse * inverse, ones, out=scratch)  # nobody needs the products any more
                scratch *= xc[:, group]
                dx_group -= scratch
                outer(mean_u * inverse, ones, out=scratch)
                dx_group -= scratch
        return dx.reshape(dy.shape) if need_dx else None


def outer(column, row, out):
    """out[p, c] = column[p] row[c].

    As a matrix product with a second column of zeros: BLAS writes that faster than NumPy broadcasts, and with a single
    column NumPy doesn't ask BLAS. A GPU broadcasts as fast as it reads.
    """
    if on_gpu:
        xp.multiply(column[:, None], row, out=out)
        return
    columns, rows = xp.zeros((len(column), 2), dtype=column.dtype), xp.zeros((2, len(row)), dtype=row.dtype)
    columns[:, 0], rows[0] = column, row
    xp.matmul(columns, rows, out=out)


def squared_lengths(rows):
    """The sum of squares of every row, by einsum in one pass. On a GPU einsum takes more calls than two passes do."""
    return (rows * rows).sum(axis=1) if on_gpu else xp.einsum("pc,pc->p", rows, rows)
