"""How many codes of a codebook are in use."""

import numpy as np

from tinyar.backend import to_host


def perplexity(counts):
    """exp(entropy of counts / their sum): how many codes are in use, from how often each was chosen.

    1 if it was always the same, len(counts) if all alike. Raises ValueError for negative counts, or none above 0.
    """
    counts = to_host(counts).astype(np.float64)
    if not (counts >= 0).all() or not counts.sum() > 0:
        raise ValueError(f"perplexity: expected counts of at least 0, not all of them 0, got {counts}")
    p = counts[counts > 0] / counts.sum()
    return float(np.exp(-(p * np.log(p)).sum()))


def share_in_use(counts):
    """The share of the codes that were chosen at all, from 0 to 1."""
    return float((to_host(counts) > 0).mean())
