"""Strided and transposed convolution: against their loops, each other, known numbers, and the contract of a layer."""

import numpy as np
import pytest

import references_vqvae as references
from tinyar import gradcheck
from tinyar.backend import to_device, to_host, xp
from tinyar.layers.combine import Chain
from tinyar.layers import Conv2d, ConvTranspose2d, Linear, ReLU

# (height, width), kernel, stride, padding: all different along rows and columns wherever they can be
SHAPES = [
    ((6, 9), (4, 4), (2, 2), (1, 1)), ((7, 5), (3, 2), (2, 1), (0, 1)), ((5, 8), (3, 3), (1, 1), (1, 1)),
    ((8, 5), (2, 5), (3, 2), (0, 2)), ((3, 7), (1, 1), (1, 1), (0, 0)), ((5, 6), (1, 2), (3, 4), (0, 0)),
    ((1, 4), (3, 4), (2, 3), (1, 3)), ((9, 7), (5, 3), (2, 3), (4, 0)), ((4, 3), (4, 3), (1, 2), (0, 0)),
    ((4, 5), (1, 2), (2, 3), (3, 4)), ((6, 6), (2, 3), (1, 1), (3, 3)),  # more padding than kernel
]
LAYERS = {
    "down": lambda: Conv2d(3, 4, 4, 2, 1, np.random.default_rng(0)),
    "down, rectangular": lambda: Conv2d(3, 4, (3, 2), (1, 2), (0, 1), np.random.default_rng(0)),
    "up": lambda: ConvTranspose2d(3, 4, 4, 2, 1, rng=np.random.default_rng(0)),
    "up, rectangular": lambda: ConvTranspose2d(3, 4, (3, 2), (1, 2), (0, 1), (0, 1), np.random.default_rng(0)),
}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def with_bias(layer):
    layer.astype(xp.float64).params["b"] += to_device(normal(layer.out_channels, seed=7))
    return layer, to_host(layer.params["w"]), to_host(layer.params["b"])


def assert_close(array, expected):
    assert array.shape == expected.shape
    np.testing.assert_allclose(to_host(array), expected, atol=1e-12)


# -- the formula -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size, kernel, stride, padding", SHAPES)
def test_convolution_equals_its_loops(size, kernel, stride, padding):
    layer, w, b = with_bias(Conv2d(3, 4, kernel, stride, padding, np.random.default_rng(1)))
    x = normal(2, *size, 3)
    y = references.conv(x, w, b, stride, padding)
    assert_close(layer(to_device(x)), y)
    assert_close(layer.forward(to_device(x)), y)
    dy = normal(*y.shape, seed=1)
    dx, dw, db = references.conv_backward(x, w, dy, stride, padding)
    assert_close(layer.backward(to_device(dy)), dx)
    assert_close(layer.grads["w"], dw)
    assert_close(layer.grads["b"], db)


@pytest.mark.parametrize("size, kernel, stride, padding", SHAPES)
@pytest.mark.parametrize("most", [False, True])
def test_transposed_convolution_equals_its_loops(size, kernel, stride, padding, most):
    extra = tuple(s - 1 if most else 0 for s in stride)
    layer, w, b = with_bias(ConvTranspose2d(3, 4, kernel, stride, padding, extra, np.random.default_rng(1)))
    rows_and_columns = [max(n, 4) for n in size]  # so that the padding doesn't take the whole image away
    x = normal(2, *rows_and_columns, 3)
    y = references.conv_transpose(x, w, b, stride, padding, extra)
    assert_close(layer(to_device(x)), y)
    assert_close(layer.forward(to_device(x)), y)
    dy = normal(*y.shape, seed=1)
    dx, dw, db = references.conv_transpose_backward(x, w, dy, stride, padding)
    assert_close(layer.backward(to_device(dy)), dx)
    assert_close(layer.grads["w"], dw)
    assert_close(layer.grads["b"], db)


@pytest.mark.parametrize("size, kernel, stride, padding", SHAPES)
def test_each_is_the_transpose_of_the_other(size, kernel, stride, padding):
    """sum(conv(x) * y) = sum(x * transposed(y)) for any x and y; output_padding is what the windows leave over."""
    conv = Conv2d(3, 4, kernel, stride, padding, np.random.default_rng(1)).astype(xp.float64)
    x = to_device(normal(2, *size, 3))
    conv_x = conv(x)
    rest = tuple((n + 2 * p - k) % s for n, p, k, s in zip(size, padding, kernel, stride))
    transposed = ConvTranspose2d(4, 3, kernel, stride, padding, rest).astype(xp.float64)
    transposed.params["w"] = conv.params["w"]
    y = to_device(normal(*conv_x.shape, seed=1))
    transposed_y = transposed(y)
    assert transposed_y.shape == x.shape
    assert float((conv_x * y).sum()) == pytest.approx(float((x * transposed_y).sum()), rel=1e-12)
    conv.forward(x)
    assert_close(conv.backward(y), to_host(transposed_y))  # and so the one's backward is the other's forward
    transposed.forward(y)
    assert_close(transposed.backward(x), to_host(conv_x))


ONES, COUNTED = np.ones((4, 4)), np.arange(1.0, 17).reshape(4, 4)
PIXELS = [[1, 10], [100, 1000]]


@pytest.mark.parametrize("kind, kernel, x, expected", [
    (Conv2d, ONES, COUNTED, [[54, 63], [90, 99]]),
    (Conv2d, COUNTED, COUNTED, [[696, 732], [732, 696]]),
    (ConvTranspose2d, ONES, PIXELS,
     [[1, 11, 11, 10], [101, 1111, 1111, 1010], [101, 1111, 1111, 1010], [100, 1100, 1100, 1000]]),
    (ConvTranspose2d, COUNTED, PIXELS,
     [[6, 57, 68, 70], [210, 1401, 2512, 3110], [614, 5845, 6956, 7150], [1000, 10100, 11200, 11000]]),
])
def test_known_numbers(kind, kernel, x, expected):
    layer = kind(1, 1, 4, 2, 1).astype(xp.float64)
    layer.params["w"][...] = to_device(kernel[:, :, None, None])
    y = layer(to_device(np.array(x, dtype=float)[None, :, :, None]))
    assert_close(y[0, :, :, 0], np.array(expected, dtype=float))


def test_sizes():
    def size(layer, *shape):
        return layer(xp.zeros((1, *shape, 2), dtype=xp.float32)).shape[1:3]

    halve, double, stay = Conv2d(2, 3, 4, 2, 1), ConvTranspose2d(2, 3, 4, 2, 1), Conv2d(2, 3, 3, 1, 1)
    for n in (28, 14, 32, 16, 8):
        assert size(halve, n, n - 2) == (n // 2, n // 2 - 1) and size(double, n, n - 2) == (2 * n, 2 * n - 4)
        assert size(stay, n, n - 2) == (n, n - 2)
    assert size(halve, 7, 9) == (3, 4)  # the last row and column are left over
    assert size(ConvTranspose2d(2, 3, 4, 2, 1, 1), 3, 4) == (7, 9)
    assert size(Conv2d(2, 3, (2, 3), (3, 1), (0, 2)), 8, 5) == (3, 7)


def test_a_1x1_convolution_is_the_linear_layer():
    conv, linear = Conv2d(3, 4, 1), Linear(3, 4, np.random.default_rng(0))
    conv.params["w"][...] = linear.params["w"]
    x = to_device(normal(2, 5, 6, 3).astype("float32"))
    np.testing.assert_allclose(to_host(conv(x)), to_host(linear(x)), rtol=1e-5)


# -- gradients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_gradients(name):
    gradcheck.check(gradcheck.shake(LAYERS[name]()), normal(2, 4, 6, 3), entries=60)


def test_gradients_of_down_and_up_again():
    rng = np.random.default_rng(0)
    net = Chain(Conv2d(2, 3, 4, 2, 1, rng), ReLU(), Conv2d(3, 4, (3, 1), 1, (1, 0), rng), ReLU(),
                ConvTranspose2d(4, 2, 4, 2, 1, rng=rng))
    gradcheck.check(gradcheck.shake(net), normal(2, 6, 8, 2))


@pytest.mark.parametrize("name", LAYERS)
def test_a_wrong_backward_is_refused(name):
    layer = gradcheck.shake(LAYERS[name]())
    right = layer.backward
    layer.backward = lambda dy: right(dy)[:, ::-1]  # the rows of dx upside down
    with pytest.raises(gradcheck.GradientError, match="the gradient of x is wrong"):
        gradcheck.check(layer, normal(2, 4, 6, 3))


# -- the contract ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_backward_adds_up_uses_the_cache_up_and_writes_into_nothing(name):
    layer, x = LAYERS[name]().astype(xp.float64), normal(2, 4, 6, 3)
    x_device = to_device(x.copy())
    layer(x_device)
    assert layer.cache is None
    dy = normal(*layer.forward(x_device).shape, seed=2)
    dy_device = to_device(dy.copy())
    dx = to_host(layer.backward(dy_device))
    once = {name: to_host(grad).copy() for name, grad in layer.grads.items()}
    with pytest.raises(RuntimeError, match="backward found no cache"):
        layer.backward(dy_device)
    layer.forward(x_device)
    np.testing.assert_array_equal(to_host(layer.backward(dy_device)), dx)
    for name, grad in layer.grads.items():
        np.testing.assert_allclose(to_host(grad), 2 * once[name], rtol=1e-12)
    layer.zero_grads()
    layer.forward(x_device)
    assert layer.backward(dy_device, need_dx=False) is None
    for name, grad in layer.grads.items():
        np.testing.assert_array_equal(to_host(grad), once[name])
    np.testing.assert_array_equal(to_host(x_device), x)
    np.testing.assert_array_equal(to_host(dy_device), dy)


@pytest.mark.parametrize("name", LAYERS)
def test_two_replicas_give_the_gradient_of_the_whole_batch(name):
    layer, x = LAYERS[name]().astype(xp.float64), normal(5, 4, 6, 3)
    dy = normal(*layer.forward(to_device(x)).shape, seed=2)
    layer.backward(to_device(dy))
    whole = {name: to_host(grad).copy() for name, grad in layer.grads.items()}
    layer.zero_grads()
    for part in (slice(0, 2), slice(2, 5)):
        twin = layer.replica()
        twin.forward(to_device(x[part]))
        twin.backward(to_device(dy[part]))
        layer.add_from(twin)
    for name, grad in layer.grads.items():
        np.testing.assert_allclose(to_host(grad), whole[name], atol=1e-12)


@pytest.mark.parametrize("name", LAYERS)
def test_float32_stays_and_slices_of_arrays_will_do(name):
    layer, x = LAYERS[name](), to_device(normal(2, 6, 9, 5).astype("float32"))
    y = layer.forward(x[:, 1:5, 2:8, 1:4])  # nothing in it lies side by side
    np.testing.assert_array_equal(to_host(y), to_host(layer(x[:, 1:5, 2:8, 1:4].copy())))
    assert y.dtype == layer.backward(y).dtype == layer.grads["w"].dtype == xp.float32


@pytest.mark.parametrize("name", LAYERS)
def test_nothing_is_drawn_through_it(name):
    with pytest.raises(TypeError, match="isn't causal"):
        LAYERS[name]().step(xp.zeros((2, 3)), (0, 0))


def test_weights_start_with_the_fan_in_of_an_output():
    def spread(layer):
        return to_host(layer.params["w"]).std()

    rng = np.random.default_rng(0)
    assert spread(Conv2d(32, 40, 4, 2, 1, rng)) == pytest.approx((2 / (16 * 32)) ** 0.5, rel=0.03)
    assert spread(ConvTranspose2d(32, 40, 4, 2, 1, rng=rng)) == pytest.approx((2 / (4 * 32)) ** 0.5, rel=0.03)
    assert spread(ConvTranspose2d(32, 40, (3, 2), (1, 4), rng=rng)) == pytest.approx((2 / (3 * 32)) ** 0.5, rel=0.03)
    assert Conv2d(3, 256, 4, 2, 1).count_parameters() == ConvTranspose2d(256, 3, 4).count_parameters() + 253 == 12544


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Conv2d, ConvTranspose2d])
@pytest.mark.parametrize("arguments, message", [
    ((0, 2, 3), "channel counts"), ((1, 2.5, 3), "channel counts"), ((1, 2, 0), "kernel_size .*at least 1.*got 0"),
    ((1, 2, 2.5), "kernel_size"), ((1, 2, (3, 3, 3)), "kernel_size .*a pair"), ((1, 2, None), "kernel_size"),
    ((1, 2, 3, 0), "stride .*at least 1"), ((1, 2, 3, (1, -1)), "stride"),
    ((1, 2, 3, 1, -1), "padding .*at least 0.*got -1"),
])
def test_arguments_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=f"{kind.__name__}: {message}"):
        kind(*arguments)


@pytest.mark.parametrize("extra", [2, (0, 1), -1])
def test_output_padding_is_less_than_the_stride(extra):
    with pytest.raises(ValueError, match="ConvTranspose2d: output_padding"):
        ConvTranspose2d(1, 2, 4, (2, 1), 1, extra)


@pytest.mark.parametrize("layer, shape, message", [
    (Conv2d(3, 4, 4), (2, 5, 5, 4), r"Conv2d: expected images .*3\), got shape \(2, 5, 5, 4\)"),
    (Conv2d(3, 4, 4), (5, 5, 3), "Conv2d: expected images"),
    (Conv2d(3, 4, (2, 6), 1, (0, 1)), (2, 5, 3, 3), r"Conv2d: an image of \(5, 3\) pixels is too small for .*\(2, 6\)"),
    (ConvTranspose2d(3, 4, 4), (2, 5, 5, 4), "ConvTranspose2d: expected images"),
    (ConvTranspose2d(3, 4, 2, 1, 3), (2, 5, 5, 3), r"ConvTranspose2d: \(5, 5\) pixels make an image of \(0, 0\)"),
])
def test_images_are_refused(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer.forward(xp.zeros(shape, dtype=xp.float32))
