"""Gated PixelCNN: gates, shifted convolutions, conditions, no blind spot, published counts,
and the two ways to get the shift wrong.
"""

import copy
import itertools
import math

import numpy as np
import pytest

import references
from family import GATED, TUTORIAL, make, random_images
from tinyar import gradcheck
from tinyar.backend import to_device, to_host, xp
from tinyar.conditions import told
from tinyar.layer import Layer
from tinyar.layers import ELU, Conditional, Gate, GatedBlock, MaskedConv2d, ShiftedConv2d
from tinyar.layers.shape import move_down, move_up
from tinyar.models import GatedPixelCNN
from tinyar.models.gated_pixelcnn import TwoStreams
from tinyar.pictures.receptive_fields import earlier_pixels, receptive_field


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


# -- layers ------------------------------------------------------------------------------------------------------------

def test_gate_and_elu_are_their_formulas():
    x = normal(2, 3, 4, 6) * 3
    a, b = x[..., :3], x[..., 3:]
    np.testing.assert_allclose(to_host(Gate()(to_device(x))), np.tanh(a) / (1 + np.exp(-b)), rtol=1e-12)
    np.testing.assert_allclose(to_host(ELU()(to_device(x))), np.where(x > 0, x, np.exp(x) - 1), rtol=1e-12)
    assert not to_host(Gate()(xp.zeros((1, 4)))).any()
    large = to_host(Gate()(to_device(np.array([[1e4, -1e4, 1e4, -1e4]]))))  # no overflow
    assert large.tolist() == [[1, 0]] and np.isfinite(to_host(ELU()(to_device(np.array([-1e4, 1e4]))))).all()
    with pytest.raises(ValueError, match="even number of channels"):
        Gate()(xp.zeros((1, 3)))


def shifted_conv(x, w, b, rows, columns):
    """The plain loops: y[n, r, c] = b + the sum over taps inside the image of x[n, r + i, c + j] w[i, j]."""
    y = np.zeros((*x.shape[:3], w.shape[3])) + b
    for n, r, c in np.ndindex(x.shape[:3]):
        for (p, i), (q, j) in itertools.product(enumerate(rows), enumerate(columns)):
            if 0 <= r + i < x.shape[1] and 0 <= c + j < x.shape[2]:
                y[n, r, c] += x[n, r + i, c + j] @ w[p, q]
    return y


@pytest.mark.parametrize("rows, columns", [
    ((-1, 0), (-1, 0, 1)), ((-4, -2, 0), (-4, -2, 0, 2, 4)), ((0,), (-2, -1)), ((0,), (-3, 0)),
    ((-2, -1), (-1, 0, 1)), ((0,), (0,)), ((-2,), (1, 2))])
@pytest.mark.parametrize("height, width", [(5, 6), (1, 3), (4, 1)])
def test_shifted_convolution_equals_plain_loops_by_image_row_and_pixel(rows, columns, height, width):
    layer = gradcheck.shake(ShiftedConv2d(3, 4, rows, columns, rng=np.random.default_rng(0)).astype(xp.float64))
    x = normal(2, height, width, 3)
    expected = shifted_conv(x, to_host(layer.params["w"]), to_host(layer.params["b"]), rows, columns)
    np.testing.assert_allclose(to_host(layer(to_device(x))), expected, atol=1e-12)
    layer.start(2, height, width)
    for row in range(height):
        layer.see_row(to_device(x[:, row]), row)
        np.testing.assert_allclose(to_host(layer.output_row(row)), expected[:, row], atol=1e-12)
    if rows[-1] < 0 or columns[-1] <= 0:
        np.testing.assert_allclose(references.steps_over_raster(layer, x), expected, atol=1e-12)
    else:
        with pytest.raises(TypeError, match="row by row"):
            references.steps_over_raster(layer, x)


@pytest.mark.parametrize("rows, columns, message", [
    ((-1, 1), (0,), "rows below the pixel"), ((0,), (), "columns: expected offsets"),
    ((-3, -1, 0), (0,), "equal steps"), ((0,), (1, 0), "increase"), ((0,), (0, 0), "increase")])
def test_offsets_that_do_not_fit_are_refused(rows, columns, message):
    with pytest.raises(ValueError, match=message):
        ShiftedConv2d(1, 1, rows, columns)


def test_wrong_channels_are_refused():
    with pytest.raises(ValueError, match=r"expected images \(batch, height, width, 3\)"):
        ShiftedConv2d(3, 4, (0,), (0,))(xp.zeros((1, 2, 2, 4)))
    for size in (1, 2, 4):
        with pytest.raises(ValueError, match="odd and at least 3"):
            GatedPixelCNN(kernel_size=size)
        with pytest.raises(ValueError, match="odd and at least 3"):
            GatedPixelCNN(first="plain", first_kernel=size)
    with pytest.raises(ValueError, match="equal parts"):
        MaskedConv2d(3, 7, 1, "A", colors=3, parts=2)


def test_moving_down_and_up_are_adjoint():
    x, y = normal(2, 4, 3, 2), normal(2, 4, 3, 2, seed=1)
    down = to_host(move_down(to_device(x)))
    assert not down[:, 0].any() and (down[:, 1:] == x[:, :-1]).all()
    assert (down * y).sum() == pytest.approx((x * to_host(move_up(to_device(y)))).sum(), abs=1e-12)


class Streams(Layer):
    """A block as a layer of one input and output, v and h side by side, for the gradient check."""

    def __init__(self, block, channels):
        super().__init__()
        self.block, self.channels = block, channels

    def forward(self, x):
        v, h = self.block.forward(x[..., :self.channels].copy(), x[..., self.channels:].copy())
        return h if v is None else xp.concatenate([v, h], axis=-1)

    def backward(self, dy):
        half = self.block.channels
        dv, dh = (None, dy) if self.block.last else (dy[..., :half], dy[..., half:])
        return xp.concatenate(self.block.backward(dv, dh), axis=-1)


@pytest.mark.parametrize("options", [
    dict(), dict(residual=False, mask_type="A", kernel_size=5), dict(shift=False, dilation=2), dict(last=True),
    dict(kernel_size=7), dict(colors=3), dict(colors=3, mask_type="A", residual=False)])
def test_gradients_of_a_block(options):
    block = GatedBlock(4, 4, **{"kernel_size": 3, "condition_channels": 2, "rng": np.random.default_rng(0), **options})
    layer = gradcheck.shake(Streams(block, 4).astype(xp.float64))
    with told(layer, normal(2, 5, 6, 2)):
        worst = max(gradcheck.check(layer, normal(2, 5, 6, 8)), key=lambda comparison: comparison.relative_error)
    assert worst.relative_error < 1e-6, worst


@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (2, 4, 5, 3), (2, 4, 1, 3)])
def test_gradient_of_the_condition_in_a_layer(shape):
    layer, c, x, dy = (gradcheck.shake(Conditional(3, 4).astype(xp.float64)), normal(*shape),
                       normal(2, 4, 5, 4), normal(2, 4, 5, 4, seed=1))
    v = to_host(layer.params["v"])
    with told(layer, c):
        np.testing.assert_allclose(to_host(layer.forward(to_device(x))), x + c @ v, atol=1e-12)
    np.testing.assert_array_equal(to_host(layer(to_device(x))), x)  # gone after the batch
    np.testing.assert_array_equal(to_host(layer.backward(to_device(dy))), dy)
    full = np.broadcast_to(c, (2, 4, 5, 3))
    np.testing.assert_allclose(to_host(layer.grads["v"]), np.einsum("nrci,nrco->io", full, dy), atol=1e-12)
    dc = np.einsum("nrco,io->nrci", dy, v)
    alike = tuple(axis for axis in (1, 2) if shape[axis] == 1)
    np.testing.assert_allclose(to_host(layer.dcondition), dc.sum(axis=alike, keepdims=True), atol=1e-12)
    layer.forward(to_device(x))
    layer.backward(to_device(dy))
    assert layer.dcondition is None  # that of an earlier batch doesn't stay
    with pytest.raises(ValueError, match=r"expected 3 channels in the condition's last axis, got shape \(2, 1, 1, 4\)"):
        layer.tell(normal(2, 1, 1, 4))


def test_the_vertical_stream_learns_from_the_horizontal_one_by_the_link_alone():
    model = make("Gated")
    for block in model.net.links[0].blocks:
        block.link.params["w"][...] = 0
    x = to_device(random_images(model, 2, 5, 6))
    model.backward(xp.ones_like(model.forward(x)) * xp.arange(3))
    for name, _, grad in model.parameters():
        assert ("vertical" in name) == (not to_host(grad).any()), name


# -- what is seen ------------------------------------------------------------------------------------------------------

def net_before_the_head(model):
    return model.net.links[0]


@pytest.mark.parametrize("options, up, reach", [
    (GATED, 6, 5), ({**GATED, "first_kernel": 3, "dilations": (1,)}, 3, 2),
    ({**GATED, "kernel_size": 5, "dilations": (1,)}, 5, 4), (TUTORIAL, 4, 4)])
def test_no_blind_spot(options, up, reach):
    """Seen is exactly what lies within reach:
    rows above at full width (one more with the move down), and the own row to the left.
    """
    model = gradcheck.shake(GatedPixelCNN(levels=2, **options))
    height, width = 7, 8
    for at in [(0, 0), (0, 7), (3, 3), (6, 0), (6, 7)]:
        seen = receptive_field(model, height, width, at) > 0
        rows, cols = np.indices((height, width))
        above, right = at[0] - rows, cols - at[1]
        np.testing.assert_array_equal(seen, earlier_pixels(height, width, at) & (above <= up) & (abs(right) <= reach))


def test_every_earlier_pixel_is_seen_once_the_depth_allows_it():
    model, size = gradcheck.shake(GatedPixelCNN(levels=2, **{**GATED, "first_kernel": 7, "dilations": (1, 1, 1)})), 7
    for at in np.ndindex(size, size):
        seen = receptive_field(model, size, size, at) > 0
        np.testing.assert_array_equal(seen, earlier_pixels(size, size, at))


def test_receptive_field_of_the_tutorial():
    """13 rows up, 13 columns to either side, and 13 pixels to the left: 364 pixels at (14, 14), as the sheet says."""
    model = GatedPixelCNN.published("tutorial", levels=2, channels=4)
    seen = receptive_field(net_before_the_head(model), 28, 28, (14, 14)) > 0
    expected = np.zeros((28, 28), dtype=bool)
    expected[1:14, 1:28] = True
    expected[14, 1:14] = True
    np.testing.assert_array_equal(seen, expected)
    assert seen.sum() == 364


def test_the_vertical_stream_knows_its_own_row_and_none_below():
    streams = net_before_the_head(make("Gated"))
    x = to_device(normal(1, 5, 6, 1))
    first, at = streams.blocks[0], (2, 3)
    before = to_host(first(x, x)[0])
    for row, col in np.ndindex(5, 6):
        changed = x.copy()
        changed[0, row, col] += 1
        assert ((to_host(first(changed, changed)[0]) != before)[0, at[0], at[1]].any()
                == (row <= 2 and abs(col - 3) <= 2 and row >= 0))


def sums_to_one(model):
    images = references.all_images(3, 3, 1, 2)
    nats = to_host(model.likelihood.nats(model(to_device(images)), images)).sum(axis=(1, 2, 3))
    return abs(math.fsum(np.exp(-nats)) - 1) < 1e-9


def test_without_the_shift_the_row_leaks():
    """The first mistake, a negative control: the probabilities no longer sum to 1."""
    model = gradcheck.shake(GatedPixelCNN(levels=2, **GATED).astype(xp.float64))
    assert sums_to_one(model)
    for block in net_before_the_head(model).blocks:
        block.shift = False
    assert not sums_to_one(model)


def test_with_both_shift_and_mask_the_row_above_is_lost():
    """The second mistake: still causal, but no output sees what is right above it to the right."""
    model = gradcheck.shake(GatedPixelCNN(levels=2, **TUTORIAL))
    assert receptive_field(model, 5, 5, (3, 2))[2, 3] > 0
    for block in net_before_the_head(model).blocks[1:]:
        block.shift = True
    assert receptive_field(model, 5, 5, (3, 2))[2, 3] == 0


def test_shift_and_masked_first_row_are_the_same_without_biases():
    moved = net_before_the_head(GatedPixelCNN(levels=2, **GATED).astype(xp.float64))
    masked = TwoStreams(copy.deepcopy(moved.blocks), shift=False)
    first = moved.blocks[0].vertical
    masked.blocks[0].vertical = ShiftedConv2d(first.in_channels, first.out_channels, [row - 1 for row in first.rows],
                                              first.columns).astype(xp.float64)
    masked.blocks[0].vertical.params = copy.deepcopy(first.params)
    for block in masked.blocks:
        block.shift = False
    x = to_device(normal(2, 6, 5, 1))
    np.testing.assert_allclose(to_host(moved(x)), to_host(masked(x)), atol=1e-14)
    for streams in (moved, masked):
        gradcheck.shake(streams)
    assert abs(to_host(moved(x)) - to_host(masked(x))).max() > 1e-3


def test_colours_dealt_out_over_both_halves_of_the_gate_would_leak():
    """A negative control: the colours' channels have to be dealt out within each half."""
    def changes(parts):
        conv = gradcheck.shake(MaskedConv2d(3, 12, 1, "A", colors=3, rng=np.random.default_rng(0), parts=parts))
        x = to_device(normal(1, 1, 1, 3))
        red = x.copy()
        red[..., 0] += 1
        return to_host(Gate()(conv(red)) != Gate()(conv(x)))[0, 0, 0]  # which of the 6 channels see red
    assert changes(parts=2).tolist() == [False, False, True, True, True, True]
    assert changes(parts=1)[0]


# -- the published models ----------------------------------------------------------------------------------------------

def stored_parameters(model):
    """Counted as in the tutorial's code, where square kernels are stored with their dead taps."""
    dead = 0
    for _, layer in model.layers():
        if isinstance(layer, ShiftedConv2d):
            taps = 9 if len(layer.columns) > 2 else 3  # 3x3 in the vertical stream, 1x3 in the horizontal one
            dead += (taps - len(layer.rows) * len(layer.columns)) * layer.in_channels * layer.out_channels
    return model.count_parameters() + dead


@pytest.mark.parametrize("name, changes, live", [
    ("small", {}, 634_434), ("small", dict(levels=256), 650_944), ("tutorial", {}, 622_272)])
def test_published_parameter_counts(name, changes, live):
    model = GatedPixelCNN.published(name, **changes)
    assert model.count_parameters() == live
    if name == "tutorial":
        assert stored_parameters(model) == 852_160


def test_options_may_be_any_numbers_one_after_the_other():
    model = GatedPixelCNN(dilations=range(1, 3), head=np.array([8]), channels=4)
    assert model.config["dilations"] == [1, 2] and model.config["head"] == [8]
    again = GatedPixelCNN(**model.config)
    assert [name for name, _ in again.arrays()] == [name for name, _ in model.arrays()]
    with pytest.raises(ValueError, match="dilations: expected a list .*, got <map"):  # gone after one look
        GatedPixelCNN(dilations=map(int, [1, 2]))


def test_parameter_counts_of_single_layers():
    assert GatedBlock(64, 64, 3).count_parameters() == 86_464
    assert GatedBlock(1, 64, 7, "A", residual=False).count_parameters() == 24_896
    assert GatedBlock(384, 384, 5).count_parameters() == 6_048_384
    added = GatedBlock(64, 64, 3, condition_channels=10).count_parameters() - 86_464
    assert added == 4 * 64 * 10


@pytest.mark.parametrize("options, message", [
    (dict(first="masked"), "'gated' or 'plain'"), (dict(activation="tanh"), "'relu' or 'elu'"),
    (dict(dilations=(0,)), "dilations"), (dict(dilations=(1.5,)), "dilations"), (dict(dilations=2), "dilations"),
    (dict(head=64), "head: expected a list"), (dict(head=np.array([8, 0])), "head"),
    (dict(dilations=(1, 256)), "dilations: expected at most 255, got 256"),
    (dict(first="plain", dilations=()), "dilations"), (dict(levels=1), "2 to 256"),
    (dict(channels=0), "channel counts"), (dict(image_channels=3, channels=2), "dealt out"),
    (dict(one_hot=True, image_channels=3), "one_hot"),
])
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GatedPixelCNN(**options)
