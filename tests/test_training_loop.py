"""The lesson's loop in plain code and `training.fit` make the same weights."""

import os
import pathlib
import runpy
import subprocess
import sys

import numpy as np
import pytest

from tinyar import data, models, training
from tinyar.backend import one_blas_thread, to_host
from tinyar.training.parallel import micro_batch_size

SCRIPT = pathlib.Path(__file__).parent.parent / "examples" / "training_loop.py"


def small_model():
    return models.PixelCNN(levels=17, channels=32, blocks=2, kernel_size=5)


@pytest.mark.parametrize("seed, count", [(0, 160), (3, 70)])  # 70 images end with a batch of 6
def test_fit_makes_the_weights_of_the_plain_loop_bit_for_bit(seed, count):
    digits = data.load("digits")
    images, by_hand, by_fit = digits.train.images[:count], small_model(), small_model()
    with one_blas_thread():
        runpy.run_path(str(SCRIPT))["train"](by_hand, images, digits.test.images[:20], epochs=3, seed=seed)
    training.fit(by_fit, images, epochs=3, batch_size=16, lr=3e-3, seed=seed, threads=1, average=None)
    assert micro_batch_size(by_fit, images[:16], threads=1) == 16  # so fit doesn't cut a batch into pieces either
    untrained = dict(small_model().arrays())
    for (name, weights), (_, expected) in zip(by_fit.arrays(), by_hand.arrays(), strict=True):
        assert np.array_equal(to_host(weights), to_host(expected)), name
        assert not np.array_equal(to_host(weights), to_host(untrained[name])), name


def test_its_figures_are_those_of_fit_and_evaluate(capsys):
    digits = data.load("digits")
    images, held_out, by_hand, by_fit = digits.train.images[:64], digits.test.images[:20], small_model(), small_model()
    runpy.run_path(str(SCRIPT))["train"](by_hand, images, held_out, epochs=2)
    history = training.fit(by_fit, images, held_out, epochs=2, batch_size=16, lr=3e-3, threads=1, average=None)
    printed = [(float(words[2]), float(words[-1])) for words in map(str.split, capsys.readouterr().out.splitlines())]
    expected = [(row["train"], row["validation"]) for row in history.rows]
    np.testing.assert_allclose(printed, expected, atol=0.002)


def test_the_script_learns_digits_and_draws_some(tmp_path):
    result = subprocess.run([sys.executable, "-W", "error", SCRIPT], cwd=tmp_path, env={**os.environ},
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0 and not result.stderr, result.stderr
    figures, drawn = result.stdout.splitlines()[:-8], result.stdout.splitlines()[-8:]
    held_out = [float(line.rsplit(" ", 1)[1]) for line in figures]
    assert len(figures) == 6 and held_out[-1] < held_out[0] and held_out[-1] < 2.1
    assert all(len(line) == 64 for line in drawn) and set("".join(drawn)) <= set(" .:-=+*#%@")
    assert not list(tmp_path.iterdir())
