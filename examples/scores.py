"""What each image costs under a model, and what follows from it: means with their errors, a classifier, a table.

    mean               m = sum of x_i / N
    standard error     s = sqrt(sum of (x_i - m)^2 / (N - 1) / N): about two thirds of such test sets would have a mean
                       nearer than s to that of all possible images
    two models         both measure the same images, so the error is that of the differences x_i - y_i. It is far
                       smaller than the errors of the two means, as both find the same images hard
    classifier         Bayes' rule, all classes equally likely before the image is seen:
                       p(class | image) = p(image | class) / sum over classes k of p(image | k)
"""

import csv
import dataclasses

import numpy as np

from tinyar.data.atomic import atomic_write


@dataclasses.dataclass
class Scores:
    """What each image costs under one model.

    costs (N,) are nats where `in_nats`, and squared errors summed up otherwise; figures (N,) are the same in `unit`;
    of are the words behind "nats".
    """

    costs: np.ndarray
    figures: np.ndarray
    unit: str
    of: str = "an image"

    @property
    def in_nats(self):
        return self.unit.startswith("bits")

    @property
    def shown(self):
        """What tables and pictures show, (N,). A sum of squared errors says little, so of these the mean."""
        return self.costs if self.in_nats else self.figures

    @property
    def shown_unit(self):
        return f"nats {self.of}" if self.in_nats else self.unit

    @property
    def digits(self):
        """How many digits behind the point `shown` is worth."""
        return 2 if self.in_nats else 4

    def __str__(self):
        """The means, with their standard errors."""
        nats = f", {words_of_mean(self.costs, 2)} {self.shown_unit}" * self.in_nats
        return f"{words_of_mean(self.figures, 4)} {self.unit}{nats}"


# -- means -------------------------------------------------------------------------------------------------------------

def mean_and_error(values):
    """The mean of values (N,) and its standard error, which is NaN for a single value."""
    n = len(values)
    return float(np.mean(values)), float(np.std(values, ddof=1) / n ** 0.5) if n > 1 else float("nan")


def words_of_mean(values, digits):
    """1.659 +- 0.012, say; of a single value there is no error."""
    mean, error = mean_and_error(values)
    return f"{mean:.{digits}f}" + (f" +- {error:.{digits}f}" if len(values) > 1 else "")


def lines_of_classes(scores, labels, names):
    """A table with a line for each class that has images; names are the names of all classes."""
    wide = max(5, *map(len, names))
    yield f"{'class':>{wide}}  {'images':>6}  {scores.shown_unit}" + f"  {scores.unit}" * scores.in_nats
    for label, name in enumerate(names):
        own = labels == label
        if own.any():
            nats = f"  {words_of_mean(scores.costs[own], 2):>{len(scores.shown_unit)}}" * scores.in_nats
            yield f"{name:>{wide}}  {own.sum():6,}{nats}  {words_of_mean(scores.figures[own], 4)}"


# -- a classifier ------------------------------------------------------------------------------------------------------

def log_evidence(nats):
    """log of the mean over classes of p(image | class), (N,), from nats (classes, N): what an image costs, negated,
    when its class isn't told but drawn, each as likely as the others.
    """
    least = nats.min(axis=0)
    return np.log(np.exp(least - nats).mean(axis=0)) - least


def posterior(nats):
    """p(class | image) (classes, N), from the nats that each image costs when told each class, (classes, N)."""
    weights = np.exp(nats.min(axis=0) - nats)
    return weights / weights.sum(axis=0)


def confusion(labels, guesses, classes):
    """How many images of each class (a row) were taken for each class (a column): (classes, classes)."""
    table = np.zeros((classes, classes), int)
    np.add.at(table, (labels, guesses), 1)
    return table


def lines_of_confusion(table, names):
    """A confusion table as text: a line for each class, a column for what its images were taken for."""
    wide = max(len(str(table.max())), *map(len, map(str, range(len(names)))))
    side = max(14, *map(len, names))
    yield f"{'is / taken for':>{side}}  " + " ".join(f"{number:>{wide}}" for number in range(len(names)))
    for name, row in zip(names, table):
        yield f"{name:>{side}}  " + " ".join(f"{count:>{wide}}" for count in row)


# -- tables ------------------------------------------------------------------------------------------------------------

def save_scores(path, numbers, labels, every):
    """Write a line for each image: its number in the split, from 0; its label if it has one; and its costs by each of
    the Scores. numbers (N,), labels (N,) or None.
    """
    header, columns = ["image", "label"], [numbers, [""] * len(numbers) if labels is None else labels.tolist()]
    for ordinal, scores in zip(("", "second "), every):
        if scores.in_nats:
            header.append(f"{ordinal}nats")
            columns.append(scores.costs.tolist())
        header.append(ordinal + scores.unit)
        columns.append(scores.figures.tolist())
    save_rows(path, [header, *zip(*columns)])


def save_confusion(path, table, names):
    """Write a confusion table with the names of the classes."""
    save_rows(path, [["is / taken for", *names], *([name, *row] for name, row in zip(names, table.tolist()))])


def save_rows(path, rows):
    """Write a table as CSV, whole or not at all."""
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8",
                                             errors="replace") as file:  # names may be no letters
        csv.writer(file).writerows(rows)
