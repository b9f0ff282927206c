"""Row LSTM, Diagonal BiLSTM and the naive PixelRNN: published counts, what is seen, and the mistakes that leak."""

import math

import numpy as np
import pytest

import references
from family import LSTM, MODELS, NAIVE, make, random_images
from tinyar import gradcheck
from tinyar.backend import to_device, to_host, xp
from tinyar.layers.combine import Chain
from tinyar.layers import ColorLinear, MaskedConv2d, RowRecurrence, diagonal_lstm
from tinyar.layers.gated import horizontal_convolution
from tinyar.losses import bits_per_dim
from tinyar.models import DiagonalBiLSTM, PixelRNN, RowLSTM
from tinyar.models.pixelrnn import Previous
from tinyar.optim import Adam
from tinyar.pictures.receptive_fields import earlier_pixels, receptive_field


# -- the published models ----------------------------------------------------------------------------------------------

def stored_parameters(model):
    """Counted as in other code, where masked weights are stored too; of Row LSTM also the taps to the right."""
    stored = model.count_parameters()
    for name, layer in model.layers():
        if isinstance(layer, MaskedConv2d):
            stored += layer.dense_kernel().size + layer.params["b"].size - layer.count_parameters()
        if isinstance(layer, ColorLinear) and not name.endswith(".centre"):
            stored += layer.dense_matrix().size + layer.params["b"].size - layer.count_parameters()
        if isinstance(layer, RowRecurrence):
            stored += layer.kernel_size // 2 * 2 * layer.hidden * 4 * layer.hidden
    return stored


@pytest.mark.parametrize("model, name, changes, stored, live", [
    # For two levels one logit would do; a softmax has two, and so 33 parameters more behind a head of 32.
    (DiagonalBiLSTM, "paper-mnist", {}, 66_241 + 33, 65_441 + 33),
    (DiagonalBiLSTM, "one-layer", {}, 41_633 + 33, 40_033 + 33),
    (DiagonalBiLSTM, "paper-cifar10", {}, 8_844_032, 6_943_349),
    (DiagonalBiLSTM, "paper-cifar10", dict(ordered_colors=False), 8_844_032, 8_824_832),
    (RowLSTM, "paper-mnist", {}, 72_737 + 33, 57_601 + 33),
    (RowLSTM, "paper-cifar10", {}, 9_621_248, 6_674_021),
    (RowLSTM, "paper-cifar10", dict(ordered_colors=False), 9_621_248, 8_029_184),
    (PixelRNN, "course", {}, 264_706 + 2 * 256, 264_706 + 2 * 256),  # h0 and c0 are learned here
])
def test_published_parameter_counts(model, name, changes, stored, live):
    network = model.published(name, **changes)
    assert network.count_parameters() == live
    assert stored_parameters(network) == stored


def test_parameter_counts_of_single_layers():
    for hidden, row, diagonal in [(16, 7_808, 8_928), (128, 492_544, 558_848)]:
        assert RowLSTM(hidden=hidden, layers=1).net.links[1].count_parameters() == row
        assert DiagonalBiLSTM(hidden=hidden, layers=1).net.links[1].count_parameters() == diagonal
    assert PixelRNN(hidden=7, layers=3).count_parameters() == sum(4 * 7 * (n + 7 + 1) + 14 for n in (1, 7, 7)) + 2 * 8


@pytest.mark.parametrize("name, gates", [
    ("PixelRNN", 1), ("Row LSTM", 1), ("Row LSTM, ordered colours", 1), ("Diagonal BiLSTM", 2),
    ("Diagonal BiLSTM, ordered colours", 2)])
def test_forget_gates_start_at_one_and_all_other_biases_at_zero(name, gates):
    biases = [to_host(param) for path, param, _ in MODELS[name]().parameters() if path.endswith(".b")]
    expected = np.repeat([0, 1, 0, 0] * gates, LSTM["hidden"])
    lstm_layers = [bias for bias in biases if bias.any()]
    assert len(lstm_layers) == (1 if name == "PixelRNN" else 2)
    assert all((bias == expected).all() for bias in lstm_layers)


# -- what is seen ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("layers, kernel_size, first_kernel", [(1, 3, 7), (2, 3, 7), (1, 5, 7), (2, 3, 5), (4, 3, 3)])
def test_row_lstm_sees_a_triangle(layers, kernel_size, first_kernel):
    """Unlimited upwards; to the right no more than a PixelCNN of the same kernels."""
    options = {**LSTM, "layers": layers, "kernel_size": kernel_size, "first_kernel": first_kernel}
    model = gradcheck.shake(RowLSTM(**options))
    height, width, m, m1 = 8, 14, kernel_size // 2, first_kernel // 2
    rows, cols = np.indices((height, width))
    for at in [(0, 0), (0, 9), (7, 0), (7, 4), (7, 13), (5, 11)]:
        above, right = at[0] - rows, cols - at[1]
        allowed = (-right <= (above + layers) * m + m1) & (right <= np.where(above > 0, (above - 1) * m + m1, -1))
        seen = receptive_field(model, height, width, at) > 0
        np.testing.assert_array_equal(seen, earlier_pixels(height, width, at) & allowed)
        assert at != (7, 0) or (seen[:7] != earlier_pixels(height, width, at)[:7]).any()  # there is something to miss


@pytest.mark.parametrize("layers, first_kernel", [(1, 7), (2, 5), (3, 3)])
def test_diagonal_bilstm_misses_one_pixel(layers, first_kernel):
    """Everything earlier is seen but the last pixel of the row above, from columns too far to the left of it."""
    model = gradcheck.shake(DiagonalBiLSTM(**{**LSTM, "layers": layers, "first_kernel": first_kernel}))
    height, width = 4, 7
    for at in np.ndindex(height, width):
        expected = earlier_pixels(height, width, at)
        if at[0] > 0 and at[1] < width - 1 - first_kernel // 2:
            expected[at[0] - 1, width - 1] = False
        np.testing.assert_array_equal(receptive_field(model, height, width, at) > 0, expected)


def test_naive_rnn_sees_everything():
    model = gradcheck.shake(PixelRNN(levels=2, **NAIVE))
    for at in np.ndindex(4, 5):
        np.testing.assert_array_equal(receptive_field(model, 4, 5, at) > 0, earlier_pixels(4, 5, at))


def test_naive_rnn_of_truncated_gradients_computes_the_same_but_learns_less():
    models = [PixelRNN(levels=2, truncate=truncate, **NAIVE) for truncate in (None, 6)]
    x = to_device(random_images(models[0], 2, 3, 4))
    np.testing.assert_array_equal(*(to_host(model(x)) for model in models))
    # From step 7 the gradient goes back to step 6, whose input is pixel 5, and no further.
    seen = receptive_field(gradcheck.shake(models[1]), 3, 4, (1, 3)) > 0
    assert seen.reshape(-1).tolist() == [5 <= pixel < 7 for pixel in range(12)]


def test_row_lstm_without_state_to_state_weights_hands_on_the_cell_alone():
    rng = np.random.default_rng(0)
    gates, recurrence = horizontal_convolution(4, 8, 1, 1, "B", 1, 4, rng), RowRecurrence(2, 3, rng)
    layer = gradcheck.shake(Chain(gates, recurrence))
    rows, cols = np.indices((5, 6))
    near = (cols == 2) | (cols == 3)  # the convolution reads the pixel and its left neighbour
    assert (receptive_field(layer, 5, 6, (3, 3), channels=4) > 0)[0].all()
    recurrence.params["w"][...] = 0
    np.testing.assert_array_equal(receptive_field(layer, 5, 6, (3, 3), channels=4) > 0, near & (rows <= 3))
    gates.params["b"][2:4] = -1e4  # the forget gates: exactly 0
    np.testing.assert_array_equal(receptive_field(layer, 5, 6, (3, 3), channels=4) > 0, near & (rows == 3))


# -- negative controls -------------------------------------------------------------------------------------------------

def excess(model):
    """By how much the probabilities of all binary 3x3 images fail to sum to 1."""
    images = references.all_images(3, 3, 1, 2)
    nats = to_host(model.likelihood.nats(model(to_device(images)), images)).sum(axis=(1, 2, 3))
    return abs(math.fsum(np.exp(-nats)) - 1)


def shaken(model, **options):
    return gradcheck.shake(model(levels=2, **{**LSTM, **options}).astype(xp.float64))


def test_without_the_shift_of_the_right_direction_the_row_leaks(monkeypatch):
    model = shaken(DiagonalBiLSTM)
    assert excess(model) < 1e-12
    monkeypatch.setattr(diagonal_lstm, "move_down", lambda x: x)
    assert excess(model) > 1e-4


@pytest.mark.parametrize("kind", [RowLSTM, DiagonalBiLSTM])
def test_with_mask_b_at_first_the_pixel_leaks(kind):
    model = shaken(kind)
    assert excess(model) < 1e-12
    leaks = MaskedConv2d(1, 2 * LSTM["hidden"], 7, "B", rng=np.random.default_rng(0))
    model.net.links[0] = gradcheck.shake(leaks.astype(xp.float64))
    assert excess(model) > 1e-4


def test_without_the_move_the_naive_rnn_sees_the_pixel_itself():
    model = gradcheck.shake(PixelRNN(levels=2, **NAIVE).astype(xp.float64))
    assert excess(model) < 1e-12
    model.net.links = model.net.links[1:]
    assert excess(model) > 1e-4


def leak_of_red(parts, hidden=4):
    """Which states of a Diagonal BiLSTM's pixel see its own red, in a layer whose colours are dealt out in `parts`."""
    rng = np.random.default_rng(0)
    gates = MaskedConv2d(3, 8 * hidden, 1, "A", 3, rng, parts)
    layer = gradcheck.shake(Chain(gates, diagonal_lstm.DiagonalBiRecurrence(hidden, rng)))
    x = rng.standard_normal((1, 1, 1, 3))
    red = x.copy()
    red[..., 0] += 1
    return to_host(layer(to_device(x)) != layer(to_device(red)))[0, 0, 0].tolist()


def test_colours_are_dealt_out_within_each_gate():
    assert leak_of_red(parts=8) == [False, False, True, True]
    assert leak_of_red(parts=1) == [True] * 4


# -- particulars -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, count", [("Row LSTM", 2), ("Diagonal BiLSTM", 2)])
def test_layers_that_add_nothing_return_their_input_and_its_gradient(name, count):
    layers = make(name).net.links[1:1 + count]
    for layer in layers:
        for param in layer.body.links[-1].params.values():
            param[...] = 0
    rng, stack = np.random.default_rng(0), Chain(*layers)
    u, du = rng.standard_normal((2, 3, 4, 10)), rng.standard_normal((2, 3, 4, 10))
    np.testing.assert_array_equal(to_host(stack.forward(to_device(u))), u)
    np.testing.assert_array_equal(to_host(stack.backward(to_device(du))), du)


def test_naive_rnn_expects_the_same_first_pixel_of_all_images():
    model = make("PixelRNN")
    x = random_images(model, 20, 2, 3)
    logits = to_host(model(to_device(x)))
    np.testing.assert_array_equal(logits[:, 0, 0], logits[:1, 0, 0].repeat(20, axis=0))
    first = x[:, 0, 0, 0]
    for level in range(3):
        alike = logits[first == level, 0, 1]
        np.testing.assert_allclose(alike, alike[:1].repeat(len(alike), axis=0), atol=1e-14)
    assert len(np.unique(logits[:, 0, 1, 0, 0].round(10))) == 3


def test_naive_rnn_is_the_plain_recursion():
    model = make("PixelRNN")
    x = random_images(model, 2, 3, 4)
    _, gates, recurrence, last = model.net.links
    params = [to_host(param) for layer in (gates, recurrence, last) for param in layer.params.values()]
    w_in, b, w, h0, c0, w_out, b_out = params
    h, c, before = np.tile(h0, (2, 1)), np.tile(c0, (2, 1)), np.zeros((2, 1))
    logits = to_host(model(to_device(x)))
    for row, col in np.ndindex(3, 4):
        o, f, i, g = np.split(before @ w_in + h @ w[0] + b, 4, axis=1)
        o, f, i, g = *(1 / (1 + np.exp(-z)) for z in (o, f, i)), np.tanh(g)
        c = f * c + i * g
        h = o * np.tanh(c)
        np.testing.assert_allclose(logits[:, row, col, 0], h @ w_out + b_out, atol=1e-12)
        before = x[:, row, col] - 1.0  # levels 0, 1, 2 as -1, 0, 1


def test_previous_and_its_gradient():
    layer, rng = Previous(), np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, 4, 2)), rng.standard_normal((2, 3, 4, 2))
    y = to_host(layer.forward(to_device(x)))
    assert not y[:, 0, 0].any()
    np.testing.assert_array_equal(y.reshape(2, 12, 2)[:, 1:], x.reshape(2, 12, 2)[:, :-1])
    dx = to_host(layer.backward(to_device(dy)))
    assert (y * dy).sum() == pytest.approx((x * dx).sum(), abs=1e-12) and not dx[:, 2, 3].any()
    turned = to_device(x.transpose(0, 2, 1, 3).copy()).transpose(0, 2, 1, 3)  # the same numbers, otherwise in memory
    np.testing.assert_array_equal(to_host(layer(turned)), y)
    np.testing.assert_array_equal(references.steps_over_raster(layer, x), y)


@pytest.mark.parametrize("kind, options", [
    (PixelRNN, dict(hidden=16, seed=1)), (RowLSTM, LSTM), (DiagonalBiLSTM, LSTM)])
def test_a_few_updates_teach_it_to_remember_a_row(kind, options):
    """The second row of each image is the first again: half of the pixels are random, the others known."""
    model, x = kind(**options), references.all_images(1, 5, 1, 2).repeat(2, axis=1)
    optimizer = Adam(model, 0.03)
    for _ in range(100):
        model.zero_grads()
        loss, dlogits = model.loss(model.forward(to_device(x)), x)
        model.backward(dlogits, need_dx=False)
        optimizer.step()
    assert 0.5 < bits_per_dim(float(loss)) < 0.55


# -- what is refused ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("model", [PixelRNN, RowLSTM, DiagonalBiLSTM])
@pytest.mark.parametrize("options, message", [
    (dict(levels=1), "2 to 256"), (dict(layers=0), "layers is a whole number of at least 1, got 0"),
    (dict(layers=1.5), "layers"), (dict(hidden=0), "channel counts"), (dict(hidden=2.5), "channel counts"),
    (dict(image_channels=0), "image_channels is a whole"),
    (dict(one_hot=True, image_channels=3, ordered_colors=False), "one_hot"),
    (dict(classes=-1), "classes"), (dict(map_channels=1.5), "map_channels"),
])
def test_options_that_do_not_fit_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)


@pytest.mark.parametrize("model, options, message", [
    (PixelRNN, dict(image_channels=3, ordered_colors=True), "ordered_colors.* expected False for image_channels=3"),
    (PixelRNN, dict(truncate=0), "truncate"),
    (RowLSTM, dict(kernel_size=4), "kernel_size must be odd and at least 3"),
    (RowLSTM, dict(kernel_size=1), "kernel_size must be odd and at least 3"),
    (RowLSTM, dict(first_kernel=4), "first_kernel must be odd and at least 3"),
    (DiagonalBiLSTM, dict(first_kernel=1), "first_kernel must be odd and at least 3"),
    (RowLSTM, dict(head=(0,)), "head: expected a list"),
    (RowLSTM, dict(image_channels=3, hidden=2), "dealt out"),
    (DiagonalBiLSTM, dict(image_channels=3, hidden=2), "dealt out"),
])
def test_particular_options_that_do_not_fit_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        model(**options)
