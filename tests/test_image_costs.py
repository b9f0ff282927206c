"""What each image costs: the same as what all of them cost together, one by one, for every kind of model."""

import numpy as np
import pytest

from tinyar import data, gradcheck, models, training
from tinyar.backend import to_device, to_host
from tinyar.model import Model
from tinyar.training import evaluation, parallel

RNG = np.random.default_rng(0)
GREY, COLOUR = (RNG.integers(0, 4, (n, 4, 4, channels), dtype=np.uint8) for n, channels in ((23, 1), (7, 3)))
LABELS = RNG.integers(0, 3, len(GREY))
SMALL = dict(levels=4, channels=6)
AUTOENCODER = dict(levels=4, codes=5, code_channels=3, residual_channels=4)
KINDS = {
    "PixelCNN": lambda: models.PixelCNN(**SMALL, blocks=1, kernel_size=3),
    "PixelCNN in colour": lambda: models.PixelCNN(**SMALL, image_channels=3, blocks=1, kernel_size=3),
    "Gated, classes": lambda: models.GatedPixelCNN(**SMALL, dilations=(1,), classes=3),
    "Gated, maps": lambda: models.GatedPixelCNN(**SMALL, dilations=(1,), map_channels=2),
    "PixelCNN++ with dropout": lambda: models.PixelCNNpp(**SMALL, units=1, dropout=0.5),
    "PixelCNN++ in colour": lambda: models.PixelCNNpp(**SMALL, image_channels=3, units=1),
    "PixelSNAIL": lambda: models.PixelSNAIL(**SMALL, blocks=1, units=1),
    "Row LSTM": lambda: models.RowLSTM(levels=4, hidden=4, layers=1, head=(6,)),
    "VQ-VAE": lambda: models.VQVAE(**AUTOENCODER, widths=(6,)),
    "VQ-VAE, softmax": lambda: models.VQVAE(**AUTOENCODER, widths=(6,), output="categorical"),
    "VQ-VAE, mixture": lambda: models.VQVAE(**AUTOENCODER, widths=(6,), output="mixture", image_channels=3),
    "VQ-VAE-2": lambda: models.VQVAE2(**AUTOENCODER, channels=6),
}


def made(name):
    """A model with all its parameters away from 0, and a Split of images for it, with labels and maps."""
    model = gradcheck.shake(KINDS[name]())
    if hasattr(model, "quantizers"):
        model.state["variance"][...] = 0.7
    images = COLOUR if model.image_channels == 3 else GREY
    maps = RNG.standard_normal((len(images), 4, 4, 2)) if getattr(model, "map_channels", 0) else None
    return model, data.Split(images, LABELS[:len(images)], maps=maps)


@pytest.mark.parametrize("name", KINDS)
def test_their_mean_is_what_evaluate_says_and_each_is_that_of_its_image_alone(name, monkeypatch):
    model, split = made(name)
    costs = training.image_costs(model, split, threads=2)
    assert costs.shape == (len(split),) and costs.dtype == np.float64 and costs.std() > 1e-3 * costs.mean()
    figures = model.figure(costs / split.images[0].size)
    assert figures.mean() == pytest.approx(training.evaluate(model, split, threads=1), rel=1e-6)
    for i in (0, 1, len(split) - 1):
        alone = data.Split(split.images[i:i + 1], split.labels[i:i + 1],
                           maps=None if split.maps is None else split.maps[i:i + 1])
        assert model.figure(costs[i] / alone.images.size) == pytest.approx(training.evaluate(model, alone), rel=1e-6)
    monkeypatch.setattr(parallel, "CACHE_BYTES", 1)  # several micro-batches for each thread
    np.testing.assert_allclose(training.image_costs(model, split, threads=2), costs, rtol=1e-6)
    monkeypatch.setattr(evaluation, "SHOWN_AT_ONCE", 5)  # several pieces, and more threads than are busy
    np.testing.assert_allclose(training.image_costs(model, split, threads=3, progress=True), costs, rtol=1e-6)


def test_they_are_nats_by_the_definition():
    """- sum over pixels of log p(level of the pixel)."""
    model, split = made("Gated, classes")
    logits = to_host(model(to_device(GREY), to_device(model.condition(len(GREY), LABELS)))).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)  # (images, height, width, 1, levels)
    by_hand = -np.log(np.take_along_axis(p, GREY[..., None].astype(int), axis=-1)).sum(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(training.image_costs(model, split), by_hand, rtol=1e-6)
    untold = training.image_costs(model, split.images)
    assert abs(untold - by_hand).min() > 1e-3
    assert model.figure(untold.mean() / 16) == pytest.approx(training.evaluate(model, split.images), rel=1e-6)


def test_of_squared_errors_they_are_the_sum_over_the_variance():
    model, split = made("VQ-VAE")
    images = to_device(GREY)
    difference = to_host(model(images) - model.scale(images)).astype(np.float64)
    by_hand = (difference ** 2).sum(axis=(1, 2, 3)) / 0.7
    np.testing.assert_allclose(training.image_costs(model, split), by_hand, rtol=1e-5)


def test_a_bar_is_shown_only_when_asked_for(capsys):
    model, split = made("PixelCNN")
    training.image_costs(model, split)
    assert capsys.readouterr().err == ""
    training.image_costs(model, split, progress="a title")
    assert "a title: 100%" in capsys.readouterr().err


def test_what_does_not_fit_is_refused():
    model, split = made("Gated, classes")
    with pytest.raises(ValueError, match="images: expected levels 0 .. 3, got 0 .. 9"):
        training.image_costs(model, split.images * 3)
    with pytest.raises(ValueError, match="images: labels: expected 0 .. 2"):
        training.image_costs(model, data.Split(split.images, split.labels + 1))
    with pytest.raises(ValueError, match="conditioned on maps"):
        training.image_costs(made("Gated, maps")[0], split)
    with pytest.raises(TypeError, match="Model has no costs"):
        Model().costs(None)
    next(model.arrays())[1][...] = np.nan
    with pytest.raises(FloatingPointError, match="isn't finite"):
        training.image_costs(model, split)
