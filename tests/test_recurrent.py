"""The recurrences: cell and layers against plain loops, gradients, causality both ways, step against forward."""

import numpy as np
import pytest

import references
import references_recurrent as plain
from tinyar import gradcheck
from tinyar.backend import to_device, to_host, xp
from tinyar.layers import DiagonalBiRecurrence, DiagonalRecurrence, RowRecurrence, SequenceRecurrence, diagonal_lstm
from tinyar.layers.recurrent import cell_backward, cell_forward

HIDDEN = 3
LAYERS = {
    "sequence": lambda: SequenceRecurrence(HIDDEN, rng=np.random.default_rng(0)),
    "row": lambda: RowRecurrence(HIDDEN, rng=np.random.default_rng(0)),
    "row, 5 taps": lambda: RowRecurrence(HIDDEN, 5, np.random.default_rng(0)),
    "row, 1 tap": lambda: RowRecurrence(HIDDEN, 1, np.random.default_rng(0)),
    "diagonal": lambda: DiagonalRecurrence(HIDDEN, np.random.default_rng(0)),
    "both diagonals": lambda: DiagonalBiRecurrence(HIDDEN, np.random.default_rng(0)),
}
REFERENCES = {"sequence": plain.sequence, "row": plain.row_lstm, "row, 5 taps": plain.row_lstm,
              "row, 1 tap": plain.row_lstm, "diagonal": plain.diagonal}
SIZES = [(1, 1), (1, 5), (5, 1), (3, 6), (6, 4)]


def make(name, dtype="float64"):
    """A layer whose initial states aren't zero."""
    return gradcheck.shake(LAYERS[name]().astype(dtype))


def inputs(name, batch, height, width, seed=0):
    gates = 8 if name == "both diagonals" else 4
    return np.random.default_rng(seed).standard_normal((batch, height, width, gates * HIDDEN))


def parameters(layer):
    return [to_host(layer.params[name]) for name in ("w", "h0", "c0")]


def reference(name, layer, z):
    if name == "both diagonals":
        return plain.both_diagonals(z, parameters(layer.left), parameters(layer.right))
    return REFERENCES[name](z, *parameters(layer))


def gradient_of_a_pixel(layer, z, at):
    """|d y(at) / d Z| (height, width, channels of Z), summed over the batch; y(at) weighted by a random dy."""
    dy = np.zeros(layer(to_device(z)).shape)
    dy[(slice(None), *at)] = np.random.default_rng(5).standard_normal((len(z), HIDDEN))
    layer.forward(to_device(z))
    return np.abs(to_host(layer.backward(to_device(dy)))).sum(axis=0)


# -- the cell ----------------------------------------------------------------------------------------------------------


def test_cell_equals_its_definition():
    rng = np.random.default_rng(0)
    z, c_prev = 3 * rng.standard_normal((2, 5, 4 * HIDDEN)), rng.standard_normal((2, 5, HIDDEN))
    gates = to_device(z.reshape(2, 5, 4, HIDDEN).transpose(2, 0, 1, 3).copy())
    c, h = xp.empty((2, 5, HIDDEN)), xp.empty((2, 5, HIDDEN))
    cell_forward(gates, to_device(c_prev), c, h)
    for index in np.ndindex(2, 5):
        expected_h, expected_c = plain.cell(z[index], c_prev[index])
        np.testing.assert_allclose(to_host(h)[index], expected_h, atol=1e-14)
        np.testing.assert_allclose(to_host(c)[index], expected_c, atol=1e-14)


def test_cell_backward_equals_finite_differences():
    rng = np.random.default_rng(1)
    z, c_prev, dh, dc = (rng.standard_normal(shape) for shape in ((4, 5, HIDDEN), *[(5, HIDDEN)] * 3))

    def run(z, c_prev):
        gates, c, h = to_device(z.copy()), xp.empty((5, HIDDEN)), xp.empty((5, HIDDEN))
        cell_forward(gates, to_device(c_prev), c, h)
        return gates, c, h

    gates, c, _ = run(z, c_prev)
    dz, dc_prev = xp.empty((4, 5, HIDDEN)), to_device(dc.copy())
    cell_backward(gates, to_device(c_prev), c, to_device(dh), dc_prev, dz)

    def loss():
        _, c, h = run(z, c_prev)
        return (to_host(h) * dh + to_host(c) * dc).sum()

    for values, grad in ((z, to_host(dz)), (c_prev, to_host(dc_prev))):
        for index in np.ndindex(values.shape):
            value = values[index]
            values[index] = value + 1e-5
            above = loss()
            values[index] = value - 1e-5
            below = loss()
            values[index] = value
            assert (above - below) / 2e-5 == pytest.approx(grad[index], abs=1e-9)


# -- skewing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", SIZES)
def test_skewing_moves_row_r_right_by_r_and_unskewing_is_inverse_and_adjoint(height, width):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, height, width, 6))
    skewed = to_host(diagonal_lstm.skew(to_device(x), 2))
    assert skewed.shape == (width + height - 1, 2, height, 2, 3)
    expected = np.zeros_like(skewed)
    for n, r, c, channel in np.ndindex(x.shape):
        expected[r + c, channel // 3, r, n, channel % 3] = x[n, r, c, channel]
    np.testing.assert_array_equal(skewed, expected)
    np.testing.assert_array_equal(to_host(diagonal_lstm.unskew(to_device(skewed))), x)
    other = rng.standard_normal(skewed.shape)
    unskewed = to_host(diagonal_lstm.unskew(to_device(other)))
    assert (skewed * other).sum() == pytest.approx((x * unskewed).sum(), abs=1e-12)


def test_moving_rows_up_is_the_adjoint_of_moving_them_down():
    x, other = (np.random.default_rng(seed).standard_normal((2, 4, 5, 3)) for seed in (0, 1))
    down, up = to_host(diagonal_lstm.move_down(to_device(x))), to_host(diagonal_lstm.move_up(to_device(other)))
    np.testing.assert_array_equal(down[:, 1:], x[:, :-1])
    assert not down[:, 0].any()
    assert (down * other).sum() == pytest.approx((x * up).sum(), abs=1e-12)


# -- the layers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("height, width", SIZES)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_equals_its_loops(name, height, width):
    layer, z = make(name), inputs(name, 2, height, width)
    y = to_host(layer(to_device(z)))
    np.testing.assert_allclose(y, reference(name, layer, z), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(to_host(layer.forward(to_device(z))), y)


@pytest.mark.parametrize("height, width", [(1, 1), (1, 5), (5, 1), (4, 6), (6, 4)])
@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name, height, width):
    comparisons = gradcheck.check(make(name), inputs(name, 2, height, width), entries=20)
    directions = 2 if name == "both diagonals" else 1
    assert len(comparisons) == 1 + 3 * directions  # x, and w, h0, c0 of every direction
    if height > 1:
        assert all(np.abs(comparison.got).max() > 1e-3 for comparison in comparisons)


@pytest.mark.parametrize("name, expected", [
    ("sequence", lambda h: 4 * h * h + 2 * h), ("row", lambda h: 3 * h * 4 * h + 2 * h),
    ("diagonal", lambda h: 2 * h * 4 * h + 2 * h), ("both diagonals", lambda h: 2 * (2 * h * 4 * h + 2 * h))])
def test_parameter_counts(name, expected):
    assert LAYERS[name]().count_parameters() == expected(HIDDEN)


def test_initial_states_begin_at_zero_and_weights_with_their_fan_in():
    layer = RowRecurrence(64, rng=np.random.default_rng(0))
    w, h0, c0 = parameters(layer)
    assert w.std() == pytest.approx((1 / (3 * 64)) ** 0.5, rel=0.03)
    assert not h0.any() and not c0.any()


@pytest.mark.parametrize("name", LAYERS)
def test_float32_stays_float32(name):
    layer, z = make(name, "float32"), to_device(inputs(name, 2, 4, 5).astype("float32"))
    y = layer.forward(z)
    dz = layer.backward(y)
    assert y.dtype == dz.dtype == layer(z).dtype == xp.float32
    assert all(param.dtype == grad.dtype == xp.float32 for _, param, grad in layer.parameters())
    layer.start(2, 4, 5)
    assert layer.step(z[:, 0, 0], (0, 0)).dtype == xp.float32
    expected = reference(name, layer, to_host(z).astype("float64"))
    np.testing.assert_allclose(to_host(y), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 4, 5), (1, 4, 5), (1, 4, 1)])  # where an axis is 1, a view may pass for a copy
@pytest.mark.parametrize("name", LAYERS)
def test_backward_adds_up_uses_the_cache_up_and_writes_into_nothing(name, shape):
    layer, z = make(name), inputs(name, *shape)
    on_device = to_device(z.copy())
    y = layer.forward(on_device)
    kept = to_host(y).copy()
    dy = np.random.default_rng(2).standard_normal(y.shape)
    dy_on_device = to_device(dy.copy())
    dz = layer.backward(dy_on_device)
    assert dz.shape == z.shape
    once = [to_host(grad).copy() for _, _, grad in layer.parameters()]
    with pytest.raises(RuntimeError, match="backward found no cache"):
        layer.backward(dy_on_device)
    layer.forward(on_device)
    np.testing.assert_array_equal(to_host(layer.backward(dy_on_device)), to_host(dz))
    for array, before in ((on_device, z), (dy_on_device, dy), (y, kept)):
        np.testing.assert_array_equal(to_host(array), before)
    for grad, (_, _, twice) in zip(once, layer.parameters()):
        np.testing.assert_allclose(to_host(twice), 2 * grad, rtol=1e-12)
    layer(on_device)
    assert all(part.cache is None for _, part in layer.layers())


@pytest.mark.parametrize("name", LAYERS)
def test_replicas_share_parameters_alone(name):
    layer, z = make(name), to_device(inputs(name, 2, 4, 5))
    twin = layer.replica()
    y = layer.forward(z)
    np.testing.assert_array_equal(to_host(twin.forward(z[:, ::-1])), to_host(layer(z[:, ::-1])))
    twin.backward(y)
    for (_, param, grad), (_, shared, own) in zip(layer.parameters(), twin.parameters()):
        assert shared is param and not to_host(grad).any() and to_host(own).any()
    layer.backward(y)  # its own cache is still there
    whole = [to_host(grad).copy() for _, _, grad in layer.parameters()]
    layer.zero_grads()
    twin.zero_grads()
    for part, images in ((layer, slice(0, 1)), (twin, slice(1, 2))):
        part.forward(z[images])
        part.backward(y[images])
    layer.add_from(twin)
    for expected, (_, _, grad) in zip(whole, layer.parameters()):
        np.testing.assert_allclose(to_host(grad), expected, atol=1e-12)


# -- drawing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
@pytest.mark.parametrize("name", LAYERS)
def test_step_equals_forward_for_several_images_in_a_row(name, dtype, tolerance):
    layer = make(name, dtype)
    for seed, size in enumerate([(5, 4), (3, 7), (1, 1), (1, 4), (4, 1)]):  # each must remember nothing of those before
        z = inputs(name, 2, *size, seed=seed).astype(dtype)
        steps = references.steps_over_raster(layer, z)
        np.testing.assert_allclose(steps, to_host(layer(to_device(z))), rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", LAYERS)
def test_a_step_may_be_repeated_and_the_last_input_counts(name):
    layer, z = make(name), inputs(name, 2, 5, 4)
    wrong, wrong_too = inputs(name, 2, 5, 4, seed=8), inputs(name, 2, 5, 4, seed=9)
    whole = to_host(layer(to_device(z)))
    layer.start(2, 5, 4)
    drawn = np.empty((5, 4), dtype=object)
    for at in np.ndindex(5, 4):
        pixel = (slice(None), *at)
        layer.step(to_device(wrong[pixel]), at)
        layer.step(to_device(wrong_too[pixel]), at)
        drawn[at] = layer.step(to_device(z[pixel]), at)
    for at in np.ndindex(5, 4):  # only now: what was handed out must have stayed as it was
        np.testing.assert_allclose(to_host(drawn[at]), whole[(slice(None), *at)], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_what_was_seen_counts_like_a_step(name):
    layer, z, wrong = make(name), inputs(name, 2, 5, 4), inputs(name, 2, 5, 4, seed=9)
    whole = to_host(layer(to_device(z)))
    layer.start(2, 5, 4)
    for at in np.ndindex(5, 4):
        pixel = (slice(None), *at)
        if sum(at) % 2:
            layer.step(to_device(wrong[pixel]), at)
            layer.see(to_device(z[pixel]), at)
        else:
            np.testing.assert_allclose(to_host(layer.step(to_device(z[pixel]), at)), whole[pixel], rtol=0, atol=1e-12)


# -- causality ---------------------------------------------------------------------------------------------------------


def sees_sequence(up, right):
    return up > 0 or (up == 0 and right <= 0)


def sees_row(m):
    return lambda up, right: up >= 0 and abs(right) <= up * m


def sees_from_the_left(up, right):
    return up >= 0 and right <= 0


def sees_from_the_right(up, right):
    return up >= 1 and right >= 0


@pytest.mark.parametrize("name, sees", [
    ("sequence", [sees_sequence]), ("row", [sees_row(1)]), ("row, 5 taps", [sees_row(2)]),
    ("row, 1 tap", [sees_row(0)]), ("diagonal", [sees_from_the_left]),
    ("both diagonals", [sees_from_the_left, sees_from_the_right])])
@pytest.mark.parametrize("at", [(3, 2), (0, 0), (4, 5), (0, 5)])
def test_causality_by_gradient(name, sees, at):
    """d y(at) / d Z is exactly 0 where a pixel must not be seen, and isn't where it must; for each direction's Z."""
    seen = gradient_of_a_pixel(make(name), inputs(name, 2, 5, 6), at)
    for part, sees_part in zip(np.split(seen, len(sees), axis=-1), sees):
        expected = [[sees_part(at[0] - r, c - at[1]) for c in range(6)] for r in range(5)]
        np.testing.assert_array_equal(part > 0, np.repeat(np.array(expected)[..., None], part.shape[-1], axis=-1))


def test_without_the_move_down_the_right_direction_would_leak(monkeypatch):
    """The negative control: pixels that are still to come would be seen."""
    for move in ("move_down", "move_up"):
        monkeypatch.setattr(diagonal_lstm, move, lambda x: x)
    seen = gradient_of_a_pixel(make("both diagonals"), inputs("both diagonals", 2, 5, 6), (3, 2))
    assert (seen[3, 3:, 4 * HIDDEN:] > 0).all() and not seen[3, 3:, :4 * HIDDEN].any()


def test_the_right_direction_is_the_mirrored_left_direction():
    layer, z = make("both diagonals"), inputs("both diagonals", 2, 5, 6)
    z_left, z_right = z[..., :4 * HIDDEN], z[..., 4 * HIDDEN:]
    y, left = to_host(layer(to_device(z))), to_host(layer.left(to_device(z_left)))
    for name, param in layer.left.params.items():
        param[...] = layer.right.params[name]
    mirrored = to_host(layer.left(to_device(z_right[:, :, ::-1].copy())))[:, :, ::-1]
    expected = plain.diagonal_from_the_right(z_right, *parameters(layer.right))
    np.testing.assert_allclose(mirrored, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(y[:, 1:] - left[:, 1:], mirrored[:, :-1], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(y[:, 0], left[:, 0])


def test_without_weights_the_row_lstm_reads_its_own_column_and_without_forget_gate_its_own_pixel():
    layer, z = make("row"), inputs("row", 2, 5, 6)
    layer.params["w"][...] = 0
    seen = gradient_of_a_pixel(layer, z, (3, 2)).any(axis=-1)
    assert seen[:4, 2].all() and seen.sum() == 4
    z[..., HIDDEN:2 * HIDDEN] = -800  # sigmoid(-800) is 0 to the last bit
    seen = gradient_of_a_pixel(layer, z, (3, 2)).any(axis=-1)
    assert seen[3, 2] and seen.sum() == 1


# -- truncation --------------------------------------------------------------------------------------------------------


def test_truncation_changes_no_output_and_stops_the_gradient():
    layer, cut = make("sequence"), make("sequence")
    cut.truncate = 4
    z = inputs("sequence", 2, 3, 5)
    np.testing.assert_array_equal(to_host(cut(to_device(z))), to_host(layer(to_device(z))))
    for n in (0, 3, 4, 9, 14):
        seen = gradient_of_a_pixel(cut, z, divmod(n, 5)).reshape(15, -1)
        assert (seen[n - n % 4:n + 1] > 0).all()
        assert not seen[:n - n % 4].any() and not seen[n + 1:].any()


def test_truncated_gradients_are_those_of_pieces_that_begin_with_constant_states():
    cut, z = make("sequence"), inputs("sequence", 1, 3, 5)  # one image, so that a state can stand for h0
    cut.truncate = 4
    w, h, c = parameters(cut)
    dy = np.random.default_rng(3).standard_normal((1, 3, 5, HIDDEN))
    cut.forward(to_device(z))
    dz = to_host(cut.backward(to_device(dy))).reshape(15, -1)
    pieces_dw = 0
    for begin in range(0, 15, 4):
        piece = make("sequence")
        piece.params["h0"][...], piece.params["c0"][...] = to_device(h), to_device(c)
        steps = slice(begin, begin + 4)
        z_piece, dy_piece = z.reshape(1, 1, 15, -1)[:, :, steps], dy.reshape(1, 1, 15, -1)[:, :, steps]
        piece.forward(to_device(z_piece))
        dz_piece = to_host(piece.backward(to_device(dy_piece)))
        np.testing.assert_allclose(dz_piece[0, 0], dz[steps], rtol=0, atol=1e-12)
        pieces_dw = pieces_dw + to_host(piece.grads["w"])
        if begin == 0:
            for name in ("h0", "c0"):
                np.testing.assert_allclose(to_host(cut.grads[name]), to_host(piece.grads[name]), rtol=0, atol=1e-12)
        for z_step in z_piece[0, 0]:
            h, c = plain.cell(z_step + h @ w[0], c)
    np.testing.assert_allclose(to_host(cut.grads["w"]), pieces_dw, rtol=0, atol=1e-12)


def test_truncation_at_the_length_of_the_sequence_truncates_nothing():
    layer, cut, z = make("sequence"), make("sequence"), to_device(inputs("sequence", 2, 3, 4))
    cut.truncate = 12
    y = layer.forward(z)
    cut.forward(z)
    np.testing.assert_array_equal(to_host(cut.backward(y)), to_host(layer.backward(y)))


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make_layer", [RowRecurrence, DiagonalRecurrence, DiagonalBiRecurrence, SequenceRecurrence])
@pytest.mark.parametrize("hidden", [0, -1, 2.5])
def test_hidden_below_one_is_refused(make_layer, hidden):
    with pytest.raises(ValueError, match=f"{make_layer.__name__}: channel counts .* at least 1, got {hidden}"):
        make_layer(hidden)


@pytest.mark.parametrize("kernel_size", [0, 2, 4, -3, 3.0])
def test_kernels_without_a_centre_are_refused(kernel_size):
    with pytest.raises(ValueError, match=f"RowRecurrence: kernel_size must be odd.*got {kernel_size}"):
        RowRecurrence(4, kernel_size)


@pytest.mark.parametrize("truncate", [0, -1, 2.5])
def test_truncation_below_one_step_is_refused(truncate):
    with pytest.raises(ValueError, match=f"SequenceRecurrence: truncate is.*got {truncate}"):
        SequenceRecurrence(4, truncate=truncate)


@pytest.mark.parametrize("name", LAYERS)
def test_wrong_channel_count_is_refused(name):
    layer, expected = LAYERS[name](), (8 if name == "both diagonals" else 4) * HIDDEN
    for call in (layer, layer.forward):
        with pytest.raises(ValueError, match=f"{type(layer).__name__}: expected {expected} channels .*, got .*7"):
            call(xp.zeros((2, 4, 5, 7), dtype=xp.float32))
