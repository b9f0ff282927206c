"""Dropout: masks that are a function of place alone, whatever the threads, the cut of the batch, or a kill between."""

import numpy as np
import pytest

from tinyar import data, training
from tinyar.backend import to_device, to_host, xp
from tinyar.layers import ELU, Chain, Dropout, HideImages, Linear, noise_told
from tinyar.layers.dropout import mixed
from tinyar.models import GatedPixelCNN, PixelCNN
from tinyar.training import nonfinite
from tinyar.training.parallel import Workers

IMAGES = data.load("digits").train.images[:40]


class Dropping(PixelCNN):
    """Blocks with dropout in them."""

    def body(self, rng):
        return [Dropout(0.5), ELU(), Linear(self.channels, self.channels, rng), Dropout(0.25)]


def make():
    return Dropping(levels=17, channels=6, blocks=2, first_kernel=3)


def mask(shape=(4, 6, 7, 5), rate=0.5, seed=0, update=1, place=0, before=0):
    """The mask of a layer behind `before` others."""
    layers = [Dropout(rate) for _ in range(before + 1)]
    chain = Linear(1, 1)
    chain.layers_of_dropout = layers
    with noise_told(chain, seed, update, place):
        return to_host(layers[-1].mask(shape))


def test_the_mixer_is_the_published_one():
    """By Python's own whole numbers."""
    def by_hand(z):
        z ^= z >> 16
        z = z * 0x7feb352d % 2 ** 32
        z ^= z >> 15
        z = z * 0x846ca68b % 2 ** 32
        return z ^ z >> 16
    numbers = np.array([0, 1, 2, 0xdeadbeef, 2 ** 32 - 1], dtype=np.uint32)
    assert to_host(mixed(to_device(numbers))).tolist() == [by_hand(int(number)) for number in numbers]
    assert mixed(numbers).tolist() == [by_hand(int(number)) for number in numbers]


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_that_stays_and_the_mean(rate):
    layer, x = Dropout(rate), xp.ones((20, 28, 28, 16), dtype=xp.float32)
    with noise_told(layer, 3, 7, 0):
        y = layer.forward(x)
    values = np.unique(to_host(y))
    np.testing.assert_allclose(values, [0, 1 / (1 - rate)], rtol=1e-6)
    share = (to_host(y) > 0).mean()
    assert share == pytest.approx(1 - rate, abs=4 * (rate * (1 - rate) / y.size) ** 0.5 + 1e-5)
    np.testing.assert_array_equal(to_host(layer.backward(x)), to_host(y))  # the same mask
    np.testing.assert_array_equal(to_host(layer(x)), to_host(x))  # inference drops nothing


def test_a_rate_of_numpy_keeps_the_number_type():
    layer, x = Dropout(np.float64(0.5)), xp.ones((1, 2, 2, 3), dtype=xp.float32)
    with noise_told(layer, 0, 0, 0):
        assert layer.forward(x).dtype == xp.float32
        assert layer.replica().noise is None


def test_the_search_for_nan_uses_the_mask_of_the_update_that_failed():
    network = Chain(Dropout(0.5), Linear(1, 1))
    network.links[1].params["w"][...] = 3e38
    images, found = xp.ones((1, 1, 1, 1), dtype=xp.float32), set()
    for update in range(8):
        with np.errstate(over="ignore"):
            with noise_told(network, 0, update):
                infinite = not np.isfinite(to_host(network.forward(images))).all()
            said = nonfinite.first_non_finite(network, images, noise=(0, update))
        assert ("links.1" in said) == infinite
        found.add(infinite)
    assert found == {True, False}


def test_masks_differ_between_updates_seeds_images_and_layers_as_by_chance():
    first = mask()
    others = [mask(seed=1), mask(update=2), mask(place=1), mask(before=1), np.roll(first, 1, axis=0),
              np.roll(first, 1, axis=3), np.roll(first, 1, axis=2)]
    for other in others:
        assert abs((first == other).mean() - 0.5) < 4 * 0.5 / first.size ** 0.5
    np.testing.assert_array_equal(first, mask())


def test_an_image_keeps_its_mask_wherever_the_batch_is_cut():
    whole = mask((5, 3, 4, 7))
    for place in range(5):
        np.testing.assert_array_equal(mask((1, 3, 4, 7), place=place)[0], whole[place])


def test_without_noise_forward_is_refused_and_rates_are_checked():
    with pytest.raises(RuntimeError, match="forward without noise"):
        Dropout(0.5).forward(xp.ones((1, 2, 2, 3)))
    assert to_host(Dropout(0.0).forward(xp.ones((1, 2, 2, 3)))).all()  # nothing to drop
    for rate in (1, 1.5, -0.1, 0.999999):  # the last would be rounded to 1
        with pytest.raises(ValueError, match="rate is a share from 0 to 0.99999"):
            Dropout(rate)
    layer = Dropout(0.5)
    with noise_told(layer, 0, 0, 0):
        pass
    assert layer.noise is None


def test_threads_and_micro_batches_change_no_gradient():
    model = make().astype(xp.float64)
    grads = []
    for threads, at_once in ((1, 40), (2, 3), (3, 7)):
        with pytest.MonkeyPatch.context() as patch, Workers(model, threads) as workers:
            patch.setattr("tinyar.training.parallel.micro_batch_size", lambda model, images, threads: at_once)
            workers.gradient(IMAGES, noise=(5, 9))
            grads.append([to_host(grad).copy() for _, _, grad in model.parameters()])
            workers.gradient(IMAGES, noise=(5, 10))
    for others in grads[1:]:
        for one, other in zip(grads[0], others, strict=True):
            np.testing.assert_allclose(other, one, atol=1e-13)
    assert any((one != to_host(grad)).any() for one, (_, _, grad) in zip(grads[0], model.parameters()))


def test_a_resumed_run_is_the_unbroken_one(tmp_path):
    options = dict(batch_size=8, threads=2, seed=3)
    unbroken, resumed = make(), make()
    training.fit(unbroken, IMAGES, epochs=4, **options)
    training.fit(make(), IMAGES, epochs=2, out=tmp_path, **options)
    training.fit(resumed, IMAGES, epochs=4, out=tmp_path, resume=True, **options)
    for (_, one), (_, other) in zip(unbroken.arrays(), resumed.arrays()):
        np.testing.assert_array_equal(to_host(one), to_host(other))


@pytest.mark.parametrize("kind, options, blocks", [
    (PixelCNN, dict(blocks=3), 3), (GatedPixelCNN, dict(dilations=(1, 2)), 2),
    (GatedPixelCNN, dict(dilations=(1, 2), first="plain", first_kernel=3), 2)])
def test_a_model_drops_what_its_blocks_add_in_training_alone(kind, options, blocks):
    options = dict(levels=17, channels=6, kernel_size=3, **options)
    model, without = kind(dropout=0.5, **options), kind(**options)
    rates = [layer.rate for _, layer in model.layers() if isinstance(layer, Dropout)]
    assert [rate for rate in rates if rate] == [0.5] * blocks  # none in a first layer, which adds to nothing
    for (name, one), (same, other) in zip(model.arrays(), without.arrays(), strict=True):
        assert name == same and (to_host(one) == to_host(other)).all()  # so weights go from one to the other
    x, y = to_device(IMAGES[:4]), to_host(without(to_device(IMAGES[:4])))
    np.testing.assert_array_equal(to_host(model(x)), y)
    np.testing.assert_array_equal(to_host(without.forward(x)), y)
    with noise_told(model, 0, 1, 0):
        assert (to_host(model.forward(x)) != y).mean() > 0.9
    with pytest.raises(RuntimeError, match="forward without noise"):
        model.forward(x)
    for rate in (1, -0.1, "0.5"):
        with pytest.raises(ValueError, match="rate is a share from 0 to 0.99999"):
            kind(dropout=rate, **options)


# -- whole images ------------------------------------------------------------------------------------------------------

def test_whole_images_are_hidden_and_the_others_stay():
    layer, x = HideImages(0.4), xp.ones((1000, 2, 2, 3), dtype=xp.float32)
    assert layer(x) is x
    with noise_told(layer, 1, 2):
        y = to_host(layer.forward(x))
        dx = to_host(layer.backward(3 * x))
    hidden = (y == 0).all(axis=(1, 2, 3))
    assert ((y == 1).all(axis=(1, 2, 3)) | hidden).all() and 350 < hidden.sum() < 450
    np.testing.assert_array_equal(dx, 3 * y)
    with noise_told(layer, 1, 2, place=500):
        np.testing.assert_array_equal(to_host(layer.forward(x[:10])), y[500:510])
