"""The examples as a user runs them: from the command line, in a folder of their own."""

import contextlib
import difflib
import io
import os
import pathlib
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time

import matplotlib.image
import numpy as np
import pytest
from PIL import Image

from tinyar import codes, data, models, training
from tinyar.pictures import plotting, receptive_fields
from tinyar.sampling import sample
from tinyar.training import checkpoint

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
SMALL = ["--channels", "8", "--blocks", "1", "--kernel-size", "3", "--epochs", "1", "--samples", "4", "--threads", "2"]


def run(script, *arguments, folder, data_folder="", expect=0):
    """Run an example without a network to hope for; returns (standard output, standard error)."""
    environment = {**os.environ, "TINYAR_DATA": str(data_folder), "XDG_CACHE_HOME": str(folder.parent / "cache"),
                   "https_proxy": "http://127.0.0.1:9"}
    result = subprocess.run([sys.executable, "-W", "error", EXAMPLES / script, *map(str, arguments)], cwd=folder,
                            env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == expect, result.stdout + result.stderr
    return result.stdout, result.stderr


def refused(script, *arguments, folder):
    """The last line that a refused call prints, within this process, which is faster; nothing may be left behind.

    Any exception but SystemExit, which would show a traceback, goes through to the test.
    """
    before, printed = sorted(folder.rglob("*")), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(printed), pytest.raises(SystemExit) as end:
        patch.chdir(folder)
        patch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        patch.syspath_prepend(EXAMPLES)
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    assert end.value.code not in (0, None) and sorted(folder.rglob("*")) == before
    last_words = end.value.code if isinstance(end.value.code, str) else printed.getvalue()
    return last_words.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which a tiny model was trained on digits."""
    folder = tmp_path_factory.mktemp("trained")
    out, _ = run("train_pixelcnn.py", "--data", "digits", "--gif", *SMALL, folder=folder)
    return folder, out


def test_train_pixelcnn_prints_figures_and_writes_pictures(trained):
    folder, out = trained
    assert "digits, 8x8x1, 17 levels" in out and "epoch 1: train" in out and "bits/dim on 300 images" in out
    written = folder / "runs" / "pixelcnn-digits"
    names = ["curve.png", "drawing.gif", "history.csv", "masks.png", "model.npz", "samples.png", "training.npz"]
    assert sorted(path.name for path in written.iterdir()) == names and all(name in out for name in names)
    for name in names:
        if name.endswith(".png"):
            assert matplotlib.image.imread(written / name).std() > 0.01
    about = checkpoint.load(written / "model.npz")[1]["about"]
    assert about["options"]["data"] == "digits" and about["image_shape"] == [8, 8, 1] and about["class_names"] is None
    assert not about.keys() & about["options"].keys()  # nothing stands in both
    assert re.search(r"kept the weights of epoch 1, the best: held out \d\.\d{4} bits/dim", out)


def test_a_second_run_gets_a_folder_of_its_own_and_resume_takes_the_latest(trained):
    folder, _ = trained
    before = (folder / "runs" / "pixelcnn-digits" / "training.npz").read_bytes()
    run("train_pixelcnn.py", "--data", "digits", *SMALL, folder=folder)
    assert (folder / "runs" / "pixelcnn-digits-2" / "training.npz").exists()
    out, _ = run("train_pixelcnn.py", "--data", "digits", *SMALL, "--resume", folder=folder)
    assert f"wrote to {pathlib.Path('runs/pixelcnn-digits-2')}: model.npz" in out
    alone, _ = run("train_pixelcnn.py", "--resume", "--samples", "4", folder=folder)  # the run itself knows its options
    assert f"wrote to {pathlib.Path('runs/pixelcnn-digits-2')}: model.npz" in alone
    _, err = run("train_pixelcnn.py", "--resume", "--epochs", "7", folder=folder, expect=1)
    assert "--epochs was 1 in the run in" in err and "now 7" in err
    assert (folder / "runs" / "pixelcnn-digits" / "training.npz").read_bytes() == before


def test_a_folder_that_holds_no_run_is_not_trained_into_on_resuming(trained):
    folder, _ = trained
    _, err = run("train_pixelcnn.py", "--resume", "--out", "runs", folder=folder, expect=1)
    assert "nothing to resume: no training.npz in runs, which holds other files" in err


def test_options_at_their_defaults_count_when_a_run_is_resumed(trained):
    folder, _ = trained
    _, err = run("train_pixelcnn.py", "--resume", "--out", "runs/pixelcnn-digits", "--channels", "64", folder=folder,
                 expect=1)
    assert "--channels was 8 in the run in runs/pixelcnn-digits, now 64" in err


def test_a_run_begins_with_the_weights_of_another(trained, tmp_path):
    """With a learning rate that changes nothing it keeps their figure; resumed, it has its own."""
    folder, out = trained
    start = folder / "runs" / "pixelcnn-digits"
    begun, _ = run("train_pixelcnn.py", "--data", "digits", *SMALL, "--lr", "1e-12", "--start", start, "--out", "begun",
                   "--dropout", "0.1", folder=tmp_path)  # which the weights don't depend on
    assert checkpoint.load(tmp_path / "begun" / "model.npz")[0].config["dropout"] == 0.1
    assert f"start: the weights in {start / 'model.npz'}" in begun
    figures = [re.search(r"test:  (\d\.\d{4}) bits/dim", text)[1] for text in (out, begun)]
    assert figures[0] == figures[1] and abs(float(figures[0]) - 4.0875) > 0.3  # which untrained weights have
    resumed, _ = run("train_pixelcnn.py", "--resume", "--out", "begun", "--samples", "4", folder=tmp_path)
    assert "start: " not in resumed and f"test:  {figures[0]}" in resumed


@pytest.mark.long
def test_the_seed_may_be_another_and_a_run_that_was_never_begun_starts_there_too(trained, tmp_path):
    start = trained[0] / "runs" / "pixelcnn-digits"
    (tmp_path / "empty").mkdir()
    begun, _ = run("train_pixelcnn.py", "--data", "digits", *SMALL, "--lr", "1e-12", "--start", start, "--seed", "5",
                   "--resume", "--out", "empty", folder=tmp_path)
    assert "start: the weights in" in begun
    assert re.search(r"test:  \S+", begun)[0] == re.search(r"test:  \S+", trained[1])[0]


@pytest.mark.parametrize("start, message", [
    ("nowhere", "no file nowhere: expected a checkpoint"),
    ("pretrained/digits", "digits.npz has the weights of another network, PixelCNN with channels 64, ")])
def test_weights_that_do_not_fit_start_nothing(start, message, tmp_path):
    assert message in refused("train_pixelcnn.py", "--data", "digits", *SMALL, "--start", start, folder=tmp_path)


def test_colour_masks_and_as_many_samples_as_asked_for(tmp_path, monkeypatch, capsys):
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (8, 6, 6, 3), dtype=np.uint8)):
        plotting.save_image(tmp_path / "images" / f"{i}.png", pixels, scale=1)
    masks, samples = [], []
    monkeypatch.setattr(receptive_fields, "save_masks", lambda path, layers: masks.extend(layers.values()))
    monkeypatch.setattr(plotting, "save_samples", lambda path, drawn, real, *_, **__: samples.extend((drawn, real)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train_pixelcnn.py", "--data", "folder", "--data-dir", "images", "--size", "6",
                                      "--levels", "4", *SMALL])
    monkeypatch.syspath_prepend(str(EXAMPLES))
    runpy.run_path(str(EXAMPLES / "train_pixelcnn.py"), run_name="__main__")
    assert [layer.kernel_size for layer in masks] == [7, 3]
    assert [len(images) for images in samples] == [4, 1]


def test_without_blocks_it_is_a_single_convolution(tmp_path):
    run("train_pixelcnn.py", "--data", "digits", *SMALL, "--blocks", "0", "--out", "run", folder=tmp_path)
    assert (tmp_path / "run" / "masks.png").exists()


@pytest.fixture(scope="module")
def trained_gated(tmp_path_factory):
    """A folder in which a tiny Gated PixelCNN was trained on digits and their classes."""
    folder = tmp_path_factory.mktemp("trained_gated")
    out, _ = run("train_gated.py", "--data", "digits", "--classes", "--hide-labels", "0.1", "--channels", "8",
                 "--dilations", "1", "2", "--dropout", "0.1", "--epochs", "1", "--threads", "2", folder=folder)
    return folder, out


def test_train_gated_draws_a_row_for_each_class(trained_gated):
    folder, out = trained_gated
    assert "model: GatedPixelCNN" in out and "bits/dim on 300 images" in out
    model, state = checkpoint.load(folder / "runs" / "gated-digits" / "model.npz")
    assert (model.classes, model.config["dropout"]) == (10, 0.1) and state["about"]["image_shape"] == [8, 8, 1]
    test = data.load("digits").test
    real = np.concatenate([test.images[test.labels == label][:10] for label in range(10)])
    drawn = sample(model, 100, (8, 8), labels=np.repeat(np.arange(10), 10))
    plotting.save_samples(folder / "expected.png", drawn, real, 17, columns=10, rows=[f"class {i}" for i in range(10)])
    written = matplotlib.image.imread(folder / "runs" / "gated-digits" / "samples.png")
    np.testing.assert_array_equal(written, matplotlib.image.imread(folder / "expected.png"))


FLAT = ["--data", "digits", "--codes", "8", "--widths", "8", "--epochs", "1", "--samples", "4", "--threads", "2"]
VQVAE = [*FLAT, "--prior-epochs", "1"]


def test_train_vqvae_runs_both_stages_and_resumes(tmp_path):
    out, _ = run("train_vqvae.py", *VQVAE, folder=tmp_path)
    names = ["codes.npz", "codes.png", "reconstructions.png", "samples.png", "usage.png"]
    assert sorted(path.name for path in (tmp_path / "runs" / "vqvae-digits").iterdir() if path.is_file()) == names
    assert ("% of 8 in use, perplexity" in out and "nats per code" in out
            and "squared error / variance on 300 images" in out)
    again, _ = run("train_vqvae.py", *VQVAE, "--resume", folder=tmp_path)
    assert again.splitlines()[-2:] == out.splitlines()[-2:]


@pytest.fixture(scope="module")
def trained_vqvae(tmp_path_factory):
    """A folder in which a tiny VQ-VAE was trained on digits, and a gated prior on its codes and the classes."""
    folder = tmp_path_factory.mktemp("trained_vqvae")
    return folder, run("train_vqvae.py", *VQVAE, "--prior", "gated", "--classes", folder=folder)


@pytest.mark.long
def test_train_vqvae_with_a_gated_prior_that_is_told_the_classes(trained_vqvae):
    folder, (out, err) = trained_vqvae
    assert "prior: GatedPixelCNN on 4x4 codes" in out and "nats per code on test images, given the class" in out
    bits, nats = map(float, re.search(r"prior: (\S+) bits, that is (\S+) nats per code", out).groups())
    assert nats == pytest.approx(bits * np.log(2), abs=1e-4)  # the lines of the epochs are in bits
    parts = r", reconstruction \d\.\d+, codebook terms \d\.\d+, perplexity \d"  # in the bars
    assert re.search("squared error / variance" + parts, err) and not re.search("bits/code, [a-z]", err)
    prior, _ = checkpoint.load(folder / "runs" / "vqvae-digits" / "prior" / "model.npz")
    assert (type(prior), prior.classes, prior.levels) == (models.GatedPixelCNN, 10, 8)
    _, err = run("train_vqvae.py", "--resume", "--prior", "gated", "--epochs", "2", folder=folder, expect=1)
    assert "--epochs was 1" in err


def test_train_vqvae_pads_images_that_the_strides_do_not_divide(tmp_path):
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (18, 6, 7, 3), dtype=np.uint8)):
        matplotlib.image.imsave(tmp_path / f"{i}.png", pixels)
    out, _ = run("train_vqvae.py", "--data", "folder", "--data-dir", tmp_path, "--size", "5", *VQVAE[2:],
                 "--beta", "2", "--out", "run", folder=tmp_path)
    assert ("A stride of 2 doesn't divide 5x5" in out and "with a margin of level 0 to 6x6" in out
            and "on 3x3 codes" in out)
    model, state = checkpoint.load(tmp_path / "run" / "autoencoder" / "model.npz")
    assert model.config["beta"] == 2
    assert state["about"]["image_shape"] == [6, 6, 3]


@pytest.mark.long
def test_train_vqvae_flat_and_categorical(tmp_path):
    out, _ = run("train_vqvae.py", *FLAT, "--flat", "--out", "flat", folder=tmp_path)
    assert "outputs.png" in out and not (tmp_path / "flat" / "prior").exists()
    out, _ = run("train_vqvae.py", *VQVAE, "--output", "categorical", "--out", "categorical", folder=tmp_path)
    assert "bits/dim given the codes" in out and "bound: " in out


@pytest.mark.parametrize("arguments, message", [
    (["--codes", "0"], "--codes: expected"), (["--widths", "8", "8", "8", "8"], "can't be halved 4 times"),
    (["--output", "gauss"], "choose from 'mse', 'categorical'"), (["--learning", "magic"], "from 'ema', 'gradient'"),
    (["--code-channels", "-1"], "--code-channels: expected"), (["--resume"], "nothing to resume"),
    (["--codes", "1"], "expected at least 2"), (["--prior", "best"], "invalid choice"),
    (["--flat", "--classes"], "--classes would do nothing: --flat trains no prior"),
    (["--flat", "--prior", "gated"], "--prior would do nothing: --flat trains no prior"),
    (["--flat", "--prior-channels", "8"], "--prior-channels would do nothing: --flat trains no prior"),
    (["--flat", "--prior-dropout", "0.1"], "--prior-dropout would do nothing: --flat trains no prior"),
    (["--prior-dropout", "1"], "--prior-dropout: expected a number from 0 to below 1"),
])
def test_bad_arguments_of_train_vqvae(tmp_path, arguments, message):
    assert message in refused("train_vqvae.py", "--data", "digits", *arguments, folder=tmp_path)


def test_the_difference_between_neighbouring_lessons_is_small():
    first, second = ((EXAMPLES / name).read_text().splitlines() for name in ("train_pixelcnn.py", "train_gated.py"))
    changed = [line for line in difflib.ndiff(first, second) if line[0] in "+-"]
    assert len(changed) <= 20 and 40 <= len(first) <= 70 and 40 <= len(second) <= 70


# -- draw.py, most of it within this process, which is faster ----------------------------------------------------------

@pytest.fixture(scope="module")
def runs(tmp_path_factory, trained, trained_gated, trained_vqvae):
    """A folder with a run of every kind: pixelcnn, gated (10 classes), vqvae (a prior of 10 classes)."""
    folder = tmp_path_factory.mktemp("runs")
    for name, (origin, _) in (("pixelcnn", trained), ("gated", trained_gated), ("vqvae", trained_vqvae)):
        shutil.copytree(origin / "runs" / f"{name}-digits", folder / name)
    checkpoint.save(folder / "bare.npz", models.PixelCNN(17, channels=4, blocks=0))
    checkpoint.save(folder / "other.npz", models.VQVAE(17, widths=(8,), codes=8, seed=1),
                    {"about": {"image_shape": [8, 8, 1]}})
    (folder / "text.npz").write_text("no checkpoint")
    return folder


@pytest.fixture
def draw(monkeypatch, capsys, runs):
    """A function that runs draw.py in the folder of runs and returns what it prints."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(runs)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["draw.py", *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / "draw.py"), run_name="__main__")
        return capsys.readouterr().out
    return call


def without_headings(picture, shape):
    """The picture (height, width, ...) of this shape, without the headings above it and the names of its rows."""
    return picture[40:-15, -15 - shape[1]:-15]


def is_picture_of(path, images, levels, columns=None, headings=False):
    """Whether a PNG shows just these images, with headings or without."""
    expected = plotting.enlarge(plotting.grid(images, levels, columns))
    found = np.rint(255 * matplotlib.image.imread(path)[..., :3])
    if headings:
        assert found[:40].min() < 100  # letters
        found = without_headings(found, expected.shape)
    return found.shape == expected.shape and (found == expected).all()


@pytest.mark.long
def test_draw_from_a_model_of_pixels(runs, draw, tmp_path):
    model, _ = checkpoint.load(runs / "pixelcnn" / "model.npz")
    out = draw("pixelcnn", "--seed", 3, "--temperature", 0.5, "--out", tmp_path / "a.png")
    assert "model: PixelCNN" in out and f"wrote: {tmp_path / 'a.png'}" in out
    assert is_picture_of(tmp_path / "a.png", sample(model, 64, (8, 8), seed=3, temperature=0.5), 17)
    draw("pixelcnn/model.npz", "--n", 6, "--columns", 2, "--size", 5, 9, "--out", tmp_path / "b.png")
    assert is_picture_of(tmp_path / "b.png", sample(model, 6, (5, 9)), 17, columns=2)
    draw("bare.npz", "--n", 2, "--size", 3, 3, "--out", tmp_path / "c.png")  # it doesn't say what it was trained on


def test_draw_a_row_for_each_label(runs, draw, tmp_path):
    model, _ = checkpoint.load(runs / "gated" / "model.npz")
    draw("gated", "--out", tmp_path / "all.png", "--n", 3)
    expected = sample(model, 30, (8, 8), labels=np.arange(10).repeat(3))
    assert is_picture_of(tmp_path / "all.png", expected, 17, columns=3, headings=True)
    out = draw("gated", "--label", 7, -1, "--out", tmp_path / "two.png")
    expected = sample(model, 20, (8, 8), labels=np.repeat([7, -1], 10))
    assert is_picture_of(tmp_path / "two.png", expected, 17, columns=10, headings=True)
    assert "(rows: class 7, no class)" in out
    draw("gated", "--label", 3, "--out", tmp_path / "one.png")  # a row too
    assert is_picture_of(tmp_path / "one.png", sample(model, 10, (8, 8), labels=3), 17, columns=10, headings=True)


def test_draw_from_a_vqvae(runs, draw, tmp_path):
    files = runs / "vqvae" / "autoencoder" / "model.npz", runs / "vqvae" / "prior" / "model.npz"
    (autoencoder, _), (prior, state) = map(checkpoint.load, files)
    expected, _ = codes.generate(autoencoder, prior, state["about"], 20, (4, 4), labels=np.repeat([5, 2], 10))
    draw("vqvae", "--label", 5, 2, "--out", tmp_path / "folder.png")
    draw(*files, "--label", 5, 2, "--out", tmp_path / "files.png")
    assert (is_picture_of(tmp_path / "folder.png", expected, 17, columns=10, headings=True)
            and is_picture_of(tmp_path / "files.png", expected, 17, columns=10, headings=True))
    draw("vqvae", "--n", 1, "--size", 6, 10, "--out", tmp_path / "wide.png")
    expected, _ = codes.generate(autoencoder, prior, state["about"], 10, (3, 5), labels=np.arange(10))
    assert is_picture_of(tmp_path / "wide.png", expected, 17, columns=1, headings=True)


@pytest.mark.parametrize("arguments, frames", [
    (["pixelcnn", "--n", "5", "--size", "12", "11"], 67), (["vqvae", "--label", "1", "2", "--n", "9"], 16),
    (["gated", "--complete"], 64),
])
def test_draw_a_film_that_ends_in_the_picture(draw, tmp_path, arguments, frames):
    for name in ("film.gif", "picture.png"):
        draw(*arguments, "--out", tmp_path / name)
    with Image.open(tmp_path / "film.gif") as film, Image.open(tmp_path / "picture.png") as picture:
        assert 4 < film.n_frames <= frames  # equal frames become one
        film.seek(film.n_frames - 1)
        last, picture = np.asarray(film.convert("RGB")), np.asarray(picture.convert("RGB"))
        named = picture.shape != last.shape
        assert named == (arguments[0] != "pixelcnn")
        np.testing.assert_array_equal(last, without_headings(picture, last.shape) if named else picture)


def test_draw_completes_what_it_is_shown(runs, draw, tmp_path):
    images, labels = data.load("digits").test.images[::100], data.load("digits").test.labels[::100]
    for name, options, rows, told in (("pixelcnn", [], 4, None), ("gated", [], 4, labels),
                                      ("gated", ["--label", 3, "--known-rows", 6], 6, [3] * 3)):
        model, _ = checkpoint.load(runs / name / "model.npz")
        draw(name, "--complete", "--images", 3, "--completions", 2, *options, "--out", tmp_path / "picture.png")
        mask = (np.arange(8) < rows)[:, None, None]
        drawn = sample(model, 6, (8, 8), labels=None if told is None else np.repeat(told, 2),
                       known=images.repeat(2, axis=0), mask=mask)
        hidden = np.ma.masked_array(images, np.broadcast_to(~mask, images.shape))
        shown = [image for i in range(3) for image in (images[i], hidden[i], *drawn[2 * i:2 * i + 2])]
        assert is_picture_of(tmp_path / "picture.png", np.ma.stack(shown), 17, columns=4, headings=True)
        unknown = 3 * (8 - rows) * 8 * 64  # pixels of the picture: as many as the model wasn't shown
        found = np.rint(255 * matplotlib.image.imread(tmp_path / "picture.png")[..., :3])
        assert (found == plotting.UNKNOWN).all(axis=2).sum() == unknown


def test_draw_says_what_is_missing(tmp_path):
    folder = tmp_path / "work"
    for i in range(6):
        plotting.save_image(folder / "images" / f"{i}.png", np.full((8, 8, 3), 40 * i, dtype=np.uint8))
    model = models.GatedPixelCNN(256, image_channels=3, channels=6, dilations=(1,), classes=2)
    checkpoint.save(folder / "run" / "training.npz", model, {"about": {"options": {"data": "folder", "size": 8}}})
    complete = ["draw.py", folder / "run" / "training.npz", "--complete"]
    assert "no epoch of this run has ended yet" in refused("draw.py", folder / "run", folder=folder)
    assert "--data-dir: expected the folder of your images" in refused(*complete, folder=folder)
    assert "folder says no classes of its images" in refused(*complete, "--data-dir", folder / "images", folder=folder)


def test_draw_from_the_command_line_writes_beside_the_checkpoint(trained):
    folder, _ = trained
    out, _ = run("draw.py", "runs/pixelcnn-digits/model.npz", "--complete", "--images", "3", folder=folder)
    assert "completions.png" in out
    assert matplotlib.image.imread(folder / "runs" / "pixelcnn-digits" / "completions.png").std() > 0.01
    assert "--images: expected" in refused("draw.py", "runs/pixelcnn-digits", "--images", "0", folder=folder)


@pytest.mark.parametrize("arguments, message", [
    (["missing.npz"], "no file missing.npz"), (["."], "no file model.npz"), (["text.npz"], "not a complete checkpoint"),
    (["bare.npz"], "give --size HEIGHT WIDTH"), (["bare.npz", "--complete"], "doesn't say which data"),
    (["pixelcnn", "--label", "3"], "--label: this model is told no classes"),
    (["gated", "--label", "10"], "--label: expected 0 to 9, or -1 for no class, got 10"),
    (["vqvae/autoencoder"],
     "expected either a model of pixels, or the autoencoder of a VQ-VAE and then the prior of its codes, got the auto"),
    (["vqvae/prior"], "got the prior of its codes"),
    (["vqvae/prior", "vqvae/autoencoder"], "got the prior of its codes and the autoencoder"),
    (["other.npz", "vqvae/prior"], "codes of another autoencoder"),
    (["vqvae", "--size", "9", "8"], "expected multiples of 2"), (["vqvae", "--complete"], "expected a model of pixels"),
    (["pixelcnn", "--complete", "--known-rows", "8"], "less than the images' 8 rows"),
    (["gated", "--complete", "--label", "1", "2"], "expected one label"),
    (["pixelcnn", "--known-rows", "2"], "go with --complete"), (["pixelcnn", "--images", "2"], "go with --complete"),
    (["pixelcnn", "--complete", "--n", "2"], "no --n"),
    (["pixelcnn", "--out", "picture.jpg"], "ends in .png or .gif"),
    (["pixelcnn", "--out", "/dev/null/picture.png"], "can't write to the folder"),
    (["pixelcnn", "--temperature", "-1"], "--temperature: expected"),
])
def test_bad_arguments_of_draw(runs, draw, capsys, arguments, message):
    before = sorted(runs.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        draw(*arguments)
    assert stop.value.code != 0 and message in f"{stop.value.code}{capsys.readouterr().err}"
    assert sorted(runs.rglob("*")) == before


def test_draw_says_that_a_flat_vqvae_has_no_prior(draw, tmp_path):
    checkpoint.save(tmp_path / "autoencoder" / "model.npz", models.VQVAE(17, widths=(8,), codes=8, flat=(8, 8)))
    with pytest.raises(SystemExit, match="no prior to draw codes from"):
        draw(tmp_path)


def test_without_data_named_and_no_network_it_trains_on_digits(tmp_path):
    out, _ = run("train_pixelcnn.py", *SMALL, folder=tmp_path, data_folder=tmp_path)
    assert ("MNIST is neither here nor to be had" in out
            and (tmp_path / "runs" / "pixelcnn-digits" / "samples.png").exists())
    assert f"looked in {tmp_path}" in out and "https://" in out and "refused" in out  # why


def test_mnist_asked_for_and_not_to_be_had_is_an_error_that_says_how_to_get_it(tmp_path):
    _, err = run("train_pixelcnn.py", "--data", "mnist", *SMALL, folder=tmp_path, data_folder=tmp_path, expect=1)
    assert "TINYAR_DATA" in err and "Traceback" not in err and not (tmp_path / "runs").exists()


def test_receptive_field_draws_the_blind_spot(tmp_path):
    out, _ = run("receptive_field.py", "--blocks", "2", "--size", "11", "--out", "pictures", folder=tmp_path)
    pictures = list((tmp_path / "pictures").glob("*.png"))
    assert pictures and all(str(picture.name) in out for picture in pictures)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to another process")
def test_ctrl_c_stops_cleanly_and_resume_goes_on(tmp_path):
    arguments = [*SMALL, "--data", "digits", "--epochs", "100", "--out", "run"]
    process = subprocess.Popen([sys.executable, EXAMPLES / "train_pixelcnn.py", *arguments], cwd=tmp_path, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.time() + 60
    while not (tmp_path / "run" / "model.npz").exists() and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0 and "stopped and saved" in err and "Traceback" not in err
    _, state = checkpoint.load(tmp_path / "run" / "training.npz")
    assert state["progress"]["updates"] > 0


@pytest.mark.parametrize("arguments, message", [
    (["--data", "cifar11"], "invalid choice: 'cifar11' (choose from 'digits', 'mnist'"),
    (["--data", "digits", "--levels", "1"], "--levels: expected a whole number of at least 2 (and at most 256), got"),
    (["--data", "digits", "--levels", "257"], "--levels: expected a whole number of at least 2"),
    (["--data", "digits", "--levels", "two"], "--levels: expected a whole number of at least 2"),
    (["--data", "digits", "--levels", "18"], "--levels 18: digits has only 17 levels"),
    (["--data", "digits", "--binarize", "maybe"], "--binarize: invalid choice: 'maybe'"),
    (["--data", "digits", "--levels", "3", "--binarize", "fixed"], "--binarize fixed gives 2 levels, which"),
    (["--data", "digits", "--grey"], "--grey: digits is grey already"),
    (["--data", "digits", "--size", "9"], "--size 9: the images of digits have a size of their own"),
    (["--data", "digits", "--kernel-size", "4"], "expected an odd number"),
    (["--data", "digits", "--epochs", "0"], "--epochs: expected"),
    (["--data", "digits", "--batch-size", "0"], "--batch-size: expected"),
    (["--data", "digits", "--threads", "0"], "threads"),
    (["--data", "digits", "--lr", "-1"], "--lr: expected a number above 0"),
    (["--data", "digits", "--channels", "0"], "--channels: expected"),
    (["--data", "digits", "--blocks", "-1"], "blocks"), (["--data", "digits", "--samples", "0"], "--samples"),
    (["--data", "digits", "--temperature", "0"], "--temperature"),
    (["--data", "mnist", "--data-dir", "nowhere"], "nowhere"), (["--data-dir", "nowhere"], "nowhere"),
    (["--data", "digits", "--resume"], "nothing to resume"),
    (["--data", "folder"], "--data-dir: expected the folder of your images"),
    (["--data", "digits", "--resume", "--out", "typo"], "nothing to resume: no folder typo"),
    (["--data", "digits", "--seed", "-1"], "--seed: expected a whole number of at least 0"),
    (["--data", "digits", "--out", "/dev/null/run"], "can't write to the folder"),
    (["--colour"], "unrecognized arguments"),
])
def test_bad_arguments_of_train_pixelcnn(tmp_path, arguments, message):
    assert message in refused("train_pixelcnn.py", *arguments, folder=tmp_path)


@pytest.mark.skipif(not os.environ.get("TINYAR_DATA"),
                    reason="needs the real MNIST files: set TINYAR_DATA to their folder")
def test_it_trains_on_the_real_mnist(tmp_path):
    """A small network on 2,000 of the real images: seconds, and well below what a constant guess costs."""
    dataset = data.load("mnist", levels=2, download=False)
    assert dataset.train.images.shape == (50_000, 28, 28, 1) and dataset.test.images.shape == (10_000, 28, 28, 1)
    model = models.PixelCNN(levels=2, channels=16, blocks=1, kernel_size=3)
    history = training.fit(model, dataset.train.images[:2000], dataset.validation.images[:500],
                           epochs=1, out=tmp_path, lr=1e-2)
    assert history.best < 0.35  # a constant guess of the share of white pixels costs 0.55
