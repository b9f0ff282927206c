"""Causal attention: its definition, reference numbers, chunks, heads, what it must not see, and drawing."""

import numpy as np
import pytest
from vectors_of_networks import assert_equal, load

from tinyar.backend import to_device, to_host, xp
from tinyar.layers import ELU, CausalAttention, Chain, GatedResNet, Linear
from tinyar.models.snail import SnailBlock, place_of_pixels

# Three pixels, one head: worked out by hand.
Q, K, V = ([(1, 0), (0.5, -1), (2, 1)], [(1, 1), (0, 2), (-1, 0.5)], [(1, 2), (3, -1), (0.5, 0.5)])
DO = [(1, 1), (1, -1), (0.5, 2)]


def images(height, width, key_channels=4, value_channels=6, batch=2, seed=0):
    """q, k, v and do of random numbers, on the device."""
    rng = np.random.default_rng(seed)
    return [to_device(rng.standard_normal((batch, height, width, channels)))
            for channels in (key_channels, key_channels, value_channels, value_channels)]


def definition(q, k, v, heads=1):
    """o and p (images, heads, pixels, pixels), pixel after pixel, head after head; host arrays."""
    batch, height, width, channels = q.shape
    o, p = np.zeros_like(v), np.zeros((batch, heads, height * width, height * width))
    for n, head in np.ndindex(batch, heads):
        queries, keys, values, out = (np.split(x[n].reshape(height * width, -1), heads, axis=1)[head]
                                      for x in (q, k, v, o))
        for i in range(1, height * width):
            weights = np.exp(keys[:i] @ queries[i] / (channels // heads) ** 0.5)
            p[n, head, i, :i] = weights / weights.sum()
            out[i] = p[n, head, i, :i] @ values[:i]
    return o, p


# -- the numbers -------------------------------------------------------------------------------------------------------

def test_three_pixels_by_hand():
    layer = CausalAttention(2, 2)
    q, k, v, do = (to_device(np.array(x, dtype=float).reshape(1, 1, 3, 2)) for x in (Q, K, V, DO))
    np.testing.assert_allclose(to_host(layer.forward(q, k, v))[0, 0], [
        (0, 0), (1, 2), (1.6604769013, 1.0092846480)], atol=1e-10)
    for got, expected in zip(layer.backward(do), [
            [(0, 0), (0, 0), (0.7819929827, -0.7819929827)],
            [(1.5639859655, 0.7819929827), (-1.5639859655, -0.7819929827), (0, 0)],
            [(1.3348807747, 0.3395230987), (0.1651192253, 0.6604769013), (0, 0)]]):
        np.testing.assert_allclose(to_host(got)[0, 0], expected, atol=1e-10)
    assert to_host(layer.weights_at(q, k, (0, 2)))[0, 0, 0] == pytest.approx([0.6697615493, 0.3302384507, 0], abs=1e-10)


@pytest.mark.parametrize("chunk", [1, 4, 5, 13, 64])
@pytest.mark.parametrize("pixels", [1, 2, 12])
def test_reference_numbers(pixels, chunk):
    numbers = load("causal_attention")
    q, k, v, o, do, p = (numbers[f"N={pixels} {name}"] for name in ("q", "k", "v", "o", "do", "p"))
    layer = CausalAttention(q.shape[-1], v.shape[-1], chunk=chunk)
    q, k, v, do = (to_device(x[:, None]) for x in (q, k, v, do))  # images of one row
    assert_equal(layer.forward(q, k, v)[:, 0], o)
    for name, got in zip("qkv", layer.backward(do)):
        assert_equal(got[:, 0], numbers[f"N={pixels} d{name}"])
    for i in range(pixels):
        assert_equal(layer.weights_at(q, k, (0, i))[:, 0, 0], p[:, i])


@pytest.mark.parametrize("heads", [1, 2])
def test_is_its_definition(heads):
    q, k, v, _ = images(3, 5)
    o, p = definition(*map(to_host, (q, k, v)), heads)
    layer = CausalAttention(4, 6, heads, chunk=4)
    np.testing.assert_allclose(to_host(layer(q, k, v)), o, rtol=0, atol=1e-12)
    for at in [(0, 0), (0, 1), (1, 3), (2, 4)]:
        expected = p[:, :, at[0] * 5 + at[1]].reshape(2, heads, 3, 5)
        np.testing.assert_allclose(to_host(layer.weights_at(q, k, at)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("heads", [1, 2])
def test_any_chunk_gives_the_same(heads):
    q, k, v, do = images(4, 5)
    found = []
    for chunk in (1, 3, 7, 19, 20, 1000):
        layer = CausalAttention(4, 6, heads, chunk)
        found.append([to_host(x) for x in (layer.forward(q, k, v), *layer.backward(do))])
    for others in found[1:]:
        for one, other in zip(found[0], others):
            np.testing.assert_allclose(other, one, rtol=0, atol=1e-12)


def test_large_scores_do_not_overflow():
    """Nor in drawing, which looks at the same pixels."""
    q, k, v, do = (x.astype(xp.float32) for x in images(3, 4))
    layer = CausalAttention(4, 6, chunk=5)
    o = to_host(layer.forward(1e3 * q, k, v))
    assert np.isfinite(o).all() and all(np.isfinite(to_host(x)).all() for x in layer.backward(do))
    layer.start(2, 3, 4)
    for at in np.ndindex(3, 4):
        step = to_host(layer.step(1e3 * q[:, at[0], at[1]], at))
        np.testing.assert_allclose(step, o[:, at[0], at[1]], rtol=1e-4, atol=1e-5)
        layer.see(k[:, at[0], at[1]], v[:, at[0], at[1]], at)
    assert np.isfinite(to_host(layer.weights_at(1e3 * q, k, (2, 3)))).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", [int, np.int64])
def test_its_numbers_are_those_of_the_inputs(dtype, number):
    layer = CausalAttention(number(4), number(6), number(2), chunk=5).astype(dtype)
    q, k, v, do = (x.astype(dtype) for x in images(3, 4))
    found = [layer(q, k, v), layer.forward(q, k, v), *layer.backward(do), layer.weights_at(q, k, (1, 1))]
    layer.start(2, 3, 4)
    for at in [(0, 0), (0, 1)]:
        found += [layer.step(q[:, at[0], at[1]], at)]
        layer.see(k[:, at[0], at[1]], v[:, at[0], at[1]], at)
    assert {str(x.dtype) for x in (*found, layer.keys, layer.values)} == {dtype}


def test_other_orders_in_memory_are_the_same_numbers():
    q, k, v, do = images(3, 4)
    layer = CausalAttention(4, 6, chunk=5)
    expected = [to_host(x) for x in (layer.forward(q, k, v), *layer.backward(do))]
    for order in ((1, 0, 2, 3), (3, 2, 1, 0), (0, 2, 1, 3)):
        turned = [xp.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order)) for x in (q, k, v, do)]
        found = [layer.forward(*turned[:3]), *layer.backward(turned[3])]
        for one, other in zip(expected, found):
            np.testing.assert_allclose(to_host(other), one, rtol=0, atol=1e-13)


def test_a_chunk_above_the_image_takes_no_more_memory():
    q, k, v, _ = images(3, 4)
    layer = CausalAttention(4, 6, chunk=10 ** 9)
    np.testing.assert_allclose(to_host(layer(q, k, v)), to_host(CausalAttention(4, 6)(q, k, v)), atol=1e-13)
    assert layer.scores_of_an_image(12) == 144


def test_what_is_zero_exactly():
    """The first output; the gradient by the last key and value; that by the first two queries, to rounding."""
    q, k, v, do = images(3, 4)
    layer = CausalAttention(4, 6, chunk=5)
    assert (to_host(layer.forward(q, k, v))[:, 0, 0] == 0).all()
    dq, dk, dv = map(to_host, layer.backward(do))
    assert (dk[:, -1, -1] == 0).all() and (dv[:, -1, -1] == 0).all() and (dq[:, 0, 0] == 0).all()
    np.testing.assert_allclose(dq[:, 0, 1], 0, atol=1e-15)
    assert (dq[:, 0, 2:] != 0).all() and (dk[:, :, :-1] != 0).all()


def test_what_changes_nothing():
    """Twice the values give twice the outputs. All keys moved alike change nothing, nor do earlier pixels, swapped."""
    q, k, v, _ = images(3, 4)
    layer = CausalAttention(4, 6, chunk=5)
    before = to_host(layer(q, k, v))
    np.testing.assert_allclose(to_host(layer(q, k, 2 * v)), 2 * before, atol=1e-12)
    np.testing.assert_allclose(to_host(layer(q, k + k[:, :1, :1], v)), before, atol=1e-12)
    swapped_k, swapped_v = k.copy(), v.copy()
    for swapped, x in ((swapped_k, k), (swapped_v, v)):
        swapped[:, 0, 1], swapped[:, 1, 2] = x[:, 1, 2], x[:, 0, 1]
    after = to_host(layer(q, swapped_k, swapped_v)).reshape(2, 12, 6)
    np.testing.assert_allclose(after[:, 7:], before.reshape(2, 12, 6)[:, 7:], atol=1e-12)
    assert np.abs(after[:, 2:7] - before.reshape(2, 12, 6)[:, 2:7]).min() > 0


def test_nothing_sees_its_own_key_or_later_ones():
    q, k, v, _ = images(3, 4)
    layer = CausalAttention(4, 6, chunk=5)
    before = to_host(layer(q, k, v)).reshape(2, 12, 6)
    for i in range(12):
        for x in (k, v):
            moved = [part.copy() for part in (k, v)]
            moved[0 if x is k else 1][0, i // 4, i % 4] += 1
            changed = (to_host(layer(q, *moved)).reshape(2, 12, 6) != before).any(axis=2)
            assert not changed[1].any() and not changed[0, :i + 1].any()
            assert changed[0, i + (2 if x is k else 1):].all()  # a single earlier key has weight 1, whatever it is


@pytest.mark.parametrize("heads", [1, 2])
def test_steps_are_forward(heads):
    q, k, v, _ = images(3, 4)
    layer = CausalAttention(4, 6, heads, chunk=5).astype(xp.float64)
    whole = to_host(layer(q, k, v))
    for _ in range(2):
        layer.start(2, 3, 4)
        for at in np.ndindex(3, 4):
            for seen in (k[:, at[0], at[1]] + 1, k[:, at[0], at[1]]):  # seen twice: the last one counts
                step = to_host(layer.step(q[:, at[0], at[1]], at))
                np.testing.assert_allclose(step, whole[:, at[0], at[1]], rtol=0, atol=1e-12)
                layer.see(seen, v[:, at[0], at[1]], at)


# -- the block around it -----------------------------------------------------------------------------------------------

def test_block_of_reference():
    numbers = load("attention_block_grey")

    def unit(channels, skip_channels=0):
        return GatedResNet(lambda i, o: Linear(i, o, weight_norm=True), channels, skip_channels, activation=ELU,
                           weight_norm=True)

    key_value, query = (Chain(unit(i), Linear(i, o, weight_norm=True)) for i, o in ((7, 4), (6, 2)))
    block = SnailBlock([], key_value, query, CausalAttention(2, 2, chunk=5), unit(4, 2)).astype(xp.float64)
    names = sorted({key.split()[1].rpartition(".")[0] for key in numbers if key.startswith("param")})
    layers = [layer for _, layer in block.layers() if layer.params]
    assert len(names) == len(layers) == 9
    for title, layer in zip(names, layers):
        for name in "Vgb":
            layer.params[name.lower()][...] = to_device(numbers[f"param {title}.{name}"])
    assert_equal(block.places(to_device(numbers["ul"])), numbers["background"])
    assert_equal(block.forward(*(to_device(numbers[name]) for name in ("ul", "x"))), numbers["y"])
    dul, _ = block.backward(to_device(numbers["dy"]))
    assert_equal(dul, numbers["dul"])
    for title, layer in zip(names, layers):
        for name in "Vgb":
            assert_equal(layer.grads[name.lower()], numbers[f"grad {title}.{name}"])


def test_place_of_pixels():
    place = to_host(place_of_pixels(4, 5, 3, xp.float64))
    assert place.shape == (4, 5, 6)
    for channel in range(3):
        assert place[:, 2, channel].tolist() == [-0.5, -0.25, 0, 0.25]
        np.testing.assert_allclose(place[1, :, 3 + channel], [-0.5, -0.3, -0.1, 0.1, 0.3])


# -- what is refused ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("options, message", [
    ((4, 6, 4), "value_channels that 4 heads share evenly, got 6"),
    ((3, 6, 2), "key_channels that 2 heads share evenly, got 3"),
    ((0, 6), "channel counts are whole numbers of at least 1, got 0"),
    ((4, 0), "channel counts are whole numbers of at least 1, got 0"),
    ((4, 6, 0), "heads is a whole number of at least 1, got 0"), ((4, 6, 1.5), "heads is a whole number"),
    ((4, 6, 1, 0), "chunk is a whole number of at least 1, got 0"), ((4, 6, 1, "64"), "chunk is a whole number"),
])
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        CausalAttention(*options)


def test_images_that_do_not_fit():
    q, k, v, _ = images(3, 4)
    for wrong in [(q, k, k), (q, k, v[:, :2]), (q, k[:1], v), (q[0], k[0], v[0])]:
        with pytest.raises(ValueError, match=r"expected images q, k, v of one size, with \(4, 4, 6\) channels"):
            CausalAttention(4, 6)(*wrong)
