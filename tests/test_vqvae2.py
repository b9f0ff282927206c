"""VQ-VAE-2: reference numbers, published sizes, the two ways of the top codes, codes and images."""

import json

import numpy as np
import pytest
from vectors_of_networks import assert_equal, assert_gradients, load, weights_by_rule

from tinyar import data, gradcheck, training
from tinyar.backend import to_device, to_host, xp
from tinyar.layers import noise_told
from tinyar.models import VQVAE, VQVAE2, autoencoder
from tinyar.training import checkpoint

SMALL = dict(channels=6, residual_units=1, residual_channels=4, codes=7, top_codes=5, code_channels=3)


def images(n=6, height=8, width=12, levels=17, channels=1, seed=0):
    return np.random.default_rng(seed).integers(0, levels, (n, height, width, channels)).astype(np.uint8)


def small(**options):
    """A small network with its codebooks started from images."""
    model = VQVAE2(**{**SMALL, "levels": 17, **options})
    model.prepare(images(60, channels=model.image_channels))
    return model


# -- reference numbers -------------------------------------------------------------------------------------------------

def model_of(numbers):
    config = json.loads(str(numbers["config"]))
    model = weights_by_rule(VQVAE2(
        levels=256, image_channels=config["image_channels"], bottom_stride=config["s_b"], channels=config["ch"],
        residual_units=config["units"], residual_channels=config["rh"], codes=config["Kb"], top_codes=config["Kt"],
        code_channels=config["d"], beta=config["beta"]))
    for level in ("top", "bottom"):
        getattr(model, f"quantizer_{level}").codebook[...] = to_device(numbers[f"codebook_{level}"])
    return model


@pytest.mark.parametrize("name", ["vqvae2_grey_s2_12x12", "vqvae2_rgb_s4_16x16"])
def test_reference_numbers(name):
    numbers = load(name)
    model = model_of(numbers)
    assert model.count_parameters() == int(numbers["parameters"])
    x = to_device(numbers["pixels"])
    for level, codes in zip(("kt", "kb"), model.codes_of(numbers["pixels"])):
        np.testing.assert_array_equal(codes[..., 0], numbers[level])
    assert_equal(model(x), numbers["outputs"])
    outputs = model.forward(x)
    assert_equal(outputs[0], numbers["outputs"])
    own = {level: float(getattr(model, f"quantizer_{level}").commitment_loss) for level in ("top", "bottom")}
    assert own == pytest.approx({"top": float(numbers["commit_t"]), "bottom": float(numbers["commit_b"])}, rel=1e-9)
    loss, doutputs = model.loss(outputs, x)
    assert float(loss) == pytest.approx(float(numbers["loss"]), rel=1e-9)
    seen = {}
    for level, to in (("zt", model.to_top), ("zb", model.to_bottom)):
        def backward(dy, need_dx=True, level=level, call=to.backward):
            seen[level] = dy.copy()
            return call(dy, need_dx)
        to.backward = backward
    model.zero_grads()
    dx = model.backward(doutputs)
    assert_equal(dx * (255 / 2), numbers["d_x"])
    assert_equal(seen["zt"], numbers["d_zt"])
    assert_equal(seen["zb"], numbers["d_zb"])
    assert_gradients(model, numbers)
    e_top, e_bottom = (getattr(model, f"quantizer_{level}").lookup(numbers[f"other_codes_{level}"])
                       for level in ("top", "bottom"))
    assert_equal(model.decoded(e_top, e_bottom), numbers["other_outputs"])


@pytest.mark.parametrize("name, options, trained, whole", [
    ("port", {}, 1_388_867, 1_454_403), ("imagenet", {}, 1_716_803, 1_782_339), ("cifar10", {}, 1_383_811, 1_449_347),
    ("mnist", {}, 345_793, 353_985)])
def test_published_sizes(name, options, trained, whole):
    model = VQVAE2.published(name, **options)
    assert model.count_parameters() == trained
    assert trained + sum(quantizer.codebook.size for quantizer in model.quantizers.values()) == whole
    assert VQVAE2.published(name, learning="gradient").count_parameters() == whole


def test_two_layers_start_small():
    """The one that makes the outputs, and the one that tells the bottom level of the top codes: at a tenth."""
    model = VQVAE2(levels=17, channels=64)
    for layer in (model.decoder.links[-1], model.decoder_top.links[-1]):
        own, usual = (float(part.params["w"].std()) for part in (layer, type(layer)(
            layer.in_channels, layer.out_channels, 4, 2, 1, rng=np.random.default_rng(0))))
        assert own == pytest.approx(0.1 * usual, rel=0.1)


# -- the two ways of the top codes -------------------------------------------------------------------------------------

def gradient_at_top(model, without=()):
    """d loss / d e_t, with these layers passing no gradient on."""
    x = to_device(images())
    outputs = model.forward(x)
    _, doutputs = model.loss(outputs, x)
    found = []

    def backward(dy, need_dx=True, dloss=1.0):
        found.append(to_host(dy).copy())
        return type(model.quantizer_top).backward(model.quantizer_top, dy, need_dx, dloss)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model.quantizer_top, "backward", backward, raising=False)
        for name in without:
            layer = getattr(model, name)
            patch.setattr(layer, "backward", lambda dy, need_dx=True, call=layer.backward: 0 * call(dy, need_dx),
                          raising=False)
        model.backward(doutputs)
    return found[0]


def test_the_gradient_of_the_top_codes_is_the_sum_of_two_ways():
    model = gradcheck.shake(small().astype(xp.float64))
    whole = gradient_at_top(model)
    by_bottom, by_up = gradient_at_top(model, ["up"]), gradient_at_top(model, ["decoder_top"])
    assert np.abs(by_bottom).min() > 0 and np.abs(by_up).min() > 0
    np.testing.assert_allclose(by_bottom + by_up, whole, atol=1e-12)
    assert (gradient_at_top(model, ["up", "decoder_top"]) == 0).all()


def test_without_a_reconstruction_the_bottom_commitment_reaches_the_top():
    model = gradcheck.shake(small().astype(xp.float64))
    outputs = model.forward(to_device(images()))
    model.zero_grads()
    model.backward((0 * outputs[0], 1.0))
    assert all(float(xp.abs(grad).max()) > 0 for name, _, grad in model.parameters()
               if name.split(".")[0] in ("encoder_bottom", "encoder_top", "to_top", "decoder_top", "to_bottom"))
    assert all(float(xp.abs(grad).max()) == 0 for name, _, grad in model.parameters()
               if name.split(".")[0] in ("up", "decoder"))


def test_top_codes_depend_on_nothing_of_the_bottom():
    model, x = small(), images()
    top, bottom = model.codes_of(x)
    for part in ("decoder_top", "to_bottom", "quantizer_bottom", "up", "decoder"):
        for _, array in getattr(model, part).arrays():
            array += 1
    again, changed = model.codes_of(x)
    np.testing.assert_array_equal(again, top)
    assert (changed != bottom).any()


def test_bottom_codes_depend_on_the_values_of_the_top_ones_but_not_on_their_order():
    model, x = gradcheck.shake(small()), images()
    top, bottom = model.codes_of(x)
    order = np.array([3, 1, 4, 0, 2])
    y = to_host(model(to_device(x)))
    model.quantizer_top.codebook[...] = model.quantizer_top.codebook[to_device(order)]
    turned, same = model.codes_of(x)
    np.testing.assert_array_equal(order[turned], top)
    np.testing.assert_array_equal(same, bottom)
    np.testing.assert_allclose(to_host(model(to_device(x))), y, rtol=1e-5, atol=1e-6)
    model.quantizer_top.codebook[...] *= 3
    assert (model.codes_of(x)[1] != bottom).any()


# -- learning ----------------------------------------------------------------------------------------------------------

def test_both_codebooks_start_from_vectors_of_the_encoder_and_only_once():
    model = VQVAE2(**SMALL, levels=17)
    before = [to_host(quantizer.codebook).copy() for quantizer in model.quantizers.values()]
    model.prepare(images(60))
    started = [to_host(quantizer.codebook).copy() for quantizer in model.quantizers.values()]
    assert all((one != other).all() for one, other in zip(before, started))
    top, bottom = model.codes_of(images(60))
    assert len(np.unique(top)) == 5 and len(np.unique(bottom)) == 7  # each is the nearest of the vector it came from
    model.prepare(images(60, seed=1))
    assert all((one == to_host(quantizer.codebook)).all() for one, quantizer in zip(started, model.quantizers.values()))


@pytest.mark.parametrize("model", [lambda: VQVAE2(**SMALL, levels=17), lambda: VQVAE(17, widths=(4,), codes=9)])
def test_codebooks_start_from_large_images_in_pieces(model, monkeypatch):
    whole, pieces, few, pixels = model(), model(), model(), images(1)[0].size
    whole.prepare(images(60))
    monkeypatch.setattr(autoencoder, "PIXELS_AT_ONCE", 7 * pixels)
    assert [len(piece) for piece in pieces.pieces(images(60))] == [7] * 8 + [4]
    pieces.prepare(images(60))
    monkeypatch.setattr(autoencoder, "NUMBERS", 20 * pixels)
    monkeypatch.setattr(autoencoder, "LEAST", 5)
    few.prepare(images(60))
    for one, other, third in zip(*(part.quantizers.values() for part in (whole, pieces, few))):
        np.testing.assert_allclose(to_host(one.codebook), to_host(other.codebook), rtol=1e-5, atol=1e-6)
        assert (to_host(one.codebook) != to_host(third.codebook)).any()  # of the first 20 images


def test_loss_is_a_mean_and_note_tells_both_perplexities():
    model, x = small().astype(xp.float64), to_device(images())
    once, _ = model.loss(model.forward(x), x)
    twice, _ = model.loss(model.forward(xp.concatenate([x, x])), xp.concatenate([x, x]))
    assert float(once) == pytest.approx(float(twice), rel=1e-12)
    model.zero_grads()
    loss, _ = model.loss(model.forward(x), x)
    words = model.note(float(loss))
    top, bottom = (float(part) for part in words.split("perplexity ")[1].split(", "))
    assert 1 <= top <= 5 and 1 <= bottom <= 7
    assert float(model.penalty()) == pytest.approx(float(loss) - float(model.score(x)) / x.size, rel=1e-9)


@pytest.mark.parametrize("learning", ["ema", "gradient"])
def test_updates_move_both_codebooks_and_evaluation_none(learning):
    model = small(learning=learning)
    before = [to_host(quantizer.codebook).copy() for quantizer in model.quantizers.values()]
    training.evaluate(model, images())
    assert all((one == to_host(quantizer.codebook)).all() for one, quantizer in zip(before, model.quantizers.values()))
    training.fit(model, images(), epochs=1, batch_size=6, threads=1)
    assert all((one != to_host(quantizer.codebook)).any() for one, quantizer in zip(before, model.quantizers.values()))


@pytest.mark.long
@pytest.mark.parametrize("output, least", [("mse", 0.5), ("categorical", 3.0), ("mixture", 3.2)])
def test_digits_are_learned(output, least):
    digits = data.load("digits")
    model = VQVAE2(levels=17, channels=16, residual_channels=8, codes=32, code_channels=8, output=output)
    training.fit(model, digits.train.images[:400], epochs=6, batch_size=16, lr=2e-3, average=None)
    figure = training.evaluate(model, digits.test.images)
    assert 0 < figure < least
    codes = model.codes_of(digits.test.images[:10])
    assert [part.shape for part in codes] == [(10, 2, 2, 1), (10, 4, 4, 1)]
    painted = model.images_of(*codes).astype(int)
    assert painted.shape == (10, 8, 8, 1)
    error = ((painted - digits.test.images[:10].astype(int)) ** 2).mean() / digits.test.images[:10].var()
    assert error < 0.7


def test_a_checkpoint_keeps_everything(tmp_path):
    model = small(output="mixture", components=2)
    checkpoint.save(tmp_path / "model.npz", model)
    loaded, _ = checkpoint.load(tmp_path / "model.npz")
    assert type(loaded) is VQVAE2 and loaded.config == model.config
    for one, other in zip(loaded.codes_of(images()), model.codes_of(images())):
        np.testing.assert_array_equal(one, other)


# -- codes and images --------------------------------------------------------------------------------------------------

def test_images_of_their_codes_are_those_of_the_network():
    model = small()
    np.testing.assert_array_equal(model.images_of(*model.codes_of(images())),
                                  model.levels_of(model(to_device(images()))))


@pytest.mark.parametrize("options, message", [
    (dict(bottom_stride=3), "bottom_stride is 2 or 4, got 3"), (dict(channels=1), "at least 2, since some"),
    (dict(output="gauss"), "output is 'mse', 'categorical' or 'mixture'"), (dict(components=0), "components: expected"),
    (dict(codes=0), "codes is a whole number from 1 to 65,536, got 0"), (dict(residual_units=-1), "residual_units"),
    (dict(learning="magic"), "'gradient' or 'ema'"), (dict(top_codes=-2), "codes is a whole number"),
])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        VQVAE2(**{**SMALL, **options})


def test_images_and_codes_that_do_not_fit():
    model = small()
    with pytest.raises(ValueError, match="8x10 pixels can't be halved 2 times"):
        model(to_device(images(width=10)))
    top, bottom = model.codes_of(images())
    with pytest.raises(ValueError, match="twice as fine as the top codes"):
        model.images_of(bottom, top)
    with pytest.raises(ValueError, match="whole numbers from 0 to 4"):
        model.images_of(top + 5, bottom)


# -- hidden bottom codes -----------------------------------------------------------------------------------------------

def test_hidden_bottom_codes_reach_no_image_and_get_no_gradient_from_one():
    """With all but none hidden, y is decoded from the top codes and zeros."""
    model, x = small(hide_bottom=0.999).astype(xp.float64), to_device(images(3))
    with noise_told(model, 0, 1):
        y, _ = model.forward(x)
        e_top, _ = model.vectors(model.encoder_bottom(model.scale(x)))
        np.testing.assert_allclose(to_host(y), to_host(model.decoded(e_top, xp.zeros_like(e_top).repeat(2, axis=1)
                                                                     .repeat(2, axis=2))), rtol=1e-12)
        model.zero_grads()
        model.backward((xp.ones_like(y), 0.0))
    assert not to_host(model.to_bottom.grads["w"]).any()  # nothing comes back through the bottom codes
    assert to_host(model.to_top.grads["w"]).any()


@pytest.mark.long
def test_top_codes_that_have_to_do_alone_say_more():
    """Exchanging the top codes of the images hurts more than where bottom codes were always there."""
    digits, hurt = data.load("digits"), []
    for share in (0.0, 0.3):
        model = VQVAE2(levels=17, channels=12, residual_channels=4, codes=32, code_channels=8, hide_bottom=share)
        training.fit(model, digits.train.images[:400], epochs=6, batch_size=16, lr=4e-3, average=None)
        some = digits.test.images[:100]
        top, bottom = model.codes_of(some)
        exchanged = model.images_of(np.roll(top, 1, axis=0), bottom)
        hurt.append(((exchanged - some.astype(float)) ** 2).mean())
    assert hurt[1] > 1.5 * hurt[0], hurt
