"""Weight normalization, shifted convolutions of stride 2, gated residual units: reference numbers and properties."""

import numpy as np
import pytest
from vectors_of_networks import assert_equal, load

from tinyar.backend import to_device, to_host, xp
from tinyar.conditions import Conditional, told
from tinyar.layers import (ELU, CellConditional, Chain, ConcatELU, Conv2d, ConvTranspose2d, GatedResNet, HalvingConv2d,
                           Linear, ShiftedConv2d)
from tinyar.layers.weights import kernels_made_once, preparing

DOWN, DOWN_RIGHT = ((-1, 0), (-1, 0, 1)), ((-1, 0), (-1, 0))  # the offsets of 2x3 and of 2x2


def filled(layer, **params):
    """The layer in float64 with these parameters, gradients at zero."""
    layer.astype(xp.float64)
    for name, values in params.items():
        layer.params[name][...] = to_device(values)
    return layer


# -- weight normalization ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, layer", [
    ("conv", ShiftedConv2d(3, 4, *DOWN, weight_norm=True)), ("conv", Conv2d(3, 4, (2, 3), weight_norm=True)),
    ("transposed", ConvTranspose2d(4, 3, 2, 2, weight_norm=True)), ("1x1", Linear(5, 3, weight_norm=True))])
def test_weight_norm_of_reference(name, layer):
    numbers = load("weight_norm_concat_elu")
    filled(layer, v=numbers[f"{name} V"], g=numbers[f"{name} g"])
    assert_equal(layer.kernel(), numbers[f"{name} W"])
    layer.add_dw(to_device(numbers[f"{name} dW"]))
    assert_equal(layer.grads["v"], numbers[f"{name} dV"])
    assert_equal(layer.grads["g"], numbers[f"{name} dg"])


def test_the_length_of_the_direction_does_not_matter():
    layer = ShiftedConv2d(3, 4, *DOWN, weight_norm=True).astype(xp.float64)
    x = to_device(np.random.default_rng(0).standard_normal((2, 4, 5, 3)))
    y = to_host(layer.forward(x))
    layer.backward(xp.ones_like(x[..., :1]) * xp.arange(4))
    inner = (to_host(layer.params["v"]) * to_host(layer.grads["v"])).sum(axis=(0, 1, 2))
    np.testing.assert_allclose(inner, 0, atol=1e-12)
    layer.params["v"] *= 3
    np.testing.assert_allclose(to_host(layer(x)), y, rtol=1e-12)


def test_the_start_by_data_of_a_layer_and_of_a_smaller_one():
    x = to_device(np.random.default_rng(0).standard_normal((4, 6, 5, 3)) + 2)
    for scale in (1, 0.1):
        layer = ShiftedConv2d(3, 4, *DOWN_RIGHT, weight_norm=True).astype(xp.float64)
        layer.start_at(scale)
        with preparing(layer):
            inside = to_host(layer(x))
        np.testing.assert_allclose(inside, to_host(layer(x)), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(inside.mean(axis=(0, 1, 2)), 0, atol=1e-12)
        np.testing.assert_allclose(inside.std(axis=(0, 1, 2)), scale, rtol=1e-6)


def test_a_channel_that_is_the_same_everywhere_keeps_its_length():
    x = xp.ones((4, 5, 3)) * xp.asarray([1.0, -2, 0.5])
    layer = Linear(3, 4, weight_norm=True).astype(xp.float64)
    layer.start_at(0.1)
    with preparing(layer):
        layer(x)
    np.testing.assert_array_equal(to_host(layer.params["g"]), 0.1)
    np.testing.assert_allclose(to_host(layer(x)), 0, atol=1e-12)


def test_what_fails_in_the_middle_leaves_nothing_behind():
    """Neither kernels that are too old, nor half a start by data."""
    layers = [Linear(3, 3, weight_norm=True).astype(xp.float64) for _ in range(2)]
    network, x = Chain(*layers), to_device(np.random.default_rng(0).standard_normal((4, 3)))
    network.links[1].start_at(0.1)
    before = to_host(network(x))

    def fails():
        raise MemoryError

    layers[1].kernel = fails
    for context in (kernels_made_once, preparing):
        with pytest.raises(MemoryError), context(network):
            network(x)
    del layers[1].kernel
    np.testing.assert_array_equal(to_host(network(x)), before)
    with kernels_made_once(network):
        twin = network.replica()
    layers[0].params["g"] *= 2
    np.testing.assert_array_equal(to_host(twin(x)), to_host(network(x)))


def test_plain_kernels_have_no_start_by_data():
    layer = Linear(3, 4)
    before = to_host(layer.params["w"]).copy()
    with preparing(layer):
        layer(xp.ones((2, 3), dtype=xp.float32))
    np.testing.assert_array_equal(to_host(layer.params["w"]), before)
    layer.start_at(0.5)
    np.testing.assert_array_equal(to_host(layer.params["w"]), before / 2)


# -- convolutions ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name, make", [
    ("down 2x3 stride 1", lambda i, o: ShiftedConv2d(i, o, *DOWN)),
    ("downright 2x2 stride 1", lambda i, o: ShiftedConv2d(i, o, *DOWN_RIGHT)),
    ("down 2x3 stride 2", lambda i, o: HalvingConv2d(i, o, *DOWN)),
    ("downright 2x2 stride 2", lambda i, o: HalvingConv2d(i, o, *DOWN_RIGHT)),
    ("down transposed 2x3", lambda i, o: ConvTranspose2d(i, o, (2, 3), 2, (0, 1), (0, 1))),
    ("downright transposed 2x2", lambda i, o: ConvTranspose2d(i, o, 2, 2))])
def test_convolutions_of_reference(name, make):
    numbers = {key.removeprefix(f"{name} "): values for key, values in load("shifted_convolutions").items()}
    layer = filled(make(numbers["x"].shape[3], len(numbers["b"])), w=numbers["w"], b=numbers["b"])
    assert_equal(layer.forward(to_device(numbers["x"])), numbers["y"])
    assert_equal(layer.backward(to_device(numbers["dy"])), numbers["dx"])
    assert_equal(layer.grads["w"], numbers["dw"])
    assert_equal(layer.grads["b"], numbers["db"])


@pytest.mark.parametrize("offsets", [DOWN, DOWN_RIGHT], ids=["2x3", "2x2"])
@pytest.mark.parametrize("size", [(6, 4), (5, 7), (1, 1), (2, 3)])
def test_halving_is_every_second_output(offsets, size):
    halving = HalvingConv2d(3, 4, *offsets, weight_norm=True).astype(xp.float64)
    whole = ShiftedConv2d(3, 4, *offsets, weight_norm=True).astype(xp.float64)
    whole.params = halving.params
    x = np.random.default_rng(0).standard_normal((2, *size, 3))
    y = to_host(halving(to_device(x)))
    np.testing.assert_allclose(y, to_host(whole(to_device(x)))[:, ::2, ::2], rtol=1e-12, atol=1e-12)
    halving.start(2, *size)
    for row in range(size[0]):
        halving.see_row(to_device(x[:, row]), row)
        if row % 2 == 0:
            np.testing.assert_allclose(to_host(halving.output_row(row)), y[:, row // 2], rtol=1e-12, atol=1e-12)


def test_halving_needs_offsets_without_gaps():
    with pytest.raises(ValueError, match=r"expected offsets without gaps, got \(-2, 0\)"):
        HalvingConv2d(3, 4, (-2, 0), (-1, 0))


# -- gated residual units ----------------------------------------------------------------------------------------------

def unit_of(name, numbers):
    channels = numbers["x"].shape[3]
    skip = numbers["a"].shape[3] if "a" in numbers else 0
    conv = {"down": lambda i, o: ShiftedConv2d(i, o, *DOWN, weight_norm=True),
            "downright": lambda i, o: ShiftedConv2d(i, o, *DOWN_RIGHT, weight_norm=True),
            "nin": lambda i, o: Linear(i, o, weight_norm=True)}[name.split("_")[1]]
    condition = (lambda outputs: Conditional(numbers["h"].shape[1], outputs)) if "h" in numbers else None
    unit = GatedResNet(conv, channels, skip, condition, ELU if "elu" in name else ConcatELU,
                       0.5 if "dropout" in name else 0.0, weight_norm=True).astype(xp.float64)
    given = [values for key, values in numbers.items() if key.startswith("param ")]
    for (_, param, _), values in zip(unit.parameters(), given, strict=True):
        param[...] = to_device(values)
    return unit


@pytest.mark.parametrize("name", ["block_down_plain", "block_downright_skip_2F_class_dropout", "block_nin_elu_aux"])
def test_units_of_reference(name):
    numbers = load(name)
    unit = unit_of(name, numbers)
    if "dropout_mask" in numbers:
        unit.second.links[1].mask = lambda shape: to_device(numbers["dropout_mask"] > 0)
    inputs = [to_device(numbers[key]) for key in "xa" if key in numbers]
    with told(unit, to_device(numbers["h"][:, None, None]) if "h" in numbers else None):
        y = unit.forward(*inputs)
    assert_equal(y, numbers["y"])
    dx = unit.backward(to_device(numbers["dy"]))
    for got, key in zip(dx if "a" in numbers else [dx], ("dx", "da")):
        assert_equal(got, numbers[key])
    for (_, _, grad), key in zip(unit.parameters(), [key for key in numbers if key.startswith("grad ")], strict=True):
        assert_equal(grad, numbers[key])
    if "h" in numbers:
        assert_equal(unit.second.links[3].dcondition[:, 0, 0], numbers["dh"])


def test_a_unit_says_how_many_inputs_it_takes():
    x = xp.zeros((1, 2, 2, 3), dtype=xp.float32)
    with pytest.raises(ValueError, match="expected a second input"):
        GatedResNet(Linear, 3, 3)(x)
    with pytest.raises(ValueError, match="expected a single input"):
        GatedResNet(Linear, 3)(x, x)


def test_concat_elu_of_reference():
    numbers = load("weight_norm_concat_elu")
    layer = ConcatELU()
    assert_equal(layer.forward(to_device(numbers["concat_elu x"])), numbers["concat_elu y"])
    assert_equal(layer.backward(to_device(numbers["concat_elu dy"])), numbers["concat_elu dx"])


# -- conditions on coarser grids ---------------------------------------------------------------------------------------

def test_cells_of_a_map():
    """3 x 5 pixels in cells of 2 x 2, the last of which are smaller."""
    layer = CellConditional(1, 1, 2).astype(xp.float64)
    layer.params["v"][...] = 1
    condition = np.arange(15.0).reshape(1, 3, 5, 1)
    x = xp.zeros((1, 2, 3, 1))
    with told(layer, to_device(condition)):
        y = to_host(layer.forward(x))
    np.testing.assert_allclose(y[0, ..., 0], [[3, 5, 6.5], [10.5, 12.5, 14]])
    layer.backward(to_device(np.array([[4.0, 8, 2], [2, 6, 5]]).reshape(1, 2, 3, 1)))
    expected = [[1, 1, 2, 2, 1], [1, 1, 2, 2, 1], [1, 1, 3, 3, 5]]
    np.testing.assert_allclose(to_host(layer.dcondition)[0, ..., 0], expected)
