"""Drawing: equal to the slow way, true to the probabilities, honest about what is known."""

import math

import numpy as np
import pytest

import references
from tinyar import gradcheck, sampling
from tinyar.backend import to_device, to_host, xp
from tinyar.layers import Linear
from tinyar.models import PixelCNN

SMALL = dict(channels=9, blocks=2, first_kernel=5, kernel_size=3, head=(6,), seed=1)
MODELS = {
    "grey": lambda: PixelCNN(levels=3, **SMALL),
    "7x7": lambda: PixelCNN(levels=4, **{**SMALL, "first_kernel": 7, "kernel_size": 7}),
    "ordered colours": lambda: PixelCNN(levels=4, image_channels=3, **SMALL),
    "independent colours": lambda: PixelCNN(levels=4, image_channels=3, ordered_colors=False, **SMALL),
}


def make(name):
    return gradcheck.shake(MODELS[name]().astype(xp.float64))


def test_images_come_on_the_host_as_levels():
    images = sampling.sample(MODELS["grey"](), 3, (5, 4, 1))
    assert isinstance(images, np.ndarray) and images.shape == (3, 5, 4, 1) and images.dtype == np.uint8
    assert images.max() <= 2


def test_frequencies_match_the_probabilities_of_all_images():
    model, n = gradcheck.shake(PixelCNN(levels=2, **SMALL), seed=4), 20_000
    images = references.all_images(2, 2, 1, 2)
    p = np.exp(-to_host(model.likelihood.nats(model(to_device(images)), images)).sum(axis=(1, 2, 3)).astype(float))
    drawn = sampling.sample(model, n, (2, 2)).reshape(n, 4)
    counts = np.bincount(drawn @ [8, 4, 2, 1], minlength=16)
    assert ((counts - n * p) ** 2 / (n * p)).sum() < 37.7  # the 0.1 % point of chi-square for 15 degrees of freedom


def test_seeds():
    model = MODELS["grey"]()
    one, same, other = (sampling.sample(model, 4, (6, 6), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_a_low_temperature_draws_the_likeliest_level():
    model = make("grey")
    images = sampling.sample(model, 2, (4, 5), temperature=1e-4)
    np.testing.assert_array_equal(to_host(model(to_device(images))).argmax(axis=-1), images)


@pytest.mark.parametrize("name", MODELS)
def test_completion_keeps_what_is_known_and_draws_the_rest_given_it(name):
    model = make(name)
    rng = np.random.default_rng(0)
    known = rng.integers(0, model.levels, (3, 6, 5, model.image_channels)).astype(np.uint8)
    mask = rng.integers(0, 2, known.shape)
    completed = sampling.sample(model, 3, (6, 5), known=known, mask=mask, seed=3)
    np.testing.assert_array_equal(completed[mask == 1], known[mask == 1])
    # Given its own result as known, with the same random numbers, a completion must draw the same again.
    again = sampling.sample(model, 3, (6, 5), known=completed, mask=mask, seed=3)
    np.testing.assert_array_equal(again, completed)
    np.testing.assert_array_equal(sampling.sample(model, 3, (6, 5), known=known, mask=np.ones_like(mask)), known)
    free = sampling.sample(model, 3, (6, 5), known=known, mask=np.zeros_like(mask), seed=3)
    np.testing.assert_array_equal(free, sampling.sample(model, 3, (6, 5), seed=3))


def test_completion_of_upper_halves_follows_the_conditional_distribution():
    model, n = gradcheck.shake(PixelCNN(levels=2, **SMALL), seed=4), 10_000
    known, mask = np.zeros((1, 2, 2, 1), dtype=np.uint8), np.zeros((2, 1, 1), dtype=bool)
    known[0, 0, 1], mask[0] = 1, True  # the upper row is 0 1
    images = references.all_images(2, 2, 1, 2)
    nats = to_host(model.likelihood.nats(model(to_device(images)), images)).sum(axis=(1, 2, 3)).astype(float)
    agree = (images[:, 0] == known[0, 0]).all(axis=(1, 2))
    p = np.exp(-nats[agree]) / math.fsum(np.exp(-nats[agree]))
    lower = sampling.sample(model, n, (2, 2), known=known, mask=mask)[:, 1].reshape(n, 2)
    counts = np.bincount(lower @ [2, 1], minlength=4)
    assert ((counts - n * p) ** 2 / (n * p)).sum() < 16.3


def test_watching_sees_every_pixel_in_order():
    seen, pictures = [], []

    def watch(row, col, images):
        seen.append((row, col))
        pictures.append(images.copy())
    images = sampling.sample(MODELS["grey"](), 2, (3, 4), watch=watch)
    assert seen == list(np.ndindex(3, 4))
    np.testing.assert_array_equal(pictures[-1], images)
    for (row, col), picture in zip(seen, pictures):
        assert not picture[:, row + 1:].any() and not picture[:, row, col + 1:].any()


def test_the_bar_counts_rows(capsys):
    sampling.sample(MODELS["grey"](), 1, (3, 4), progress=True)
    assert "3/3" in capsys.readouterr().err
    sampling.sample(MODELS["grey"](), 1, (3, 4))
    assert capsys.readouterr().err == ""


def test_a_drawing_leaves_training_alone():
    model = MODELS["grey"]()
    x = np.zeros((1, 4, 4, 1), dtype=np.uint8)
    y = model.forward(to_device(x))
    sampling.sample(model, 1, (3, 3))
    assert model.backward(xp.ones_like(y)).shape == x.shape


KNOWN = np.zeros((2, 4, 4, 1), dtype=np.uint8)


@pytest.mark.parametrize("arguments, message", [
    (dict(n=0), "n: expected"), (dict(n=2.0), "n: expected"),
    (dict(shape=(4,)), "shape: expected"), (dict(shape=8), "shape: expected"),
    (dict(seed=-1), "seed: expected"), (dict(seed=0.5), "seed: expected"),
    (dict(shape=(4, 0)), "shape: expected"), (dict(shape=(4, 4, 3)), "3 channels, but the model draws images of 1"),
    (dict(temperature=0), "temperature"), (dict(temperature=float("nan")), "temperature"),
    (dict(temperature=float("inf")), "temperature: expected a number from 1e-30 to 1e.30, got inf"),
    (dict(temperature=1e308), "from 1e-30 to 1e.30, got 1e.308"), (dict(temperature=5e-324), "from 1e-30 to 1e.30"),
    (dict(known=KNOWN), "known and mask go together"), (dict(mask=KNOWN), "known and mask go together"),
    (dict(known=KNOWN + 9, mask=KNOWN + 1), r"levels 0 .. 2, got 9 .. 9"),
    (dict(known=KNOWN, mask=KNOWN + 2), "only 0 and 1"),
    (dict(known=KNOWN[:, :3], mask=KNOWN), r"known: shape \(2, 3, 4, 1\) doesn't broadcast"),
    (dict(known=KNOWN, mask=KNOWN[:, :, :3]), "mask: shape"), (dict(known=KNOWN * 0.5, mask=KNOWN), "integer levels"),
])
def test_arguments_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sampling.sample(MODELS["grey"](), **{"n": 2, "shape": (4, 4), **arguments})


def test_a_layer_that_cannot_draw_is_refused():
    with pytest.raises(TypeError, match="Linear isn't a model"):
        sampling.sample(Linear(1, 2), 1, (4, 4))
