"""The quantizer: nearest codes, gradients, running means, starting and reviving; by loops, vectors, and differences."""

import numpy as np
import pytest

import references_vqvae as references
from tinyar import gradcheck
from tinyar.backend import to_device, to_host, xp
from tinyar.gradcheck.held import held_choices
from tinyar.layer import Layer
from tinyar.layers import Chain, Conv2d, VectorQuantizer, quantizer
from tinyar.layers.usage import perplexity, share_in_use

CODES = np.array([(0, 0), (1, 1), (-1, 2)], dtype=float)
VECTORS = np.array([(0.2, 0.1), (0.9, 0.6), (-0.6, 1.4), (0.4, 0.7)])
KINDS = pytest.mark.parametrize("learning", ["gradient", "ema"])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def with_codes(codes, dtype="float64", **options):
    """A quantizer with these codes."""
    layer = VectorQuantizer(*codes.shape, rng=np.random.default_rng(0), **options).astype(dtype)
    layer.codebook[...] = to_device(codes, dtype=dtype)
    if layer.learning == "ema":
        layer.state["means"][...] = layer.codebook
    return layer


def trained_on(layer, *batches):
    """The layer after one update on each batch."""
    for batch in batches:
        layer.zero_grads()
        layer.backward(xp.zeros_like(layer.forward(to_device(batch))))
        layer.update()
    return layer


def host(arrays):
    return {name: to_host(array).copy() for name, array in arrays}


def assert_close(array, expected, atol=1e-12):
    np.testing.assert_allclose(to_host(array), expected, atol=atol, rtol=0)


# -- looking up --------------------------------------------------------------------------------------------------------


@KINDS
def test_the_nearest_code_is_chosen(learning, monkeypatch):
    codes, z = normal(13, 5), normal(2, 3, 4, 5, seed=1)
    layer = with_codes(codes, learning=learning)
    expected = references.nearest(z.reshape(-1, 5), codes).reshape(2, 3, 4)
    np.testing.assert_array_equal(to_host(layer.indices(to_device(z))), expected)
    on_device = to_device(z)
    looked_up = layer.lookup(expected), layer.lookup(expected.astype("uint8"))
    for e in (layer(on_device), layer.forward(on_device), *looked_up):
        np.testing.assert_array_equal(to_host(e), codes[expected])
    monkeypatch.setattr(quantizer, "SCORES_AT_ONCE", 40)  # three vectors at a time
    np.testing.assert_array_equal(to_host(layer.indices(to_device(z))), expected)


def test_a_code_is_its_own_nearest():
    layer = with_codes(normal(50, 6), "float32")
    np.testing.assert_array_equal(to_host(layer.indices(layer.codebook)), np.arange(50))
    once = layer(to_device(normal(30, 6).astype("float32")))
    np.testing.assert_array_equal(to_host(layer(once)), to_host(once))


def test_of_equally_near_codes_the_lowest_is_chosen():
    layer = with_codes(np.array([(4, 0), (-1, 0), (1, 0), (1, 0)], dtype=float))  # all exact in floating point
    assert to_host(layer.indices(to_device(np.array([(0.0, 0), (1, 0), (2.5, 7)])))).tolist() == [1, 2, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_of_codes_that_are_equal_one_of_them_is_chosen(dtype):
    """Rounding may prefer any of them. What they stand for is the same."""
    codes = normal(16, 8)
    layer, z = with_codes(np.tile(codes, (3, 1)), dtype), normal(200, 8, seed=1).astype(dtype)
    k = to_host(layer.indices(to_device(z)))
    np.testing.assert_array_equal(k % 16, references.nearest(z, codes.astype(dtype)))
    np.testing.assert_array_equal(to_host(layer(to_device(z))), codes.astype(dtype)[k % 16])


def test_codes_far_from_the_origin_are_told_apart():
    codes, z = 1000 + np.array([(0, 0.1), (0.02, 0), (-0.3, 0)]), np.array([(1000.0, 1000)])
    assert to_host(with_codes(codes, "float32").indices(to_device(z, dtype=xp.float32))).tolist() == [1]
    z32, codes32 = z.astype("float32"), codes.astype("float32")
    assert ((z32 ** 2).sum() - 2 * z32 @ codes32.T + (codes32 ** 2).sum(axis=1)).argmin() == 0  # the careless way
    codes, z = 100 + normal(128, 64), 100 + normal(512, 64, seed=1)
    right = to_host(with_codes(codes).indices(to_device(z)))
    np.testing.assert_array_equal(to_host(with_codes(codes, "float32").indices(to_device(z, dtype=xp.float32))), right)


def test_moving_everything_changes_nothing():
    layer, moved = with_codes(CODES), with_codes(CODES + (3, -7))
    for one, z in ((layer, VECTORS), (moved, VECTORS + (3, -7))):
        assert to_host(one.indices(to_device(z))).tolist() == [0, 1, 2, 1]
        one.forward(to_device(z))
        assert float(one.loss) == pytest.approx(0.1859375, rel=1e-12)


@KINDS
def test_inference_moves_nothing(learning):
    layer = with_codes(CODES, learning=learning, revive_below=5.0)
    before = host(layer.arrays())
    layer(to_device(VECTORS))
    layer.indices(to_device(VECTORS))
    layer.update()  # nothing was seen since the gradients were 0
    assert layer.cache is None and not to_host(layer.sums["counts"]).any()
    for name, array in layer.arrays():
        np.testing.assert_array_equal(to_host(array), before[name])


@KINDS
@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_an_update_without_vectors_moves_nothing(learning, decay):
    layer = with_codes(CODES, learning=learning, decay=decay)
    before = host(layer.arrays())
    layer.update()
    for name, array in layer.arrays():
        np.testing.assert_array_equal(to_host(array), before[name])


# -- gradients ---------------------------------------------------------------------------------------------------------


def test_known_numbers():
    layer, z = with_codes(CODES), to_device(VECTORS.reshape(1, 2, 2, 2))
    assert to_host(layer.indices(z)).tolist() == [[[0, 1], [2, 1]]]
    dz = layer.backward(xp.zeros_like(layer.forward(z))).reshape(4, 2)
    assert float(layer.codebook_loss) == pytest.approx(0.14875) == float(layer.commitment_loss)
    assert float(layer.loss) == pytest.approx(0.1859375)
    assert_close(layer.grads["codebook"], [(-0.05, -0.025), (0.175, 0.175), (-0.1, 0.15)])
    assert_close(dz, [(0.0125, 0.00625), (-0.00625, -0.025), (0.025, -0.0375), (-0.0375, -0.01875)])
    assert_close(layer.sums["counts"], [1, 2, 1])
    assert perplexity(layer.sums["counts"]) == pytest.approx(2.8284271247, abs=1e-10)


@KINDS
def test_gradients_equal_their_loops(learning):
    codes, z, dy = normal(7, 5), normal(2, 3, 4, 5, seed=1), normal(2, 3, 4, 5, seed=2)
    layer = with_codes(codes, beta=0.7, learning=learning)
    layer.forward(to_device(z))
    dz, dcodebook = references.quantizer_gradients(z.reshape(-1, 5), codes, dy.reshape(-1, 5), 0.7)
    assert_close(layer.backward(to_device(dy)).reshape(-1, 5), dz)
    assert list(layer.grads) == (["codebook"] if learning == "gradient" else [])
    for grad in layer.grads.values():
        assert_close(grad, dcodebook)
    with pytest.raises(RuntimeError, match="backward found no cache"):
        layer.backward(to_device(dy))


def test_an_unused_code_gets_no_gradient_and_beta_is_the_encoder_s_alone():
    dy, far = normal(4, 2), np.vstack([CODES, (50, 50)])
    dz, dcodebook = {}, {}
    for beta in (0, 0.25, 2):
        layer = with_codes(far, beta=beta)
        layer.forward(to_device(VECTORS))
        dz[beta], dcodebook[beta] = to_host(layer.backward(to_device(dy))), to_host(layer.grads["codebook"])
        assert not dcodebook[beta][3].any() and dcodebook[beta][:3].any()
        np.testing.assert_array_equal(dcodebook[beta], dcodebook[0])
        np.testing.assert_allclose(dz[beta] - dy, beta * 2 * (VECTORS - CODES[[0, 1, 2, 1]]) / VECTORS.size, atol=1e-12)
    np.testing.assert_array_equal(dz[0], dy)  # straight through


@pytest.mark.parametrize("dloss", [0.3, VECTORS.size])  # a share of the batch; sums instead of means
def test_dloss_multiplies_the_losses_gradients(dloss):
    dy, grads = to_device(normal(4, 2)), []
    for layer, options in ((with_codes(CODES), {}), (with_codes(CODES), {"dloss": dloss})):
        layer.forward(to_device(VECTORS))
        grads.append((to_host(layer.backward(dy, **options) - dy), to_host(layer.grads["codebook"])))
        assert float(layer.loss) == pytest.approx(0.1859375)  # backward doesn't change what forward reported
    for plain, weighted in zip(*grads):
        np.testing.assert_allclose(weighted, dloss * plain, rtol=1e-10, atol=1e-14)


@KINDS
def test_without_need_dx_the_codebook_learns_the_same(learning):
    grads = []
    for options in ({}, {"need_dx": False}):
        layer = with_codes(CODES, learning=learning)
        layer.forward(to_device(VECTORS))
        dz = layer.backward(to_device(normal(4, 2)), dloss=0.7, **options)
        assert (dz is None) == bool(options)
        grads.append({name: to_host(grad) for name, grad in layer.grads.items()})
    assert grads[0].keys() == grads[1].keys()
    for name, grad in grads[0].items():
        np.testing.assert_array_equal(grads[1][name], grad)


@KINDS
def test_float32_stays(learning):
    layer, z = VectorQuantizer(7, 5, learning=learning), to_device(normal(2, 3, 5).astype("float32"))
    y = layer.forward(z)
    dz = layer.backward(y, dloss=np.float64(0.5))
    layer.update()
    assert y.dtype == dz.dtype == layer(z).dtype == layer.loss.dtype == xp.float32
    assert all(array.dtype == xp.float32 for _, array in layer.arrays())


class WrongOnce(VectorQuantizer):
    """A quantizer with a published mistake in its backward."""

    def __init__(self, mistake):
        super().__init__(7, 5, rng=np.random.default_rng(0))
        self.mistake = mistake

    def backward(self, dy, need_dx=True, dloss=1.0):
        difference, e_rows = self.cache[0], to_host(self.chosen)
        dz = super().backward(dy, need_dx, dloss)
        pull = 2 * float(dloss) / difference.size * difference
        if self.mistake == "codebook loss after the straight-through line":  # which is a function of z, not of E
            self.grads["codebook"][...] = 0
            return dz - pull.reshape(dz.shape)
        if self.mistake == "no commitment":
            return dy
        for i, k in enumerate(e_rows):  # "codes learn from the decoder": e = E[k] differentiated like any other lookup
            self.grads["codebook"][int(k)] += dy.reshape(-1, 5)[i]
        return dz

    def forward(self, z):
        self.chosen = self.indices(z).reshape(-1)
        return super().forward(z)


@pytest.mark.parametrize("mistake, tensor", [
    ("codebook loss after the straight-through line", "x"), ("no commitment", "x"),
    ("codes learn from the decoder", "codebook"),
])
def test_a_wrong_gradient_is_refused(mistake, tensor):
    with pytest.raises(gradcheck.GradientError, match=f"gradient of {tensor} is wrong"):
        gradcheck.check(gradcheck.shake(WrongOnce(mistake)), normal(2, 3, 4, 5))


@KINDS
def test_gradients_with_the_choices_held(learning):
    layer, z = with_codes(normal(7, 5), beta=0.6, learning=learning), normal(2, 3, 4, 5, seed=1)
    comparisons = gradcheck.check(layer, z, entries=200, tolerance=1e-7)
    assert len(comparisons) == (2 if learning == "gradient" else 1)
    with held_choices(layer):  # and at that point what is differentiated is the quantizer itself
        layer.forward(to_device(z))
        own_loss = float(layer.loss)
        again = layer.forward(to_device(z))
        np.testing.assert_allclose(to_host(again), to_host(layer(to_device(z))), atol=1e-12)
        assert float(layer.loss) == pytest.approx(own_loss, rel=1e-12)
        far = layer.forward(to_device(z + 100))
        np.testing.assert_allclose(to_host(far), to_host(again) + 100, atol=1e-12)  # the same codes, at any z
    assert float(abs(layer.forward(to_device(z + 100))).max()) < 10  # free again


class EncodedByCodes(Layer):
    """An encoder and a quantizer whose own loss is handed on, as a model does it: y = (e, loss)."""

    def __init__(self, encoder, quantizer):
        super().__init__()
        self.encoder, self.quantizer = encoder, quantizer

    def forward(self, x):
        return self.quantizer.forward(self.encoder.forward(x)), self.quantizer.loss

    def backward(self, doutputs, need_dx=True):
        de, dloss = doutputs
        return self.encoder.backward(self.quantizer.backward(de, dloss=dloss), need_dx)


@KINDS
def test_gradients_of_an_encoder_through_the_quantizer(learning):
    rng = np.random.default_rng(0)
    encoder = Chain(Conv2d(1, 3, 4, 2, 1, rng), Conv2d(3, 5, 3, 1, 1, rng))
    quantizer = VectorQuantizer(7, 5, learning=learning, rng=rng)
    comparisons = gradcheck.check(gradcheck.shake(EncodedByCodes(encoder, quantizer)), normal(2, 6, 8, 1))
    assert len(comparisons) == 5 + (learning == "gradient")


def test_gradients_of_a_chain_with_a_quantizer_in_it():
    """Nobody hands on the quantizer's own loss there; backward adds its gradient with dloss = 1."""
    rng = np.random.default_rng(0)
    gradcheck.check(gradcheck.shake(Chain(Conv2d(1, 5, 4, 2, 1, rng), VectorQuantizer(7, 5, rng=rng))),
                    normal(2, 6, 8, 1))


# -- running means -----------------------------------------------------------------------------------------------------


def test_known_numbers_of_the_running_means():
    layer = trained_on(with_codes(CODES, learning="ema"), VECTORS)
    assert_close(layer.state["counts"], [1, 1.01, 1])
    assert_close(layer.state["means"], [(0.002, 0.001), (1.003, 1.003), (-0.996, 1.994)])
    codes = [(0.002 / 1.0000000332, 0.001 / 1.0000000332), (0.9930693723, 0.9930693723), (-0.9959999669, 1.9939999338)]
    assert_close(layer.codebook, codes, atol=1e-10)
    assert float(layer.loss) == pytest.approx(0.25 * 0.14875)  # the commitment alone


def test_running_means_equal_their_loops():
    codes, batches = normal(6, 3), [normal(20, 3, seed=seed) for seed in range(1, 5)]
    layer = trained_on(with_codes(codes, learning="ema", decay=0.8, eps=0.01), *batches)
    counts, means, codebook = references.running_means(np.ones(6), codes.copy(), batches, codes, 0.8, 0.01)
    assert_close(layer.state["counts"], counts)
    assert_close(layer.state["means"], means)
    assert_close(layer.codebook, codebook)
    assert np.abs(codebook - codes).max() > 0.1


def test_an_unused_code_stays_where_it_is():
    far = np.vstack([CODES, (5, -5)])
    layer = trained_on(with_codes(far, learning="ema"), *[VECTORS] * 100)
    assert_close(layer.codebook[3], (5, -5), atol=5e-4)
    layer = with_codes(far, learning="ema")
    layer.state["counts"][...] = 0  # the usual start throws it away at once
    assert np.abs(to_host(trained_on(layer, VECTORS).codebook)[3]).max() > 4e5


@KINDS
def test_two_replicas_and_an_update_are_like_the_whole_batch(learning):
    codes, z, dy = normal(6, 3), normal(10, 4, 3, seed=1), normal(10, 4, 3, seed=2)
    whole, cut = with_codes(codes, learning=learning), with_codes(codes, learning=learning)
    whole.forward(to_device(z))
    whole.backward(to_device(dy))
    twins, losses = [cut.replica(), cut.replica()], 0
    for twin, parts in zip(twins, ([slice(0, 4), slice(7, 10)], [slice(4, 7)])):
        for part in parts:
            share = len(z[part]) / len(z)
            twin.forward(to_device(z[part]))
            twin.backward(to_device(dy[part]), dloss=share)
            losses = losses + share * twin.loss
        cut.add_from(twin)
    assert float(losses) == pytest.approx(float(whole.loss), rel=1e-12)
    for mine, theirs in ((cut.grads, whole.grads), (cut.sums, whole.sums)):
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert_close(mine[name], to_host(theirs[name]))
    for layer in (cut, whole):
        layer.update()
    for (name, mine), (_, theirs) in zip(cut.arrays(), whole.arrays()):
        assert_close(mine, to_host(theirs))
    np.testing.assert_array_equal(to_host(twins[0].codebook), to_host(cut.codebook))  # replicas see the codebook move
    assert np.abs(to_host(cut.state["counts"]) - 1).max() > 0.01


# -- starting and reviving ---------------------------------------------------------------------------------------------


@KINDS
def test_start_from_takes_different_vectors(learning):
    z = np.concatenate([np.tile((3.0, 3, 3), (500, 1)), normal(40, 3)]).reshape(4, 135, 3)  # mostly one background
    layer = trained_on(VectorQuantizer(30, 3, learning=learning, rng=np.random.default_rng(0)).astype(xp.float64), z)
    layer.start_from(to_device(z))
    codes = to_host(layer.codebook)
    assert len(np.unique(codes, axis=0)) == 30
    assert all((code == z.reshape(-1, 3)).all(axis=1).any() for code in codes)
    assert (to_host(layer.state["counts"]) == 1).all()
    if learning == "ema":
        np.testing.assert_array_equal(to_host(layer.state["means"]), codes)
    again = VectorQuantizer(30, 3, learning=learning, rng=np.random.default_rng(0)).astype(xp.float64)
    again.start_from(to_device(z))
    np.testing.assert_array_equal(to_host(again.codebook), codes)


@pytest.mark.parametrize("step, least, most", [(0.01, 60, 60), (0.000005, 1, 8)])
def test_start_from_measures_the_spread_channel_by_channel(step, least, most):
    """Which vectors count as one depends on how far the vectors lie apart, not on how far the channels do."""
    center, spread = np.array((-3000.0, 0, 5000)), np.array((1.0, 1.9, 0.1))  # of each channel; 1 is its mean
    corners = center + spread * np.array(list(np.ndindex(2, 2, 2))) * 2 - spread
    close = center + spread * (step * np.arange(60)[:, None])  # 60 steps of 0.000005 are less than a thousandth
    layer = VectorQuantizer(68, 3, rng=np.random.default_rng(0)).astype(xp.float64)
    layer.start_from(to_device(np.concatenate([*[corners] * 50, close])))
    codes = to_host(layer.codebook)
    assert all((codes == corner).all(axis=1).any() for corner in corners)
    assert least <= sum((codes == vector).all(axis=1).any() for vector in close) <= most


def test_start_from_too_few_vectors_adds_noise():
    layer = VectorQuantizer(8, 2, rng=np.random.default_rng(0)).astype(xp.float64)
    layer.start_from(to_device(VECTORS[[0, 1, 2, 0, 1, 2]]))
    codes = to_host(layer.codebook)
    distances = np.abs(codes[:, None] - VECTORS[None, :3]).max(axis=2).min(axis=1)
    assert len(np.unique(codes, axis=0)) == 8 and (distances == 0).sum() == 3 and distances.max() < 0.05
    layer.start_from(xp.ones((5, 2)))  # no spread at all
    assert len(np.unique(to_host(layer.codebook), axis=0)) == 8


@KINDS
def test_reviving_puts_dead_codes_on_vectors(learning):
    layer, z = with_codes(normal(6, 2), learning=learning), to_device(VECTORS.reshape(2, 2, 2))
    layer.state["counts"][...] = to_device(np.array([3, 0.5, 2, 0.1, 9, 1]))
    before = to_host(layer.codebook).copy()
    layer.revive(z, 1.0)
    codes = to_host(layer.codebook)
    assert layer.revived == 2
    np.testing.assert_array_equal(codes[[0, 2, 4, 5]], before[[0, 2, 4, 5]])
    assert all((code == VECTORS).all(axis=1).any() for code in codes[[1, 3]]) and (codes[1] != codes[3]).any()
    assert_close(layer.state["counts"], [3, 1, 2, 1, 9, 1])
    if learning == "ema":
        assert_close(layer.state["means"][1], codes[1])
        assert_close(layer.state["means"][0], before[0])
    layer.revive(z, 1.0)  # nobody is dead any more
    np.testing.assert_array_equal(to_host(layer.codebook), codes)
    layer.state["counts"][...] = to_device(np.arange(6.0))
    layer.revive(z, 100.0)  # no more than there are vectors, the emptiest first
    assert layer.revived == 6 and to_host(layer.state["counts"]).tolist() == [100, 100, 100, 100, 4, 5]


def test_revived_codes_are_all_different():
    layer, z = with_codes(normal(30, 2)), normal(40, 2, seed=1)
    before = to_host(layer.codebook).copy()
    layer.state["counts"][...] = to_device(np.array([9.0, 9, *[0] * 28]))
    layer.revive(to_device(z), 1.0)
    codes = to_host(layer.codebook)
    assert layer.revived == 28 and len(np.unique(codes, axis=0)) == 30
    assert all((code == z).all(axis=1).any() for code in codes[2:])
    np.testing.assert_array_equal(codes[:2], before[:2])


@KINDS
def test_update_revives_on_request_from_what_forward_saw(learning):
    far = np.vstack([CODES, (50, 50)])
    layer = with_codes(far, learning=learning, revive_below=0.995)
    layer.forward(to_device(normal(5, 2)))
    assert layer.seen is not None
    trained_on(layer, VECTORS)
    assert layer.seen is None
    assert layer.revived == 1 and (to_host(layer.codebook)[3] == VECTORS).all(axis=1).any()
    layer = with_codes(far, learning=learning)
    layer.forward(to_device(VECTORS))
    assert layer.seen is None and trained_on(layer, VECTORS).revived == 0
    resting = trained_on(with_codes(far, learning=learning, revive_below=0.9), *[VECTORS] * 10)
    assert resting.revived == 0  # 0.99 ** 10 > 0.9
    assert trained_on(resting, VECTORS).revived == 1


def test_every_revival_draws_anew():
    layer, z, drawn = with_codes(normal(3, 2)), normal(50, 2), []
    for _ in range(4):
        layer.revive(to_device(z), 2.0)
        drawn.append(to_host(layer.codebook).tolist())
        layer.state["counts"][...] = 0
    assert len(np.unique(drawn, axis=0)) == 4


def test_a_resumed_run_revives_the_same():
    def options():
        return dict(learning="ema", revive_below=1.5, decay=0.5)

    batches = [normal(9, 2, seed=seed) for seed in range(6)]
    whole = trained_on(with_codes(normal(12, 2), **options()), *batches)
    halfway = trained_on(with_codes(normal(12, 2), **options()), *batches[:3])
    resumed = with_codes(normal(12, 2), **options())
    for (_, array), (_, saved) in zip(resumed.arrays(), halfway.arrays()):
        array[...] = saved
    trained_on(resumed, *batches[3:])
    assert resumed.revived == whole.revived > halfway.revived > 0
    for (_, array), (_, expected) in zip(resumed.arrays(), whole.arrays()):
        np.testing.assert_array_equal(to_host(array), to_host(expected))


def test_reviving_brings_an_unlucky_codebook_to_life():
    """Eight clusters, and a codebook that starts far away: one code serves all, and without reviving it stays so."""
    rng = np.random.default_rng(0)
    clusters = np.array([(1.0, -1)]) * np.arange(8)[:, None]
    batches = [clusters[rng.integers(0, 8, 64)] + 0.05 * rng.standard_normal((64, 2)) for _ in range(40)]
    start = np.array([(20.0, 20)]) + 0.1 * rng.standard_normal((8, 2))
    used = {}
    for below in (0, 0.1):
        layer = trained_on(with_codes(start, learning="ema", decay=0.9, revive_below=below), *batches)
        used[below] = perplexity(layer.sums["counts"]), share_in_use(layer.sums["counts"]), float(layer.loss)
    assert used[0][0] < 2.5 < 5 < used[0.1][0] and used[0][1] < used[0.1][1] == 1
    assert used[0.1][2] < used[0][2] / 5


# -- how many codes are in use -----------------------------------------------------------------------------------------


def test_perplexity():
    assert perplexity(np.array([0, 7, 0])) == 1 and perplexity(np.full(12, 3)) == pytest.approx(12)
    counts = normal(9) ** 2
    assert 1 < perplexity(counts) < 9
    assert perplexity(to_device(counts[::-1].copy())) == pytest.approx(perplexity(counts), rel=1e-12)
    assert perplexity(np.array([1, 1, 0, 0])) == pytest.approx(2)
    assert share_in_use(np.array([1, 5, 0, 0, 0])) == 0.4


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, message", [
    (dict(codes=0), "codes is a whole number from 1 to 65,536, got 0"), (dict(codes=2.5), "codes"),
    (dict(codes=2 ** 16 + 1), "codes is a whole number from 1 to 65,536, got 65537"),
    (dict(channels=0), "channel counts"), (dict(beta=-1), "beta is at least 0"),
    (dict(learning="Ema"), "learning is 'gradient' or 'ema', got 'Ema'"), (dict(decay=1), r"decay is in \[0, 1\)"),
    (dict(eps=0), "eps"), (dict(revive_below=-1), "revive_below"), (dict(beta=float("nan")), "beta"),
])
def test_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=f"VectorQuantizer: {message}"):
        VectorQuantizer(**{"codes": 3, "channels": 2, **arguments})


@pytest.mark.parametrize("indices", [[0, 3], [-1], [0.0, 1.0], [True], [2 ** 40]])
def test_lookup_refuses_what_is_no_code(indices):
    with pytest.raises(ValueError, match="VectorQuantizer: expected whole numbers from 0 to 2, got"):
        with_codes(CODES).lookup(np.array(indices))


def test_wrong_vectors_are_refused():
    layer = with_codes(CODES)
    for call in (layer, layer.forward, layer.indices, layer.start_from, lambda z: layer.revive(z, 1)):
        with pytest.raises(ValueError, match=r"VectorQuantizer: expected 2 channels.*\(4, 3\)"):
            call(xp.ones((4, 3)))
    for z in (np.zeros((0, 2)), np.array([(0, np.nan)])):
        with pytest.raises(ValueError, match="VectorQuantizer: can't start from .* none, or not all finite"):
            layer.start_from(to_device(z))
    for counts in ([0, 0], [1, -1], [np.nan, 1]):
        with pytest.raises(ValueError, match="perplexity: expected counts"):
            perplexity(np.array(counts))


def test_nothing_is_drawn_through_it():
    with pytest.raises(TypeError, match="VectorQuantizer isn't causal"):
        with_codes(CODES).step(xp.zeros((1, 2)), (0, 0))
