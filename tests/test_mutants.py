"""Small promises that a changed term would break unnoticed: refusals, starting weights, and what is gone."""

import numpy as np
import pytest

from tinyar import conditions
from tinyar.backend import to_host, xp
from tinyar.layers import ColorLinear, Conditional, GatedBlock, Linear, MaskedConv2d
from tinyar.models import PixelCNN


# -- conditions --------------------------------------------------------------------------------------------------------


def test_the_gradient_of_a_condition_is_gone_after_a_backward_without_one():
    layer = Conditional(3, 4)
    x = xp.ones((2, 5, 6, 4))
    layer.tell(np.ones((2, 1, 1, 3)))
    layer.backward(layer.forward(x))
    assert layer.dcondition.shape == (2, 1, 1, 3)
    layer.tell(None)
    layer.backward(layer.forward(x))
    assert layer.dcondition is None


def test_the_gradient_of_a_model_s_condition_is_gone_too():
    model = PixelCNN(classes=3, channels=4, blocks=1, first_kernel=3, kernel_size=3, head=())
    x, condition = xp.zeros((2, 4, 5, 1)), xp.ones((2, 1, 1, 3))
    model.backward(xp.ones_like(model.forward(x, condition)))
    assert model.condition_gradient().shape == condition.shape
    model.backward(xp.ones_like(model.forward(x)))
    assert model.condition_gradient() is None


@pytest.mark.parametrize("channels", [2, 4])
def test_a_condition_with_wrong_channels_is_refused(channels):
    told = xp.zeros((2, 1, 1, channels))
    with pytest.raises(ValueError, match="Conditional: expected 3 channels in the condition's last axis, "
                                         rf"got shape \(2, 1, 1, {channels}\)"):
        Conditional(3, 4).tell(told)
    with pytest.raises(ValueError, match="Conditional: expected 3 channels"):
        with conditions.told(Conditional(3, 4), told):
            pass
    model = PixelCNN(channels=4, blocks=1, classes=3)
    with pytest.raises(ValueError, match=r"PixelCNN: expected a condition \(batch, 1 or height, 1 or width, 3\), got"):
        model(xp.zeros((2, 4, 5, 1)), told)


# -- starting weights --------------------------------------------------------------------------------------------------


def spread(array):
    return float(to_host(array).std())


def test_layers_in_front_of_a_gate_start_at_half_the_variance():
    block = GatedBlock(32, 32, 3, rng=np.random.default_rng(0))
    assert spread(block.link.params["w"]) == pytest.approx((1 / 64) ** 0.5, rel=0.05)  # of a Linear: 2 / 64
    assert spread(block.vertical.params["w"]) == pytest.approx((1 / (2 * 3 * 32)) ** 0.5, rel=0.05)
    assert spread(block.horizontal.params["w"]) == pytest.approx((1 / (2 * 32)) ** 0.5, rel=0.05)
    assert spread(block.output.params["w"]) == pytest.approx((2 / 32) ** 0.5, rel=0.05)


def test_other_layers_start_at_he_s_variance():
    rng = np.random.default_rng(0)
    assert spread(Linear(64, 48, rng).params["w"]) == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    for mask, taps in (("A", 4), ("B", 5)):
        w = MaskedConv2d(32, 32, 3, mask, rng=rng).params["w"]
        assert w.shape[0] == taps and spread(w) == pytest.approx((2 / (taps * 32)) ** 0.5, rel=0.05)


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [
    Linear, lambda i, o: ColorLinear(i, o, 3), lambda i, o: MaskedConv2d(i, o, 3, "A")])
@pytest.mark.parametrize("channels, got", [((0, 3), "0"), ((3, 0), "0"), ((-1, 3), "-1"), ((2.5, 3), "2.5")])
def test_channels_of_less_than_one_are_refused(make, channels, got):
    with pytest.raises(ValueError, match=f": channel counts are whole numbers of at least 1, got {got}"):
        make(*channels)
