"""The mixture of logistics: reference numbers, its gradient, tables that sum to 1, draws by their table."""

import math
import pathlib

import numpy as np
import pytest
import scipy.stats

from tinyar.backend import to_device, to_host, xp
from tinyar.likelihoods import Categorical, LogisticMixture

VECTORS = pathlib.Path(__file__).parent / "vectors"
CASES = [("mixture_grey_17", "exact"), ("mixture_grey_256", "exact"), ("mixture_grey_256", "paper"),
         ("mixture_rgb_256", "exact"), ("mixture_rgb_256", "paper")]


def load(name):
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def mixture(numbers, mode="exact"):
    channels = numbers["pixels" if "pixels" in numbers else "uniforms"].shape[1]
    return LogisticMixture(int(numbers["levels"]), channels, int(numbers["components"]), mode)


def random_outputs(likelihood, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal((*shape, likelihood.outputs(likelihood.image_channels)))


@pytest.mark.parametrize("name, mode", CASES)
def test_reference_numbers(name, mode):
    numbers = load(name)
    likelihood, outputs, pixels = mixture(numbers, mode), to_device(numbers["outputs"]), numbers["pixels"]
    np.testing.assert_allclose(to_host(likelihood.nats(outputs, pixels)), numbers[f"nats_per_pixel_{mode}"], rtol=1e-9)
    loss, doutputs = likelihood.loss(outputs, pixels)
    assert float(loss) == pytest.approx(float(numbers[f"mean_loss_{mode}"]), rel=1e-9)
    gradient = numbers[f"gradient_{mode}"]
    np.testing.assert_allclose(to_host(doutputs), gradient, rtol=1e-9, atol=1e-9 * np.abs(gradient).max())
    single, dsingle = likelihood.loss(outputs.astype(xp.float32), pixels)
    assert single.dtype == dsingle.dtype == xp.float32 and float(single) == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.parametrize("name", ["mixture_grey_17", "mixture_grey_256", "mixture_rgb_256"])
def test_tables_of_reference(name):
    numbers = load(name)
    likelihood = mixture(numbers)
    for row, tables in zip(numbers["table_rows"], numbers["tables"]):
        for color, table in enumerate(tables):
            got = to_host(likelihood.table(to_device(numbers["outputs"][row]), numbers["pixels"][row], color))
            np.testing.assert_allclose(got, table, atol=1e-12)


@pytest.mark.parametrize("levels, channels, outputs, pixels, expected", [
    (256, 1, (0, 0, 0), (0,), 1.3103963039), (256, 1, (0, 0, 0), (255,), 1.3103963039),
    (256, 1, (0, 0, 0), (127,), 6.2344158519), (256, 1, (0, 0.1, -2), (200,), 6.3724423959),
    (256, 1, (0.3, -0.2, -0.5, 0.4, -1, -2.5), (180,), 4.6133984473), (256, 1, (0, -0.9, -6), (200,), 590.9476955903),
    (256, 3, (0, 0.2, -1.5, 0.3, -0.1, -2, -0.4, 0.05, -1, 0.7), (120, 130, 255), 12.0922283911)])
def test_published_form_by_hand(levels, channels, outputs, pixels, expected):
    likelihood = LogisticMixture(levels, channels, len(outputs) // (10 if channels == 3 else 3))
    assert float(likelihood.nats(to_device(np.array(outputs, float)), np.array(pixels))) == pytest.approx(expected,
                                                                                                       abs=1e-9)


@pytest.mark.parametrize("levels, channels, components, mode", [
    (2, 1, 1, "exact"), (5, 3, 2, "exact"), (17, 1, 4, "exact"), (256, 3, 3, "exact"), (256, 3, 2, "paper")])
def test_the_gradient_is_that_of_the_loss(levels, channels, components, mode):
    likelihood, rng = LogisticMixture(levels, channels, components, mode), np.random.default_rng(1)
    outputs = to_device(random_outputs(likelihood, 6))
    pixels = rng.integers(0, levels, (6, channels))
    pixels[0], pixels[1] = 0, levels - 1
    _, doutputs = likelihood.loss(outputs, pixels)
    for index in np.ndindex(outputs.shape):
        value = float(outputs[index])
        outputs[index] = value + 1e-6
        above = float(likelihood.loss(outputs, pixels)[0])
        outputs[index] = value - 1e-6
        below = float(likelihood.loss(outputs, pixels)[0])
        outputs[index] = value
        assert float(doutputs[index]) == pytest.approx((above - below) / 2e-6, abs=2e-8)


@pytest.mark.parametrize("levels", [2, 3, 17, 256])
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float32", 1e-5)])
def test_probabilities_sum_to_1_for_sharp_and_flat_bells(levels, dtype, tolerance):
    likelihood = LogisticMixture(levels, 3, 2)
    outputs = random_outputs(likelihood, 50)
    outputs.reshape(50, 10, 2)[:, [2, 5, 8]] = np.random.default_rng(1).uniform(-9, 3, (50, 3, 2))
    pixels = np.random.default_rng(2).integers(0, levels, (50, 3))
    for color in range(3):
        table = to_host(likelihood.table(to_device(outputs.astype(dtype)), pixels, color))
        assert table.shape == (50, levels)
        np.testing.assert_allclose(table.sum(axis=-1), 1, atol=tolerance)


def test_the_colours_of_a_pixel_together_cost_the_product_of_their_tables():
    likelihood = LogisticMixture(5, 3, 3)
    outputs, pixels = to_device(random_outputs(likelihood, 7)), np.random.default_rng(3).integers(0, 5, (7, 3))
    nats = sum(-np.log(to_host(likelihood.table(outputs, pixels, color))[np.arange(7), pixels[:, color]])
               for color in range(3))
    np.testing.assert_allclose(to_host(likelihood.nats(outputs, pixels)), nats, rtol=1e-12)


def test_zero_outputs_cost_what_one_flat_bell_does():
    for channels in (1, 3):
        likelihood = LogisticMixture(256, channels, 4)
        pixels = np.repeat(np.arange(256)[:, None], channels, axis=1)
        loss, _ = likelihood.loss(xp.zeros((256, likelihood.outputs(channels))), pixels)
        assert float(loss) / np.log(2) == pytest.approx(9.0544013635, abs=1e-9)


@pytest.mark.parametrize("name", ["draws_rgb_256", "draws_grey_17"])
def test_reference_draws(name):
    numbers = load(name)
    pixel = numbers["known"].copy()
    mixture(numbers).draw(to_device(numbers["outputs"]), pixel, numbers["keep"].astype(bool), numbers["uniforms"])
    np.testing.assert_array_equal(pixel, numbers["drawn"])


@pytest.mark.parametrize("levels, known", [(2, None), (17, None), (17, 0), (17, 1), (256, None)])
def test_draws_follow_the_table_given_the_known_colours(levels, known):
    likelihood, n = LogisticMixture(levels, 3, 3), 40_000
    outputs = to_device(np.repeat(random_outputs(likelihood, 1, seed=levels), n, axis=0))
    pixel, keep = np.zeros((n, 3), dtype=np.int64), np.zeros((n, 3), dtype=bool)
    if known is not None:
        pixel[:, known], keep[:, known] = levels // 3, True
    likelihood.draw(outputs, pixel, keep, np.random.default_rng(5).random((n, 3)))
    for color in range(3):  # given one value of the colours before it, the commonest
        values, counts = np.unique(pixel[:, :color], axis=0, return_counts=True)
        rows = (pixel[:, :color] == values[counts.argmax()]).all(axis=1)
        if keep[0, color]:
            assert (pixel[:, color] == levels // 3).all()
            continue
        expected = to_host(likelihood.table(outputs[:1], pixel[rows][:1], color))[0] * rows.sum()
        found = np.bincount(pixel[rows, color], minlength=levels)
        common = expected >= 5
        observed, wanted = np.append(found[common], found[~common].sum()), np.append(expected[common],
                                                                                    expected[~common].sum() + 1e-9)
        assert scipy.stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-4


def test_a_low_temperature_draws_the_likeliest_and_whole_images_are_drawn_at_once():
    likelihood = LogisticMixture(17, 1, 2)
    outputs = to_device(np.broadcast_to(np.array([5.0, -5, 0.5, -0.5, -2, -2]), (2, 3, 4, 6)).copy())
    pixel = np.zeros((2, 3, 4, 1), dtype=np.uint8)
    likelihood.draw(outputs, pixel, np.zeros(pixel.shape, dtype=bool),
                    np.random.default_rng(0).random(pixel.shape), temperature=0.01)
    assert (pixel == 12).all()


@pytest.mark.parametrize("arguments, message", [
    ((1, 1), "levels: .* 2 to 256, got 1"), ((257, 1), "levels: .* got 257"), ((256, 2), "image_channels is 1 or 3"),
    ((256, 1, 0), "components: .* got 0"), ((256, 1, 1.5), "components"), ((17, 1, 5, "paper"), "256 levels 'paper'"),
    ((256, 1, 5, "other"), "mode")])
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogisticMixture(*arguments)


def test_outputs_and_pixels_that_do_not_fit_are_refused():
    likelihood = LogisticMixture(17, 1, 2)
    with pytest.raises(ValueError, match=r"expected 6 outputs a pixel, got shape \(3, 5\)"):
        likelihood.nats(xp.zeros((3, 5)), np.zeros((3, 1), dtype=int))
    with pytest.raises(ValueError, match="expected levels 0 .. 16, got 0 .. 17"):
        likelihood.nats(xp.zeros((2, 6)), np.array([[0], [17]]))
    with pytest.raises(ValueError, match="made for 1 channels, got 3"):
        likelihood.outputs(3)
    with pytest.raises(FloatingPointError, match="aren't finite"):
        likelihood.draw(xp.full((1, 6), xp.nan), np.zeros((1, 1), dtype=int), np.zeros((1, 1), dtype=bool),
                        np.full((1, 1), 0.5))


# -- one level to show -------------------------------------------------------------------------------------------------

def test_the_guess_is_the_mean_of_the_heaviest_component():
    """Rounded to a level; in colour each mean is moved by the guesses of the colours before it."""
    grey = LogisticMixture(17, 1, 2)
    outputs = np.array([[0.0, 1.0, -1.0, 0.5, 0, 0], [2.0, 1.0, -1.0, 0.5, 0, 0], [0.0, 1.0, 0.0, 3.0, 0, 0]])
    assert to_host(grey.guess(to_device(outputs))).tolist() == [[12], [0], [16]]
    color = LogisticMixture(5, 3, 1)  # levels -1, -1/2, 0, 1/2, 1
    c = np.arctanh(0.5)
    pixel = np.array([[0.0, 0.9, 0, c, 0.0, 0, c, 0.1, 0, -c]])  # a logit; mean, log-scale, coefficient of R, G, B
    # R: 0.9, rounded to 1;  G: 0 + 0.5 R = 0.5;  B: 0.1 + 0.5 R - 0.5 G = 0.35, rounded to 0.5
    assert to_host(color.guess(to_device(pixel))).tolist() == [[4, 3, 3]]


def test_the_guess_of_a_softmax_is_its_likeliest_level():
    logits = np.array([[[0.0, 3.0, 1.0]], [[2.0, 1.0, 1.9]]])
    assert to_host(Categorical(3).guess(to_device(logits))).tolist() == [[1], [0]]


@pytest.mark.parametrize("mode", ["exact", "paper"])
@pytest.mark.parametrize("log_scale", [20.0, 97.0, 100.0, 1e4])
def test_a_very_flat_component_has_a_finite_gradient(mode, log_scale):
    likelihood = LogisticMixture(256, 1, 2, mode)
    for both in (False, True):
        outputs = np.array([[[[0, 0, 0.1, 0.1, log_scale if both else -2, log_scale]]]], np.float32)
        loss, doutputs = likelihood.loss(to_device(outputs), np.array([[[[130]]]]))
        assert np.isfinite(float(loss)) and np.isfinite(to_host(doutputs)).all()
        assert float(loss) == pytest.approx(math.log(255 / 2 * 4) + log_scale if both else float(loss), rel=1e-5)


def test_images_of_other_channels_are_refused():
    for channels, others in ((1, 3), (3, 1)):
        likelihood = LogisticMixture(256, channels, 2)
        outputs, images = to_device(random_outputs(likelihood, 2, 3, 3)), np.zeros((2, 3, 3, others), dtype=np.uint8)
        for entrance in (likelihood.nats, likelihood.loss, lambda o, p: likelihood.table(o, p, 0)):
            with pytest.raises(ValueError, match=rf"expected .*\(2, 3, 3, {channels}\)"):
                entrance(outputs, images)
