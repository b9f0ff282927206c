"""Which ranks this process is one of, and whether all of them are about to do the same."""

import contextvars
import os
import platform
import sys

import numpy as np

from tinyar.training.mpi import Mpi, launched
from tinyar.training.ranks import Alone

current = contextvars.ContextVar("ranks", default=Mpi(os.environ) if launched(os.environ) else Alone())


def world():
    """The ranks of this run, of which this process is one."""
    return current.get()


def roll_call(model, options):
    """Raise ValueError, on all ranks, unless all are about to do the same: options is a dict of all that matters."""
    ranks = world()
    mine = {"Python": platform.python_version(), "numpy": np.__version__, "tinyar": sys.modules["tinyar"].__version__,
            "model": type(model).__name__, **model.config, **options}
    first = ranks.of_first(lambda: mine)
    differing = [f"{key} is {mine.get(key)!r:.80}, on rank 0 {first.get(key)!r:.80}"
                 for key in {**first, **mine} if mine.get(key) != first.get(key)]
    for rank, found in enumerate(ranks.of_all(differing)):
        if found:
            raise ValueError(f"rank {rank} of {ranks.size} is about to do something else than rank 0: "
                             + "; ".join(found))
