"""A case for the checks: a layer, and an input to check it at. Your own file offers some by a function `cases`."""

import importlib.util
import pathlib
import sys
import traceback
from dataclasses import dataclass, replace

import numpy as np

from tinyar.model import Model

CONDITIONS = "classes", "map_channels", "map_codes"


@dataclass
class Case:
    """A layer, and what to check it at.

    x          an array, or the shape of one; or a list of these for a layer of several inputs
    levels     x is an image of so many levels, otherwise normal numbers
    condition  the shape of a conditional model's condition; where a file of your own has None, one that fits is made
               (not for map_codes)
    causal     as for check_layer: False for a causal layer that changes the size, which can't be drawn alone
    entries    of each tensor, how many to try: fewer for a model of very many tensors
    """

    title: str
    layer: object
    x: object
    levels: int = None
    condition: tuple = None
    causal: bool = None
    entries: int = 40

    def inputs(self, seed=1):
        """(x, condition) for `check` and `check_layer`."""
        rng = np.random.default_rng(seed)
        several = isinstance(self.x, list) and not all(isinstance(part, int) for part in self.x)
        found = [self.draw(part, rng) for part in (self.x if several else [self.x])]
        condition = None if self.condition is None else rng.standard_normal(self.condition)
        return tuple(found) if several else found[0], condition

    def draw(self, x, rng):
        """The array, or random levels or numbers of that shape; these keep away from ReLU's kink at 0."""
        if not isinstance(x, (tuple, list)):
            return np.asarray(x)
        if self.levels:
            return rng.integers(0, self.levels, x)
        numbers = rng.standard_normal(x)
        return numbers + 0.01 * np.sign(numbers)


def own_cases(path):
    """The cases of a Python file: those that its function `cases` returns.

        def cases():
            return [("SquaredReLU", SquaredReLU(), (2, 3, 4, 5)),
                    Case("a model", MyModel(levels=17), (2, 5, 6, 1), levels=17)]

    Each is a Case, or a tuple (title, layer, x or its shape, and for a model the levels of its images). Raises
    ValueError if the file isn't there, can't be imported, or offers none.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a Python file with a function cases()")
    if path.suffix != ".py":
        raise ValueError(f"{path}: expected the name of a Python file, ending in .py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "cases", None)):
            raise TypeError("it has no function cases() that returns a list of (title, layer, x or its shape)")
        offered = module.cases()
        if not isinstance(offered, (list, tuple)):
            raise TypeError("cases() must return a list of (title, layer, x or its shape), "
                            f"got {type(offered).__name__}")
        found = [with_condition(case if isinstance(case, Case) else case_of(case)) for case in offered]
    except (Exception, SystemExit) as error:
        line = next((f", line {frame.lineno}" for frame in reversed(traceback.extract_tb(error.__traceback__))
                     if pathlib.Path(frame.filename) == path.absolute()), "")
        raise ValueError(f"{path}{line}: can't be used: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    if not found:
        raise ValueError(f"{path}: its function cases() returned no cases")
    return found


def with_condition(case):
    """The case of a model, with a condition if it takes one: without, a wrong gradient of it wouldn't show."""
    model, (classes, map_channels, map_codes) = case.layer, (getattr(case.layer, name, 0) for name in CONDITIONS)
    if not isinstance(model, Model) or case.condition is not None or not (classes or map_channels) or map_codes:
        return case
    shape = case.x.shape if isinstance(case.x, np.ndarray) else case.x
    if len(shape) != 4:
        return case  # check_layer says what is wrong with it
    n, height, width, _ = shape
    labels = np.zeros(n, int) if classes else None
    maps = np.zeros((n, height, width, map_channels)) if map_channels else None
    return replace(case, condition=np.shape(model.condition(n, labels, maps)))


def case_of(entry):
    """A Case from a tuple (title, layer, x or its shape, ...). Raises TypeError for anything else."""
    if not isinstance(entry, tuple) or not 3 <= len(entry) <= 6 or not isinstance(entry[0], str):
        raise TypeError(f"cases(): expected tuples (title, layer, x or its shape), got {entry!r:.100}")
    return Case(*entry)
