"""What is true of every autoregressive model:
causality both ways, probabilities that sum to 1, step equal to forward, conditions.
"""

import math

import numpy as np
import pytest

import references
from family import MODELS, given, make, random_condition, random_images
from tinyar import sampling
from tinyar.backend import to_device, to_host, xp
from tinyar.losses import bits_per_dim
from tinyar.models import GatedPixelCNN, PixelCNN

CONDITIONAL = [name for name in MODELS if MODELS[name]().condition_channels]
ORDERED = [name for name in MODELS if "ordered" in name]


def order(model, row, col, color, width):
    """The place of a sub-pixel in the order of drawing; independent colours of a pixel share one place."""
    return (row * width + col) * len(model.color_passes) + (color if len(model.color_passes) > 1 else 0)


@pytest.mark.parametrize("height, width", [(1, 1), (1, 5), (6, 2), (7, 8)])
@pytest.mark.parametrize("name", MODELS)
def test_any_size_of_image(name, height, width):
    model = MODELS[name]()
    condition, _, _ = random_condition(model, 2, height, width)
    logits = model(to_device(random_images(model, 2, height, width)), *given(condition))
    assert logits.shape == (2, height, width, model.image_channels, model.levels) and logits.dtype == xp.float32


@pytest.mark.parametrize("name", MODELS)
def test_causality_by_changing_every_subpixel(name):
    """A changed sub-pixel changes nothing up to its own place in the order, bit for bit,
    and does change what must see it.
    """
    model, height, width = make(name), 5, 6
    x = random_images(model, 8, height, width)  # several, as a ReLU may hide a pixel in one of them
    condition = given(random_condition(model, 8, height, width)[0])
    before = to_host(model(to_device(x), *condition))
    shape = x.shape[1:]
    places = np.array([order(model, *index, width) for index in np.ndindex(shape)]).reshape(shape)
    for row, col, color in np.ndindex(shape):
        changed = x.copy()
        changed[:, row, col, color] = (changed[:, row, col, color] + 1) % model.levels
        differs = (to_host(model(to_device(changed), *condition)) != before).any(axis=(0, -1))
        assert not differs[places <= order(model, row, col, color, width)].any()
        if col + 1 < width:
            assert differs[row, col + 1].all()
        if row + 1 < height:
            assert differs[row + 1, col].all()
        if name in ORDERED:
            assert differs[row, col, color + 1:].all()


@pytest.mark.parametrize("name", MODELS)
def test_probabilities_of_all_images_sum_to_one(name):
    model = make(name)
    height, width = ((1, 3) if model.image_channels == 3 else (3, 3) if model.levels == 2 else
                     (2, 4) if model.levels == 3 else (2, 3))
    images = references.all_images(height, width, model.image_channels, model.levels)
    condition = model.condition(
        len(images), *([1] if model.classes else [None]),
        np.random.default_rng(0).standard_normal((1, height, width, 2)).repeat(len(images), axis=0)
        if model.map_channels else None)
    nats = to_host(model.likelihood.nats(model(to_device(images), *given(condition)), images)).sum(axis=(1, 2, 3))
    assert math.fsum(np.exp(-nats)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("name", MODELS)
def test_step_equals_forward(name, dtype, tolerance):
    model = make(name) if dtype == "float64" else MODELS[name]()
    for height, width in [(7, 5), (4, 9), (1, 1)]:
        x = random_images(model, 3, height, width)
        condition = given(random_condition(model, 3, height, width)[0])
        stepped = references.steps_over_raster(model, x, *condition)
        np.testing.assert_allclose(stepped, to_host(model(to_device(x), *condition)), atol=tolerance)


@pytest.mark.parametrize("name", MODELS)
def test_draws_equal_those_of_a_full_forward_for_every_pixel(name):
    model = make(name)
    for height, width in [(6, 5), (3, 8)]:
        condition, labels, maps = random_condition(model, 4, height, width)
        fast = sampling.sample(model, 4, (height, width), labels=labels, maps=maps, seed=7)
        np.testing.assert_array_equal(fast, references.sample(model, 4, height, width, 7, *given(condition)))
    assert len(np.unique(fast)) > 1  # a constant image would prove nothing


@pytest.mark.parametrize("name", MODELS)
def test_completions_equal_those_of_a_full_forward_for_every_pixel(name):
    model, rng = make(name), np.random.default_rng(0)
    condition, labels, maps = random_condition(model, 4, 5, 4)
    known = random_images(model, 4, 5, 4)
    for mask in (np.arange(5)[:, None, None] < 2, rng.integers(0, 2, known.shape) == 1):  # upper rows, and anywhere
        completed = sampling.sample(model, 4, (5, 4), labels=labels, maps=maps, known=known, mask=mask, seed=7)
        slow = references.sample(model, 4, 5, 4, 7, *given(condition), known=known, mask=mask)
        np.testing.assert_array_equal(completed, slow)
        assert (completed == known)[np.broadcast_to(mask, known.shape)].all() and (completed != known).any()


@pytest.mark.parametrize("name", MODELS)
def test_a_last_layer_of_zeros_costs_exactly_log2_levels(name):
    model = MODELS[name]()
    for param in model.net.links[-1].params.values():
        param[...] = 0
    x = random_images(model, 2, 4, 5)
    loss, _ = model.loss(model.forward(to_device(x)), x)
    assert bits_per_dim(float(loss)) == pytest.approx(math.log2(model.levels), rel=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_new_model_knows_almost_nothing(name):
    model = MODELS[name]()
    x = random_images(model, 4, 6, 6)
    assert bits_per_dim(float(model.loss(model(to_device(x)), x)[0])) == pytest.approx(math.log2(model.levels), abs=0.1)


# -- conditions --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", CONDITIONAL)
def test_the_condition_counts_from_the_first_pixel_on(name):
    model = make(name)
    x = random_images(model, 1, 4, 5)
    maps = np.ones((1, 4, 5, model.map_channels)) if model.map_channels else None
    outputs = [to_host(model(to_device(x), *given(model.condition(1, label, maps)))) for label in (-1, 0, 1, 2)]
    for one, other in zip(outputs, outputs[1:]):
        assert (one != other).any(axis=-1).all()


@pytest.mark.parametrize("name", CONDITIONAL)
def test_a_new_model_ignores_the_condition_and_none_is_none(name):
    model, x = MODELS[name](), xp.zeros((3, 4, 5, 1), dtype=int)
    plain = to_host(model(x))
    np.testing.assert_array_equal(plain, to_host(model(x, *given(random_condition(model, 3, 4, 5)[0]))))
    shaken = make(name)
    none = np.zeros((3, 1, 1, model.condition_channels), dtype=np.float32)
    np.testing.assert_allclose(to_host(shaken(x)), to_host(shaken(x, none)), atol=1e-12)


def test_labels_with_equal_rows_are_alike_and_a_missing_class_learns_nothing():
    model = make("Gated, first plain, classes")
    tables = {name: param for name, param, _ in model.parameters() if name.endswith(".v")}
    assert len(tables) == 4 and all(table.shape[0] == 3 for table in tables.values())
    for table in tables.values():
        table[2] = table[0]
    x = to_device(random_images(model, 3, 4, 5).repeat(2, axis=0)[:2])
    zero, two = model(x[:1], model.condition(1, 0)), model(x[:1], model.condition(1, 2))
    np.testing.assert_array_equal(to_host(zero), to_host(two))
    logits = model.forward(x, model.condition(2, [0, -1]))
    model.backward(xp.ones_like(logits) * xp.arange(2))
    for name, _, grad in model.parameters():
        if name.endswith(".v"):
            assert (to_host(grad)[0] != 0).any() and not to_host(grad)[1:].any()


@pytest.mark.parametrize("arguments, message", [
    (dict(labels=[0, 3]), "labels: expected 0 .. 2, or -1 for none, got 3"), (dict(labels=-2), "got -2"),
    (dict(labels=[0, 1, 2]), "expected one whole number, or 2 of them"), (dict(labels=[0.5, 1]), "of float64"),
    (dict(labels=0, maps=np.zeros((2, 4, 5, 2))), "not conditioned on maps"),
])
def test_conditions_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        sampling.sample(MODELS["PixelCNN, classes"](), 2, (4, 5), **arguments)


def test_conditions_for_models_without_and_maps_of_another_size():
    with pytest.raises(ValueError, match="not conditioned on classes"):
        sampling.sample(MODELS["Gated"](), 2, (4, 5), labels=1)
    with pytest.raises(ValueError, match="conditioned on maps of 2 channels, got none"):
        sampling.sample(MODELS["Gated, classes and maps"](), 2, (4, 5), labels=1)
    with pytest.raises(ValueError, match=r"maps: expected shape \(2, height, width, 2\)"):
        sampling.sample(MODELS["Gated, classes and maps"](), 2, (4, 5), maps=np.zeros((2, 4, 5, 3)))
    with pytest.raises(ValueError,
                       match=r"expected a condition \(batch, 1 or height, 1 or width, 3\), got shape \(2, 3\)"):
        MODELS["PixelCNN, classes"]()(xp.zeros((2, 4, 5, 1), dtype=int), xp.zeros((2, 3)))
    for wrong in (np.zeros((2, 3, 5, 2)), np.zeros((2, 4, 6, 2))):
        with pytest.raises(ValueError, match="condition of 2 images, .* doesn't fit"):
            sampling.sample(MODELS["Gated, classes and maps"](), 2, (4, 5), maps=wrong)
    with pytest.raises(ValueError, match="condition of 3 images, .* doesn't fit"):
        MODELS["PixelCNN, classes"]()(xp.zeros((2, 4, 5, 1), dtype=int), MODELS["PixelCNN, classes"]().condition(3, 0))


@pytest.mark.parametrize("model", [PixelCNN, GatedPixelCNN])
@pytest.mark.parametrize("options, message", [(dict(classes=-1), "classes"), (dict(map_channels=1.5), "map_channels")])
def test_condition_options_are_checked(model, options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)
