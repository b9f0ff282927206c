"""The checker of gradients: it passes every layer and model of tinyar, and refuses each kind of wrong backward."""

import sys

import numpy as np
import pytest

from tinyar import gradcheck, layers, models
from tinyar.backend import xp
from tinyar.gradcheck import __main__ as command
from tinyar.layers import Linear

CASES = gradcheck.cases()
ABSTRACT = {"CausalConv2d"}  # bases without a use of their own


@pytest.mark.parametrize("case", CASES, ids=[case.title for case in CASES])
def test_backward_is_the_gradient(case):
    x, condition = case.inputs()
    comparisons = gradcheck.check(gradcheck.shake(case.layer), x, entries=case.entries, condition=condition)
    inputs = [f"x{i}" for i in range(len(x))] if isinstance(x, tuple) else ["x"]
    expected = inputs + ["condition"] * (condition is not None) + [name for name, _, _ in case.layer.parameters()]
    assert [comparison.name for comparison in comparisons] == expected
    assert max(comparison.relative_error for comparison in comparisons) < 1e-6


def test_every_layer_and_model_is_in_the_table():
    checked = {type(part).__name__ for case in CASES for _, part in case.layer.layers()}
    assert set(layers.__all__) | set(models.__all__) <= checked | ABSTRACT
    assert not checked & ABSTRACT
    assert len({case.title for case in CASES}) == len(CASES)


# -- what is wrong -----------------------------------------------------------------------------------------------------


class Wrong(Linear):
    """A linear map whose backward is changed by `spoil`."""

    def __init__(self, spoil):
        super().__init__(3, 4, np.random.default_rng(0))
        self.spoil = spoil

    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        return self.spoil(self, dx)


def some_numbers(*shape):
    return gradcheck.Case("", None, shape).inputs()[0]


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
    (lambda layer, dx: None, "has shape None"),
])
def test_wrong_backward_is_refused_and_named(spoil, tensor):
    with pytest.raises(gradcheck.GradientError, match=f"Wrong: the gradient of .*{tensor}"):
        gradcheck.check(Wrong(spoil), some_numbers(2, 3, 3))
    gradcheck.check(Wrong(lambda layer, dx: dx), some_numbers(2, 3, 3))


def test_the_message_says_expected_and_got():
    with pytest.raises(gradcheck.GradientError) as error:
        gradcheck.check(Wrong(sign_of_bias), some_numbers(2, 3, 3))
    expected, got = (float(str(error.value).split(f"{word} ")[-1].split()[0]) for word in ("expected", "got"))
    assert expected == pytest.approx(-got) and abs(got) > 0


def test_a_wrong_gradient_of_one_of_several_inputs_is_named():
    class Wrong(layers.GatedBlock):
        def backward(self, dv_out, dh_out, need_dx=True):
            dv, dh = super().backward(dv_out, dh_out, need_dx)
            return dv, 1.01 * dh

    with pytest.raises(gradcheck.GradientError, match=r"Wrong: the gradient of x1 .* worst at x1\[\d, \d, \d, \d\]"):
        gradcheck.check(Wrong(2, 3, 3, residual=False), (some_numbers(2, 3, 4, 2), some_numbers(2, 3, 4, 2)))


def test_a_wrong_gradient_of_the_condition_is_named():
    class Wrong(models.PixelCNN):
        def condition_gradient(self):
            return 1.01 * super().condition_gradient()

    model = Wrong(classes=2, channels=4, blocks=1, first_kernel=3, kernel_size=3, head=())
    x, condition = gradcheck.Case("", model, (2, 3, 4, 1), 2, (2, 1, 1, 2)).inputs()
    with pytest.raises(gradcheck.GradientError, match="Wrong: the gradient of condition is wrong"):
        gradcheck.check(gradcheck.shake(model), x, condition=condition)


# -- kinks -------------------------------------------------------------------------------------------------------------


def test_a_kink_is_not_mistaken_for_an_error():
    with pytest.raises(ValueError, match="on its kink"):
        gradcheck.check(layers.ReLU(), np.zeros((2, 3)))


def test_the_step_is_shortened_beside_a_kink():
    x = np.array([[3e-7, -3e-7, 2e-6, 1.0]])  # steps of 1e-5 and 1e-6 would cross 0
    comparison, = gradcheck.check(layers.ReLU(), x)
    np.testing.assert_allclose(comparison.expected, comparison.got, rtol=1e-6)


# -- the table ---------------------------------------------------------------------------------------------------------


def run_command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gradcheck", *map(str, arguments)])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return command.main()


def test_the_table_is_printed(capsys, monkeypatch):
    some = gradcheck.cases()[::16]  # all of them were checked above
    monkeypatch.setattr(command, "cases", lambda: some)
    assert run_command(monkeypatch) == 0
    printed = capsys.readouterr().out
    assert all(case.title in printed for case in some) and "all below 1e-06" in printed


def test_the_table_shows_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(command, "cases", lambda: [gradcheck.Case("Spoilt", Wrong(one_percent), (2, 3, 3))])
    assert run_command(monkeypatch) == 1
    assert "Spoilt" in (printed := capsys.readouterr().out) and "1 wrong" in printed


OWN = """
from tinyar.layers import Linear, ReLU


class Doubled(ReLU):
    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        return None if dx is None else FACTOR * dx


def cases():
    return [("A linear map", Linear(3, 4), (2, 5, 6, 3)), ("Mine", Doubled(), (2, 3, 4, 5))]
"""


def test_a_file_of_one_s_own_goes_through_the_whole_contract(tmp_path, capsys, monkeypatch):
    (tmp_path / "own.py").write_text(OWN.replace("FACTOR", "1.0"))
    assert run_command(monkeypatch, tmp_path / "own.py") == 0
    printed = capsys.readouterr().out
    assert "A linear map" in printed and "Mine" in printed and "all below 1e-06, and the contract is kept" in printed
    (tmp_path / "own.py").write_text(OWN.replace("FACTOR", "2.0"))
    assert run_command(monkeypatch, tmp_path / "own.py") == 1
    printed = capsys.readouterr().out
    assert "Mine" in printed and "WRONG: Doubled: the gradient of x is wrong" in printed and "1 wrong" in printed


def test_a_layer_that_keeps_nothing_for_backward_is_named_and_the_others_are_checked(tmp_path, capsys, monkeypatch):
    (tmp_path / "own.py").write_text("""
from tinyar.layers import Linear, ReLU


class Forgets(ReLU):
    def forward(self, x):
        return self(x)


def cases():
    return [("Mine", Forgets(), (2, 3, 4, 5)), ("A linear map", Linear(3, 4), (2, 5, 6, 3))]
""")
    assert run_command(monkeypatch, tmp_path / "own.py") == 1
    printed = capsys.readouterr().out
    assert "WRONG: Forgets breaks the rule that forward keeps what backward reads: Forgets.backward found no" in printed
    assert "and self.cache = what backward reads" in printed and "A linear map" in printed and "1 wrong" in printed


def test_whatever_a_layer_raises_the_others_are_checked(tmp_path, capsys, monkeypatch):
    (tmp_path / "own.py").write_text("""
from tinyar.layers import Linear, ReLU


class Fails(ReLU):
    def sides(self):
        return {}["none"]


def cases():
    return [("Mine", Fails(), (2, 3, 4, 5)), ("A linear map", Linear(3, 4), (2, 5, 6, 3))]
""")
    assert run_command(monkeypatch, tmp_path / "own.py") == 1
    printed = capsys.readouterr().out
    assert "WRONG: KeyError: 'none'" in printed and "A linear map" in printed and "1 wrong" in printed


def test_a_case_of_a_wrong_shape_is_named_and_the_others_are_checked(tmp_path, capsys, monkeypatch):
    (tmp_path / "own.py").write_text("""
from tinyar.layers import Linear


def cases():
    return [("Bad", Linear(3, 4), (2, 3.5)), ("A linear map", Linear(3, 4), (2, 5, 6, 3))]
""")
    assert run_command(monkeypatch, tmp_path / "own.py") == 1
    printed = capsys.readouterr().out
    assert "WRONG: 'float' object" in printed and "A linear map" in printed and "1 wrong" in printed


def test_the_line_of_an_error_is_named_whatever_the_path(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text("\nraise KeyError('x')\n")
    monkeypatch.chdir(tmp_path)
    for path in ("own.py", tmp_path / "own.py"):
        with pytest.raises(SystemExit, match="own.py, line 2: can't be used: KeyError"):
            run_command(monkeypatch, path)


def test_few_entries_are_tried():
    assert [len(comparison.indices) for comparison in gradcheck.check(Linear(3, 4), np.ones((2, 5, 3)), entries=1)] == [
        2, 2, 2]


@pytest.mark.parametrize("name, text, message", [
    ("none.py", None, "no such file"), ("own.py, line 1", "import sys; sys.exit(0)", "can't be used: SystemExit"),
    ("own.txt", "", "expected the name of a Python file"),
    ("own.py", "", r"has no function cases\(\)"),
])
def test_a_file_without_cases_is_refused(tmp_path, monkeypatch, name, text, message):
    if text is not None:
        (tmp_path / name.split(",")[0]).write_text(text)
    with pytest.raises(SystemExit, match=f"gradcheck: .*{name}: .*{message}"):
        run_command(monkeypatch, tmp_path / name.split(",")[0])


def test_a_conditional_model_of_one_s_own_file_is_told_something(tmp_path):
    (tmp_path / "own.py").write_text("""
from tinyar.gradcheck import Case
from tinyar.models import GatedPixelCNN, VQVAE
SMALL = dict(levels=3, channels=4, first_kernel=3, dilations=(1,))


def cases():
    return [Case("classes", GatedPixelCNN(**SMALL, classes=4), (2, 4, 5, 1), levels=3),
            Case("maps", GatedPixelCNN(**SMALL, classes=2, map_channels=3), (2, 4, 5, 1), levels=3),
            Case("neither", GatedPixelCNN(**SMALL), (2, 4, 5, 1), levels=3),
            Case("said", GatedPixelCNN(**SMALL, classes=4), (2, 4, 5, 1), levels=3, condition=(2, 4, 5, 4)),
            Case("another", VQVAE(levels=3, widths=(4,)), (2, 4, 4, 1), levels=3)]
""")
    assert [case.condition for case in gradcheck.own_cases(tmp_path / "own.py")] == [
        (2, 1, 1, 4), (2, 4, 5, 5), None, (2, 4, 5, 4), None]
