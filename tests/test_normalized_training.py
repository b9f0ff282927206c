"""PixelCNN++ and PixelSNAIL in training: dropout over threads, a run broken off, averages after the start by data."""

import functools

import numpy as np
import pytest

from tinyar import data, training
from tinyar.backend import on_gpu, to_host, xp
from tinyar.models import PixelCNNpp, PixelSNAIL
from tinyar.optim import Adam
from tinyar.training import checkpoint
from tinyar.training.parallel import Workers

IMAGES = data.load("digits").train.images[:40]
KINDS = {PixelCNNpp: {}, PixelSNAIL: dict(blocks=2, units=1, key_channels=4, value_channels=2, heads=2, chunk=15)}
kinds = pytest.mark.parametrize("kind", KINDS)


def small(kind, **options):
    return kind(**{**dict(levels=17, channels=4, components=2, dropout=0.5), **KINDS[kind], **options})


def weights(model):
    return [to_host(array).copy() for _, array in model.arrays()]


def assert_same(one, other):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_array_equal(a, b)


@kinds
@pytest.mark.skipif(on_gpu, reason="on a GPU a batch is computed in one piece")
def test_threads_and_cuts_change_no_gradient(kind):
    model, grads = small(kind).astype(xp.float64), []
    model.prepare(IMAGES)
    for threads, at_once in ((1, 40), (2, 3), (3, 7)):
        with pytest.MonkeyPatch.context() as patch, Workers(model, threads) as workers:
            patch.setattr("tinyar.training.parallel.micro_batch_size", lambda model, images, threads: at_once)
            workers.gradient(IMAGES, noise=(5, 9))
            grads.append([to_host(grad).copy() for _, _, grad in model.parameters()])
    for others in grads[1:]:
        for one, other in zip(grads[0], others, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-12 * (1 + np.abs(one).max()))


@kinds
def test_a_run_that_was_killed_ends_like_the_unbroken_one(kind, tmp_path):
    """Killed in the middle of its second epoch, at an update after one that was saved."""
    options = dict(epochs=3, batch_size=8, threads=2, seed=3, save_every=2,
                   optimizer=functools.partial(Adam, betas=(0.95, 0.9995), eps=0, eps_root=1e-12))
    unbroken, gradient, calls = small(kind), Workers.gradient, []
    training.fit(unbroken, IMAGES, **options)

    def killed(self, *args, **noise):
        calls.append(noise)
        if len(calls) == 8:
            raise SystemExit
        return gradient(self, *args, **noise)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Workers, "gradient", killed)
        training.fit(small(kind), IMAGES, out=tmp_path, **options)
    resumed = small(kind)
    training.fit(resumed, IMAGES, out=tmp_path, resume=True, **options)
    assert_same(resumed, unbroken)
    with pytest.raises(checkpoint.CheckpointError, match="optimizer"):
        training.fit(small(kind), IMAGES, out=tmp_path, resume=True, **{**options, "optimizer": Adam})


@kinds
def test_averages_start_after_prepare_and_a_second_fit_does_not_prepare_again(kind):
    model, prepared = small(kind), small(kind)
    prepared.prepare(IMAGES)
    training.fit(model, IMAGES, epochs=1, batch_size=40, lr=0, average=0.5)  # one update, which moves nothing
    assert_same(model, prepared)
    training.fit(model, IMAGES[::-1], epochs=1, batch_size=40, lr=0)
    assert_same(model, prepared)


@kinds
def test_a_checkpoint_keeps_options_and_start(kind, tmp_path):
    model = small(kind, classes=3)
    model.prepare(IMAGES)
    checkpoint.save(tmp_path / "model.npz", model)
    loaded, _ = checkpoint.load(tmp_path / "model.npz")
    assert type(loaded) is kind and loaded.config == model.config
    assert_same(loaded, model)
    assert loaded.state["prepared"][0] == 1


@pytest.mark.long
@kinds
@pytest.mark.parametrize("likelihood", ["mixture", "softmax"])
def test_a_few_images_are_learned_by_heart(kind, likelihood):
    model = small(kind, channels=16, components=5, likelihood=likelihood, dropout=0)
    history = training.fit(model, IMAGES[:8], epochs=150, batch_size=8, lr=3e-3, average=None)
    assert history.rows[-1]["train"] < 0.6 * history.rows[2]["train"]
