"""What must be true of PixelCNN++ and of PixelSNAIL alike: causality, drawing, the start by data, their likelihoods."""

import numpy as np
import pytest

import references
from tinyar import gradcheck, sampling
from tinyar.backend import on_gpu, to_device, to_host, xp
from tinyar.layers import noise_told
from tinyar.layers.weights import Weighted
from tinyar.models import PixelCNNpp, PixelSNAIL

KINDS = {PixelCNNpp: dict(channels=3), PixelSNAIL: dict(channels=4, blocks=2, units=1, key_channels=4, value_channels=2,
                                                        heads=2, chunk=7)}
SIZES = [(8, 8), (7, 9), (12, 8), (5, 6), (2, 3), (1, 7), (7, 1), (1, 1)]
kinds = pytest.mark.parametrize("kind", KINDS)


def small(kind, **options):
    """A small network as it is made."""
    return kind(**{**dict(levels=5, components=2), **KINDS[kind], **options})


def tiny(kind, **options):
    """The same in float64, all parameters away from their start."""
    return gradcheck.shake(small(kind, **options).astype(xp.float64))


def random_images(model, batch, height, width, seed=0):
    return np.random.default_rng(seed).integers(0, model.levels, (batch, height, width, model.image_channels))


# -- causality ---------------------------------------------------------------------------------------------------------

@kinds
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, dict(image_channels=3), dict(classes=3)], ids=["grey", "colour", "class"])
def test_nothing_sees_its_own_pixel_or_later_ones(kind, size, options):
    """Exactly: another level changes no bit of earlier outputs, and the gradient there is 0."""
    model = tiny(kind, **options)
    x = random_images(model, 2, *size)
    given = [to_device(model.condition(2, [0, 2]))] if model.classes else []
    before, order = to_host(model(to_device(x), *given)), np.arange(size[0] * size[1]).reshape(size)
    for at in {(0, 0), (0, min(1, size[1] - 1)), (0, size[1] - 1), (size[0] // 2, size[1] // 2), (size[0] - 1, 0),
               (size[0] - 1, size[1] - 1)}:
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


# -- drawing -----------------------------------------------------------------------------------------------------------

@kinds
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, dict(image_channels=3, classes=3), dict(map_channels=2, units=2)],
                         ids=["grey", "colour and class", "map"])
def test_step_is_forward(kind, size, options):
    """At every pixel, each step made twice, in two drawings of different images one after the other."""
    model = tiny(kind, **options)
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


@kinds
def test_steps_in_float32(kind):
    model = small(kind, levels=256, channels=8, dropout=0.5)
    x = random_images(model, 2, 8, 8)
    model.prepare(x)
    whole = to_host(model(to_device(x)))
    model.start(2, 8, 8)
    for row, col in np.ndindex(8, 8):
        np.testing.assert_allclose(to_host(model.step(to_device(x[:, row, col]), (row, col))), whole[:, row, col],
                                   rtol=1e-4, atol=1e-4)
        model.see(to_device(x[:, row, col]), (row, col))


@kinds
@pytest.mark.parametrize("options", [dict(image_channels=3), dict(likelihood="softmax", image_channels=3)],
                         ids=["mixture", "softmax"])
@pytest.mark.parametrize("kept", ["none", "upper half", "here and there"])
def test_draws_and_completions_are_those_of_the_whole_network_for_each_pixel(kind, options, kept):
    model, size = tiny(kind, **options), (3, 5, 6, 3)
    rng = np.random.default_rng(2)
    known, mask = rng.integers(0, 5, size), np.zeros(size, dtype=bool)
    if kept != "none":
        mask[...] = rng.random(size) < 0.4 if kept == "here and there" else np.arange(5)[:, None, None] < 3
    fast = sampling.sample(model, 3, size[1:3], known=known, mask=mask, seed=4)
    np.testing.assert_array_equal(fast, drawn_slowly(model, known, mask, seed=4))
    np.testing.assert_array_equal(fast[mask], known[mask])


def drawn_slowly(model, known, mask, seed):
    """The definition: the whole network anew for every pixel."""
    images, rng = np.where(mask, known, 0).astype(np.uint8), np.random.default_rng(seed)
    batch, height, width, channels = images.shape
    for row in range(height):
        uniforms = rng.random((width, batch, channels))
        for col in range(width):
            outputs = model(to_device(images))[:, row, col]
            model.likelihood.draw(outputs, images[:, row, col], mask[:, row, col], uniforms[col])
    return images


# -- a distribution over images ----------------------------------------------------------------------------------------

@kinds
def test_probabilities_of_all_images_sum_to_1(kind):
    model = tiny(kind, levels=2, image_channels=3)
    every = references.all_images(2, 2, 3, 2)
    nats = model.likelihood.nats(model(to_device(every)), to_device(every)).sum(axis=(1, 2))
    assert float(xp.exp(-nats).sum()) == pytest.approx(1, abs=1e-12)


# -- the start by data -------------------------------------------------------------------------------------------------

@kinds
def test_prepare_gives_mean_0_and_its_standard_deviation(kind):
    """What each weight-normalized layer puts out for the images it was started by."""
    model = small(kind, levels=256, channels=6).astype(xp.float64)
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
    assert len(found) == sum(isinstance(layer, Weighted) for layer in layers.values()) > 20
    for path, y in found.items():
        rows = to_host(y).reshape(-1, y.shape[-1])
        np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-9)
        np.testing.assert_allclose(rows.std(axis=0), layers[path].first_scale, rtol=1e-6)
    assert {layers[path].first_scale for path in found} == {1.0, 0.1}


@kinds
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 7), (7, 1), (4, 4)])
@pytest.mark.parametrize("like", ["random", "all alike"])
def test_small_images_start_small(kind, size, like):
    """There are channels that are the same everywhere, on coarse grids, say: to scale them up would blow up others."""
    model = small(kind, levels=256, channels=8, components=5)
    x = random_images(model, 16, *size)
    model.prepare(x if like == "random" else np.repeat(x[:1], 16, axis=0))
    assert max(float(xp.abs(layer.params["g"]).max()) for _, layer in model.layers() if "g" in layer.params) < 1e3
    other = to_device(random_images(model, 16, *size, seed=1))
    loss, _ = model.loss(model(other), other)
    assert float(loss) < 20


@kinds
def test_16_images_spread_evenly_start_the_lengths(kind):
    """Others leave no trace, whatever they are."""
    images = random_images(small(kind), 40, 8, 8)
    chosen = [i * 40 // 16 for i in range(16)]
    others = np.delete(np.arange(40), chosen)
    found = []
    for change in (chosen[0], chosen[-1], None, others):
        model, changed = small(kind), images.copy()
        if change is not None:
            changed[change] = 0
        model.prepare(changed)
        found.append(np.concatenate([to_host(param).ravel() for _, param, _ in model.parameters()]))
    first, last, as_they_are, without = found
    np.testing.assert_array_equal(without, as_they_are)
    assert (first != as_they_are).any() and (last != as_they_are).any() and (first != last).any()


@kinds
def test_prepare_only_once(kind):
    model = small(kind)
    model.prepare(random_images(model, 5, 8, 8))
    before = [to_host(param).copy() for _, param, _ in model.parameters()]
    model.prepare(random_images(model, 9, 8, 8, seed=1))
    assert all((old == to_host(new)).all() for old, (_, new, _) in zip(before, model.parameters()))
    with pytest.raises(ValueError, match="at least one image, got none"):
        small(kind).prepare(np.zeros((0, 8, 8, 1), dtype=np.uint8))


@kinds
def test_calls_after_prepare_leave_the_start_alone(kind):
    model = small(kind)
    x = random_images(model, 5, 8, 8)
    model.prepare(x)
    before = to_host(model(to_device(x)))
    model(to_device(x[::-1].copy()))
    np.testing.assert_array_equal(to_host(model(to_device(x))), before)


# -- likelihoods and conditions ----------------------------------------------------------------------------------------

@kinds
def test_the_same_network_with_a_softmax(kind):
    mixture, softmax = small(kind, levels=7, components=5), small(kind, levels=7, likelihood="softmax")
    x = to_device(random_images(softmax, 2, 8, 8))
    assert softmax(x).shape == (2, 8, 8, 1, 7) and mixture(x).shape == (2, 8, 8, 15)
    loss, _ = softmax.loss(softmax(x), x)
    assert float(loss) == pytest.approx(np.log(7), abs=0.05)
    assert softmax.count_parameters() - mixture.count_parameters() == (7 - 15) * (KINDS[kind]["channels"] + 2)


@kinds
def test_codes(kind):
    model = tiny(kind, levels=6, likelihood="softmax", one_hot=True)
    codes = sampling.sample(model, 2, (5, 4), seed=0)
    logits = to_host(model(to_device(codes)))
    assert codes.shape == (2, 5, 4, 1) and logits.shape == (2, 5, 4, 1, 6) and len(np.unique(codes)) > 3
    other = codes.copy()
    other[0, 2, 2] = (other[0, 2, 2] + 1) % 6
    changed = (to_host(model(to_device(other))) != logits).any(axis=(3, 4))
    assert changed[0, 2, 3] and not changed[0, 2, :3].any() and not changed[0, :2].any()
    assert model.net.links[0].in_channels == 7


# -- what is refused ---------------------------------------------------------------------------------------------------

@kinds
@pytest.mark.parametrize("options, message", [
    (dict(components=0), "components: expected a whole number from 1"),
    (dict(levels=1), "levels: expected a whole number from 2 to 256, got 1"),
    (dict(levels=257), "levels: expected a whole number from 2 to 256, got 257"),
    (dict(levels=1, likelihood="softmax"), "levels: expected a whole number from 2 to 256, got 1"),
    (dict(dropout=1), "rate is a share from 0 to 0.99999, got 1"),
    (dict(dropout=-0.1), "rate is a share from 0 to 0.99999, got -0.1"),
    (dict(dropout="0.5"), "rate is a share from 0 to 0.99999, got '0.5'"),
    (dict(levels=17, mode="paper"), "mode is 'exact', or for 256 levels 'paper'"),
    (dict(likelihood="softmax", components=-3), "components: expected a whole number from 1"),
    (dict(likelihood="softmax", mode="nonsense"), "mode is 'exact', or for 256 levels 'paper'"),
    (dict(weight_norm="no"), "weight_norm is True or False, got 'no'"),
    (dict(likelihood="gaussian"), "likelihood is 'mixture' or 'softmax'"),
    (dict(one_hot=True), r"for codes 'softmax'\), got 'mixture'"),
    (dict(units=-1), "units is a whole number of at least [01], got -1"),
    (dict(channels=0), "channel counts are whole numbers of at least 1, got 0"),
    (dict(image_channels=2), "image_channels is 1 or 3, got 2"),
    (dict(classes=-1), "classes is a whole number of at least 0, got -1"),
])
def test_bad_options(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**{**dict(channels=4), **options})


@kinds
def test_a_condition_of_the_wrong_size(kind):
    model = small(kind, classes=3, map_channels=1)
    x = to_device(random_images(model, 2, 8, 8))
    with pytest.raises(ValueError, match="expected a condition"):
        model(x, xp.zeros((2, 1, 1, 3)))
    with pytest.raises(ValueError, match="doesn't fit 2 images of 8 x 8"):
        model(x, xp.zeros((2, 4, 4, 4)))


@kinds
@pytest.mark.skipif(on_gpu, reason="on a GPU targets aren't looked at, which would wait for it")
def test_codes_out_of_range(kind):
    model = small(kind, levels=6, likelihood="softmax", one_hot=True)
    x = to_device(np.full((2, 4, 4, 1), 6))
    with pytest.raises(ValueError, match="6"):
        model.loss(model(x), x)


@kinds
def test_training_without_noise_is_refused(kind):
    model = small(kind, dropout=0.5)
    x = to_device(random_images(model, 2, 8, 8))
    with pytest.raises(RuntimeError, match="forward without noise"):
        model.forward(x)
    with noise_told(model, 0, 1, 0):
        model.forward(x)
