"""Scheduled sampling: the schedules, the coins, both ways of drawing, and what becomes of training."""

import math

import numpy as np
import pytest

from family import MODELS, make, random_condition, random_images
from tinyar import data, training
from tinyar.training import checkpoint
from tinyar.backend import to_host, xp
from tinyar.models import VQVAE, PixelCNN
from tinyar.optim import RMSProp
from tinyar.training.parallel import Workers
from tinyar.training.scheduled_sampling import ScheduledSampling, exponential, inverse_sigmoid, linear

TRAIN = data.load("digits", levels=4).train.images[:40]
SMALL = dict(levels=4, channels=8, blocks=1, first_kernel=3, kernel_size=3)


def fit(model=None, **options):
    model = model or PixelCNN(**SMALL)
    return model, training.fit(model, TRAIN, **{"epochs": 2, "batch_size": 20, "threads": 2, **options})


def assert_same(one, other):
    for (name, a, _), (_, b, _) in zip(one.parameters(), other.parameters(), strict=True):
        np.testing.assert_array_equal(to_host(a), to_host(b), err_msg=name)


def test_schedules():
    assert [linear(1, 0.3, 0.25)(i) for i in range(4)] == pytest.approx([1, 0.7, 0.4, 0.25])
    assert linear(1.5, 0.1)(0) == 1  # a probability
    assert exponential(0.5)(0) == 1 and exponential(0.5)(3) == 0.125
    sigmoid = inverse_sigmoid(100)
    assert [sigmoid(0), sigmoid(461), sigmoid(1000)] == pytest.approx([0.9901, 0.4988, 0.0045], abs=5e-5)
    assert sigmoid(100 * math.log(100)) == pytest.approx(0.5) and sigmoid(10 ** 9) >= 0
    for schedule in (linear(1, 0.01, 0.2), exponential(0.99), sigmoid):
        values = [schedule(i) for i in range(0, 2000, 7)]
        assert all(a >= b for a, b in zip(values, values[1:])) and 0 <= min(values) and max(values) <= 1


@pytest.mark.parametrize("make_schedule", [
    lambda: linear(minimum=1), lambda: linear(slope=-1), lambda: linear(minimum=-0.1),
    lambda: exponential(1), lambda: exponential(0), lambda: inverse_sigmoid(0.5)])
def test_schedules_that_do_not_fit_are_refused(make_schedule):
    with pytest.raises(ValueError, match="expected"):
        make_schedule()


@pytest.mark.parametrize("sequential", [False, True])
def test_keeping_everything_is_teacher_forcing_bit_for_bit(sequential):
    plain, history = fit()
    same, same_history = fit(scheduled_sampling=ScheduledSampling(lambda update: 1.0, sequential))
    assert_same(plain, same)
    assert [row["train"] for row in history.rows] == [row["train"] for row in same_history.rows]


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("name", ["PixelCNN", "PixelCNN, ordered colours", "Gated, classes and maps"])
def test_each_subpixel_has_a_coin_of_its_own_and_draws_are_draws(name, sequential):
    model = make(name)
    images = random_images(model, 1, 5, 6).repeat(400, axis=0).astype(np.uint8)
    condition = random_condition(model, 1, 5, 6)[0]
    condition = None if condition is None else condition.repeat(400, axis=0)
    before = images.copy()
    mixed = ScheduledSampling(lambda update: 0.75, sequential).inputs(model, images, condition, 3, seed=1)
    assert (images == before).all() and mixed.dtype == images.dtype and mixed.max() < model.levels
    again = ScheduledSampling(lambda update: 0.75, sequential).inputs(model, images, condition, 3, seed=1)
    other = ScheduledSampling(lambda update: 0.75, sequential).inputs(model, images, condition, 4, seed=1)
    assert (mixed == again).all() and (mixed != other).any()
    # The first sub-pixel's draw has the model's distribution, whatever the coins do later: a quarter of them are draws.
    given = [] if condition is None else [condition[:1]]
    logits = to_host(model(xp.asarray(images[:1]), *given))[0, 0, 0, 0]
    p = np.exp(logits - logits.max())
    p /= p.sum()
    expected = 0.25 * p
    expected[images[0, 0, 0, 0]] += 0.75
    frequencies = np.bincount(mixed[:, 0, 0, 0], minlength=model.levels) / 400
    assert abs(frequencies - expected).max() < 4 * (0.25 / 400) ** 0.5


def test_draws_go_on_from_draws_only_if_sequential():
    """A model that repeats its left neighbour:
    after true pixels it draws true ones, after draws the first draw all along.
    """
    class Repeats(PixelCNN):
        def __call__(self, x, condition=None):
            left = np.concatenate([np.full_like(x[:, :, :1], 3), x[:, :, :-1]], axis=2)
            return 1e3 * (left[..., None] == np.arange(4))

        def start(self, batch, height, width, condition=None):
            self.last = np.full((batch, 1), 3)

        def step(self, x, at):
            return 1e3 * (self.last[..., None] == np.arange(4))

        def see(self, x, at):
            self.last = x.copy()

    if xp is not np:
        pytest.skip("the model of this test computes with NumPy")
    images = np.array([0, 1, 2, 1], np.uint8).reshape(1, 1, 4, 1)
    for sequential, expected in ((False, [3, 0, 1, 2]), (True, [3, 3, 3, 3])):
        mixed = ScheduledSampling(lambda update: 0.0, sequential).inputs(Repeats(**SMALL), images, None, 0, 0)
        assert mixed.reshape(-1).tolist() == expected


def test_targets_stay_the_true_pixels_and_threads_agree():
    model = make("PixelCNN")
    images, seen = random_images(model, 6, 4, 5), random_images(model, 6, 4, 5, seed=1)
    loss, dlogits = model.loss(model.forward(xp.asarray(seen)), xp.asarray(images))
    model.backward(dlogits)
    expected = [to_host(grad).copy() for _, _, grad in model.parameters()]
    for threads in (1, 2):
        with Workers(model, threads) as workers:
            assert float(workers.gradient(images, None, seen)) == pytest.approx(float(loss), abs=1e-12)
        for grad, (_, _, other) in zip(expected, model.parameters()):
            np.testing.assert_allclose(grad, to_host(other), atol=1e-12)


def test_resuming_equals_an_unbroken_run_and_knows_schedule_and_optimizer(tmp_path):
    options = dict(scheduled_sampling=ScheduledSampling(exponential(0.5)), optimizer=RMSProp)
    unbroken, _ = fit(epochs=3, **options)
    fit(epochs=1, out=tmp_path, **options)
    resumed, _ = fit(epochs=3, out=tmp_path, resume=True, **options)
    assert_same(unbroken, resumed)
    for other in (dict(options, scheduled_sampling=None),
                  dict(options, scheduled_sampling=ScheduledSampling(exponential(0.6))),
                  {"scheduled_sampling": options["scheduled_sampling"]}):
        with pytest.raises(checkpoint.CheckpointError, match="other options"):
            fit(epochs=3, out=tmp_path, resume=True, **other)


def test_a_model_that_does_not_draw_pixel_by_pixel_is_refused():
    with pytest.raises(ValueError, match="scheduled_sampling: VQVAE doesn't draw pixel by pixel, expected None"):
        fit(VQVAE(4, 1, widths=(4,), codes=4, code_channels=2), scheduled_sampling=ScheduledSampling(exponential(0.5)))


def test_all_models_of_the_family_can_be_mixed():
    for name in MODELS:
        model = make(name)
        images, (condition, _, _) = random_images(model, 2, 3, 4).astype(np.uint8), random_condition(model, 2, 3, 4)
        for sequential in (False, True):
            mixed = ScheduledSampling(lambda update: 0.5, sequential).inputs(model, images, condition, 0, 0)
            assert mixed.shape == images.shape
