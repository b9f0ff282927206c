"""Learning rates that change: pure functions of the number t = 1, 2, ... of the update, so there is nothing to save."""

import math


def constant(lr):
    """The same learning rate at every update."""
    return lambda t: lr


def exponential(lr, rate):
    """lr * rate^t: 0.999995 halves it every 138,629 updates."""
    return lambda t: lr * rate ** t


def cosine(lr, total, warmup=0, minimum=0.0):
    """A straight line up to lr over `warmup` updates, then half a cosine down to `minimum` at update `total`,
    and level from there.

    Raises ValueError unless 0 <= warmup < total.
    """
    if not 0 <= warmup < total:
        raise ValueError(f"cosine: expected 0 <= warmup < total, got warmup={warmup}, total={total}")

    def schedule(t):
        if t < warmup:
            return lr * t / warmup
        progress = min(1.0, (t - warmup) / (total - warmup))
        return minimum + (lr - minimum) * (1 + math.cos(math.pi * progress)) / 2
    return schedule
