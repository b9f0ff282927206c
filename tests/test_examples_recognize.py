"""recognize.py: the judge against a plain loop, every kind of run that knows classes, and refusals."""

import importlib
import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from test_examples import EXAMPLES, refused
from test_examples_evaluate import runs  # noqa: F401  a fixture: a small model of every kind

from tinyar import data

DIGITS = data.load("digits")


@pytest.fixture
def recognize(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("recognize")


def test_the_judge_is_a_vote_of_the_nearest(recognize):
    """By a loop: blur, sort all distances, count the votes of five; a tie goes to the class of the nearest."""
    rng = np.random.default_rng(0)
    known, labels = rng.random((60, 6, 5, 1)), rng.integers(0, 3, 60)
    images = rng.random((130, 6, 5, 1))  # more than are judged at once
    found = recognize.judged(known, labels, images)
    soft = [gaussian_filter(one[..., 0], recognize.BLUR) for one in known]
    ties = 0
    for image, guess in zip(images, found):
        blurred = gaussian_filter(image[..., 0], recognize.BLUR)
        order = np.argsort([((blurred - one) ** 2).sum() for one in soft])[:recognize.NEAREST]
        votes = [int(label) for label in labels[order]]
        most = max(map(votes.count, votes))
        ties += sum(votes.count(label) == most for label in set(votes)) > 1
        assert guess == next(label for label in votes if votes.count(label) == most)
    assert ties


def test_real_digits_are_recognized(recognize):
    found = recognize.judged(DIGITS.train.images / 16, DIGITS.train.labels, DIGITS.test.images / 16)
    assert (found == DIGITS.test.labels).mean() > 0.95


def test_few_known_images_vote_too(recognize):
    images = DIGITS.train.images[:3] / 16
    assert (recognize.judged(images, np.array([4, 4, 7]), images) == 4).all()


@pytest.mark.parametrize("run", ["gated", "vqvae", "vqvae2"])
def test_drawn_images_are_judged(run, recognize, runs, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr("sys.argv", ["recognize.py", str(runs / run), "--n", "20"])
    recognize.main()
    printed = capsys.readouterr().out
    assert re.findall(r"^class (\d): \d+ % of 2 drawn images", printed, re.MULTILINE) == list("0123456789")
    assert re.search(r"^drawn: +\d+\.\d % of 20 images .*\nreal: +(\d+)\.\d % of 20 test images", printed, re.MULTILINE)


def test_a_model_without_classes_is_refused(runs):  # noqa: F811
    line = refused("recognize.py", runs / "pixelcnn", folder=runs)
    assert "is told no classes: expected a run with --classes" in line
