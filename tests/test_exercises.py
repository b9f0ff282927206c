"""The exercises: tinyar's own functions solve them, and each usual mistake gets a hint of its own.

Mistakes are planted in tinyar's functions: by an edit of their source, (old, new), or by a wrapper around one of them.
"""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from tinyar.backend import on_gpu

if on_gpu:
    pytest.skip("what students write is NumPy", allow_module_level=True)

from exercise_solutions import FILES, exercise, solution  # first: it says where judge.py is
from exercise_mistakes import MISTAKES
import finale
import judge

FUNCTIONS = [(number, name) for number in FILES for name in exercise(number).EXERCISE.write]


def faults(number, *edits, **functions):
    """What the judge says of tinyar's functions, edited, or with some of them replaced."""
    return exercise(number).EXERCISE.check({**solution(number, *edits), **functions})


def planted(number, mistake):
    """The Fault of a planted mistake."""
    _, *change = mistake
    if isinstance(change[0], tuple):
        return faults(number, *change)
    name, wrong = change
    return faults(number, **{name: wrong(solution(number)[name])})


# -- right, empty, wrong -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", FILES)
def test_tinyar_solves_it(number):
    held = []
    assert exercise(number).EXERCISE.check(solution(number), held.append) is None
    assert len(held) >= 2 and len(set(held)) == len(held)


@pytest.mark.parametrize("number, name", FUNCTIONS)
def test_an_empty_body_is_told_where_to_begin(number, name):
    module = exercise(number)
    fault = faults(number, **{name: vars(module)[name]})
    line = 1 + FILES[number].read_text().split(f"\ndef {name}(")[0].count("\n") + 1
    assert fault.text.startswith(f"{name}(") and fault.text.endswith("has no body yet")
    assert f"line {line} of {FILES[number].name}" in fault.hint
    assert f"`return {module.EXERCISE.write[name]}`" in fault.hint


@pytest.mark.parametrize("number", FILES)
def test_planted_mistakes_are_told_apart(number):
    found = [(mistake[0], planted(number, mistake)) for mistake in MISTAKES[number]]
    for phrase, fault in found:
        assert fault and phrase in fault.hint, (phrase, fault and (fault.rule, fault.text, fault.hint))
        assert fault.rule and ("expected" in fault.text)
    assert len({fault.hint for _, fault in found}) == len(found) >= 5


@pytest.mark.parametrize("number", FILES)
def test_the_students_part_comes_first_and_is_empty(number):
    text = FILES[number].read_text()
    above, below = text.split("# -- the judge's part: you needn't read on ---")
    names = exercise(number).EXERCISE.write
    assert all(f"\ndef {name}(" in above for name in names)
    assert above.count("    raise NotImplementedError\n") == len(names)
    assert f"python examples/exercises/{FILES[number].name}\n" in text and "NotImplementedError" not in below


def test_there_are_thirteen_and_all_have_mistakes():
    assert list(FILES) == list(MISTAKES) == [f"{n:02}" for n in range(1, 14)]


# -- whatever a student's function does becomes a sentence -------------------------------------------------------------

def convolved(change):
    """The Fault of the convolution, its result changed."""
    right = solution("04")["convolution"]
    return faults("04", convolution=lambda x, w, b: change(right(x, w, b)))


def test_the_entry_expected_and_got_are_named():
    def off(y):
        y[1, 2, 3, 0] += 1
        return y

    fault = convolved(off)
    assert fault.rule.startswith("one tap") and fault.text.startswith("y[1, 2, 3, 0]: expected ")
    expected, got = map(float, fault.text.split("expected ")[1].split(", got "))
    assert got - expected == pytest.approx(1, abs=1e-5) and "none of the mistakes" in fault.hint


@pytest.mark.parametrize("change, text, hint", [
    (lambda y: y[0], "y: expected shape (2, 4, 5, 2), got (4, 5, 2)", ""),
    (lambda y: None, "convolution returns nothing", "It ends with `return y`"),
    (lambda y: "y", "y: expected an array of numbers, got str: y", ""),
    (lambda y: [[1, 2], [3]], "y: expected an array, got a list", ""),
    (lambda y: 1.5 * y, "y[0, 0, 0, 0]: expected", "Every entry is 1.5 times what it should be"),
    (lambda y: np.where(y > 0, np.inf, y), ", got inf", "There are numbers that aren't finite"),
    (lambda y: y.astype(int), "y[0, 0, 0, 0]: expected", ""),
])
def test_wrong_results(change, text, hint):
    fault = convolved(change)
    assert text in fault.text and hint in fault.hint


def test_errors_name_the_students_line():
    def convolution(x, w, b):
        return x @ w @ x

    fault = faults("04", convolution=convolution)
    line = convolution.__code__.co_firstlineno + 1
    assert fault.text.startswith("convolution stops with ValueError: matmul")
    assert fault.text.endswith(f"\nin line {line} of yours: return x @ w @ x")
    fault = faults("04", convolution=lambda x: x)
    assert "TypeError" in fault.text and "3 were given" in fault.text


def test_arguments_may_not_be_changed():
    def shifts(logits, targets):
        logits -= logits.max(axis=1, keepdims=True)
        return solution("01")["softmax_cross_entropy"](logits, targets)

    fault = faults("01", softmax_cross_entropy=shifts)
    assert fault.text == "softmax_cross_entropy changes its argument logits" and "logits = logits + ..." in fault.hint


def test_the_number_of_results_and_their_type():
    right = solution("01")["softmax_cross_entropy"]
    fault = faults("01", softmax_cross_entropy=lambda z, y: right(z, y)[1])
    assert fault.text == "softmax_cross_entropy returns one ndarray, expected 2"
    assert fault.hint == "It ends with `return loss, dlogits`."
    fault = faults("01", softmax_cross_entropy=lambda z, y: (*right(z, y), 0))
    assert "returns 3 results, expected 2" in fault.text
    mask = solution("03")["mask"]
    assert "expected real numbers, got int64" in faults("03", mask=lambda *a: mask(*a).astype(np.int64)).text
    quantize = solution("09")["quantize"]
    fault = faults("09", quantize=lambda *a: (quantize(*a)[0] * 1., *quantize(*a)[1:]))
    assert "expected whole numbers, got float64" in fault.text


# -- the command, and what follows -------------------------------------------------------------------------------------

def test_the_command_on_an_empty_exercise(tmp_path):
    run = subprocess.run([sys.executable, "-W", "error", FILES["05"]], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 1 and "convolution_backward(x, w, dy) has no body yet" in run.stdout, run.stderr
    assert run.stderr == "" and not list(tmp_path.iterdir())


@pytest.mark.long
def test_the_command_on_a_solved_exercise(tmp_path, monkeypatch, capsys):
    """It says what to read, trains below 2.2 bits/dim, and draws."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(judge, "Run", lambda picture: finale.Run(picture, seconds=10))
    module = exercise("06")
    judge.main(module.EXERCISE, {**vars(module), **solution("06")})
    printed = capsys.readouterr().out
    assert printed.count("ok  ") == 4 and "All rules hold" in printed
    figure = float(printed.split(" bits/dim on digits that it never saw")[0].split()[-1])
    assert figure < finale.GOAL
    assert pathlib.Path("runs/exercises/06_layer_norm.png").stat().st_size > 5000
    assert "tinyar/layers/norm.py, lines " in printed and "LayerNorm.backward" in printed


@pytest.mark.parametrize("number", FILES)
def test_what_to_read_is_found(number):
    for function in exercise(number).EXERCISE.read:
        file, lines = judge.where(function).split(", lines ")
        first, last = (int(word) for word in lines.split(":")[0].split(" to "))
        text = (judge.ROOT / file).read_text().splitlines()[first - 1:last]
        assert any(f"def {function.__name__}(" in line for line in text[:3]) and len(text) == last - first + 1


@pytest.mark.long
@pytest.mark.parametrize("number", FILES)
def test_every_finale_trains_and_draws(number, tmp_path):
    """A moment of it; tests/campaign_exercises.py trains for the whole ten seconds."""
    module = exercise(number)
    run = finale.Run(tmp_path / "picture.png", seconds=0.05)
    figure = module.EXERCISE.finale(run, *(solution(number)[name] for name in module.EXERCISE.write))
    assert np.isfinite(figure) and run.picture.stat().st_size > 5000
