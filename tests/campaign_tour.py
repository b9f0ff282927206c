"""Runs examples/tour.ipynb from its first cell to its last, and compares what it prints with what is stored in it.

    python tests/campaign_tour.py            needs pip install -e ".[notebook]"; half a minute on two cores

Numbers may differ in their last digits, since another processor rounds otherwise: by a twentieth, or 0.05. Exit status
1 if a cell fails, warns, or prints something else. Not a part of the test suite; continuous integration runs it.
"""

import copy
import pathlib
import re
import sys
import time

import nbclient
import nbformat

TOUR = pathlib.Path(__file__).resolve().parents[1] / "examples" / "tour.ipynb"
NUMBER = re.compile(r"\d+\.\d+(?:e[-+]\d+)?|\d+e[-+]\d+")  # a whole number is no measurement
PASSING = ("computed by", "the codes of", "Forgetful")  # lines that depend on the machine


def printed(cell):
    """What a code cell prints, line by line, and how many pictures it shows. Raises ValueError for warnings."""
    texts = [output.text for output in cell.outputs if output.output_type == "stream"]
    if any(output.get("name") == "stderr" for output in cell.outputs):
        raise ValueError("writes to stderr: " + "".join(texts))
    pictures = sum("image/png" in output.get("data", {}) for output in cell.outputs)
    return [line for line in "".join(texts).splitlines() if not line.startswith(PASSING)], pictures


def differs(one, other):
    """Whether two lines differ in their words, or in a number by more than rounding."""
    if NUMBER.split(one) != NUMBER.split(other):
        return True
    pairs = zip(map(float, NUMBER.findall(one)), map(float, NUMBER.findall(other)))
    return any(abs(a - b) > max(0.05, 0.05 * abs(b)) for a, b in pairs)


def main():
    stored = nbformat.read(TOUR, 4)
    run, begun, wrong = copy.deepcopy(stored), time.monotonic(), 0
    nbclient.NotebookClient(run, timeout=600, resources={"metadata": {"path": str(TOUR.parent)}}).execute()
    for number, (now, then) in enumerate(zip(run.cells, stored.cells)):
        if now.cell_type == "code":
            (lines, pictures), (expected, shown) = printed(now), printed(then)
            if len(lines) != len(expected) or pictures != shown or any(map(differs, lines, expected)):
                wrong += 1
                print(f"cell {number} prints {lines} and {pictures} pictures, stored are {expected} and {shown}")
    print(f"{len(run.cells)} cells in {time.monotonic() - begun:.0f} s, {wrong} print something else than is stored")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
