"""The example that draws large images from small ones: what its network is told, and its command line."""

import runpy

import matplotlib.image
import numpy as np
import pytest

from test_examples import EXAMPLES, refused, run, without_headings
from tinyar import data
from tinyar.sampling import sample
from tinyar.training import checkpoint

SMALL = ["--data", "digits", "--channels", "8", "--epochs", "1", "--threads", "2"]


@pytest.fixture(scope="module")
def lesson():
    """The names in the module that makes the maps."""
    return runpy.run_path(str(EXAMPLES / "splits.py"))


def test_a_pixel_is_told_its_block_and_the_eight_around_it(lesson):
    images = np.random.default_rng(0).integers(0, 5, (2, 4, 6, 3), dtype=np.uint8)
    maps = lesson["maps_of"](images, 2, levels=5)
    assert maps.shape == (2, 4, 6, 27)
    for n, row, col in np.ndindex(2, 4, 6):
        for k, (i, j) in enumerate((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)):
            top, left = (row // 2 + i) * 2, (col // 2 + j) * 2
            block = images[n, top:top + 2, left:left + 2] if top >= 0 and left >= 0 else images[n, :0, :0]
            told = block.mean(axis=(0, 1)) / 2 - 1 if block.size else np.zeros(3)  # levels 0 .. 4 as -1 .. 1
            np.testing.assert_allclose(maps[n, row, col, 3 * k:3 * k + 3], told, atol=1e-3)


@pytest.mark.long
def test_it_trains_draws_and_resumes(lesson, tmp_path):
    out, _ = run("super_resolution.py", *SMALL, "--samples", "3", "--draws", "2", folder=tmp_path)
    written = tmp_path / "runs" / "super-resolution-digits"
    assert "from 4x4" in out and "bits/dim given the small image" in out and "levels off what was shown" in out
    model, _ = checkpoint.load(written / "model.npz")
    images = data.load("digits").test.images[::100]
    drawn = sample(model, 6, (8, 8), maps=lesson["maps_of"](images, 2, levels=17).repeat(2, axis=0)).reshape(3, 2, 8, 8)
    small = images.reshape(3, 4, 2, 4, 2).mean(axis=(2, 4)).repeat(2, axis=1).repeat(2, axis=2)
    expected = np.concatenate([images[:, None, ..., 0], small[:, None], drawn], axis=1) / 16
    picture = matplotlib.image.imread(written / "samples.png")
    found = without_headings(picture, (8 * 26, 8 * 35))[::8, ::8, 0]  # a pixel is a square of 8 x 8
    assert found.shape == (26, 35)
    for i, j in np.ndindex(3, 4):
        np.testing.assert_allclose(found[9 * i:9 * i + 8, 9 * j:9 * j + 8], expected[i, j], atol=0.5 / 255 + 1e-6)
    again, _ = run("super_resolution.py", "--resume", "--samples", "3", "--draws", "2", folder=tmp_path)
    assert again.splitlines()[-3:] == out.splitlines()[-3:]
    out, _ = run("super_resolution.py", "--resume", "--samples", "2", "--draws", "1", folder=tmp_path)
    picture = matplotlib.image.imread(written / "samples.png")
    assert without_headings(picture, (8 * 17, 8 * 26)).shape[:2] == (8 * 17, 8 * 26)
    assert "needs a map for every image" in refused("draw.py", written, folder=tmp_path)


@pytest.mark.parametrize("arguments, message", [
    (["--factor", "3"], "8x8 images don't divide into blocks of 3x3"), (["--factor", "0"], "--factor: expected"),
    (["--factor", "1"], "expected at least 2"),
    (["--samples", "0"], "--samples: expected"), (["--binarize", "fresh"], "--binarize fresh: the maps are made once")])
def test_what_does_not_fit_is_refused(tmp_path, arguments, message):
    folder = tmp_path / "work"
    folder.mkdir()
    assert message in refused("super_resolution.py", *SMALL, *arguments, folder=folder)
