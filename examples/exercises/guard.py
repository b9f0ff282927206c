"""A guard around a student's function: whatever goes wrong in it becomes a Fault, a sentence with a hint."""

import inspect
import os
import traceback

import numpy as np


class Fault(Exception):
    """What is wrong: a text, a hint or "", and the rule that is broken, if it is one. word: how it is announced."""

    def __init__(self, text, hint="", rule="", word="wrong"):
        super().__init__(text)
        self.text, self.hint, self.rule, self.word = text, hint, rule, word


def watched(called, function, returns, writes_into=()):
    """The student's function, in a guard: whatever goes wrong in it becomes a Fault.

    called       its name
    returns      the names of its results, "dx, dw, db"
    writes_into  the names of those arguments that it may change
    """
    names = list(inspect.signature(function).parameters)

    def guarded(*arguments):
        before = [np.copy(argument) if isinstance(argument, np.ndarray) else None for argument in arguments]
        try:
            with np.errstate(all="ignore"):
                results = function(*arguments)
        except NotImplementedError:
            raise empty(called, function, returns) from None
        except Exception as error:
            raise Fault(f"{called} stops with {type(error).__name__}: {error}\n{place(error, function)}") from None
        for name, now, then in zip(names, arguments, before):
            if then is not None and name not in writes_into and not np.array_equal(now, then, equal_nan=True):
                raise Fault(f"{called} changes its argument {name}",
                            f"`{name} += ...` writes into the caller's array. Make a new one: `{name} = {name} + ...`.")
        check_results(called, returns, results)
        return results
    return guarded


def check_results(called, returns, results):
    """Raise Fault unless the results are as many as their names, and no lists."""
    names = returns.split(", ")
    if results is None:
        raise Fault(f"{called} returns nothing", f"It ends with `return {returns}`.")
    if len(names) > 1 and (not isinstance(results, tuple) or len(results) != len(names)):
        count = f"{len(results)} results" if isinstance(results, tuple) else f"one {type(results).__name__}"
        raise Fault(f"{called} returns {count}, expected {len(names)}", f"It ends with `return {returns}`.")
    for name, result in zip(names, results if len(names) > 1 else [results]):
        if isinstance(result, list):
            raise Fault(f"{name}: expected an array, got a list", f"`np.array({name})` makes one of it.")


def empty(called, function, returns):
    """The Fault of a function without a body."""
    line, file = inspect.getsourcelines(function)[1], os.path.basename(function.__code__.co_filename)
    return Fault(f"{called}{inspect.signature(function)} has no body yet",
                 f"It begins at line {line} of {file}. Put your code in place of `raise NotImplementedError`, end it "
                 f"with `return {returns}`, and start this file again. All that you need stands in the docstrings.",
                 word="to do")


def place(error, function):
    """The student's line in which an error arose."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if frame.filename == function.__code__.co_filename]
    return f"in line {frames[-1].lineno} of yours: {frames[-1].line}" if frames else "where it is called"
