"""PixelCNN by itself: published parameter counts, the blind spot, options.
What it shares with others: test_autoregressive.py.
"""

import math

import numpy as np
import pytest

import references
from family import PLAIN as SMALL, make, random_images
from tinyar.backend import to_device, to_host, xp
from tinyar.layers import ColorLinear, MaskedConv2d
from tinyar.models import PixelCNN


def stored_parameters(model):
    """Counted as in other code, where masked weights are stored too."""
    stored = model.count_parameters()
    for name, layer in model.layers():
        if isinstance(layer, MaskedConv2d):
            stored += layer.dense_kernel().size + layer.params["b"].size - layer.count_parameters()
        if isinstance(layer, ColorLinear) and not name.endswith(".centre"):
            stored += layer.dense_matrix().size + layer.params["b"].size - layer.count_parameters()
    return stored


@pytest.mark.parametrize("name, changes, stored, live", [
    ("report", {}, 280_130, 155_650), ("report", dict(blocks=8), 443_714, 245_506),
    ("report", dict(blocks=10), 552_770, 305_410), ("report", dict(layer_norm=False), 279_490, 155_010),
    ("report", dict(layer_norm=False, blocks=8), 442_690, 244_482),
    ("paper", {}, 5_340_416, 3_230_303), ("homework", {}, 1_011_330, 518_210),
    # The sheet counts 27,489 and 19,521 with a single logit for two levels; a softmax has two, 33 parameters more.
    ("paper-mnist", {}, 27_489 + 33, 19_521 + 33),
])
def test_published_parameter_counts(name, changes, stored, live):
    model = PixelCNN.published(name, **changes)
    assert stored_parameters(model) == stored
    assert model.count_parameters() == live


@pytest.mark.parametrize("name", [
    "PixelCNN", "PixelCNN, plain blocks", "PixelCNN, ordered colours", "PixelCNN, independent colours"])
def test_causality_by_gradient(name):
    """d outputs(pixel) / d x is exactly 0 at the pixel and after it, and isn't before it, but for the blind spot."""
    model, height, width, at = make(name), 7, 9, (4, 4)
    seen = np.zeros((height, width, model.image_channels))
    for seed in range(4):  # several, as a ReLU may hide a pixel in one of them
        y = model.forward(to_device(random_images(model, 1, height, width, seed=seed)))
        dy = xp.zeros_like(y)
        dy[0, at[0], at[1], 0] = to_device(  # of the first colour
            np.random.default_rng(seed).standard_normal(model.levels))
        seen += np.abs(to_host(model.backward(dy)))[0]
    for row, col, color in np.ndindex(seen.shape):
        up, right, reach = at[0] - row, col - at[1], 2 + model.config["blocks"]
        # a 5x5 layer goes at most 2 columns a row to the right, then 3x3 layers one each
        visible = ((up > 0 or (up == 0 and right < 0)) and max(up, -right) <= reach
                   and right <= up + 1 and right <= reach)
        if up == 1 and right == 2:
            visible = True  # by the first layer alone
        assert (seen[row, col, color] > 0) == visible, (row, col, color)


def test_a_norm_over_all_colours_would_leak():
    """The negative control: with LayerNorm across the colours the probabilities no longer sum to 1."""
    model = make("PixelCNN, ordered colours")
    for _, layer in model.layers():
        if hasattr(layer, "groups"):
            layer.groups = [slice(0, layer.channels)]
    images = references.all_images(1, 3, 3, 2)
    nats = to_host(model.likelihood.nats(model(to_device(images)), images)).sum(axis=(1, 2, 3))
    assert abs(math.fsum(np.exp(-nats)) - 1) > 1e-3


def test_equal_seeds_give_equal_models():
    one, same, other = (PixelCNN(**{**SMALL, "seed": seed}) for seed in (1, 1, 2))
    pairs = list(zip(one.parameters(), same.parameters(), other.parameters()))
    assert all((to_host(a[1]) == to_host(b[1])).all() for a, b, _ in pairs)
    assert any((to_host(a[1]) != to_host(c[1])).any() for a, _, c in pairs)


@pytest.mark.parametrize("options, message", [
    (dict(levels=1), "2 to 256"), (dict(levels=257), "2 to 256"),
    (dict(kernel_size=4), "odd"), (dict(first_kernel=2), "odd"),
    (dict(block="dense"), "'bottleneck' or 'plain'"), (dict(blocks=-1), "blocks"), (dict(blocks=1.5), "blocks"),
    (dict(channels=0), "expected at least 2, got 0"), (dict(channels=1), "expected at least 2, got 1"),
    (dict(channels=0, block="plain"), "channels is a whole number"), (dict(head=4), "head: expected a list"),
    (dict(image_channels=3, channels=2), "dealt out"),
    (dict(head=(0,)), "head: expected a list"), (dict(image_channels=0), "image_channels is a whole"),
])
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PixelCNN(**options)


def test_unknown_configuration_and_wrong_images_are_refused():
    with pytest.raises(ValueError, match="no published configuration 'resnet'; there are report, paper"):
        PixelCNN.published("resnet")
    model = PixelCNN(**SMALL)
    for shape in ((2, 5, 5, 3), (5, 5, 1), (5, 5)):
        with pytest.raises(ValueError, match="PixelCNN: expected images"):
            model(xp.zeros(shape))
