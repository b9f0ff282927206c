"""Every exercise solved by tinyar's own functions, with its whole end: a campaign, not part of the test suite.

    python tests/campaign_exercises.py           two and a half minutes
    python tests/campaign_exercises.py 04 09     some of them

Each trains for ten seconds with the solution in a network. Exit status 1 if one comes to no less than 2.2 bits/dim, or
a VQ-VAE to no less than 0.1 of the variance.
"""

import pathlib
import sys
import tempfile

from exercise_solutions import FILES, exercise, solution
from finale import GOAL, Run

GOALS = {"09": 0.1, "10": 0.1}


def main():
    missed = []
    with tempfile.TemporaryDirectory() as folder:
        for number in sys.argv[1:] or FILES:
            module, run = exercise(number), Run(pathlib.Path(folder, f"{number}.png"))
            print(f"\n{FILES[number].name}", end="")
            fault = module.EXERCISE.check(solution(number))
            figure = module.EXERCISE.finale(run, *(solution(number)[name] for name in module.EXERCISE.write))
            if fault or figure >= GOALS.get(number, GOAL) or not run.picture.exists():
                missed.append(number)
    print(f"\nmissed: {', '.join(missed) or 'none'}")
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
