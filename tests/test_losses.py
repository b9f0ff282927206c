"""Losses and likelihoods: published vectors, extremes, units, draws."""

import math

import numpy as np
import pytest

from tinyar.backend import to_device, to_host
from tinyar.likelihoods import Categorical
from tinyar.losses import bits_per_dim, nats, softmax_cross_entropy


def loss_of(logits, targets):
    """(loss as a float, gradient on the host)."""
    loss, dlogits = softmax_cross_entropy(to_device(np.array(logits)), np.array(targets))
    return float(loss), to_host(dlogits)


def test_vectors():
    loss, gradient = loss_of([[2, 1, -1, 0.5]], [1])
    assert loss == pytest.approx(1.495181898086, abs=1e-12)
    np.testing.assert_allclose(gradient, [[0.6094600376, -0.7757921820, 0.0303432286, 0.1359889158]], atol=1e-10)
    assert loss_of([[1000.0, 999, -1000]], [1])[0] == pytest.approx(1.313261687518, abs=1e-12)


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_knowing_nothing_costs_log_levels(levels):
    targets = np.random.default_rng(0).integers(0, levels, (2, 3, 4, 1))
    loss, _ = loss_of(np.zeros((2, 3, 4, 1, levels)), targets)
    assert bits_per_dim(loss) == pytest.approx(math.log2(levels), abs=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_huge_logits(dtype):
    z = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype=dtype)
    loss, gradient = loss_of(z, [0, 0])
    assert loss == pytest.approx(1e4) and gradient.dtype == dtype
    np.testing.assert_allclose(gradient, [[0, 0, 0], [-0.5, 0.5, 0]], atol=1e-7)


def test_gradient_by_finite_differences():
    rng = np.random.default_rng(0)
    z, targets = rng.standard_normal((2, 3, 5)), rng.integers(0, 5, (2, 3))
    _, gradient = loss_of(z, targets)
    np.testing.assert_allclose(gradient.sum(axis=-1), 0, atol=1e-15)
    for index in np.ndindex(z.shape):
        above, below = z.copy(), z.copy()
        above[index] += 1e-5
        below[index] -= 1e-5
        assert gradient[index] == pytest.approx(
            (loss_of(above, targets)[0] - loss_of(below, targets)[0]) / 2e-5, abs=1e-9)


def test_shifting_all_logits_changes_nothing_and_two_logits_are_a_sigmoid():
    rng = np.random.default_rng(0)
    z, targets = rng.standard_normal((50, 2)), rng.integers(0, 2, 50)
    loss, gradient = loss_of(z, targets)
    shifted_loss, shifted = loss_of(z + 3, targets)
    assert shifted_loss == pytest.approx(loss, abs=1e-12)
    np.testing.assert_allclose(shifted, gradient, atol=1e-12)
    logit = z[:, 1] - z[:, 0]
    assert loss == pytest.approx(np.mean(np.logaddexp(0, logit) - logit * targets), abs=1e-12)
    np.testing.assert_allclose(gradient[:, 1], (1 / (1 + np.exp(-logit)) - targets) / 50, atol=1e-12)


def test_nats_are_the_loss_one_by_one():
    rng = np.random.default_rng(0)
    z, targets = rng.standard_normal((2, 3, 4, 7)), rng.integers(0, 7, (2, 3, 4))
    each = to_host(nats(to_device(z), targets))
    assert each.shape == targets.shape and each.mean() == pytest.approx(loss_of(z, targets)[0], abs=1e-12)
    assert each[1, 2, 3] == pytest.approx(loss_of(z[1, 2, 3][None], targets[1, 2, 3][None])[0], abs=1e-12)


def test_units():
    assert bits_per_dim(math.log(2)) == 1
    assert bits_per_dim(81.30 / 784) == pytest.approx(0.1496, abs=5e-5)  # nats an image, as bits per dimension


@pytest.mark.parametrize("targets, message", [
    ([0, 3], r"expected levels 0 .. 2, got 0 .. 3"), ([-1, 0], "got -1 .. 0"), ([0.0, 1.0], "expected integers"),
    ([[0, 1]], r"expected shape \(2,\).*got \(1, 2\)"),
])
def test_targets_that_do_not_fit_are_refused(targets, message):
    with pytest.raises(ValueError, match=message):
        loss_of(np.zeros((2, 3)), targets)


@pytest.mark.parametrize("levels", [1, 257, 0, -2, 2.0, "2", None])
def test_levels_outside_2_to_256_are_refused(levels):
    with pytest.raises(ValueError, match="2 to 256"):
        Categorical(levels)


def test_draws_follow_the_probabilities():
    p, n = np.array([0.5, 0.2, 0.05, 0.25]), 40_000
    outputs = to_device(np.tile(np.log(p), (n, 1)))
    uniforms = np.random.default_rng(0).random(n)
    counts = np.bincount(to_host(Categorical(4).sample(outputs, uniforms)), minlength=4)
    chi_square = ((counts - n * p) ** 2 / (n * p)).sum()
    assert chi_square < 16.3  # the 0.1 % point for 3 degrees of freedom
    sharp = np.bincount(to_host(Categorical(4).sample(outputs, uniforms, temperature=0.5)), minlength=4)
    np.testing.assert_allclose(sharp / n, p ** 2 / (p ** 2).sum(), atol=0.01)


def test_draws_at_the_edges():
    outputs = to_device(np.array([[0.0, -1e4, 1.0], [-1e4, 0.0, -1e4]]))
    assert to_host(Categorical(3).sample(outputs, np.array([0.0, 0.0]))).tolist() == [0, 1]
    assert to_host(Categorical(3).sample(outputs, np.array([1 - 2 ** -53] * 2))).tolist() == [2, 1]
