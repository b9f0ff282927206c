"""The layers: against their plain-loops definitions, step against forward, and the contract of DESIGN's every layer."""

import numpy as np
import pytest

import references
from tinyar.backend import to_device, to_host, xp
from tinyar.layer import Layer
from tinyar.layers.combine import Chain, Residual
from tinyar.layers import ColorLinear, GatedBlock, LayerNorm, Linear, MaskedConv2d, ReLU
from tinyar.layers.colors import group_slices
from tinyar.layers.columns import expand_taps, maps_of_taps


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def small_chain(colors=1):
    rng = np.random.default_rng(3)
    body = Chain(ReLU(), MaskedConv2d(9, 9, 3, "B", colors, rng), ReLU(), MaskedConv2d(9, 9, 1, "B", colors, rng))
    return Chain(MaskedConv2d(3, 9, 5, "A", colors, rng), LayerNorm(9, colors), Residual(body))


def test_an_array_of_the_caller_s_is_not_the_parameter():
    class Own(Layer):
        def __init__(self, w):
            super().__init__()
            self.add_param("w", w)
    w = np.ones(3, dtype=np.float32)
    layer = Own(w)
    layer.params["w"] += 1
    assert (w == 1).all()
    Own(np.broadcast_to(np.float32(1), (4,))).params["w"][...] = 2  # read-only, as it comes


LAYERS = {
    "linear": lambda: Linear(3, 4, np.random.default_rng(0)),
    "relu": lambda: ReLU(),
    "norm": lambda: LayerNorm(3),
    "A 3x3": lambda: MaskedConv2d(3, 4, 3, "A", rng=np.random.default_rng(0)),
    "B 1x1": lambda: MaskedConv2d(3, 4, 1, "B", rng=np.random.default_rng(0)),
    "B 5x5": lambda: MaskedConv2d(3, 4, 5, "B", rng=np.random.default_rng(0)),
    "A 7x7": lambda: MaskedConv2d(3, 4, 7, "A", rng=np.random.default_rng(0)),
    "A 3x3 colours": lambda: MaskedConv2d(3, 7, 3, "A", colors=3, rng=np.random.default_rng(0)),
    "B 5x5 colours": lambda: MaskedConv2d(3, 7, 5, "B", colors=3, rng=np.random.default_rng(0)),
    "chain": lambda: small_chain(),
    "chain colours": lambda: small_chain(colors=3),
}
CONVOLUTIONS = [(size, mask, colors) for size in (1, 3, 5, 7) for mask in "AB" for colors in (1, 3)]


@pytest.mark.parametrize("size, mask, colors", CONVOLUTIONS)
@pytest.mark.parametrize("height, width", [(5, 6), (1, 3), (4, 1)])
def test_convolution_equals_its_loops(size, mask, colors, height, width):
    layer = MaskedConv2d(4, 5, size, mask, colors, np.random.default_rng(1)).astype(xp.float64)
    layer.params["b"] += to_device(normal(5))
    x, dy = normal(2, height, width, 4), normal(2, height, width, 5, seed=1)
    kernel, b = to_host(layer.dense_kernel()), to_host(layer.params["b"])
    np.testing.assert_allclose(to_host(layer.forward(to_device(x))), references.masked_conv(x, kernel, b), atol=1e-12)
    np.testing.assert_allclose(to_host(layer(to_device(x))), references.masked_conv(x, kernel, b), atol=1e-12)

    dx = layer.backward(to_device(dy))
    expected_dx, dkernel, db = references.masked_conv_backward(x, kernel, dy)
    np.testing.assert_allclose(to_host(dx), expected_dx, atol=1e-12)
    np.testing.assert_allclose(to_host(layer.grads["b"]), db, atol=1e-12)
    for name, grad in layer.grads.items():  # the dense kernel of the gradients must be dkernel at all live taps
        layer.params[name] = grad
    if layer.centre:
        layer.centre.params = layer.centre.grads
    expected = dkernel * references.live(size, mask, colors, 4, 5)
    np.testing.assert_allclose(to_host(layer.dense_kernel()), expected, atol=1e-12)


@pytest.mark.parametrize("segments", [
    [(0, (-1, 0))], [(-2, (-1, 0, 1)), (-1, (-1, 0, 1)), (0, (-1,))], [(-2, (-2, 0, 2)), (0, (-2, 0))],
    [(0, (0, 1, 2)), (1, (-1, 0, 1)), (3, (-1, 0))], [(1, (1,))]])
@pytest.mark.parametrize("channels, dtype", [(1, "float32"), (4, "float32"), (6, "float32"), (6, "float64")])
def test_taps_side_by_side_are_the_moved_images(segments, channels, dtype):
    """Both ways to lay them out; 16 bytes are moved at a time where the channels make so many."""
    x = normal(2, 4, 5, channels).astype(dtype)
    expected = []
    for r, c in np.ndindex(4, 5):
        taps = [(r + i, c + j) for i, columns in segments for j in columns]
        expected.append([x[:, u, v] if 0 <= u < 4 and 0 <= v < 5 else 0 * x[:, 0, 0] for u, v in taps])
    expected = np.array(expected).transpose(2, 0, 1, 3).reshape(2, 20, -1)  # (batch, pixels, taps * channels)
    rows, maps = expand_taps(to_device(x), segments), maps_of_taps(to_device(x), segments)
    assert rows.dtype == maps.dtype == dtype
    np.testing.assert_array_equal(to_host(rows).reshape(expected.shape), expected)
    np.testing.assert_array_equal(to_host(maps)[:, :-1].swapaxes(1, 2), expected)
    assert (to_host(maps)[:, -1] == 1).all()


@pytest.mark.parametrize("size, mask, colors", CONVOLUTIONS)
def test_no_masked_weight_exists(size, mask, colors):
    layer = MaskedConv2d(4, 5, size, mask, colors)
    assert layer.count_parameters() == references.live(size, mask, colors, 4, 5).sum() + 5
    for _, param, _ in layer.parameters():
        param[...] = 1
    np.testing.assert_array_equal(to_host(layer.dense_kernel()), references.live(size, mask, colors, 4, 5))


def test_published_tap_and_centre_counts():
    for size, taps_a in ((1, 0), (3, 4), (5, 12), (7, 24), (9, 40)):
        assert MaskedConv2d(1, 1, size, "A").count_parameters() == taps_a + 1
        assert MaskedConv2d(1, 1, size, "B").count_parameters() == taps_a + 2
    sizes = {64: [22, 21, 21], 32: [11, 11, 10], 128: [43, 43, 42],
             256: [86, 85, 85], 1024: [342, 341, 341], 5: [2, 2, 1]}
    for channels, expected in sizes.items():
        groups = group_slices(channels, 3)
        assert [group.stop - group.start for group in groups] == expected
        assert [c for group in groups for c in range(channels)[group]] == list(range(channels))
        assert all(j == 3 * k // channels for j, group in enumerate(groups) for k in range(channels)[group])

    def centre(inputs, outputs, mask):
        return MaskedConv2d(inputs, outputs, 3, mask, colors=3).centre.count_parameters()
    assert centre(3, 64, "A") == 63 and centre(64, 64, "B") == 2731
    assert centre(3, 120, "A") == 120 and centre(120, 120, "B") == 9600
    assert MaskedConv2d(3, 64, 7, "A", colors=3).count_parameters() - 64 == 4671
    assert MaskedConv2d(64, 64, 7, "B", colors=3).count_parameters() - 64 == 101_035


def test_weights_start_with_the_fan_in_of_the_live_taps():
    kernel = to_host(MaskedConv2d(64, 64, 7, "B", rng=np.random.default_rng(0)).params["w"])
    assert kernel.std() == pytest.approx((2 / (25 * 64)) ** 0.5, rel=0.03)
    w = to_host(Linear(300, 400, np.random.default_rng(0)).params["w"])
    assert w.std() == pytest.approx((2 / 300) ** 0.5, rel=0.03)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("float64", 1e-12)])
def test_step_equals_forward_for_two_images_in_a_row(name, dtype, tolerance):
    layer = LAYERS[name]().astype(dtype)
    for seed, (height, width) in enumerate([(7, 5), (4, 9)]):  # the second must remember nothing of the first
        x = normal(2, height, width, 3, seed=seed).astype(dtype)
        whole = to_host(layer(to_device(x)))
        assert whole.dtype == dtype
        np.testing.assert_allclose(references.steps_over_raster(layer, x), whole, atol=tolerance)


@pytest.mark.parametrize("name", ["A 3x3 colours", "A 7x7", "chain", "chain colours"])
def test_a_step_may_be_repeated_and_the_last_input_counts(name):
    """As in drawing: step with a wrong pixel first, let the layer see the right one,
    and later steps only know the right one.
    """
    layer, x, wrong = LAYERS[name]().astype(xp.float64), normal(2, 4, 5, 3), normal(2, 4, 5, 3, seed=9)
    whole = to_host(layer(to_device(x)))
    layer.start(2, 4, 5)
    for r, c in np.ndindex(4, 5):
        layer.step(to_device(wrong[:, r, c]), (r, c))
        right = layer.step(to_device(x[:, r, c]), (r, c))
        np.testing.assert_allclose(to_host(right), whole[:, r, c], atol=1e-12)
        layer.see(to_device(x[:, r, c]), (r, c))


@pytest.mark.parametrize("name", LAYERS)
def test_forward_is_the_inference_call_and_keeps_its_input(name):
    layer, x = LAYERS[name](), normal(2, 4, 5, 3).astype("float32")
    on_device = to_device(x.copy())
    inference = to_host(layer(on_device))
    assert all(part.cache is None for _, part in layer.layers())
    np.testing.assert_array_equal(to_host(layer.forward(on_device)), inference)
    np.testing.assert_array_equal(to_host(on_device), x)


@pytest.mark.parametrize("name", LAYERS)
def test_backward_adds_up_uses_the_cache_up_and_writes_into_nothing(name):
    layer, x = LAYERS[name]().astype(xp.float64), to_device(normal(2, 4, 5, 3))
    dy = normal(*layer.forward(x).shape, seed=2)
    on_device = to_device(dy.copy())
    dx = layer.backward(on_device)
    assert dx.shape == x.shape
    once = [to_host(grad).copy() for _, _, grad in layer.parameters()]
    assert all(np.abs(grad).max() > 0 for grad in once)
    with pytest.raises(RuntimeError, match="backward found no cache"):
        layer.backward(on_device)
    layer.forward(x)
    np.testing.assert_array_equal(to_host(layer.backward(on_device)), to_host(dx))
    np.testing.assert_array_equal(to_host(on_device), dy)
    for grad, (_, _, twice) in zip(once, layer.parameters()):
        np.testing.assert_allclose(to_host(twice), 2 * grad, rtol=1e-12)
    layer.zero_grads()
    assert all(not to_host(grad).any() for _, _, grad in layer.parameters())


@pytest.mark.parametrize("name", ["linear", "A 7x7", "B 5x5 colours", "chain", "chain colours"])
def test_leaving_out_dx_changes_no_gradient(name):
    layer, x = LAYERS[name]().astype(xp.float64), to_device(normal(2, 4, 5, 3))
    dy = to_device(normal(*layer.forward(x).shape, seed=2))
    layer.backward(dy)
    whole = [to_host(grad).copy() for _, _, grad in layer.parameters()]
    layer.zero_grads()
    layer.forward(x)
    assert layer.backward(dy, need_dx=False) is None
    for grad, (_, _, without) in zip(whole, layer.parameters()):
        np.testing.assert_allclose(to_host(without), grad, atol=1e-12)


def test_names_replicas_and_casts():
    layer = small_chain()
    names = [name for name, _, _ in layer.parameters()]
    assert names == ["links.0.w", "links.0.b", "links.1.gamma", "links.1.beta",
                     "links.2.body.links.1.w", "links.2.body.links.1.b",
                     "links.2.body.links.3.w", "links.2.body.links.3.b"]
    twin = layer.replica()
    for (_, param, grad), (_, shared, own) in zip(layer.parameters(), twin.parameters()):
        assert shared is param and own is not grad and own.shape == grad.shape
    x = to_device(normal(2, 4, 5, 3).astype("float32"))
    twin.backward(twin.forward(x))
    assert all(not to_host(grad).any() for _, _, grad in layer.parameters())
    twin.astype(xp.float64)
    assert layer.dtype == xp.float32 and twin.dtype == xp.float64
    assert twin.grads.keys() == twin.params.keys() and next(twin.parameters())[2].dtype == xp.float64


def test_layer_norm_is_of_one_pixel_and_its_channels():
    layer, x = LayerNorm(6).astype(xp.float64), normal(2, 3, 4, 6)
    y = to_host(layer(to_device(x)))
    variance = x.var(axis=-1)
    np.testing.assert_allclose(y.mean(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(y.var(axis=-1), variance / (variance + 1e-5), rtol=1e-12)
    moved = x.copy()
    moved[1, 2, 3] += 7
    np.testing.assert_allclose(to_host(layer(to_device(moved))), y, atol=1e-12)
    moved[1, 2, 3] = normal(6, seed=5)
    changed = (to_host(layer(to_device(moved))) != y).any(axis=-1)
    assert changed.sum() == 1 and changed[1, 2, 3]
    layer.forward(to_device(x))
    dx = to_host(layer.backward(to_device(normal(2, 3, 4, 6, seed=1))))
    np.testing.assert_allclose(dx.sum(axis=-1), 0, atol=1e-12)


def test_layer_norm_of_colours_normalises_each_group():
    y = to_host(LayerNorm(9, colors=3).astype(xp.float64)(to_device(normal(4, 9))))
    for group in group_slices(9, 3):
        np.testing.assert_allclose(y[:, group].mean(axis=-1), 0, atol=1e-12)


def test_a_layer_without_a_step_says_its_name():
    class Mean(Layer):
        pass
    with pytest.raises(TypeError, match="Mean isn't causal"):
        Mean().step(None, (0, 0))
    with pytest.raises(TypeError, match="Mean isn't causal"):
        Chain(Mean()).see(None, (0, 0))


@pytest.mark.parametrize("arguments, message", [
    ((1, 2, 4, "A"), "kernel_size must be odd.*got 4"), ((1, 2, 0, "A"), "odd"), ((1, 2, 3.0, "A"), "odd"),
    ((1, 2, 3, "C"), "mask_type is 'A'.*got 'C'"), ((1, 2, 3, "a"), "mask_type"), ((1, 2, 3, "B", 0), "colors"),
    ((0, 2, 3, "A"), "channel counts"), ((1, 2.5, 3, "A"), "channel counts"),
    ((2, 4, 3, "A", 3), "2 channels can't be dealt out"),
])
def test_convolution_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskedConv2d(*arguments)


@pytest.mark.parametrize("layer, message", [
    (Linear(3, 2), "Linear: expected 3 channels.*4"), (LayerNorm(3), "LayerNorm: expected 3 channels.*4"),
    (MaskedConv2d(3, 2, 3, "B"),
     r"MaskedConv2d: expected images \(batch, height, width, 3\), got shape \(2, 5, 5, 4\)")])
def test_wrong_channel_count_is_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        layer(xp.zeros((2, 5, 5, 4), dtype=xp.float32))


def test_masks_of_another_name_are_refused():
    with pytest.raises(ValueError, match="ColorLinear: mask_type is 'A' .*, got 'b'"):
        ColorLinear(3, 3, 3, "b")
    with pytest.raises(ValueError, match="ColorLinear: 3 output channels can't be cut into 0"):
        ColorLinear(3, 3, 3, parts=0)
    for colors in (1, 3):
        with pytest.raises(ValueError, match="mask_type is 'A' .*, got 'b'"):
            GatedBlock(3, 3, 3, "b", colors=colors)
