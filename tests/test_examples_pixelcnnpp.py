"""PixelCNN++ from the command line: train, resume, draw, complete, and look at what it says of single pixels."""

import difflib
import pathlib
import runpy
import shutil

import matplotlib.image
import numpy as np
import pytest
from test_examples import EXAMPLES, refused, run

from tinyar import data, models
from tinyar.backend import to_device, to_host
from tinyar.pictures.levels import save_level_tables, shown_up_to
from tinyar.training import checkpoint

SMALL = ["--data", "digits", "--channels", "4", "--epochs", "1", "--samples", "4", "--threads", "2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with two tiny runs: a mixture told the class, and a softmax."""
    folder = tmp_path_factory.mktemp("trained")
    out, _ = run("train_pixelcnnpp.py", *SMALL, "--classes", "--components", "2", "--dropout", "0.2", folder=folder)
    run("train_pixelcnnpp.py", *SMALL, "--likelihood", "softmax", "--out", "runs/softmax", folder=folder)
    return folder, out


def test_training_prints_figures_and_writes_pictures(trained):
    folder, out = trained
    written = folder / "runs" / "pixelcnnpp-digits"
    names = ["curve.png", "history.csv", "model.npz", "samples.png", "training.npz"]
    assert sorted(path.name for path in written.iterdir()) == names and all(name in out for name in names)
    model, state = checkpoint.load(written / "model.npz")
    assert (model.classes, model.config["dropout"], model.config["likelihood"]) == (10, 0.2, "mixture")
    assert state["about"]["options"]["dropout"] == 0.2
    assert 2 < float(out.split("test:")[1].split()[0]) < 4.09


def test_a_finished_run_goes_on(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained[0] / "runs" / "softmax", folder)
    out, _ = run("train_pixelcnnpp.py", "--data", "digits", "--resume", "--out", folder, folder=tmp_path)
    assert "bits/dim on 300 images" in out


def test_drawing_and_completing(trained, tmp_path):
    run("draw.py", trained[0] / "runs" / "pixelcnnpp-digits", "--label", "3", "--n", "4", "--out", "drawn.png",
        folder=tmp_path)
    run("draw.py", trained[0] / "runs" / "softmax", "--complete", "--images", "2", "--completions", "2", "--out",
        "completed.png", folder=tmp_path)
    for name in ("drawn.png", "completed.png"):
        assert matplotlib.image.imread(tmp_path / name).std() > 0.01


def test_what_two_runs_say_of_pixels(trained, tmp_path):
    runs = [trained[0] / "runs" / name for name in ("pixelcnnpp-digits", "softmax")]
    out, _ = run("pixel_levels.py", *runs, "--pixels", "2", "--out", "levels.png", folder=tmp_path)
    assert "wrote: levels.png" in out and matplotlib.image.imread(tmp_path / "levels.png").std() > 0.01
    autoencoder = tmp_path / "autoencoder.npz"
    checkpoint.save(autoencoder, models.VQVAE(levels=17, widths=(4,), codes=4))
    assert "expected a model that draws pixels, without maps, got VQVAE" in refused(
        "pixel_levels.py", autoencoder, folder=tmp_path)
    wrong = refused("pixel_levels.py", *runs, "--out", "x.gif", folder=tmp_path)
    assert "expected a file name that ends in .png" in wrong


def test_tables_of_pixels_are_those_of_the_likelihood(trained, monkeypatch):
    """Each sums to 1, and is what the cost of the true level says; the class is told."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr("sys.argv", ["pixel_levels.py"])
    tables_of = runpy.run_path(str(EXAMPLES / "pixel_levels.py"))["tables_of"]
    test = data.load("digits").test
    images, labels = test.images[:3], test.labels[:3]
    for name in ("pixelcnnpp-digits", "softmax"):
        model, _ = checkpoint.load(trained[0] / "runs" / name / "model.npz")
        tables = tables_of(model, images, labels)
        np.testing.assert_allclose(tables.sum(axis=-1), 1, atol=1e-5)
        given = [to_device(model.condition(3, labels))] if model.classes else []
        nats = to_host(model.likelihood.nats(model(to_device(images), *given), to_device(images))).reshape(3, 8, 8)
        true = np.take_along_axis(tables, images.astype(int), axis=-1)[..., 0]
        np.testing.assert_allclose(-np.log(true), nats, rtol=1e-3, atol=1e-4)


@pytest.mark.long
def test_as_the_prior_of_a_vqvae(tmp_path):
    out, _ = run("train_vqvae.py", "--data", "digits", "--codes", "8", "--widths", "8", "--epochs", "1",
                 "--prior-epochs", "1", "--samples", "4", "--prior", "pixelcnnpp", "--prior-channels", "8", "--classes",
                 folder=tmp_path)
    assert "prior: PixelCNNpp on 4x4 codes" in out
    assert checkpoint.load(tmp_path / "runs/vqvae-digits/prior/model.npz")[0].config["channels"] == 8
    assert 0.5 < float(out.split(" bits, that is ")[1].split()[0]) < np.log(8)
    run("draw.py", "runs/vqvae-digits", "--label", "3", "--n", "2", "--out", "drawn.png", folder=tmp_path)


def test_later_pixels_are_hidden(tmp_path):
    image = np.linspace(0, 1, 12).reshape(3, 4, 1)
    shown = shown_up_to(image, (1, 2))
    np.testing.assert_array_equal(shown.reshape(-1, 3)[:6], np.repeat(image.reshape(-1, 1)[:6], 3, axis=1))
    assert (shown.reshape(-1, 3)[6:] == (0.75, 0.8, 0.9)).all()
    with pytest.raises(ValueError, match="each with 2 tables"):
        save_level_tables(tmp_path / "x.png", [(image, (1, 2), 0, [np.ones(4) / 4])], ["one", "two"])


def test_the_difference_from_the_lesson_before_is_small():
    before, after = ((EXAMPLES / name).read_text().splitlines() for name in ("train_gated.py", "train_pixelcnnpp.py"))
    code = [[line for line in lines if not line.startswith(("    python", "    ..."))] for lines in (before, after)]
    changed = [line for line in difflib.ndiff(*code) if line[0] in "+-"]
    assert len(changed) <= 36 and len(after) <= 80


@pytest.mark.parametrize("arguments, message", [
    (["--dropout", "1"], "expected a number from 0 to below 1"), (["--components", "0"], "expected"),
    (["--likelihood", "gaussian"], "invalid choice"), (["--units", "0"], "expected"),
    (["--independent-colors"], "unrecognized arguments"), (["--classes", "--hide-labels", "2"], "from 0 to 1"),
])
def test_bad_arguments(tmp_path, arguments, message):
    assert message in refused("train_pixelcnnpp.py", "--data", "digits", *arguments, folder=tmp_path)


def test_colour_in_256_levels(tmp_path):
    """The mixture in colour, on pictures of a folder."""
    rng = np.random.default_rng(0)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(30):
        matplotlib.image.imsave(pictures / f"{i}.png", rng.random((8, 8, 3)))
    run("train_pixelcnnpp.py", *SMALL[2:], "--data", "folder", "--data-dir", pictures, "--size", "8", folder=tmp_path)
    model, _ = checkpoint.load(next(pathlib.Path(tmp_path / "runs").glob("*/model.npz")))
    assert (model.levels, model.image_channels, model.outputs) == (256, 3, 50)
