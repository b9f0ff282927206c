"""What a training run has to tell: one row an epoch, as a list, as CSV."""

import csv
import pathlib
from dataclasses import dataclass, field

from tinyar.data.atomic import atomic_write

COLUMNS = ("epoch", "updates", "train", "validation", "learning_rate", "seconds")


@dataclass
class History:
    """The rows of a run (dicts with the keys of COLUMNS), its best epoch, and why it ended.

    The figures are in `unit`. train is the mean over the epoch's batches, each measured before its update; validation
    is measured after the epoch, with the averaged weights if there are any (None without validation images). seconds
    counts from the start, across interruptions, without the time between them.
    """

    rows: list = field(default_factory=list)
    best_epoch: int = None
    unit: str = "bits/dim"
    interrupted: bool = False
    stopped_early: bool = False

    @property
    def best(self):
        """The lowest validation figure, None if there was no validation."""
        return None if self.best_epoch is None else self.rows[self.best_epoch - 1]["validation"]

    @property
    def kept_weights(self):
        """Whether there was an epoch whose weights were kept."""
        return self.best_epoch is not None or any(row["validation"] is None for row in self.rows)

    def add(self, row):
        """Append an epoch's row; True if its weights are the ones to keep:
        the best so far (NaN never is), or not measured.
        """
        value, best = row["validation"], self.best
        self.rows.append(row)
        if value is None:
            return True
        improved = value == value if best is None else value < best
        if improved:
            self.best_epoch = row["epoch"]
        return improved

    def epochs_since_best(self):
        """How many epochs have passed since the best one (since the start, while there is none)."""
        return len(self.rows) - (self.best_epoch or 0)

    def check(self):
        """Raise ValueError unless rows are numbers or None under the names of COLUMNS, and the best is one of them."""
        for row in self.rows:
            if tuple(row) != COLUMNS or not all(value is None or isinstance(value, (int, float))
                                                for value in row.values()):
                raise ValueError(f"history: expected numbers under {', '.join(COLUMNS)}, got {row}")
        if self.best_epoch is not None and not 1 <= self.best_epoch <= len(self.rows):
            raise ValueError(f"history: the best of {len(self.rows)} epochs can't be epoch {self.best_epoch!r}")

    def save(self, folder):
        """Write history.csv into the folder."""
        with atomic_write(pathlib.Path(folder) / "history.csv") as path, open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(self.rows)
