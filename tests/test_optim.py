"""Optimizers, schedules, clipping, averaging: against published vectors and the formulas."""

import math

import numpy as np
import pytest

from tinyar import optim
from tinyar.backend import to_device, to_host, xp
from tinyar.layer import Layer


class Numbers(Layer):
    """A layer that is nothing but parameters."""

    def __init__(self, **params):
        super().__init__()
        for name, value in params.items():
            self.add_param(name, np.array(value))
        self.astype(xp.float64)

    def set_grads(self, **grads):
        for name, value in grads.items():
            self.grads[name][...] = to_device(np.array(value, dtype=float))


@pytest.mark.parametrize("gradients, expected", [
    ((0.1, -0.2, 0.3), (0.999000000100, 0.999366103604, 0.999022862539)),
    ((1e-5, 1e-5, 1e-5), (0.999000999001, 0.998001998002, 0.997002997003)),
])
def test_adam_vectors(gradients, expected):
    model = Numbers(theta=[1.0])
    adam = optim.Adam(model, lr=1e-3)
    for gradient, theta in zip(gradients, expected):
        model.set_grads(theta=[gradient])
        adam.step()
        assert float(model.params["theta"][0]) == pytest.approx(theta, abs=1e-12)


@pytest.mark.parametrize("betas, gradients, expected", [
    ((0.9, 0.999), (0.1, -0.2, 0.3), (0.999000000500, 0.999366103954, 0.999022862910)),
    ((0.95, 0.9995), (0.1, -0.2, 0.3), (0.999000000500, 0.999340527866, 0.999015604170)),
    ((0.9, 0.999), (1e-5, 1e-5, 1e-5), (0.999900496281, 0.999800992562, 0.999701488843)),
])
def test_adam_with_eps_inside_the_root(betas, gradients, expected):
    model = Numbers(theta=[1.0])
    adam = optim.Adam(model, lr=1e-3, betas=betas, eps=0, eps_root=1e-8)
    for gradient, theta in zip(gradients, expected):
        model.set_grads(theta=[gradient])
        adam.step()
        assert float(model.params["theta"][0]) == pytest.approx(theta, abs=1e-12)


def test_eps_in_the_root_for_a_mean_or_a_sum():
    """The mean over N numbers and eps_root / N^2 make the steps of the sum and eps_root."""
    rng, n = np.random.default_rng(0), 784
    models = [Numbers(theta=np.ones(5)) for _ in range(2)]
    optimizers = [optim.Adam(model, lr=0.01, eps=0, eps_root=eps_root)
                  for model, eps_root in zip(models, (1e-8, 1e-8 / n ** 2))]
    for _ in range(10):
        gradient = 1e-4 * rng.standard_normal(5)
        for model, adam, scale in zip(models, optimizers, (1, 1 / n)):
            model.set_grads(theta=scale * gradient)
            adam.step()
    np.testing.assert_allclose(*(to_host(model.params["theta"]) for model in models), rtol=1e-12)


def test_adam_does_not_mind_the_scale_of_gradients():
    rng = np.random.default_rng(0)
    models = [Numbers(theta=np.ones(5)) for _ in range(2)]
    optimizers = [optim.Adam(model, lr=0.01, eps=0) for model in models]
    for _ in range(10):
        gradient = rng.standard_normal(5)
        for model, adam, scale in zip(models, optimizers, (1, 1000)):
            model.set_grads(theta=scale * gradient)
            adam.step()
    np.testing.assert_allclose(*(to_host(model.params["theta"]) for model in models), rtol=1e-12)


def test_rmsprop_by_hand():
    model = Numbers(theta=[1.0, 2.0])
    rmsprop = optim.RMSProp(model, lr=0.1, decay=0.75, eps=0.5)
    # v = 0.25 * 2^2 = 1 and 0.25 * 6^2 = 9
    model.set_grads(theta=[2, -6])
    rmsprop.step()
    np.testing.assert_allclose(to_host(model.params["theta"]), [1 - 0.1 * 2 / 1.5, 2 + 0.1 * 6 / 3.5], rtol=1e-14)
    # v = 0.75 * 1 + 0.25 * 13 = 4 and 0.75 * 9 + 0 = 6.75
    model.set_grads(theta=[13 ** 0.5, 0])
    rmsprop.step()
    np.testing.assert_allclose(to_host(model.params["theta"]),
                               [1 - 0.1 * 2 / 1.5 - 0.1 * 13 ** 0.5 / 2.5, 2 + 0.1 * 6 / 3.5], rtol=1e-14)
    assert rmsprop.t == 2
    np.testing.assert_allclose(to_host(rmsprop.state()["v"]["theta"]), [4, 6.75], rtol=1e-14)


def test_rmsprop_steps_by_the_sign_at_first_and_survives_a_gradient_of_zero():
    model = Numbers(theta=[0.0, 0.0, 0.0])
    rmsprop = optim.RMSProp(model, lr=1e-3)
    model.set_grads(theta=[1000, -0.001, 0])
    rmsprop.step()
    np.testing.assert_allclose(to_host(model.params["theta"]), [-1e-3 / 0.1 ** 0.5, 1e-3 / 0.1 ** 0.5, 0], rtol=1e-4)


@pytest.mark.parametrize("kind", [optim.Adam, optim.RMSProp])
def test_an_optimizer_goes_on_from_its_state(kind):
    rng, models = np.random.default_rng(0), [Numbers(a=np.ones(3), b=np.ones((2, 2))) for _ in range(2)]
    unbroken, broken = (kind(model, optim.exponential(0.1, 0.9)) for model in models)
    for update in range(6):
        gradients = dict(a=rng.standard_normal(3), b=rng.standard_normal((2, 2)))
        if update == 3:
            state = {key: value if key == "t" else {name: to_host(array).copy() for name, array in value.items()}
                     for key, value in broken.state().items()}
            broken = kind(models[1], optim.exponential(0.1, 0.9))
            broken.load_state(state)
        for model, optimizer in zip(models, (unbroken, broken)):
            model.set_grads(**gradients)
            optimizer.step()
    assert broken.learning_rate() == unbroken.learning_rate() == 0.1 * 0.9 ** 6
    for name in "ab":
        assert not (to_host(models[0].params[name]) == 1).any()
        np.testing.assert_array_equal(to_host(models[0].params[name]), to_host(models[1].params[name]))


def test_a_state_that_does_not_fit_is_refused():
    adam, rmsprop = (kind(Numbers(a=[1.0])) for kind in (optim.Adam, optim.RMSProp))
    with pytest.raises(ValueError, match="RMSProp: expected a state of t, v, got one of t, m, v"):
        rmsprop.load_state(adam.state())
    with pytest.raises(ValueError, match="Adam: expected a state of t, m, v, got one of t, v"):
        adam.load_state(rmsprop.state())
    other = optim.Adam(Numbers(b=[1.0]))
    other.t = 5
    with pytest.raises(ValueError, match="names differ"):
        adam.load_state(other.state())
    assert adam.t == 0


@pytest.mark.parametrize("kind", [optim.Adam, optim.RMSProp])
def test_parameters_are_updated_in_place_and_float32_stays_float32(kind):
    model = Numbers(a=[1.0, 2.0]).astype(xp.float32)
    param, optimizer = model.params["a"], kind(model)
    model.set_grads(a=[1, -1])
    optimizer.step()
    assert param is model.params["a"] and (to_host(param) != [1, 2]).all()
    assert ({array.dtype for array in (param, *(arrays["a"] for arrays in optimizer.means.values()))}
            == {np.dtype(np.float32)})


@pytest.mark.parametrize("kind, arguments", [
    (optim.Adam, dict(betas=(1.0, 0.9))), (optim.Adam, dict(lr=-1)), (optim.Adam, dict(eps=-1e-8)),
    (optim.RMSProp, dict(decay=1.0)), (optim.RMSProp, dict(decay=-0.1)),
    (optim.RMSProp, dict(lr=-1)), (optim.RMSProp, dict(eps=-1e-8))])
def test_options_that_do_not_fit_are_refused(kind, arguments):
    with pytest.raises(ValueError, match="got"):
        kind(Numbers(a=[1.0]), **arguments)


def test_schedules():
    assert [optim.constant(0.1)(t) for t in (1, 1000)] == [0.1, 0.1]
    assert optim.exponential(1e-3, 0.999995)(138_629) == pytest.approx(5e-4, rel=1e-5)
    assert optim.exponential(1e-3, 0.999995)(100_000) == pytest.approx(6.065e-4, rel=1e-4)
    cosine = optim.cosine(2e-3, total=100, warmup=10, minimum=1e-5)
    assert cosine(1) == pytest.approx(2e-4) and cosine(5) == pytest.approx(1e-3)
    assert cosine(9.999999) == pytest.approx(cosine(10), rel=1e-6) and cosine(10) == pytest.approx(2e-3)
    assert cosine(55) == pytest.approx((2e-3 + 1e-5) / 2)
    assert cosine(100) == pytest.approx(1e-5) and cosine(1000) == pytest.approx(1e-5)
    for arguments in (dict(total=10, warmup=10), dict(total=0), dict(total=5, warmup=-1)):
        with pytest.raises(ValueError, match="warmup"):
            optim.cosine(1e-3, **arguments)


def test_clipping_vector():
    model = Numbers(a=[0.0, 0.0], b=[0.0])
    model.set_grads(a=[3, 4], b=[12])
    assert optim.clip_global_norm(model, 13.5) == pytest.approx(13)
    assert to_host(model.grads["a"]).tolist() == [3, 4]
    assert optim.clip_global_norm(model, 5) == pytest.approx(13)
    np.testing.assert_allclose(to_host(model.grads["a"]), [1.1538461538, 1.5384615385], atol=1e-10)
    np.testing.assert_allclose(to_host(model.grads["b"]), [4.6153846154], atol=1e-10)
    assert optim.global_norm(model) == pytest.approx(5)
    assert optim.global_norm(Numbers()) == 0  # of no parameters
    model.set_grads(b=[math.inf])
    assert optim.clip_global_norm(model, 5) == math.inf and np.isinf(to_host(model.grads["b"])).all()
    with pytest.raises(ValueError, match="above 0"):
        optim.clip_global_norm(model, 0)


def test_weight_average():
    model = Numbers(a=[1.0])
    average = optim.WeightAverage(model, decay=0.9)
    expected = 1.0
    for t in range(1, 40):
        model.params["a"][...] = t
        average.update()
        d = min(0.9, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * t
    assert float(average.average["a"][0]) == pytest.approx(expected, rel=1e-12)
    with average.applied():
        assert float(model.params["a"][0]) == pytest.approx(expected, rel=1e-12)
    assert float(model.params["a"][0]) == 39
    with pytest.raises(RuntimeError), average.applied():
        raise RuntimeError
    assert float(model.params["a"][0]) == 39
    with pytest.raises(ValueError, match="decay"):
        optim.WeightAverage(model, 1.0)


def test_average_of_a_constant_is_the_constant():
    model = Numbers(a=[0.3, -2.0])
    average = optim.WeightAverage(model)
    for _ in range(5):
        average.update()
    np.testing.assert_array_equal(to_host(average.average["a"]), to_host(model.params["a"]))


def test_a_norm_beyond_float32_is_clipped_too():
    model = Numbers(w=[0.0, 0.0]).astype(xp.float32)
    model.set_grads(w=[2e19, 0])
    assert optim.clip_global_norm(model, 1.0) == pytest.approx(2e19)
    np.testing.assert_allclose(to_host(model.grads["w"]), [1, 0])


def test_a_state_of_something_else_is_refused():
    model = Numbers(w=[1.0])
    with pytest.raises(ValueError, match="WeightAverage: expected a state of t, average, got one of t, m, v"):
        optim.WeightAverage(model).load_state(optim.Adam(model).state())
    with pytest.raises(ValueError, match="betas: expected two numbers"):
        optim.Adam(model, betas=(0.9, 0.99, 0.9))
