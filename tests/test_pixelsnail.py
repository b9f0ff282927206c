"""PixelSNAIL: reference numbers, published sizes, what it sees, where attention looks. The rest: test_normalized.py."""

import json

import numpy as np
import pytest
from vectors_of_networks import assert_equal, assert_gradients, load, weights_by_rule

from tinyar import gradcheck, sampling
from tinyar.backend import on_gpu, to_device, to_host, xp
from tinyar.layers.weights import Weighted
from tinyar.models import PixelSNAIL
from tinyar.training import parallel

NETWORKS = ["pixelsnail_grey_6x5", "pixelsnail_grey_4x5_class", "pixelsnail_codes_4x4"]
SMALL = dict(channels=4, units=1, key_channels=2, value_channels=2)


def model_of(numbers, **changes):
    """The network of a file of reference numbers."""
    config = json.loads(str(numbers["config"]))
    codes = config.get("head") == "codes"
    return PixelSNAIL(**{**dict(
        levels=int(numbers["levels"]), image_channels=config["image_channels"], channels=config["F"], units=config["R"],
        blocks=config["NB"], key_channels=config["dk"], value_channels=config["dv"], components=config["M"] or 5,
        likelihood="softmax" if codes else "mixture", one_hot=codes, classes=config.get("classes", 0)), **changes})


def tiny(**options):
    """A small network in float64 with all parameters away from their start."""
    model = PixelSNAIL(**{**SMALL, **dict(levels=5, blocks=1, components=2), **options})
    return gradcheck.shake(model.astype(xp.float64))


def random_images(model, batch, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, model.levels, (batch, height, width, model.image_channels))


# -- reference numbers -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("chunk", [3, 32])
@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks(name, chunk):
    numbers = load(name)
    model = weights_by_rule(model_of(numbers, chunk=chunk))
    assert model.count_parameters() == int(numbers["parameters"])
    x = to_device(numbers["pixels"])
    given = [to_device(model.condition(len(x), numbers["labels"]))] if "labels" in numbers else []
    outputs = model.forward(x, *given)
    assert_equal(outputs.reshape(numbers["outputs"].shape), numbers["outputs"])
    assert_equal(model(x, *given), to_host(outputs))
    loss, doutputs = model.loss(outputs, x)
    assert float(loss) == pytest.approx(float(numbers["mean_loss"]), rel=1e-9)
    model.zero_grads()
    model.backward(doutputs, need_dx=False)
    assert_gradients(model, numbers)


def test_drawing_of_reference():
    numbers = load("drawing_snail_grey_5x4")
    model = weights_by_rule(model_of(numbers))
    images = sampling.sample(model, 2, (5, 4), seed=int(numbers["seed"]))
    np.testing.assert_array_equal(images, numbers["images"])
    assert_equal(model(to_device(images)), numbers["outputs"])


@pytest.mark.parametrize("image_channels, count, outputs, total, nats", [
    (1, 1_452, {(0, 0): (0.206237409259, 0.079748251255, -0.098831050908),
                (2, 3): (-0.127686597289, -0.264501629687, -0.342471009745),
                (3, 4): (0.791192493380, 0.413833665982, -0.104427925816)}, 8.095920250301, 124.210710521225),
    (3, 2_822, {(2, 3): (0.130794553111, 0.706423072435, 0.965094187481, 0.719562611273, 0.213068062167,
                         -0.331380065860, -0.796663555002, -0.900046851554, -0.580333354899, -0.044831375727)},
     34.341277567946, 1000.548921438343)])
def test_other_weights(image_channels, count, outputs, total, nats):
    """Numbers of a second network, whose layers all have v = sin(0.7 (n + 1)), g = 1, b = 0.1 cos j."""
    model = PixelSNAIL(levels=256, image_channels=image_channels, blocks=2, components=1, **SMALL).astype(xp.float64)
    assert model.count_parameters() == count
    for _, layer in model.layers():
        if isinstance(layer, Weighted):
            v, b = layer.params["v"], layer.params["b"]
            v[...] = to_device(np.sin(0.7 * (np.arange(v.size) + 1)).reshape(v.shape))
            layer.params["g"][...] = 1
            b[...] = to_device(0.1 * np.cos(np.arange(len(b))))
    x = to_device(((37 * np.arange(20 * image_channels) + 11) % 256).reshape(1, 4, 5, image_channels))
    y = to_host(model(x))
    for at, expected in outputs.items():
        np.testing.assert_allclose(y[0][at], expected, rtol=0, atol=2e-12)
    assert y.sum() == pytest.approx(total, abs=1e-10)
    assert float(model.score(x)) == pytest.approx(nats, abs=1e-9)


@pytest.mark.long
def test_published_sizes():
    def count(**options):
        return PixelSNAIL.published("cifar10", **options).count_parameters()

    assert count() == 46_180_788
    assert count(weight_norm=False) == 46_110_132
    assert PixelSNAIL.published("imagenet32").count_parameters() == 46_237_548
    assert count(repeat_place=False) == 46_021_908
    assert count(blocks=8) == 30_797_840
    assert count(image_channels=1) == 45_960_248
    assert count(image_channels=1, likelihood="softmax") == 46_018_556


def test_small_sizes():
    def count(**options):
        return PixelSNAIL(levels=256, **options).count_parameters()

    assert PixelSNAIL.published("small").count_parameters() == count() == 438_845
    assert PixelSNAIL.published("small", weight_norm=False).count_parameters() == 435_393
    assert count(units=4, blocks=4, components=10) == 981_776
    assert count(units=4, blocks=4, components=10, weight_norm=False) == 975_670
    assert count(classes=10) - count() == 10 * 2 * 3 * (2 * 64 + (64 + 3) + (64 + 2) + 64)


# -- what it sees ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("size", [(6, 5), (1, 7), (7, 1)])
@pytest.mark.parametrize("units", [0, 1])
def test_every_earlier_pixel_is_seen_and_no_other(size, units):
    """By one block, at every place of the image; pixel 0 sees nothing."""
    model = tiny(units=units, chunk=4)
    x = to_device(random_images(model, 1, *size))
    order = np.arange(size[0] * size[1]).reshape(size)
    for at in np.ndindex(size):
        outputs = model.forward(x)
        doutputs = xp.zeros_like(outputs)
        doutputs[:, at[0], at[1]] = 1
        dx = to_host(model.backward(doutputs))[0, ..., 0]
        np.testing.assert_array_equal(dx != 0, order < order[at])


def test_convolutions_alone_do_not_reach():
    """Without what attention adds, a pixel far to the right in the row above isn't seen."""
    model = tiny(units=2)
    model.net.links[0].blocks[0].merge.skip.links[1].params["g"][...] = 0
    outputs = model.forward(to_device(random_images(model, 1, 5, 9)))
    doutputs = xp.zeros_like(outputs)
    doutputs[:, 4, 2] = 1
    dx = to_host(model.backward(doutputs))[0, ..., 0]
    assert (dx[3, :4] != 0).any() and (dx[:, 4:] == 0).all()


def test_a_query_that_knows_the_pixel_leaks():
    """Attention is causal by its keys: were x among what queries are made of, the pixel would see itself."""
    model = tiny()
    qkv = model.net.links[0].blocks[0].qkv

    def peeking(ul, x):
        ul, q, k, v = qkv(ul, x)
        return ul, q + x, k, v

    model.net.links[0].blocks[0].qkv = peeking
    images = np.zeros((2, 3, 4, 1), dtype=int)
    images[1, 1, 2] = 4
    one, other = to_host(model(to_device(images)))
    assert (one[1, 2] != other[1, 2]).all()


# -- what attention looks at -------------------------------------------------------------------------------------------

def test_where_a_pixel_looks():
    """Weights of strictly earlier pixels, which sum to 1; they are those that the network computes with."""
    model = tiny(blocks=2, heads=2)
    x = to_device(random_images(model, 2, 4, 5))
    scaled = model.scale(x)
    for at in [(0, 0), (0, 1), (2, 3)]:
        looks = [to_host(weights) for weights in model.net.links[0].looks(scaled, at)]
        assert [weights.shape for weights in looks] == [(2, 2, 4, 5)] * 2
        for weights in looks:
            flat = weights.reshape(2, 2, 20)
            i = at[0] * 5 + at[1]
            assert (flat[..., i:] == 0).all() and (flat[..., :i] > 0).all()
            np.testing.assert_allclose(flat.sum(axis=-1), 1 if i else 0, atol=1e-12)
    ul = model.net.links[0].first(scaled)
    for block, weights in zip(model.net.links[0].blocks, looks):
        _, q, k, v = block.qkv(ul, scaled[..., :-1])
        o = np.einsum("bhij,bijhc->bhc", weights, to_host(v).reshape(2, 4, 5, 2, 1)).reshape(2, 2)
        np.testing.assert_allclose(to_host(block.attention(q, k, v))[:, 2, 3], o, atol=1e-12)
        ul = block(ul, scaled[..., :-1])


def test_places_may_be_lists():
    model = tiny()
    x = to_device(random_images(model, 2, 3, 4))
    whole = to_host(model(x))
    model.start(2, 3, 4)
    for row, col in np.ndindex(3, 4):
        np.testing.assert_allclose(to_host(model.step(x[:, row, col], [row, col])), whole[:, row, col], atol=1e-12)
        model.see(x[:, row, col], [row, col])


# -- memory ------------------------------------------------------------------------------------------------------------

@pytest.mark.skipif(on_gpu, reason="a GPU takes the batch in one piece")
def test_micro_batches_count_the_scores():
    """Where a chunk of scores is larger than a feature map, it decides."""
    images = np.zeros((64, 28, 28, 1), dtype=np.uint8)
    narrow = dict(channels=4, units=1, key_channels=4, value_channels=4)
    by_maps = parallel.micro_batch_size(PixelSNAIL(chunk=1, **narrow), images, 2)
    by_scores = parallel.micro_batch_size(PixelSNAIL(chunk=64, **narrow), images, 2)
    assert by_scores == 4 < by_maps == 2 ** 20 // (2 * 4 * 15 * 784)  # 4: of LEAST_PIXELS
    heads = parallel.micro_batch_size(PixelSNAIL(chunk=4, heads=4, **narrow), images, 2)
    assert by_scores < heads == 2 ** 20 // (2 * 4 * 4 * 4 * 784) < by_maps


@pytest.mark.parametrize("options, message", [
    (dict(heads=3), "key_channels that 3 heads share evenly, got 16"),
    (dict(key_channels=0), "channel counts are whole numbers of at least 1, got 0"),
    (dict(value_channels=0), "channel counts are whole numbers of at least 1, got 0"),
    (dict(chunk=0), "chunk is a whole number of at least 1, got 0"),
    (dict(blocks=0), "blocks is a whole number of at least 1, got 0"),
    (dict(blocks=10 ** 7), "blocks is a whole number of at most 1,000, got 10000000"),
    (dict(repeat_place=2), "repeat_place is True or False, got 2"),
])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        PixelSNAIL(**options)
