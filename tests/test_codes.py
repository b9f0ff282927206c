"""Two levels of codes: the conditioner, priors told the coarser grid, one file for both, drawing, what is refused."""

import json
import math

import numpy as np
import pytest
from test_vqvae2 import small as autoencoder_of
from vectors_of_networks import assert_equal, assert_gradients, load, weights_by_rule

from tinyar import codes, data, gradcheck, sampling, training
from tinyar.backend import to_device, to_host, xp
from tinyar.models import VQVAE, GatedPixelCNN, PixelSNAIL
from tinyar.models.conditioner import Conditioner
from tinyar.training import checkpoint

PRIOR = dict(one_hot=True, channels=6, first_kernel=3, kernel_size=3, dilations=(1,), head=())


def images(n, seed=0):
    return np.random.default_rng(seed).integers(0, 17, (n, 8, 8, 1)).astype(np.uint8)


def code_data(n=12):
    labels = np.arange(n) % 3
    return data.Dataset("small", *(data.Split(images(n, seed), labels) for seed in range(3)), 17, "small images")


@pytest.fixture(scope="module")
def autoencoder():
    return autoencoder_of(levels=17)


def told(classes=0, seed=0):
    """A prior of 7 codes, told 5 kinds of coarser codes, in float64, away from its start."""
    model = GatedPixelCNN(7, classes=classes, map_codes=5, map_units=1, seed=seed, **PRIOR)
    return gradcheck.shake(model.astype(xp.float64))


# -- the conditioner ---------------------------------------------------------------------------------------------------

def test_reference_numbers():
    numbers = load("conditioner")
    config, kinds = json.loads(str(numbers["config"])), int(numbers["K"])
    conditioner = weights_by_rule(Conditioner(0, kinds, config["cc"], config["rh"], config["units"],
                                              np.random.default_rng(0)))
    c = to_device(numbers["codes"])
    assert_equal(conditioner(c), numbers["c"])
    assert_equal(conditioner.forward(c), numbers["c"])
    conditioner.backward(to_device(numbers["dc"]), need_dx=False)
    assert_gradients(conditioner, numbers)


def test_numbers_and_vectors_of_codes_are_the_same_condition():
    model = told(classes=2)
    maps, labels = np.random.default_rng(0).integers(0, 5, (2, 2, 3, 1)), [1, -1]
    x = to_device(np.random.default_rng(1).integers(0, 7, (2, 4, 6, 1)))
    numbers = model.condition(2, labels, maps)
    assert numbers.shape == (2, 2, 3, 3) and numbers.dtype == np.float32
    vectors = np.concatenate([numbers[..., :2], maps == np.arange(5)], axis=-1)
    np.testing.assert_array_equal(to_host(model(x, to_device(numbers))), to_host(model(x, to_device(vectors))))


# -- a prior told a coarser grid ---------------------------------------------------------------------------------------

def test_every_bottom_code_sees_all_top_codes_and_earlier_bottom_codes():
    """Two 3x3 layers of the conditioner and its units reach over a grid of 3 x 3 from end to end."""
    model = told(classes=2)
    rng = np.random.default_rng(0)
    maps, x = rng.integers(0, 5, (1, 3, 3, 1)), rng.integers(0, 7, (1, 6, 6, 1))

    def outputs(x, maps, labels=0):
        return to_host(model(to_device(x), to_device(model.condition(1, labels, maps))))[0]

    before = outputs(x, maps)
    moved = maps.copy()
    moved[0, 2, 2] = (moved[0, 2, 2] + 1) % 5
    changed = (outputs(x, moved) != before).any(axis=(2, 3))
    assert changed[0, 0] and changed[2:, 2:].all()
    assert (outputs(x, maps, 1) != before).any(axis=(2, 3)).all()
    order = np.arange(36).reshape(6, 6)
    for at in [(0, 0), (2, 3), (5, 5)]:
        other = x.copy()
        other[0, at[0], at[1]] = (other[0, at[0], at[1]] + 1) % 7
        assert not (outputs(other, maps) != before).any(axis=(2, 3))[order <= order[at]].any()


def test_steps_are_forward_and_the_conditioner_runs_once_a_drawing():
    model, rng = told(classes=2), np.random.default_rng(0)
    maps, x = rng.integers(0, 5, (2, 2, 3, 1)), to_device(rng.integers(0, 7, (2, 4, 6, 1)))
    condition = to_device(model.condition(2, [0, 1], maps))
    whole, calls, call = to_host(model(x, condition)), [], model.conditioner.features
    model.conditioner.features = lambda c: calls.append(1) or call(c)
    model.start(2, 4, 6, condition)
    for at in np.ndindex(4, 6):
        np.testing.assert_allclose(to_host(model.step(x[:, at[0], at[1]], at)), whole[:, at[0], at[1]], atol=1e-12)
        model.see(x[:, at[0], at[1]], at)
    assert len(calls) == 1


@pytest.mark.parametrize("threads", [1, 2])
def test_training_learns_what_the_coarser_codes_say(threads):
    """Each bottom code is the top code above it: nothing is left to guess."""
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 5, (60, 2, 2, 1)).astype(np.uint16)
    bottom = data.Split(maps.repeat(2, axis=1).repeat(2, axis=2), maps=maps)
    model = GatedPixelCNN(7, map_codes=5, **{**PRIOR, "channels": 16})
    untold = training.evaluate(model, bottom)
    training.fit(model, bottom, bottom, epochs=40, batch_size=10, lr=1e-2, threads=threads, average=None)
    assert training.evaluate(model, bottom) < 0.1 < 2.5 < untold


def test_resuming_a_told_prior(tmp_path):
    rng = np.random.default_rng(0)
    split = data.Split(rng.integers(0, 7, (12, 4, 4, 1)).astype(np.uint16), maps=rng.integers(0, 5, (12, 2, 2, 1)))
    models = [GatedPixelCNN(7, map_codes=5, **PRIOR) for _ in range(3)]
    options = dict(batch_size=4, threads=1)
    training.fit(models[0], split, epochs=2, **options)
    training.fit(models[1], split, epochs=1, out=tmp_path, **options)
    training.fit(models[2], split, epochs=2, out=tmp_path, resume=True, **options)
    for (name, one), (_, other) in zip(models[0].arrays(), models[2].arrays()):
        np.testing.assert_array_equal(to_host(one), to_host(other), err_msg=name)
    loaded, _ = checkpoint.load(tmp_path / "model.npz")
    assert loaded.map_codes == 5 and loaded.count_parameters() == models[0].count_parameters()


# -- one file of both levels -------------------------------------------------------------------------------------------

def test_both_levels_are_cached_in_one_file(tmp_path, autoencoder, monkeypatch):
    path, dataset = tmp_path / "codes.npz", code_data()
    top, bottom = codes.cached_datasets(path, autoencoder, dataset)
    assert (top.levels, top.image_shape, top.name) == (5, (2, 2, 1), "small-top-codes")
    assert (bottom.levels, bottom.image_shape, bottom.name) == (7, (4, 4, 1), "small-bottom-codes")
    for name in ("train", "validation", "test"):
        coarse, fine = getattr(top, name), getattr(bottom, name)
        expected = autoencoder.codes_of(getattr(dataset, name).images)
        np.testing.assert_array_equal(coarse.images, expected[0])
        np.testing.assert_array_equal(fine.images, expected[1])
        assert fine.maps is not None and (fine.maps == coarse.images).all() and fine.maps.dtype == np.uint16
        np.testing.assert_array_equal(fine.labels, getattr(dataset, name).labels)
        assert coarse.maps is None
    with monkeypatch.context() as patch:
        patch.setattr(codes, "extract", lambda *_: pytest.fail("extracted again"))
        codes.cached_datasets(path, autoencoder, dataset)
    whole = path.read_bytes()
    for damaged in (whole[:len(whole) // 2], whole[:1], b""):
        path.write_bytes(damaged)
        again = codes.cached_datasets(path, autoencoder, dataset)
        np.testing.assert_array_equal(again[1].test.images, bottom.test.images)
    other = autoencoder_of(levels=17, seed=1)
    assert (codes.cached_datasets(path, other, dataset)[0].train.images != top.train.images).any()


SPOILERS = {"another number": lambda grids: (grids + 1) % 7, "a code too large": lambda grids: grids + 7,
            "another grid": lambda grids: grids[:, :2], "another type": lambda grids: grids.astype(np.int64),
            "one grid less": lambda grids: grids[1:]}


@pytest.mark.parametrize("spoil", SPOILERS)
def test_a_file_whose_arrays_are_not_those_codes_is_made_anew(tmp_path, autoencoder, spoil, monkeypatch):
    """The digest tells of another number. The other files have a digest that fits, as by another program."""
    path, dataset, write, digest = tmp_path / "codes.npz", code_data(), codes.write, codes.digest
    with monkeypatch.context() as patch:
        def spoilt(path, made_by, arrays):
            wrong = {**arrays, "bottom_validation": SPOILERS[spoil](arrays["bottom_validation"]).astype(
                np.int64 if spoil == "another type" else np.uint16)}
            if spoil == "another number":
                patch.setattr(codes, "digest", lambda _: digest(arrays))
            write(path, made_by, wrong)

        patch.setattr(codes, "write", spoilt)
        expected = codes.cached_datasets(path, autoencoder, dataset)[1].validation.images  # extracted, not read
    found = codes.cached_datasets(path, autoencoder, dataset)[1].validation.images
    np.testing.assert_array_equal(found, expected)


def test_one_level_is_not_two(tmp_path, autoencoder):
    with pytest.raises(ValueError, match="VQVAE2 has 2 levels of codes"):
        codes.cached_dataset(tmp_path / "codes.npz", autoencoder, code_data())
    one = VQVAE(levels=17, widths=(4,), codes=6, code_channels=3)
    assert len(codes.cached_datasets(tmp_path / "codes.npz", one, code_data())) == 1


# -- drawing -----------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def priors(autoencoder):
    """(top prior, its about), (bottom prior, its about)"""
    top = PixelSNAIL(5, likelihood="softmax", one_hot=True, channels=4, blocks=1, units=1, key_channels=2,
                     value_channels=2, classes=3)
    return ((top, codes.about_prior(autoencoder, "top")),
            (GatedPixelCNN(7, map_codes=5, **PRIOR), codes.about_prior(autoencoder, "bottom")))


def test_generate_levels(autoencoder, priors):
    drawn, top, bottom = codes.generate_levels(autoencoder, *priors, 4, (2, 3), labels=[0, 1, 2, -1], seed=3)
    assert drawn.shape == (4, 8, 12, 1) and top.shape == (4, 2, 3, 1) and bottom.shape == (4, 4, 6, 1)
    np.testing.assert_array_equal(drawn, autoencoder.images_of(top, bottom))
    again = codes.generate_levels(autoencoder, *priors, 4, (2, 3), labels=[0, 1, 2, -1], seed=3)
    np.testing.assert_array_equal(again[2], bottom)
    np.testing.assert_array_equal(top, sampling.sample(priors[0][0], 4, (2, 3), labels=[0, 1, 2, -1], seed=3))
    details = codes.generate_details(autoencoder, priors[1], top, seed=4)
    np.testing.assert_array_equal(details[1], top)
    assert (details[2] != bottom).any()
    by_equal_numbers = sampling.sample(priors[1][0], 4, (4, 6), maps=top, seed=3)
    assert (bottom != by_equal_numbers).any()  # top and bottom codes are drawn from different random numbers


def test_both_priors_are_told_the_class(autoencoder, priors):
    bottom = GatedPixelCNN(7, map_codes=5, classes=3, **PRIOR)
    gradcheck.shake(bottom)
    about = codes.about_prior(autoencoder, "bottom")
    top_codes = np.zeros((4, 2, 2, 1), dtype=np.uint16)
    one, other = (codes.generate_details(autoencoder, (bottom, about), top_codes, labels=label)[2] for label in (0, 1))
    assert (one != other).any()
    _, top, drawn = codes.generate_levels(autoencoder, priors[0], (bottom, about), 4, (2, 2), labels=1)
    np.testing.assert_array_equal(drawn, codes.generate_details(autoencoder, (bottom, about), top, labels=1)[2])


def test_what_does_not_belong_together_is_refused(autoencoder, priors):
    top, bottom = priors
    other = autoencoder_of(levels=17, seed=1)
    with pytest.raises(ValueError, match="codes of another autoencoder"):
        codes.generate_levels(other, top, bottom, 2, (2, 2))
    with pytest.raises(ValueError, match="expected the prior of the top level, got that of the bottom level"):
        codes.generate_levels(autoencoder, bottom, top, 2, (2, 2))
    with pytest.raises(ValueError, match="expected the prior of the bottom level, got that of the only level"):
        codes.generate_details(autoencoder, (bottom[0], {"autoencoder": codes.checksum(autoencoder)}),
                               np.zeros((1, 2, 2, 1), dtype=int))
    with pytest.raises(ValueError, match="expected the prior of the only level, got that of the top level"):
        codes.generate(autoencoder, *top, 2, (2, 2))


@pytest.mark.parametrize("maps, message", [
    (np.full((2, 2, 2, 1), 5), r"codes, whole numbers 0 .. 4, got 5 .. 5"),
    (np.full((2, 2, 2, 1), -1), r"codes, whole numbers 0 .. 4, got -1 .. -1"),
    (np.zeros((2, 2, 2, 1)), "codes, whole numbers 0 .. 4, got float64"),
    (np.zeros((2, 2, 2, 2), dtype=int), r"maps: expected shape \(2, height, width, 1\)"),
    (np.zeros((2, 4, 4, 1), dtype=int), "doesn't fit 2 images of 4 x 4"), (None, "conditioned on maps"),
])
def test_maps_that_do_not_fit(maps, message):
    model = GatedPixelCNN(7, map_codes=5, **PRIOR)
    with pytest.raises(ValueError, match=message):
        sampling.sample(model, 2, (4, 4), maps=maps)


def test_splits_without_the_coarser_codes_are_refused():
    model = GatedPixelCNN(7, map_codes=5, **PRIOR)
    grids = np.zeros((4, 4, 4, 1), dtype=np.uint8)
    for split in (grids, data.Split(grids, maps=np.zeros((4, 4, 4, 1), dtype=int))):
        with pytest.raises(ValueError, match=r"expected a Split with maps \(4, 2, 2, 1\)"):
            training.fit(model, split, epochs=1)


@pytest.mark.parametrize("options, message", [
    (dict(map_codes=-1), "map_codes is a whole number of at least 0, got -1"),
    (dict(map_codes=1), "one code can say nothing"),
    (dict(map_codes=5, map_channels=2), "maps are numbers .* or codes .* not both"),
    (dict(map_codes=5, map_units=-1), "map_units is a whole number of at least 0, got -1"),
])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        GatedPixelCNN(7, **{**PRIOR, **options})


def test_the_bound_adds_both_levels():
    first = codes.bound(1.0, math.log(512), (32, 32, 3), (8, 8))
    assert codes.bound(first, math.log(512), (32, 32, 3), (4, 4)) == pytest.approx(1 + 720 / 3072)


def test_frequencies_of_more_codes_than_there_are_is_refused():
    np.testing.assert_array_equal(codes.frequencies(np.array([0, 1, 1]), 4), [2 / 7, 3 / 7, 1 / 7, 1 / 7])
    with pytest.raises(ValueError, match="codes: expected 0 .. 3, got 7"):
        codes.frequencies(np.array([0, 1, 7]), 4)


def test_an_autoencoder_without_a_quantizer_has_no_codes(tmp_path):
    class Plain:
        quantizers = {}

    with pytest.raises(ValueError, match="Plain has no codes: expected a tinyar.layers.VectorQuantizer in it"):
        codes.levels_of(Plain())
