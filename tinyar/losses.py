"""Losses: pure functions that return the value and the gradient together, because their derivation is one thought.

Values are means in nats; `bits_per_dim` turns a mean over dimensions (sub-pixels) into the unit that papers report.
"""

import math

import numpy as np

from tinyar.backend import to_device, xp


def softmax_cross_entropy(logits, targets):
    """The mean of -log softmax(logits)[target], in nats, and its gradient.

    With n targets, and for each of them logits z and the target y:

        forward     loss = mean of (log sum_k exp z_k) - z_y
        backward    dz_k = (softmax(z)_k - [k = y]) / n

    logits (..., levels), targets (...) integers. The largest logit is subtracted first, so logits of +-10,000 are
    fine. Returns (loss, dlogits): a scalar of the array library (float(loss) fetches it), and an array of the shape
    of logits. Raises ValueError when the shapes don't belong together and, for targets on the host (NumPy arrays),
    when a target isn't in 0 .. levels - 1. Targets that lie on a GPU are taken as checked: looking at them
    would make the GPU wait.
    """
    levels = logits.shape[-1]
    targets = checked_targets(targets, logits.shape[:-1], levels).reshape(-1)
    z = logits.reshape(-1, levels)
    z = z - z.max(axis=1, keepdims=True)
    target = xp.arange(len(z)), targets
    z_target = z[target]
    p = xp.exp(z, out=z)
    total = p.sum(axis=1, keepdims=True)
    loss = (xp.log(total[:, 0]) - z_target).mean()
    p /= total * len(p)  # softmax / n
    p[target] -= 1 / len(p)
    return loss, p.reshape(logits.shape)


def nats(logits, targets):
    """-log softmax(logits)[target] of every target by itself, in nats: shape (...). Arguments and errors as above."""
    levels = logits.shape[-1]
    targets = checked_targets(targets, logits.shape[:-1], levels).reshape(-1)
    z = logits.reshape(-1, levels)
    z = z - z.max(axis=1, keepdims=True)
    z_target = z[xp.arange(len(z)), targets]
    return (xp.log(xp.exp(z, out=z).sum(axis=1)) - z_target).reshape(logits.shape[:-1])


def checked_targets(targets, shape, levels):
    """The targets on the device; see softmax_cross_entropy for what is refused."""
    if targets.shape != shape:
        raise ValueError(f"targets: expected shape {shape}, one for each vector of logits, got {targets.shape}")
    if targets.dtype.kind not in "iu":
        raise ValueError(f"targets: expected integers, the levels 0 .. {levels - 1}, got {targets.dtype}")
    if isinstance(targets, np.ndarray) and targets.size and not 0 <= targets.min() <= targets.max() < levels:
        raise ValueError(f"targets: expected levels 0 .. {levels - 1}, got {targets.min()} .. {targets.max()}")
    return to_device(targets)


def bits_per_dim(nats_per_dim):
    """Nats per dimension as bits per dimension: divide by ln 2. A dimension is a sub-pixel:
    height * width * channels of them.
    """
    return nats_per_dim / math.log(2)
