"""The common norm of all gradients, and a limit for it."""

import math

from tinyar.backend import on_gpu, xp


def global_norm(model):
    """sqrt(sum of g^2 over all gradients): a Python float, so a GPU is waited for."""
    grads = [grad for _, _, grad in model.parameters()]
    if on_gpu and grads:
        grads = [xp.concatenate([grad.ravel() for grad in grads])]  # few calls for all instead of three for each
    return float(sum(xp.square(grad, dtype=xp.float64).sum() for grad in grads)) ** 0.5  # float32 ends at 1e38


def clip_global_norm(model, limit):
    """Scale all gradients by min(1, limit / norm), so that their common norm is at most `limit`.

    Returns the norm before. Where that isn't finite the gradients are left as they are. Raises ValueError unless
    limit > 0.
    """
    if not limit > 0:
        raise ValueError(f"clip_global_norm: expected a limit above 0, got {limit!r}")
    norm = global_norm(model)
    if math.isfinite(norm) and norm > limit:
        for _, _, grad in model.parameters():
            grad *= limit / norm
    return norm
