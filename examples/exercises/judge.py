"""The judge of the exercises: it checks a function by rules, says what is wrong, and lets a solved one train.

An exercise is a file with the mathematics, one to three empty functions, and below them an `Exercise`: what they
return, the rules in the order of the derivation, and what is trained with them. A `Rule` has the student's result and
the right one side by side, and what the usual mistakes would have given. So a mistake is known by its numbers.

An exercise imports this before all else: it looks after the end of the script (endings.py), and asks tinyar for NumPy.
"""

import os
import pathlib
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where endings.py is
import endings  # noqa: E402  first, so that Ctrl-C ends the imports too in one line
import dataclasses  # noqa: E402
import inspect  # noqa: E402
import textwrap  # noqa: E402

if "tinyar" not in sys.modules:
    os.environ["TINYAR_BACKEND"] = "numpy"  # what students write is NumPy
import numpy as np  # noqa: E402

import tinyar  # noqa: E402
from finale import Run  # noqa: E402
from guard import Fault, watched  # noqa: E402

ROOT = pathlib.Path(tinyar.__file__).parents[1]


@dataclasses.dataclass
class Rule:
    """What has to hold: a sentence; the name of a result; what the student's function gave; what is right.

    mistakes   {hint: what this mistake would have given}, in the order in which they are tried
    tolerance  relative to the entries' size; sums of another order differ by less
    """

    says: str
    name: str
    got: object
    expected: object
    mistakes: dict = dataclasses.field(default_factory=dict)
    tolerance: float = 1e-6

    def check(self):
        """Raise Fault unless got is expected."""
        got, expected = as_array(self.name, self.got), np.asarray(self.expected)
        if self.agree(got, expected) and kind(got) == kind(expected):
            return
        hint = next((hint for hint, wrong in self.mistakes.items() if self.agree(got, np.asarray(wrong))), "")
        if got.shape != expected.shape:
            raise Fault(f"{self.name}: expected shape {expected.shape}, got {got.shape}", hint, self.says)
        if self.agree(got, expected):
            raise Fault(f"{self.name}: the numbers are right, but their type isn't: expected {kind(expected)}, "
                        f"got {got.dtype}", "`.astype` changes the type of an array.", self.says)
        index = tuple(np.argwhere(~self.close(got, expected))[0])
        place = f"[{', '.join(map(str, index))}]" if index else ""
        text = f"{self.name}{place}: expected {shown(expected[index])}, got {shown(got[index])}"
        raise Fault(text, hint or general_hint(got, expected), self.says)

    def agree(self, a, b):
        """Whether two arrays have one shape and equal entries."""
        return a.shape == b.shape and bool(self.close(a, b).all())

    def close(self, a, b):
        """Where two arrays of one shape agree. All that isn't finite counts as the same."""
        a, b = (np.where(np.isfinite(x), x, np.nan) for x in (a, b))
        size = np.abs(b[np.isfinite(b)]).max(initial=1e-6)
        return np.isclose(a, b, rtol=self.tolerance, atol=self.tolerance * size, equal_nan=True)


def as_array(name, value):
    """A result as an array, or a Fault if it isn't made of numbers."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "biuf":
        raise Fault(f"{name}: expected an array of numbers, got {type(value).__name__}: {str(value):.60}")
    return array


def kind(array):
    """The number type of an array in words."""
    return {"f": "real numbers", "b": "True or False"}.get(array.dtype.kind, "whole numbers")


def shown(number):
    """A number as it is printed."""
    return f"{round(float(number), 12):.6g}" if isinstance(number, np.floating) else str(number)


def general_hint(got, expected):
    """What can be seen of a wrong result that comes from none of the usual mistakes."""
    if not np.isfinite(got).all() and np.isfinite(expected).all():
        return "There are numbers that aren't finite. Look for a division by 0, log of 0, or exp of a large number."
    if got.dtype.kind == expected.dtype.kind == "f" and got.size > 1 and expected.any():
        factor = (got * expected).sum() / (expected * expected).sum()
        if np.allclose(got, factor * expected, rtol=1e-6):
            return f"Every entry is {factor:.4g} times what it should be."
    return "This is none of the mistakes that the judge knows. Compare your code with the formulas, line by line."


# -- exercises ---------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Exercise:
    """What the judge needs to know of an exercise.

    write        {function to write: names of its results}
    rules        a generator of Rules, called with the functions
    finale       trains and draws, called with a Run and the functions; returns the figure that came out
    read         functions of tinyar to read afterwards
    writes_into  names of arguments that the functions may change
    """

    write: dict
    rules: object
    finale: object
    read: tuple
    writes_into: tuple = ()

    def check(self, functions, report=lambda rule: None):
        """The first Fault of the functions {name: function}, or None. report is told the rules that hold."""
        guarded = [watched(name, functions[name], returns, self.writes_into) for name, returns in self.write.items()]
        try:
            for rule in self.rules(*guarded):
                rule.check()
                report(rule.says)
        except Fault as fault:
            return fault


def main(exercise, names):
    """What a file does when it is run. names: its globals, where the student's functions are."""
    def judge():
        fault = exercise.check(names, lambda rule: print(f"ok     {rule}"))
        if fault:
            say(fault)
            sys.exit(1)
        print("\nAll rules hold. How tinyar does it:")
        print("\n".join(f"  {where(function)}" for function in exercise.read))
        run = Run(pathlib.Path("runs", "exercises", pathlib.Path(names["__file__"]).stem + ".png"))
        exercise.finale(run, *(names[name] for name in exercise.write))
    endings.run(judge, stopped="your solution stays as it is")


def say(fault):
    """Print a fault: the word, and beside it rule, text and hint, in lines that aren't too long."""
    word = fault.word
    for line in filter(None, (fault.rule, *fault.text.splitlines(), fault.hint and f"Hint: {fault.hint}")):
        print(textwrap.fill(line, 110, initial_indent=f"{word:7}", subsequent_indent=" " * 7, break_long_words=False))
        word = ""


def where(function):
    """File, lines and name of a function of tinyar, as they are now."""
    lines, first = inspect.getsourcelines(function)
    file = pathlib.Path(inspect.getsourcefile(function)).relative_to(ROOT).as_posix()
    return f"{file}, lines {first} to {first + len(lines) - 1}: {function.__qualname__}"
