"""One bin of a logistic: the logarithm of its probability, and its slopes, in the exact form and in the published one.

With levels k on the grid x = 2 k / (L - 1) - 1, sig(z) = 1 / (1 + e^-z), a mean m and a log-scale s:

    a = e^-s (x - m + 1 / (L - 1))        the upper edge of the level's bin
    b = e^-s (x - m - 1 / (L - 1))        the lower one
    p(k) = sig(a) - sig(b)                k = 0 reaches down to minus infinity: sig(a); k = L - 1 up: 1 - sig(b)

Digits cancel in that difference. With sp(z) = log(1 + e^z) and h = a - b = 2 e^-s / (L - 1), its logarithm is

    log p = -sp(-a) - sp(b) + log(1 - e^-h)        without the second and third term for k = 0,
                                                   without the first and third for k = L - 1

and nothing cancels there. (Salimans et al. 2017, arXiv 1701.05517, have the difference itself.)
"""

import math

from tinyar.backend import xp

FLAT = 1e-30  # of an h below it, 1 - e^-h is h to the last digit, and (h e^-h) / (1 - e^-h) is 1


def exact_log_probability(x, k, means, log_scales, levels):
    """log p of levels k, at x (..., channels), under each component (..., channels, M); and its slopes by m and s.

    d log p / d m = e^-s (sig(b) - sig(-a)),  d log p / d s = b sig(b) - a sig(-a) - h e^-h / (1 - e^-h), with the terms
    that belong to a, b and h left out where log p has none of them.
    """
    inverse, half = xp.exp(-log_scales), 1 / (levels - 1)
    offset = x[..., None] - means
    a, b, h = inverse * (offset + half), inverse * (offset - half), inverse * (2 * half)
    upper, lower = (k < levels - 1)[..., None], (k > 0)[..., None]  # has the bin such an edge?
    flat = h < FLAT  # h may be 0 in float32 then; its logarithm is known all the same
    safe = xp.where(flat, 1, h)
    whole = -xp.expm1(-safe)  # 1 - e^-h
    log_whole = xp.where(flat, math.log(2 * half) - log_scales, xp.log(whole))
    log_p = xp.where(upper & lower, log_whole, 0) - upper * softplus(-a) - lower * softplus(b)
    by_a, by_b = upper * sigmoid(-a), lower * sigmoid(b)
    by_h = xp.where(upper & lower, xp.where(flat, 1, safe * xp.exp(-safe) / whole), 0)
    return log_p, inverse * (by_b - by_a), b * by_b - a * by_a - by_h


def paper_log_probability(x, k, means, log_scales, levels):
    """The published form of the same, for 256 levels.

    Where D = sig(a) - sig(b) > 1e-5, log D, with slopes -e^-s (sig'(a) - sig'(b)) / D and (b sig'(b) - a sig'(a)) / D;
    else, with t = e^-s (x - m), the density t - s - 2 sp(t) - log(127.5), with slopes -e^-s (1 - 2 sig(t)) and
    -1 - t (1 - 2 sig(t)). The edges are those of the exact form.
    """
    log_p, by_mean, by_scale = exact_log_probability(x, k, means, log_scales, levels)
    middle = ((k > 0) & (k < levels - 1))[..., None]
    inverse, half = xp.exp(-log_scales), 1 / (levels - 1)
    t = inverse * (x[..., None] - means)
    a, b = t + inverse * half, t - inverse * half
    difference = sigmoid(a) - sigmoid(b)
    wide = middle & (difference > 1e-5)
    narrow = middle & ~wide
    safe = xp.maximum(difference, 1e-12)
    slope_a, slope_b, bend = sigmoid(a) * sigmoid(-a), sigmoid(b) * sigmoid(-b), 1 - 2 * sigmoid(t)
    log_p = xp.where(wide, xp.log(safe), log_p)
    log_p = xp.where(narrow, t - log_scales - 2 * softplus(t) - math.log((levels - 1) / 2), log_p)
    by_mean = xp.where(wide, inverse * (slope_b - slope_a) / safe, by_mean)
    by_mean = xp.where(narrow, -inverse * bend, by_mean)
    by_scale = xp.where(wide, (b * slope_b - a * slope_a) / safe, by_scale)
    return log_p, by_mean, xp.where(narrow, -1 - t * bend, by_scale)


def sigmoid(z):
    """1 / (1 + e^-z), by tanh, which can't overflow."""
    return 0.5 + 0.5 * xp.tanh(0.5 * z)


def softplus(z):
    """log(1 + e^z), without overflow."""
    return xp.maximum(z, 0) + xp.log1p(xp.exp(-xp.abs(z)))


def log_softmax(z):
    """z - log sum e^z over the last axis."""
    return z - log_sum_exp(z)[..., None]


def log_sum_exp(z):
    """log sum e^z over the last axis, without overflow."""
    largest = z.max(axis=-1, keepdims=True)
    return (largest + xp.log(xp.exp(z - largest).sum(axis=-1, keepdims=True)))[..., 0]
