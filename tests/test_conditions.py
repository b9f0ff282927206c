"""Training on labels and maps:
they reach the model beside their own images, may be hidden, and are asked for when missing.
"""

import numpy as np
import pytest

from tinyar import data, gradcheck, sampling, training
from tinyar.training import checkpoint
from tinyar.backend import to_device, to_host, xp
from tinyar.conditions import Conditional, Conditions, told
from tinyar.data import Split
from tinyar.models import GatedPixelCNN, PixelCNN
from tinyar.training.parallel import Workers

GATED = dict(channels=6, first_kernel=3, dilations=(1,), head=(), classes=3)
OPTIONS = dict(epochs=2, batch_size=10, lr=3e-3, threads=2)


def stripes(n=60, seed=0):
    """Images of three classes: black, white, and noise, with their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    images = rng.integers(0, 2, (n, 4, 5, 1))
    return Split(np.where(labels[:, None, None, None] == 2, images, labels[:, None, None, None]).astype(np.uint8),
                 labels.astype(np.uint8))


@pytest.mark.parametrize("model", [GatedPixelCNN(**GATED),
                                   PixelCNN(channels=6, blocks=1, kernel_size=3, first_kernel=3, classes=3)])
def test_a_model_learns_what_the_label_says(model):
    train, held_out = stripes(), stripes(40, seed=1)
    training.fit(model, train, held_out, **{**OPTIONS, "epochs": 40, "lr": 1e-2, "average": None})
    told, untold = training.evaluate(model, held_out), training.evaluate(model, held_out.images)
    share_of_noise = (held_out.labels == 2).mean()
    assert share_of_noise * 0.9 < told < share_of_noise + 0.1  # noise costs a bit a pixel, black and white nothing
    assert untold > told + 0.05
    drawn = sampling.sample(model, 30, (4, 5), labels=np.repeat([0, 1, 2], 10)).reshape(3, -1).mean(axis=1)
    assert drawn[0] < 0.05 and drawn[1] > 0.95 and 0.35 < drawn[2] < 0.65


def test_threads_and_micro_batches_keep_images_and_conditions_together():
    model = GatedPixelCNN(levels=2, map_channels=2, **{**GATED, "classes": 3}).astype(xp.float64)
    for _, param, _ in model.parameters():
        param += 0.1
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 2, (7, 3, 4, 1)), rng.integers(-1, 3, 7)
    condition = model.condition(7, labels, rng.standard_normal((7, 3, 4, 2)))
    grads = []
    for threads in (1, 3):
        with Workers(model, threads) as workers:
            loss = float(workers.gradient(images, condition))
            grads.append([to_host(grad).copy() for _, _, grad in model.parameters()])
            assert workers.measure(images, condition) == pytest.approx(loss, abs=1e-12)
    for one, other in zip(*grads):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_hidden_labels_are_the_share_asked_for_others_each_epoch_and_the_same_again():
    split = Split(np.zeros((1000, 2, 2, 1), np.uint8), np.arange(1000) % 3)
    conditions = Conditions(GatedPixelCNN(**GATED), split, "train")
    hidden = [conditions.hiding(0.3, seed=1, epoch=epoch).labels == -1 for epoch in (1, 1, 2)]
    assert 250 < hidden[0].sum() < 350 and (hidden[0] == hidden[1]).all() and (hidden[0] != hidden[2]).any()
    of_all = conditions.hiding(1.0, 0, 1).batch(np.arange(5))
    assert of_all.shape == (5, 1, 1, 3) and not of_all.any()
    assert conditions.hiding(0.0, 0, 1) is conditions
    np.testing.assert_array_equal(conditions.batch(np.array([2, 0]))[:, 0, 0], [[0, 0, 1], [1, 0, 0]])


def test_fit_hides_labels_anew_in_every_epoch(monkeypatch):
    seen = []
    gradient = Workers.gradient

    def watch(self, images, condition=None, inputs=None, noise=None):
        seen.append(condition)
        return gradient(self, images, condition, inputs)
    monkeypatch.setattr(Workers, "gradient", watch)
    train = stripes()
    training.fit(GatedPixelCNN(**GATED), train, hide_labels=0.5, **{**OPTIONS, "batch_size": 60})
    for epoch, condition in enumerate(seen, start=1):
        order = np.random.default_rng([0, epoch]).permutation(60)
        labels = Conditions(GatedPixelCNN(**GATED), train, "train").hiding(0.5, seed=0, epoch=epoch).labels[order]
        np.testing.assert_array_equal(condition[:, 0, 0], labels[:, None] == np.arange(3))
        assert 15 < (labels == -1).sum() < 45
    assert len(seen) == 2


def test_measuring_in_pieces_keeps_images_and_conditions_together(monkeypatch):
    rng = np.random.default_rng(0)
    model = gradcheck.shake(GatedPixelCNN(levels=2, map_channels=2, **GATED).astype(xp.float64))
    split = Split(rng.integers(0, 2, (20, 3, 4, 1)), rng.integers(0, 3, 20), maps=rng.standard_normal((20, 3, 4, 2)))
    whole = training.evaluate(model, split)
    monkeypatch.setattr(training.evaluation, "MEASURED_AT_ONCE", 7)
    assert training.evaluate(model, split) == pytest.approx(whole, abs=1e-12)
    other = Split(split.images, np.roll(split.labels, 1), maps=np.roll(split.maps, 1, axis=0))
    assert abs(training.evaluate(model, other) - whole) > 1e-4


def test_resuming_knows_the_maps():
    images = stripes().images
    model = GatedPixelCNN(levels=2, channels=6, first_kernel=3, dilations=(1,), head=(), map_channels=1)
    one, other = (Conditions(model, Split(images, maps=maps), "train").fingerprint() for maps in (images, 1 - images))
    assert one != other


def test_resuming_knows_the_labels(tmp_path):
    train = stripes()
    unbroken = GatedPixelCNN(**GATED)
    training.fit(unbroken, train, hide_labels=0.5, **{**OPTIONS, "epochs": 3})
    for epochs in (1, 3):
        model = GatedPixelCNN(**GATED)
        training.fit(model, train, hide_labels=0.5, **{**OPTIONS, "epochs": epochs}, out=tmp_path, resume=True)
    for (_, one, _), (_, other, _) in zip(model.parameters(), unbroken.parameters()):
        np.testing.assert_array_equal(to_host(one), to_host(other))
    for options in (dict(hide_labels=0.2), dict(hide_labels=0.5, train=Split(train.images, 2 - train.labels)),
                    dict(hide_labels=0.5, validation=train)):
        with pytest.raises(checkpoint.CheckpointError, match="other options"):
            training.fit(GatedPixelCNN(**GATED), **{"train": train, **OPTIONS, **options}, out=tmp_path, resume=True)


def test_missing_or_wrong_conditions_are_refused():
    train = stripes()
    with pytest.raises(ValueError, match="train: the model is conditioned on 3 classes, but the images have no labels"):
        training.fit(GatedPixelCNN(**GATED), train.images)
    with pytest.raises(ValueError, match="validation: .* no labels"):
        training.fit(GatedPixelCNN(**GATED), train, train.images)
    with pytest.raises(ValueError, match="labels: expected 0 .. 1, .* got 2"):
        training.fit(GatedPixelCNN(**{**GATED, "classes": 2}), train)
    with pytest.raises(ValueError, match="train: the model is conditioned on maps: expected a Split with maps"):
        training.fit(GatedPixelCNN(**{**GATED, "map_channels": 2}), train)
    with pytest.raises(ValueError, match="validation: expected a NumPy array of integers, got Dataset"):
        training.fit(GatedPixelCNN(**GATED), train, data.load("digits"))
    with pytest.raises(ValueError, match="images: expected a NumPy array of integers, got list"):
        training.evaluate(GatedPixelCNN(**GATED), [1, 2])
    unconditional, images = GatedPixelCNN(**{**GATED, "classes": 0}), to_device(train.images[:2])
    with pytest.raises(ValueError, match="GatedPixelCNN: a condition was given, but this model is told none"):
        unconditional(images, to_device(np.ones((2, 1, 1, 3), dtype=np.float32)))
    assert GatedPixelCNN(**{**GATED, "map_codes": 3}).condition_gradient() is None
    with pytest.raises(ValueError, match=r"expected images \(batch, height, width, 1\), got shape \(5, 1\)"):
        unconditional(to_device(np.zeros((5, 1), dtype=np.uint8)))
    for share in (-0.1, 1.5):
        with pytest.raises(ValueError, match="hide_labels: expected a share"):
            training.fit(GatedPixelCNN(**GATED), train, hide_labels=share)


def test_maps_train_too():
    """Each image is its map: a model that is told it needs next to nothing more."""
    images = stripes().images
    split = Split(images, maps=images.astype(np.float32))
    model = GatedPixelCNN(levels=2, channels=6, first_kernel=3, dilations=(1,), head=(), map_channels=1)
    training.fit(model, split, split, **{**OPTIONS, "epochs": 40, "lr": 1e-2, "average": None})
    assert training.evaluate(model, split) < 0.05


def test_a_replica_does_not_keep_what_it_was_told():
    layer = Conditional(2, 3)
    layer.params["v"][...] = 1
    with told(layer, to_device(np.ones((1, 1, 1, 2)))):
        twin = layer.replica()
    assert not to_host(twin(xp.zeros((1, 2, 2, 3)))).any()
