"""PixelCNN++: reference numbers, published sizes, reach, maps on its grids. The rest: test_normalized.py."""

import json

import numpy as np
import pytest
from vectors_of_networks import assert_equal, assert_gradients, load, weights_by_rule

from tinyar import gradcheck, sampling
from tinyar.backend import to_device, to_host, xp
from tinyar.layers.weights import Weighted
from tinyar.models import PixelCNNpp

NETWORKS = ["pixelcnnpp_grey_8x8", "pixelcnnpp_rgb_8x8_class", "pixelcnnpp_odd_7x9_extension",
            "pixelcnnpp_grey_12x8_R2_17_levels_no_weight_norm"]


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
    return gradcheck.shake(model.astype(xp.float64))


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


# -- reach -------------------------------------------------------------------------------------------------------------

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


# -- conditions and options --------------------------------------------------------------------------------------------

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


def test_at_least_one_unit_a_grid():
    """Without any, nothing would wait on the way down."""
    with pytest.raises(ValueError, match="units is a whole number of at least 1, got 0"):
        PixelCNNpp(units=0)
