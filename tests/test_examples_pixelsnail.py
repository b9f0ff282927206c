"""PixelSNAIL from the command line: train, resume, draw, complete, and look at where its pixels look."""

import difflib
import shutil

import matplotlib.image
import numpy as np
import pytest
from test_examples import EXAMPLES, refused, run

from tinyar import models
from tinyar.pictures.attention import fewest, over_dimmed, save_attention
from tinyar.training import checkpoint

SMALL = ["--data", "digits", "--channels", "4", "--blocks", "2", "--units", "1", "--components", "2", "--epochs", "1",
         "--samples", "4", "--threads", "2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a tiny run, told the class, of two heads."""
    folder = tmp_path_factory.mktemp("trained")
    out, _ = run("train_pixelsnail.py", *SMALL, "--classes", "--dropout", "0.2", "--heads", "2", folder=folder)
    return folder / "runs" / "pixelsnail-digits", out


def test_training_prints_figures_and_writes_pictures(trained):
    folder, out = trained
    names = ["curve.png", "history.csv", "model.npz", "samples.png", "training.npz"]
    assert sorted(path.name for path in folder.iterdir() if path.name != "attention.png") == names
    assert all(name in out for name in names)
    model, state = checkpoint.load(folder / "model.npz")
    assert type(model) is models.PixelSNAIL
    assert (model.classes, model.config["heads"], model.config["blocks"], model.config["units"]) == (10, 2, 2, 1)
    assert 2 < float(out.split("test:")[1].split()[0]) < 4.09


def test_a_finished_run_goes_on(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "run")
    out, _ = run("train_pixelsnail.py", "--data", "digits", "--resume", "--out", "run", folder=tmp_path)
    assert "bits/dim on 300 images" in out


@pytest.mark.long
def test_drawing_completing_and_single_pixels(trained, tmp_path):
    run("draw.py", trained[0], "--label", "3", "--n", "4", "--out", "drawn.png", folder=tmp_path)
    run("draw.py", trained[0], "--complete", "--images", "2", "--completions", "2", "--out", "completed.png",
        folder=tmp_path)
    run("pixel_levels.py", trained[0], "--pixels", "2", "--out", "levels.png", folder=tmp_path)
    for name in ("drawn.png", "completed.png", "levels.png"):
        assert matplotlib.image.imread(tmp_path / name).std() > 0.01


@pytest.mark.long
def test_where_pixels_look(trained, tmp_path):
    out, _ = run("attention.py", trained[0], "--pixels", "3", folder=tmp_path)
    assert "wrote: " in out and matplotlib.image.imread(trained[0] / "attention.png").std() > 0.01
    other = ["--data", "digits", "--channels", "4", "--epochs", "1", "--samples", "4", "--out", "plus"]
    run("train_pixelcnnpp.py", *other, folder=tmp_path)
    assert "expected a PixelSNAIL, which has attention, got a PixelCNNpp" in refused("attention.py", "plus",
                                                                                     folder=tmp_path)
    assert "ends in .png" in refused("attention.py", trained[0], "--out", "x.gif", folder=tmp_path)


@pytest.mark.long
def test_as_the_prior_of_a_vqvae(tmp_path):
    out, _ = run("train_vqvae.py", "--data", "digits", "--codes", "8", "--widths", "8", "--epochs", "1",
                 "--prior-epochs", "1", "--samples", "4", "--prior", "pixelsnail", "--prior-channels", "8", "--classes",
                 "--prior-dropout", "0.1", folder=tmp_path)
    assert "prior: PixelSNAIL on 4x4 codes" in out
    prior, _ = checkpoint.load(tmp_path / "runs/vqvae-digits/prior/model.npz")
    assert (prior.config["channels"], prior.config["dropout"]) == (8, 0.1)
    assert 0.5 < float(out.split(" bits, that is ")[1].split()[0]) < np.log(8)
    run("draw.py", "runs/vqvae-digits", "--label", "3", "--n", "2", "--out", "drawn.png", folder=tmp_path)


def test_the_difference_from_the_lesson_before_is_small():
    before, after = ((EXAMPLES / name).read_text().splitlines()
                     for name in ("train_pixelcnnpp.py", "train_pixelsnail.py"))
    code = [[line for line in lines if not line.startswith(("    python", "    ..."))] for lines in (before, after)]
    changed = [line for line in difflib.ndiff(*code) if line[0] in "+-"]
    assert len(changed) <= 26 and len(after) <= 80


@pytest.mark.parametrize("arguments, message", [
    (["--heads", "3"], "choose from 1, 2, 4, 8, 16"), (["--heads", "0"], "choose from 1"),
    (["--blocks", "0"], "expected"),
    (["--dropout", "1"], "expected a number from 0 to below 1"), (["--likelihood", "gaussian"], "invalid choice"),
])
def test_bad_arguments(tmp_path, arguments, message):
    assert message in refused("train_pixelsnail.py", "--data", "digits", *arguments, folder=tmp_path)


# -- the picture -------------------------------------------------------------------------------------------------------

def test_the_largest_weight_is_opaque_and_none_leaves_the_dimmed_image():
    image = np.linspace(0, 1, 6).reshape(2, 3, 1)
    weights = np.array([[0.5, 0, 0.25], [0, 0, 0]])
    shown = over_dimmed(image, weights)
    np.testing.assert_allclose(shown[1], 0.45 * np.repeat(image[1], 3, axis=1))
    assert shown[0, 0].tolist() == over_dimmed(1 - image, weights)[0, 0].tolist()
    assert over_dimmed(image, 0 * weights).max() <= 0.45
    opaque, half = over_dimmed(0 * image, weights)[0, 0], over_dimmed(0 * image, weights)[0, 2]
    np.testing.assert_allclose(half, opaque * 0.5 ** 0.5)  # half of the largest weight, by its root


@pytest.mark.parametrize("weights, count", [
    ([1, 0, 0], 1), ([0.4, 0.3, 0.3], 2), ([0.25] * 4, 2), ([0.2] * 5, 3), ([1 / 14] * 14, 7), ([1 / 783] * 783, 392),
    ([0, 0, 0], 0)])
def test_how_few_pixels_have_half_of_the_weight(weights, count):
    assert fewest(np.array([weights], dtype=np.float32)) == count


def test_rows_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match="expected at least one"):
        save_attention(tmp_path / "x.png", [], ["one"])
    with pytest.raises(ValueError, match="each with 2 maps"):
        save_attention(tmp_path / "x.png", [(np.ones((2, 2, 1)), (1, 0), [np.ones((2, 2))])], ["one", "two"])
    assert not list(tmp_path.iterdir())
