"""The contract of a model: options written once, a loss that backward differentiates, classes of one's own."""

import copy

import numpy as np
import pytest

from family import MODELS, given, make, random_condition, random_images
from tinyar import data, gradcheck, models, training
from tinyar.backend import to_device, to_host, xp
from tinyar.conditions import Conditional, told
from tinyar.gradcheck.held import held_choices
from tinyar.layers import ELU, Linear
from tinyar.likelihoods import LogisticMixture
from tinyar.losses import nats, softmax_cross_entropy
from tinyar.model import Model
from tinyar.models import VQVAE, GatedPixelCNN, PixelCNN
from tinyar.training import checkpoint

DIGITS = data.load("digits")
AUTOENCODER = dict(levels=17, widths=(6,), residual_units=1, residual_channels=4, codes=5, code_channels=3)


# -- options -----------------------------------------------------------------------------------------------------------

def test_a_list_of_the_caller_s_may_change_afterwards():
    dilations = [1, 2]
    model = GatedPixelCNN(channels=4, first_kernel=3, dilations=dilations, head=())
    dilations.append(4)
    assert model.config["dilations"] == [1, 2]


def test_numpy_numbers_as_options_leave_everything_in_float32():
    model = VQVAE(**{**AUTOENCODER, "levels": np.int64(17)})
    assert model.scale(to_device(DIGITS.train.images[:2])).dtype == xp.float32
    assert GatedPixelCNN(classes=np.uint8(10), channels=256, dilations=(), first_kernel=3, head=()).classes == 10


def test_options_are_recorded_as_given_with_the_defaults_of_the_others():
    model = PixelCNN(4, channels=6, blocks=1, head=(5, 7))
    assert model.config["levels"] == 4 and model.config["head"] == [5, 7] and model.config["kernel_size"] == 7
    again = PixelCNN(**model.config)
    assert again.config == model.config
    assert [array.shape for _, array in again.arrays()] == [array.shape for _, array in model.arrays()]


def test_a_subclass_records_its_own_options_and_a_copy_keeps_them():
    class Own(PixelCNN):
        def __init__(self, extra, levels=2):
            super().__init__(levels, channels=4, blocks=0)
    assert Own(3).config == {"extra": 3, "levels": 2}
    model = Own(3, levels=5)
    assert copy.copy(model).config == copy.deepcopy(model).config == model.replica().config == model.config
    with pytest.raises(TypeError, match="extra"):
        Own()


def test_published_takes_changes_and_names_what_there_is():
    model = GatedPixelCNN.published("tutorial", classes=10, channels=4)
    assert model.config["classes"] == 10 and model.config["first"] == "plain"
    with pytest.raises(ValueError, match="no published configuration 'x'; there are small, tutorial, imagenet"):
        GatedPixelCNN.published("x")


# -- the loss, and what backward is the gradient of --------------------------------------------------------------------

def loss_of(model, x, *condition):
    return float(model.loss(model.forward(x, *condition), x, weight=0.3)[0])


@pytest.mark.parametrize("name", [name for name in MODELS if name != "PixelRNN, independent colours"])
def test_backward_differentiates_the_loss(name):
    """Of all but the one whose backpropagation through time is cut off on purpose."""
    model = make(name)
    x = to_device(random_images(model, 2, 4, 5))
    condition = given(random_condition(model, 2, 4, 5)[0])
    _, doutputs = model.loss(model.forward(x, *condition), x, weight=0.3)
    model.zero_grads()
    model.backward(doutputs, need_dx=False)
    assert_gradients(model, lambda: loss_of(model, x, *condition))


@pytest.mark.parametrize("learning", ["gradient", "ema"])
@pytest.mark.parametrize("output", ["mse", "categorical"])
def test_backward_differentiates_the_whole_loss_of_an_autoencoder(learning, output):
    model = gradcheck.shake(VQVAE(learning=learning, output=output, **AUTOENCODER).astype(xp.float64))
    x = to_device(DIGITS.train.images[:3])
    with held_choices(model):
        _, doutputs = model.loss(model.forward(x), x, weight=0.3)
        model.zero_grads()
        model.backward(doutputs, need_dx=False)
        assert_gradients(model, lambda: loss_of(model, x))


def assert_gradients(model, loss):
    """Finite differences of the loss at the largest entry of each parameter's gradient."""
    for name, param, grad in model.parameters():
        index = np.unravel_index(int(to_host(abs(grad)).argmax()), grad.shape)
        value, step = float(param[index]), 1e-6
        param[index] = value + step
        above = loss()
        param[index] = value - step
        below = loss()
        param[index] = value
        assert float(grad[index]) == pytest.approx((above - below) / (2 * step), rel=1e-5, abs=1e-9), name


def test_the_loss_of_an_autoencoder_is_the_sum_of_its_parts_and_has_no_side_effect():
    model = VQVAE(learning="gradient", beta=0.5, **AUTOENCODER)
    model.prepare(DIGITS.train.images[:100])
    x, other = to_device(DIGITS.train.images[:5]), to_device(DIGITS.train.images[5:9])
    y, own = outputs = model.forward(x)
    reconstruction, _ = model.reconstruction_loss(y, x)
    commitment = float(model.quantizer.commitment_loss)
    loss, doutputs = model.loss(outputs, x)
    assert float(own) == pytest.approx(1.5 * commitment, rel=1e-6)
    assert float(loss) == pytest.approx(float(reconstruction) + 1.5 * commitment, rel=1e-6)
    model.loss(model.replica().forward(other), other, weight=0.1)  # what another batch costs changes nothing here
    model.zero_grads()
    model.backward(doutputs)
    grads = [to_host(grad).copy() for _, _, grad in model.parameters()]
    model.zero_grads()
    model.backward(model.loss(model.forward(x), x)[1])
    for grad, (_, _, again) in zip(grads, model.parameters()):
        np.testing.assert_array_equal(to_host(again), grad)


# -- conditions --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("name", [name for name in MODELS if "classes" in name or "maps" in name])
def test_a_condition_is_gone_after_its_batch(name):
    model, x = make(name), None
    x = to_device(random_images(model, 2, 4, 5))
    condition, _, _ = random_condition(model, 2, 4, 5)
    scaled = model.scale(x)
    before = to_host(model.net(scaled))
    told_of = to_host(model(x, condition))
    assert (told_of.reshape(before.shape) != before).any()
    for entrance in (model, model.forward, lambda x, condition: model.start(2, 4, 5, condition)):
        entrance(x, condition)
        np.testing.assert_array_equal(to_host(model.net(scaled)), before)
    with pytest.raises(RuntimeError), told(model, condition):
        raise RuntimeError
    assert all(layer.condition is None for _, layer in model.layers() if isinstance(layer, Conditional))


# -- models of classes outside tinyar ----------------------------------------------------------------------------------

class Histogram(Model):
    """The simplest model there is: every pixel by itself, from the same logits."""

    unit = "nats"

    def __init__(self, levels=17, start=0.0):
        super().__init__()
        self.levels, self.image_channels = levels, 1
        self.add_param("logits", np.full(levels, start))

    def __call__(self, x):
        return xp.broadcast_to(self.params["logits"], (*x.shape, self.levels))

    def forward(self, x):
        self.cache = True
        return self(x)

    def backward(self, doutputs, need_dx=True):
        self.take_cache()
        self.grads["logits"] += doutputs.reshape(-1, self.levels).sum(axis=0)

    def loss(self, outputs, x, weight=1.0):
        loss, doutputs = softmax_cross_entropy(outputs, x)
        return loss * weight, doutputs * weight

    def score(self, x, condition=None):
        return nats(self(x), x).sum(dtype=xp.float64)


class OwnPixelCNN(PixelCNN):
    """Blocks of another body."""

    def body(self, rng):
        return [ELU(), Linear(self.channels, self.channels, rng)]


@pytest.mark.parametrize("model", [lambda: Histogram(start=0.5), lambda: OwnPixelCNN(levels=17, channels=6, blocks=1)])
def test_a_model_of_ones_own_is_trained_resumed_and_loaded(tmp_path, model):
    options = dict(batch_size=20, threads=2, lr=1e-2)
    sets = DIGITS.train.images[:60], DIGITS.validation.images[:30]
    unbroken, resumed = model(), model()
    history = training.fit(unbroken, *sets, epochs=4, **options)
    assert history.rows[-1]["validation"] < history.rows[0]["validation"]
    training.fit(model(), *sets, epochs=2, out=tmp_path, **options)
    training.fit(resumed, *sets, epochs=4, out=tmp_path, resume=True, **options)
    loaded, _ = checkpoint.load(tmp_path / "model.npz", type(resumed))
    for (_, one), (_, two), (_, three) in zip(unbroken.arrays(), resumed.arrays(), loaded.arrays()):
        np.testing.assert_array_equal(to_host(one), to_host(two))
        np.testing.assert_array_equal(to_host(one), to_host(three))


def test_a_model_without_a_loss_says_so():
    with pytest.raises(TypeError, match="Model has no loss"):
        Model().loss(None, None)
    with pytest.raises(TypeError, match="Model has no costs"):
        Model().score(None)


def test_the_average_starts_after_prepare():
    """The codes that prepare finds are parameters here; an average that began before would hold random ones."""
    model = VQVAE(learning="gradient", **AUTOENCODER)
    training.fit(model, DIGITS.train.images[:40], epochs=1, batch_size=40, lr=1e-9, average=0.999, threads=1)
    twin = VQVAE(learning="gradient", **AUTOENCODER)
    twin.prepare(DIGITS.train.images[:40])
    np.testing.assert_allclose(to_host(model.quantizer.codebook), to_host(twin.quantizer.codebook), atol=1e-6)
    assert isinstance(model, models.VQVAE)


@pytest.mark.parametrize("prepare, said", [
    (lambda model, images: model.state.update(seen=xp.ones(3, dtype=xp.float32)), "seen"),
    (lambda model, images: model.add_param("shift", np.ones(3)), "shift")])
def test_prepare_writes_into_the_arrays_that_are_there(prepare, said):
    class Prepares(PixelCNN):
        def __init__(self):
            super().__init__(17, channels=4, blocks=0, first_kernel=3)
            self.state["seen"] = xp.zeros(3, dtype=xp.float32)

    Prepares.prepare = prepare
    with pytest.raises(TypeError, match=rf"Prepares.prepare made new arrays \({said}\); expected it to write"):
        training.fit(Prepares(), DIGITS.train.images[:4], epochs=1)


def test_a_model_without_costs_is_trained_without_held_out_images():
    class WithoutCosts(PixelCNN):
        costs = Model.costs

    model = WithoutCosts(17, channels=4, blocks=0, first_kernel=3)
    with pytest.raises(TypeError, match="validation: WithoutCosts has no costs, so it can't be measured; expected"):
        training.fit(model, DIGITS.train.images[:4], DIGITS.validation.images[:4], epochs=1)
    assert len(training.fit(model, DIGITS.train.images[:4], epochs=1).rows) == 1


@pytest.mark.parametrize("kind, options", [
    (PixelCNN, dict(channels=6, blocks=1, first_kernel=3, kernel_size=3)),
    (GatedPixelCNN, dict(channels=6, first_kernel=3, dilations=(1,))),
    (models.RowLSTM, dict(hidden=4, layers=1, first_kernel=3))])
@pytest.mark.parametrize("image_channels", [1, 3])
def test_another_likelihood_takes_the_place_of_the_softmax(kind, options, image_channels):
    class WithMixture(kind):
        def make_likelihood(self, levels, image_channels, one_hot):
            return LogisticMixture(levels, image_channels, components=2)

    model = WithMixture(levels=5, image_channels=image_channels, ordered_colors=False, **options)
    assert model.outputs == LogisticMixture(5, image_channels, 2).outputs(image_channels)
    gradcheck.check_layer(model, np.random.default_rng(0).integers(0, 5, (2, 4, 5, image_channels)), entries=5)
