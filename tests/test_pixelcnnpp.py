"""PixelCNN++: reference numbers, published sizes, causality and reach, drawing, the start by data, its likelihoods."""

import itertools
import json

import numpy as np
import pytest
from vectors_of_networks import assert_equal, assert_gradients, load, weights_by_rule

from tinyar import gradcheck, sampling
from tinyar.backend import to_device, to_host, xp
from tinyar.layers import noise_told
from tinyar.layers.weights import Weighted
from tinyar.models import PixelCNNpp

NETWORKS = ["pixelcnnpp_grey_8x8", "pixelcnnpp_rgb_8x8_class", "pixelcnnpp_odd_7x9_extension",
            "pixelcnnpp_grey_12x8_R2_17_levels_no_weight_norm"]
SIZES = [(8, 8), (7, 9), (12, 8), (5, 6), (2, 3), (1, 1)]


def model_of(numbers, **changes):
    config = json.loads(str(numbers["config"]))
    model = PixelCNNpp(**{**dict(levels=int(numbers.get("levels", 256)), image_channels=config["image_channels"],
                                 channels=config["F"], units=config["R"], components=config["M"],
                                 classes=config.get("classes", 0), weight_norm=config.get("weight_norm", True)),
                          **changes})
    return model


def tiny(**options):
    """A small network in float64 with all parameters away from their start."""
    model = PixelCNNpp(**{**dict(levels=5, channels=3, components=2), **options})
    return gradcheck.differences.shake(model.astype(xp.float64))


def random_images(model, batch, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, model.levels, (batch, height, width, model.image_channels))


# -- reference numbers -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks(name):
    numbers = load(name)
    model = weights_by_rule(model_of(numbers))
    assert model.count_parameters() == int(numbers["parameters"])
    x = to_device(numbers["pixels"])
    given = [to_device(model.condition(len(x), numbers["labels"]))] if "labels" in numbers else []
    outputs = model.forward(x, *given)
    assert_equal(outputs, numbers["outputs"])
    assert_equal(model(x, *given), numbers["outputs"])
    loss, doutputs = model.loss(outputs, x)
    assert float(loss) == pytest.approx(float(numbers["mean_loss"]), rel=1e-9)
    model.zero_grads()
    dx = model.backward(doutputs)
    assert_equal(dx * ((model.levels - 1) / 2), numbers["d_scaled"])
    assert_gradients(model, numbers)


def test_the_published_loss():
    numbers = load("pixelcnnpp_rgb_8x8_class")
    model = weights_by_rule(model_of(numbers, mode="paper"))
    x = to_device(numbers["pixels"])
    score = model.score(x, to_device(model.condition(len(x), numbers["labels"])))
    assert float(score) / x.size == pytest.approx(float(numbers["nats_paper"]), rel=1e-9)


@pytest.mark.parametrize("rule", ["cropped", "official"])
def test_start_by_data(rule):
    numbers = load("data_dependent_init_grey")
    model = weights_by_rule(model_of(numbers), directions_only=True)
    model.prepare(numbers["pixels"], official=rule == "official")
    layers = [layer for _, layer in model.layers() if isinstance(layer, Weighted)]
    assert [layer.out_channels for layer in layers] == list(numbers["layer_sizes"])
    for key in "gb":
        assert_equal(np.concatenate([to_host(layer.params[key]) for layer in layers]), numbers[f"{key} {rule}"])
    assert_equal(model(to_device(numbers["pixels"])), numbers[f"outputs {rule}"])


def test_drawing_of_reference():
    numbers = load("drawing_pp_grey_8x8")
    model = weights_by_rule(model_of(numbers))
    images = sampling.sample(model, 2, (8, 8), seed=int(numbers["seed"]))
    np.testing.assert_array_equal(images, numbers["images"])
    assert_equal(model(to_device(images)), numbers["outputs"])


def test_published_sizes():
    """The numbers of parameters of the paper's network, and of smaller ones, by the formulas of its layers."""
    def count(**options):
        return PixelCNNpp(levels=256, **options).count_parameters()

    assert PixelCNNpp.published("small").count_parameters() == count(channels=32, units=1) == 575_166
    assert count(image_channels=3, channels=96, units=3, components=10) == 12_247_112
    assert count(image_channels=3, channels=96, units=3, components=10, weight_norm=False) == 12_231_460
    assert count(channels=64, units=2) == 3_867_614
    assert count(channels=32, units=1, weight_norm=False) == 572_847
    assert count(channels=32, classes=10) - count(channels=32) == 10 * 64 * 2 * (3 + 5)


def test_the_published_size_without_weight_normalization():
    """With it: test_readme."""
    assert PixelCNNpp.published("cifar10", weight_norm=False).count_parameters() == 53_618_660


# -- causality and reach -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, dict(image_channels=3), dict(classes=3)], ids=["grey", "colour", "class"])
def test_nothing_sees_its_own_pixel_or_later_ones(size, options):
    """Exactly: another level changes no bit of earlier outputs, and the gradient there is 0."""
    model = tiny(**options)
    x = random_images(model, 2, *size)
    given = [to_device(model.condition(2, [0, 2]))] if model.classes else []
    before, order = to_host(model(to_device(x), *given)), np.arange(size[0] * size[1]).reshape(size)
    for at in [(0, 0), (size[0] // 2, size[1] // 2), (size[0] - 1, size[1] - 1), (size[0] - 1, 0), (0, size[1] - 1)]:
        other = x.copy()
        other[0, at[0], at[1]] = (other[0, at[0], at[1]] + 1) % model.levels
        changed = (to_host(model(to_device(other), *given)) != before).any(axis=-1)
        assert not changed[1].any() and not changed[0][order <= order[at]].any()
        outputs = model.forward(to_device(x), *given)
        doutputs = xp.zeros_like(outputs)
        doutputs[:, at[0], at[1]] = 1
        dx = to_host(model.backward(doutputs))
        assert (dx[:, order >= order[at]] == 0).all()
        assert (dx != 0).any() or order[at] == 0


@pytest.mark.parametrize("units", [1, 2])
def test_reach(units):
    """In an odd row: columns c - (4 R + 2) .. c - 1 of the own row, and of the row above up to c + 4 R + 2."""
    size, at = (4, 48), (3, 33)
    model = tiny(units=units)
    outputs = model.forward(to_device(random_images(model, 1, *size)))
    doutputs = xp.zeros_like(outputs)
    doutputs[:, at[0], at[1]] = 1
    dx = to_host(model.backward(doutputs))[0, :, :, 0]
    own, above = np.flatnonzero(dx[3]), np.flatnonzero(dx[2])
    assert (own.min(), own.max()) == (at[1] - (4 * units + 2), at[1] - 1)
    assert above.max() == at[1] + 4 * units + 2


# -- drawing -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, dict(image_channels=3, classes=3), dict(map_channels=2, units=2)],
                         ids=["grey", "colour and class", "map"])
def test_step_is_forward(size, options):
    """At every pixel, each step made twice, in two drawings of different images one after the other."""
    model = tiny(**options)
    rng = np.random.default_rng(1)
    for seed in (0, 1):
        x = to_device(random_images(model, 2, *size, seed))
        labels, maps = ([0, 2] if model.classes else None,
                        rng.standard_normal((2, *size, 2)) if model.map_channels else None)
        condition = model.condition(2, labels, maps)
        given = [] if condition is None else [to_device(condition)]
        whole = model(x, *given)
        model.start(2, *size, *given)
        for row, col in np.ndindex(*size):
            model.step(x[::-1, row, col], (row, col))
            step = model.step(x[:, row, col], (row, col))
            np.testing.assert_allclose(to_host(step), to_host(whole[:, row, col]), rtol=0, atol=1e-12)
            model.see(x[:, row, col], (row, col))


def test_steps_in_float32():
    model = PixelCNNpp(levels=256, channels=8, dropout=0.5)
    x = random_images(model, 2, 8, 8)
    model.prepare(x)
    whole = to_host(model(to_device(x)))
    model.start(2, 8, 8)
    for row, col in np.ndindex(8, 8):
        np.testing.assert_allclose(to_host(model.step(to_device(x[:, row, col]), (row, col))), whole[:, row, col],
                                   rtol=1e-4, atol=1e-4)
        model.see(to_device(x[:, row, col]), (row, col))


def test_naive_drawing_draws_the_same():
    """The definition: the whole network anew for every pixel."""
    model = tiny(image_channels=3)
    fast = sampling.sample(model, 3, (5, 6), seed=4)
    images, rng = np.zeros((3, 5, 6, 3), dtype=np.uint8), np.random.default_rng(4)
    for row in range(5):
        uniforms = rng.random((6, 3, 3))
        for col in range(6):
            outputs = model(to_device(images))[:, row, col]
            model.likelihood.draw(outputs, images[:, row, col], np.zeros((3, 3), dtype=bool), uniforms[col])
    np.testing.assert_array_equal(fast, images)


# -- a distribution over images ----------------------------------------------------------------------------------------

def test_probabilities_of_all_images_sum_to_1():
    model = tiny(levels=2, image_channels=3)
    every = np.array(list(itertools.product(range(2), repeat=12))).reshape(-1, 2, 2, 3)
    nats = model.likelihood.nats(model(to_device(every)), to_device(every)).sum(axis=(1, 2))
    assert float(xp.exp(-nats).sum()) == pytest.approx(1, abs=1e-12)


# -- the start by data -------------------------------------------------------------------------------------------------

def test_prepare_gives_mean_0_and_its_standard_deviation():
    """What each weight-normalized layer puts out for the images it was started by."""
    model = PixelCNNpp(levels=256, channels=6).astype(xp.float64)
    x = random_images(model, 16, 8, 8)
    model.prepare(x)
    found = {}
    for path, layer in model.layers():
        if isinstance(layer, Weighted):
            def watched(x, call=layer.forward, path=path):
                y = call(x)
                found[path] = y.copy()
                return y
            layer.forward = watched
    model.forward(to_device(x))
    layers = dict(model.layers())
    assert len(found) == sum(isinstance(layer, Weighted) for layer in layers.values()) > 50
    for path, y in found.items():
        rows = to_host(y).reshape(-1, y.shape[-1])
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(rows.std(axis=0), layers[path].first_scale, rtol=1e-6)
    assert {layers[path].first_scale for path in found} == {1.0, 0.1}


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 7), (7, 1), (4, 4)])
@pytest.mark.parametrize("like", ["random", "all alike"])
def test_small_images_start_small(size, like):
    """On their coarse grids there are channels that are the same everywhere: to scale them up would blow up others."""
    model = PixelCNNpp(levels=256, channels=8)
    x = random_images(model, 16, *size)
    model.prepare(x if like == "random" else np.repeat(x[:1], 16, axis=0))
    assert max(float(xp.abs(layer.params["g"]).max()) for _, layer in model.layers() if "g" in layer.params) < 1e3
    other = to_device(random_images(model, 16, *size, seed=1))
    loss, _ = model.loss(model(other), other)
    assert float(loss) < 20


def test_prepare_only_once():
    model = PixelCNNpp(levels=4, channels=4)
    model.prepare(random_images(model, 5, 8, 8))
    before = [to_host(param).copy() for _, param, _ in model.parameters()]
    model.prepare(random_images(model, 9, 8, 8, seed=1))
    assert all((old == to_host(new)).all() for old, (_, new, _) in zip(before, model.parameters()))
    with pytest.raises(ValueError, match="at least one image, got none"):
        PixelCNNpp(levels=4, channels=4).prepare(np.zeros((0, 8, 8, 1), dtype=np.uint8))


def test_calls_after_prepare_leave_the_start_alone():
    model = PixelCNNpp(levels=4, channels=4)
    x = random_images(model, 5, 8, 8)
    model.prepare(x)
    before = to_host(model(to_device(x)))
    model(to_device(x[::-1].copy()))
    np.testing.assert_array_equal(to_host(model(to_device(x))), before)


# -- likelihoods and conditions ----------------------------------------------------------------------------------------

def test_the_same_network_with_a_softmax():
    mixture, softmax = PixelCNNpp(levels=7, channels=4), PixelCNNpp(levels=7, channels=4, likelihood="softmax")
    x = to_device(random_images(softmax, 2, 8, 8))
    assert softmax(x).shape == (2, 8, 8, 1, 7) and mixture(x).shape == (2, 8, 8, 15)
    loss, _ = softmax.loss(softmax(x), x)
    assert float(loss) == pytest.approx(np.log(7), abs=0.05)
    assert softmax.count_parameters() - mixture.count_parameters() == (7 - 15) * (4 + 2)


def test_codes():
    model = PixelCNNpp(levels=6, channels=4, likelihood="softmax", one_hot=True)
    weights = gradcheck.differences.shake(model)
    codes = sampling.sample(model, 2, (5, 4), seed=0)
    logits = to_host(weights(to_device(codes)))
    assert codes.shape == (2, 5, 4, 1) and logits.shape == (2, 5, 4, 1, 6) and len(np.unique(codes)) > 3
    other = codes.copy()
    other[0, 2, 2] = (other[0, 2, 2] + 1) % 6
    changed = (to_host(weights(to_device(other))) != logits).any(axis=(3, 4))
    assert changed[0, 2, 3] and not changed[0, 2, :3].any() and not changed[0, :2].any()
    assert model.net.links[0].in_channels == 7


def test_a_map_reaches_every_grid():
    """Its cell means on the coarse ones, so any pixel of the map changes outputs, and its gradient says how much."""
    model = tiny(map_channels=2)
    x = to_device(random_images(model, 2, 6, 7))
    maps = np.random.default_rng(0).standard_normal((2, 6, 7, 2))
    condition = to_device(model.condition(2, maps=maps)).astype(xp.float64)
    dy = np.random.default_rng(1).standard_normal(model(x, condition).shape)
    model.forward(x, condition)
    model.backward(to_device(dy), need_dx=False)
    dcondition = to_host(model.condition_gradient())
    for at in [(0, 0, 0, 0), (1, 5, 6, 1), (0, 4, 3, 1)]:
        moved = [condition.copy(), condition.copy()]
        moved[0][at] += 1e-5
        moved[1][at] -= 1e-5
        up, down = (float((model(x, part) * to_device(dy)).sum()) for part in moved)
        assert dcondition[at] == pytest.approx((up - down) / 2e-5, rel=1e-6)


# -- what is refused ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, message", [
    (dict(components=0), "components: expected a whole number from 1"),
    (dict(levels=1), "levels: expected a whole number from 2 to 256, got 1"),
    (dict(levels=257), "levels: expected a whole number from 2 to 256, got 257"),
    (dict(levels=1, likelihood="softmax"), "levels: expected a whole number from 2 to 256, got 1"),
    (dict(dropout=1), "rate is a share from 0 to below 1, got 1"),
    (dict(dropout=-0.1), "rate is a share from 0 to below 1, got -0.1"),
    (dict(dropout="0.5"), "rate is a share from 0 to below 1, got '0.5'"),
    (dict(levels=17, mode="paper"), "mode is 'exact', or for 256 levels 'paper'"),
    (dict(likelihood="softmax", components=-3), "components: expected a whole number from 1"),
    (dict(likelihood="softmax", mode="nonsense"), "mode is 'exact', or for 256 levels 'paper'"),
    (dict(weight_norm="no"), "weight_norm is True or False, got 'no'"),
    (dict(likelihood="gaussian"), "likelihood is 'mixture' or 'softmax'"),
    (dict(one_hot=True), r"for codes 'softmax'\), got 'mixture'"),
    (dict(units=0), "units is a whole number of at least 1, got 0"),
    (dict(channels=0), "channel counts are whole numbers of at least 1, got 0"),
    (dict(image_channels=2), "image_channels is 1 or 3, got 2"),
    (dict(classes=-1), "classes is a whole number of at least 0, got -1"),
])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        PixelCNNpp(**{**dict(channels=4), **options})


def test_a_condition_of_the_wrong_size():
    model = PixelCNNpp(levels=4, channels=4, classes=3, map_channels=1)
    x = to_device(random_images(model, 2, 8, 8))
    with pytest.raises(ValueError, match="expected a condition"):
        model(x, xp.zeros((2, 1, 1, 3)))
    with pytest.raises(ValueError, match="doesn't fit 2 images of 8 x 8"):
        model(x, xp.zeros((2, 4, 4, 4)))


def test_training_without_noise_is_refused():
    model = PixelCNNpp(levels=4, channels=4, dropout=0.5)
    x = to_device(random_images(model, 2, 8, 8))
    with pytest.raises(RuntimeError, match="forward without noise"):
        model.forward(x)
    with noise_told(model, 0, 1, 0):
        model.forward(x)
