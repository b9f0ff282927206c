"""VQ-VAE and its second stage:
counts and shapes as published, training over threads, codes, priors, and what is refused.
"""

import dataclasses
import math
import re

import numpy as np
import pytest

from tinyar import codes, data, training
from tinyar.training import checkpoint
from tinyar.backend import to_device, to_host
from tinyar.layers.usage import perplexity
from tinyar.models import VQVAE, PixelCNN
from tinyar.optim import cosine
from tinyar.training.parallel import Workers

SMALL = dict(levels=17, widths=(16,), residual_units=1, residual_channels=8, codes=16, code_channels=4)
DIGITS = data.load("digits")
STATISTICS = ("counts", "means", "revived", "variance", "prepared")


def make(**options):
    return VQVAE(**{**SMALL, **options})


def images(count=6):
    return DIGITS.train.images[:count]


@pytest.fixture(scope="module")
def trained():
    model = make(widths=(32,), codes=32, code_channels=8)
    training.fit(model, DIGITS.train, DIGITS.validation, epochs=15, batch_size=32, lr=cosine(4e-3, 615),
                 average=None, threads=2)
    return model


@pytest.mark.parametrize("name, options, expected", [
    ("paper", dict(image_channels=3), 4_942_915), ("paper", {}, 4_926_529),
    ("paper", dict(image_channels=3, output="categorical"), 8_077_120),
    ("paper", dict(output="categorical"), 5_971_264),
    ("example", dict(image_channels=3), 695_491), ("example", {}, 691_393),
    ("course", dict(image_channels=3), 1_367_619), ("course", {}, 1_363_521),
])
def test_published_parameter_counts(name, options, expected):
    model = VQVAE.published(name, **options)
    assert sum(array.size for path, array in model.arrays() if not path.endswith(STATISTICS)) == expected


@pytest.mark.parametrize("options, size, grid", [
    (dict(widths=(8, 12)), (28, 28), (7, 7)), (dict(widths=(8, 12)), (32, 32), (8, 8)),
    (dict(widths=(8, 8, 12)), (32, 32), (4, 4)),
    (dict(widths=(8,)), (6, 10), (3, 5)), (dict(widths=(8,), flat=(6, 10)), (6, 10), (1, 1)),
    (dict(widths=(8, 12), image_channels=3, mix=False), (8, 12), (2, 3)),
    (dict(widths=(8,), output="categorical"), (4, 6), (2, 3)),
])
def test_shapes_of_codes_and_outputs(options, size, grid):
    model = make(**options)
    x = np.random.default_rng(0).integers(0, 17, (2, *size, model.image_channels)).astype(np.uint8)
    outputs = model(to_device(x))
    assert outputs.shape == x.shape + ((17,) if model.output == "categorical" else ())
    np.testing.assert_allclose(to_host(outputs), to_host(model.forward(to_device(x))[0]), atol=1e-5)
    numbers = model.codes_of(x)
    assert numbers.shape == (2, *grid, 1) and numbers.dtype == np.uint16 and numbers.max() < 16
    back = model.images_of(numbers)
    assert back.shape == x.shape and back.dtype == np.uint8 and back.max() < 17


def test_decoding_the_codes_is_the_inference_call():
    model = make()
    model.prepare(images())
    outputs = to_host(model(to_device(images())))
    levels = np.rint((outputs + 1) * 8).clip(0, 16)
    np.testing.assert_array_equal(model.images_of(model.codes_of(images())), levels)


def test_squared_error_is_in_units_of_the_variance():
    model = make()
    model.prepare(DIGITS.train.images)
    scaled = images() / 8 - 1
    grey = to_device(np.full(scaled.shape, scaled.mean(), dtype=np.float32))
    loss, (doutputs, _) = model.loss((grey, 0.0), to_device(images()))
    assert float(loss) == pytest.approx(scaled.var() / (DIGITS.train.images / 8).var(), rel=1e-5)
    assert to_host(doutputs).shape == scaled.shape
    outputs = model(to_device(images()))
    assert float(model.score(to_device(images()))) / scaled.size == pytest.approx(
        float(model.loss((outputs, 0.0), to_device(images()))[0]), rel=1e-5)


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_threads_and_micro_batches_make_the_same_update_as_the_batch(learning):
    def updated(threads, at_once):
        model = make(learning=learning, revive_below=0.0).astype("float64")
        model.prepare(images(30))
        with pytest.MonkeyPatch.context() as patch, Workers(model, threads) as workers:
            patch.setattr("tinyar.training.parallel.micro_batch_size", lambda model, images, threads: at_once)
            loss = float(workers.gradient(images(13)))
            model.update()
        return (loss, [to_host(grad) for _, _, grad in model.parameters()],
                [to_host(array) for _, array in model.arrays()])
    loss, grads, arrays = updated(1, 13)
    for threads, at_once in ((1, 4), (2, 3), (3, 1)):
        other_loss, other_grads, other_arrays = updated(threads, at_once)
        assert other_loss == pytest.approx(loss, rel=1e-12)
        for one, other in zip(grads + arrays, other_grads + other_arrays, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-12)


def test_the_progress_bar_shows_the_perplexity_of_the_batch(capsys):
    model = make()
    model.prepare(images(60))
    with Workers(model, 2) as workers:
        loss = float(workers.gradient(images(60)))
        counts = np.bincount(codes.extract(model, images(60)).reshape(-1))  # before the update moves the codebook
    note = model.note(loss)
    assert note.endswith(f", perplexity {perplexity(counts):.1f}") and not note.endswith(" 1.0")
    reconstruction, of_codes = (float(number) for number in re.findall(r"\d\.\d{4}", note))
    assert reconstruction + of_codes == pytest.approx(loss, abs=2e-4) and of_codes > 0.001
    assert reconstruction == pytest.approx(training.evaluate(model, images(60)), abs=1e-4)
    history = training.fit(make(learning="gradient", revive_below=0.0), images(60), images(60), epochs=1, batch_size=60,
                           lr=1e-9, average=None)
    assert history.rows[0]["train"] == pytest.approx(history.rows[0]["validation"], rel=1e-3)  # both: reconstruction
    training.fit(model, images(60), epochs=1, batch_size=20, threads=2, average=None, progress=True)
    assert "squared error / variance, reconstruction " in capsys.readouterr().err
    training.fit(PixelCNN(17, channels=4, blocks=0), images(60), epochs=1, threads=2, progress=True)
    assert "bits/dim]" in capsys.readouterr().err


def test_inference_never_moves_the_codebook():
    model = make()
    model.prepare(images())
    before = [to_host(array).copy() for _, array in model.arrays()]
    model(to_device(images()))
    model.score(to_device(images()))
    model.images_of(model.codes_of(images()))
    model.update()  # without a forward there is nothing to update by
    for (_, array), old in zip(model.arrays(), before):
        np.testing.assert_array_equal(to_host(array), old)


def test_training_on_does_not_start_the_codebook_again():
    model = make()
    model.prepare(images())
    codebook = to_host(model.quantizer.codebook).copy()
    model.prepare(DIGITS.test.images)
    np.testing.assert_array_equal(to_host(model.quantizer.codebook), codebook)


def test_training_on_other_images_divides_by_their_variance():
    model = make()
    model.prepare(images())
    dim = images() // 3
    training.fit(model, dim, epochs=1, threads=1)
    scaled = dim * (2 / 16) - 1
    assert float(model.state["variance"][0]) == pytest.approx(scaled.var(), rel=1e-5)


def test_it_learns_and_uses_its_codes(trained):
    assert training.evaluate(trained, DIGITS.test.images) < 0.2
    counts = np.bincount(codes.extract(trained, DIGITS.train.images).reshape(-1), minlength=32)
    assert (counts > 0).mean() >= 0.9 and perplexity(counts) > 16


def test_training_moves_the_running_codebook():
    model = make()
    model.prepare(images(60))
    before = to_host(model.quantizer.codebook).copy()
    training.fit(model, images(60), epochs=1, batch_size=20, threads=2, average=None)
    assert (to_host(model.quantizer.codebook) != before).any()


def test_resumed_equals_unbroken(tmp_path):
    options = dict(batch_size=20, threads=2, average=None)
    unbroken, broken = make(), make()
    training.fit(unbroken, images(60), DIGITS.validation, epochs=3, **options)
    training.fit(broken, images(60), DIGITS.validation, epochs=1, out=tmp_path, **options)
    resumed = make()
    training.fit(resumed, images(60), DIGITS.validation, epochs=3, out=tmp_path, resume=True, **options)
    for (name, one), (_, other) in zip(unbroken.arrays(), resumed.arrays()):
        np.testing.assert_array_equal(to_host(one), to_host(other), err_msg=name)
    loaded, _ = checkpoint.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(to_host(loaded(to_device(images()))), to_host(resumed(to_device(images()))))


# -- the second stage --------------------------------------------------------------------------------------------------

def test_codes_are_cached_and_made_anew_for_another_autoencoder(tmp_path, trained, monkeypatch):
    path = tmp_path / "codes.npz"
    first = codes.cached_dataset(path, trained, DIGITS)
    assert first.levels == 32 and first.image_shape == (4, 4, 1) and len(first.test) == 300
    np.testing.assert_array_equal(first.train.images, codes.extract(trained, DIGITS.train.images))
    with monkeypatch.context() as patch:
        patch.setattr(codes, "extract", lambda *_: pytest.fail("extracted again"))
        np.testing.assert_array_equal(codes.cached_dataset(path, trained, DIGITS).validation.images,
                                      first.validation.images)
    other = make(codes=32)
    assert (codes.cached_dataset(path, other, DIGITS).train.images != first.train.images).any()
    path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(codes.cached_dataset(path, trained, DIGITS).train.images, first.train.images)
    turned = dataclasses.replace(DIGITS, test=data.Split(DIGITS.test.images[:, ::-1].copy(), DIGITS.test.labels))
    assert (codes.cached_dataset(path, trained, turned).test.images != first.test.images).any()  # other images


def test_a_prior_beats_independent_codes_and_draws_images(tmp_path, trained):
    code_data = codes.cached_dataset(tmp_path / "codes.npz", trained, DIGITS)
    prior = PixelCNN(32, one_hot=True, channels=32, blocks=2, first_kernel=5, kernel_size=3)
    assert (training.evaluate(PixelCNN(32, one_hot=True, channels=32, blocks=2), code_data.test.images)
            == pytest.approx(5, abs=0.2))
    training.fit(prior, code_data.train, code_data.validation, epochs=4, batch_size=32, lr=4e-3, threads=2)
    nats = training.evaluate(prior, code_data.test.images) * math.log(2)
    alone = codes.independent_nats(code_data.train.images, code_data.test.images, 32)
    assert nats < alone - 0.3 and alone < math.log(32) + 0.05
    about = {"autoencoder": codes.checksum(trained)}
    drawn, numbers = codes.generate(trained, prior, about, 5, (4, 4), seed=1)
    assert drawn.shape == (5, 8, 8, 1) and numbers.shape == (5, 4, 4, 1)
    np.testing.assert_array_equal(drawn, trained.images_of(numbers))
    with pytest.raises(ValueError, match="codes of another autoencoder"):
        codes.generate(make(codes=32), prior, about, 5, (4, 4))


def test_a_prior_sees_codes_without_an_order():
    """One-hot: renaming the codes, and the rows of the first kernel with them, changes nothing."""
    prior = PixelCNN(6, one_hot=True, channels=8, blocks=1, first_kernel=3, kernel_size=3).astype("float64")
    x = np.random.default_rng(0).integers(0, 6, (2, 4, 5, 1))
    renamed = np.array([3, 0, 5, 1, 4, 2])
    before = to_host(prior(to_device(x)))
    prior.net.links[0].params["w"][...] = prior.net.links[0].params["w"][:, to_device(np.argsort(renamed))]
    np.testing.assert_allclose(to_host(prior(to_device(renamed[x]))), before, atol=1e-12)


def test_more_than_256_codes_are_drawn_as_16_bit_numbers():
    prior = PixelCNN(400, one_hot=True, channels=8, blocks=0, first_kernel=3)
    numbers = codes.sample(prior, 20, (3, 3))
    assert numbers.dtype == np.uint16 and 256 < numbers.max() < 400


def test_independent_codes():
    train = np.array([0, 0, 0, 1], dtype=np.uint16).reshape(1, 2, 2, 1)
    assert codes.independent_nats(train, train, 3) == pytest.approx(-(3 * math.log(4 / 7) + math.log(2 / 7)) / 4)
    drawn = codes.independent_draws(train, 5000, 3, seed=0)
    np.testing.assert_allclose(np.bincount(drawn.reshape(-1), minlength=3) / drawn.size,
                               [4 / 7, 2 / 7, 1 / 7], atol=0.01)


def test_bound_adds_the_bits_of_the_codes():
    assert codes.bound(1.0, math.log(512), (28, 28, 1), (7, 7)) == pytest.approx(1.5625)
    assert codes.bound(0.0, math.log(512), (32, 32, 3), (8, 8)) == pytest.approx(0.1875)


# -- bad input ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, message", [
    (dict(codes=0), "codes is a whole number"), (dict(code_channels=0), "channel counts"),
    (dict(widths=()), "at least one"), (dict(output="gauss"), "'mse', 'categorical' or 'mixture'"),
    (dict(learning="magic"), "'gradient' or 'ema'"), (dict(levels=1), "2 to 256"),
    (dict(image_channels=0), "image_channels is a whole"), (dict(beta=-1), "beta"),
    (dict(flat=(7, 8)), "7x8 pixels can't be halved 1 times"),
])
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_preparation_that_failed_is_made_up_for():
    model, images = make(widths=(8, 12)), np.arange(192, dtype=np.uint8).reshape(3, 8, 8, 1) % 17
    with pytest.raises(ValueError, match="can't be halved"):
        model.prepare(images[:, :7])
    before = to_host(model.quantizer.codebook).copy()
    model.prepare(images)
    assert (to_host(model.quantizer.codebook) != before).any()


def test_images_of_other_levels_have_no_codes():
    model = make(widths=(8, 12))
    for wrong in (np.full((2, 8, 8, 1), 17, dtype=np.uint8), np.zeros((2, 8, 8, 1))):
        with pytest.raises(ValueError, match="VQVAE: expected (levels 0 .. 16, got 17|a NumPy array of integers, got)"):
            codes.extract(model, wrong)
    with pytest.raises(ValueError, match="extract: expected at least one image"):
        codes.extract(model, images()[:0])


def test_the_variance_is_that_of_the_scaled_images():
    model = make(widths=(8, 12))
    model.prepare(images(40))
    assert float(model.state["variance"][0]) == pytest.approx((images(40) / 8.0).var(), rel=1e-6)
    alike = make(widths=(8, 12))
    alike.prepare(np.full((20, 8, 8, 1), 5, dtype=np.uint8))
    assert float(alike.state["variance"][0]) == 1
    with pytest.raises(ValueError, match="prepare: expected at least one image"):
        make(widths=(8, 12)).prepare(images()[:0])


def test_one_code_an_image_fits_one_size():
    model = make(widths=(4,), flat=(4, 8))
    assert model(to_device(np.zeros((2, 4, 8, 1), dtype=np.uint8))).shape == (2, 4, 8, 1)
    with pytest.raises(ValueError, match=r"made for images of 4x8 pixels \(flat\), got 8x4"):
        model(to_device(np.zeros((2, 8, 4, 1), dtype=np.uint8)))
    for flat in (28, (4, 8, 1)):
        with pytest.raises(ValueError, match="flat: expected"):
            make(widths=(4,), flat=flat)


def test_images_and_codes_that_do_not_fit_are_refused():
    model = make(widths=(8, 12))
    with pytest.raises(ValueError,
                       match=r"VQVAE: expected images \(batch, height, width, 1\), got shape \(2, 8, 8, 3\)"):
        model(to_device(np.zeros((2, 8, 8, 3), dtype=np.uint8)))
    with pytest.raises(ValueError, match="10x8 pixels can't be halved 2 times; expected multiples of 4"):
        model(to_device(np.zeros((2, 10, 8, 1), dtype=np.uint8)))
    for numbers in ([[16]], [[-1]], [[0.5]]):
        with pytest.raises(ValueError, match="whole numbers from 0 to 15"):
            model.images_of(np.array(numbers)[None, ..., None])
    with pytest.raises(ValueError, match="no published configuration 'vae'; there are paper"):
        VQVAE.published("vae")
    with pytest.raises(ValueError, match="one channel"):
        PixelCNN(8, image_channels=3, one_hot=True)
    with pytest.raises(TypeError, match="VQVAE isn't a model that images can be drawn from"):
        codes.sample(model, 1, (8, 8))
