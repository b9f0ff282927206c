"""The checker: it passes every layer and model of tinyar, and refuses each kind of wrong backward."""

import numpy as np
import pytest

from tinyar import gradcheck, layers, models
from tinyar.backend import xp
from tinyar.layers import Linear

CASES = gradcheck.cases()


@pytest.mark.parametrize("title, layer, shape, levels", CASES, ids=[case[0] for case in CASES])
def test_backward_is_the_gradient(title, layer, shape, levels):
    comparisons = gradcheck.check(gradcheck.shake(layer), gradcheck.case_input(shape, levels))
    assert [comparison.name for comparison in comparisons] == ["x"] + [name for name, _, _ in layer.parameters()]
    assert max(comparison.relative_error for comparison in comparisons) < 1e-6


def test_every_layer_and_model_is_in_the_table():
    checked = {type(part).__name__ for _, layer, _, _ in CASES for _, part in layer.layers()}
    assert set(layers.__all__) | set(models.__all__) <= checked


class Wrong(Linear):
    """A linear map whose backward is changed by `spoil`."""

    def __init__(self, spoil):
        super().__init__(3, 4, np.random.default_rng(0))
        self.spoil = spoil

    def backward(self, dy):
        dx = super().backward(dy)
        return self.spoil(self, dx)


def one_percent(layer, dx):
    layer.grads["w"][1, 2] *= 1.01
    return dx


def sign_of_bias(layer, dx):
    layer.grads["b"] *= -1
    return dx


@pytest.mark.parametrize("spoil, tensor", [
    (one_percent, r"w\[1, 2\]"), (sign_of_bias, r"b\[\d\]"),
    (lambda layer, dx: 2 * dx, "x"), (lambda layer, dx: 0 * dx, "x"),
    (lambda layer, dx: dx * xp.nan, "x"), (lambda layer, dx: dx[:1], "has shape"),
])
def test_wrong_backward_is_refused_and_named(spoil, tensor):
    with pytest.raises(gradcheck.GradientError, match=f"Wrong: the gradient of .*{tensor}"):
        gradcheck.check(Wrong(spoil), gradcheck.case_input((2, 3, 3), None))
    gradcheck.check(Wrong(lambda layer, dx: dx), gradcheck.case_input((2, 3, 3), None))


def test_the_message_says_expected_and_got():
    with pytest.raises(gradcheck.GradientError) as error:
        gradcheck.check(Wrong(sign_of_bias), gradcheck.case_input((2, 3, 3), None))
    expected, got = (float(str(error.value).split(f"{word} ")[-1].split()[0]) for word in ("expected", "got"))
    assert expected == pytest.approx(-got) and abs(got) > 0


def test_a_kink_is_not_mistaken_for_an_error():
    with pytest.raises(ValueError, match="on its kink"):
        gradcheck.check(layers.ReLU(), np.zeros((2, 3)))


def test_the_table_is_printed(capsys, monkeypatch):
    some = gradcheck.cases()[::8]  # all of them were checked above
    monkeypatch.setattr(gradcheck, "cases", lambda: some)
    assert gradcheck.main() == 0
    printed = capsys.readouterr().out
    assert all(title in printed for title, *_ in some) and "all below 1e-06" in printed


def test_the_table_shows_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(gradcheck, "cases", lambda: [("Spoilt", Wrong(one_percent), (2, 3, 3), None)])
    assert gradcheck.main() == 1
    assert "Spoilt" in (printed := capsys.readouterr().out) and "1 wrong" in printed
