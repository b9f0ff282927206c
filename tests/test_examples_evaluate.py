"""evaluate.py from the command line: figures by hand and by training.evaluate, files read back, and refusals."""

import contextlib
import csv
import importlib
import io
import re
import runpy
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from test_examples import EXAMPLES, refused
from tinyar import codes, data, gradcheck, models, training
from tinyar.backend import to_device, to_host
from tinyar.pictures import plotting
from tinyar.pictures.grids import save_grids
from tinyar.training import checkpoint

DIGITS = data.load("digits")
N = 40  # images measured in most tests
NUMBERS = [i * 300 // N for i in range(N)]  # spread evenly over the 300 test images
IMAGES, LABELS = DIGITS.test.images[NUMBERS], DIGITS.test.labels[NUMBERS]
AUTOENCODER = dict(levels=17, codes=6, code_channels=3, residual_channels=4)
PRIOR = dict(levels=6, channels=4, one_hot=True)


def gated(classes=10, **options):
    return models.GatedPixelCNN(**{**dict(levels=17, channels=6, dilations=(1,)), **options}, classes=classes)


def save(path, model, data="digits", shape=(8, 8, 1), about=None, **options):
    """A checkpoint of a model whose parameters lie away from 0, as an example would write it; returns the model."""
    gradcheck.shake(model)
    written = {"options": {"data": data, **options}, "image_shape": list(shape), "class_names": None}
    checkpoint.save(path, model, {"about": written if about is None else about})
    return model


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with a small model of every kind."""
    folder = tmp_path_factory.mktemp("runs")
    save(folder / "pixelcnn" / "model.npz", models.PixelCNN(17, channels=6, blocks=1, kernel_size=3))
    save(folder / "gated" / "model.npz", gated(), classes=True)
    save(folder / "mixture.npz", models.PixelCNNpp(17, channels=4, units=1, dropout=0.5))
    save(folder / "super.npz", gated(0, map_channels=9), factor=2)
    save(folder / "categorical.npz", models.VQVAE(**AUTOENCODER, widths=(6,), output="categorical"))
    for name, model, levels in (("vqvae", models.VQVAE(**AUTOENCODER, widths=(6,)), {"prior": None}),
                                ("vqvae2", models.VQVAE2(**AUTOENCODER, channels=6), dict(top="top", bottom="bottom"))):
        save(folder / name / "autoencoder" / "model.npz", model)
        for stage, level in levels.items():
            prior = models.GatedPixelCNN(**PRIOR, dilations=(1,), classes=10, map_codes=6 if level == "bottom" else 0)
            save(folder / name / stage / "model.npz", prior, about=codes.about_prior(model, level))
    # What fits nothing, or not everything.
    save(folder / "bare.npz", models.PixelCNN(17, channels=4, blocks=0), about={})
    save(folder / "large.npz", models.PixelCNN(17, channels=4, blocks=0), shape=(9, 9, 1))
    save(folder / "binary.npz", models.PixelCNN(2, channels=4, blocks=0), levels=2)
    save(folder / "colour.npz", models.PixelCNN(17, image_channels=3, channels=6, blocks=0), shape=(8, 8, 3))
    save(folder / "own.npz", models.PixelCNN(17, channels=4, blocks=0), data="folder")
    save(folder / "drawn.npz", models.PixelCNN(2, channels=4, blocks=0), binarize="fixed", seed=3)
    save(folder / "three.npz", gated(3))
    save(folder / "foreign.npz", gated(), data="mnist")
    save(folder / "maps.npz", gated(0, map_channels=9))
    save(folder / "lonely" / "prior" / "model.npz", models.PixelCNN(**PRIOR, blocks=0))
    shutil.copytree(folder / "vqvae", folder / "mixed")
    save(folder / "mixed" / "autoencoder" / "model.npz", models.VQVAE(**AUTOENCODER, widths=(6,), seed=1))
    (folder / "text.npz").write_text("no checkpoint")
    (folder / "half.npz").write_bytes((folder / "mixture.npz").read_bytes()[:3000])
    return folder


@pytest.fixture
def call(runs, monkeypatch):
    """A function that runs evaluate.py in the folder of runs and returns what it prints."""
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.chdir(runs)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, arguments)])
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
            runpy.run_path(str(EXAMPLES / "evaluate.py"), run_name="__main__")
        return printed.getvalue()
    return run


@pytest.fixture
def scores(monkeypatch):
    """The module scores.py of the examples."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("scores")


def table(path):
    """The header of a CSV file, and its lines."""
    with open(path, newline="", encoding="utf-8") as file:
        header, *lines = csv.reader(file)
    return header, lines


def column(path, name):
    header, lines = table(path)
    return np.array([float(line[header.index(name)]) for line in lines])


def some(images=None, **maps):
    """The images that are measured, or what stands in their place, with their labels."""
    return data.Split(IMAGES if images is None else images, LABELS, **maps)


# -- what images cost --------------------------------------------------------------------------------------------------

def of_super_resolution(folder):
    splits = importlib.import_module("splits")
    return some(maps=splits.maps_of(IMAGES, 2, 17))


def of_codes(name, level):
    """A function that makes the codes of the images, for the prior of this level."""
    def split(folder):
        found = codes.extract(checkpoint.load(folder / name / "autoencoder" / "model.npz")[0], IMAGES)
        top, bottom = found if level else (found, None)
        return some(images=bottom, maps=top) if level == "bottom" else some(images=top)
    return split


@pytest.mark.parametrize("run, weights, split, words", [
    ("pixelcnn", "pixelcnn/model.npz", lambda folder: some(), "model: pixelcnn, PixelCNN, "),
    ("gated", "gated/model.npz", lambda folder: some(), "; told the class\n"),
    ("mixture.npz", "mixture.npz", lambda folder: some(), "mixture, PixelCNNpp"),
    ("super.npz", "super.npz", of_super_resolution, "; told the small image\n"),
    ("categorical.npz", "categorical.npz", lambda folder: some(), "nats an image, given its codes"),
    ("vqvae", "vqvae/autoencoder/model.npz", lambda folder: some(), "evaluate.py {folder}/vqvae/prior\n"),
    ("vqvae/prior", "vqvae/prior/model.npz", of_codes("vqvae", None), "nats for the codes of an image"),
    ("vqvae2/top/model.npz", "vqvae2/top/model.npz", of_codes("vqvae2", "top"), "vqvae2/top, Gated"),
    ("vqvae2/bottom", "vqvae2/bottom/model.npz", of_codes("vqvae2", "bottom"), "; told the top codes and the class\n"),
])
def test_figures_are_those_of_training_evaluate(runs, call, tmp_path, run, weights, split, words):
    out = call(run, "--images", N, "--out", tmp_path, "--threads", 2)
    model, images = checkpoint.load(runs / weights)[0], split(runs)
    expected = training.evaluate(model, images)
    path = tmp_path / "scores.csv"
    figures = column(path, model.unit)
    assert figures.mean() == pytest.approx(expected, rel=1e-6) and len(figures) == N and figures.std() > 0
    assert words.format(folder=runs.resolve()) in out and "measured: 40 test images" in out and "time: " in out
    error = np.std(figures, ddof=1) / np.sqrt(N)
    assert f"mean:  {expected:.4f} +- {error:.4f} {model.unit}" in out
    header, lines = table(path)
    assert [line[:2] for line in lines] == [[str(i), str(label)] for i, label in zip(NUMBERS, LABELS)]
    if model.unit.startswith("bits"):
        nats = column(path, "nats")
        np.testing.assert_allclose(nats, figures * np.log(2) * images.images[0].size, rtol=1e-9)
        assert f", {nats.mean():.2f} +- {np.std(nats, ddof=1) / N ** 0.5:.2f} nats" in out
    else:
        assert header == ["image", "label", "squared error / variance"]
    for label in (3, 9):
        own = figures[LABELS == label]
        line, = re.findall(rf"^ *class {label} +{len(own)}  .*$", out, re.MULTILINE)
        assert line.endswith(f"{own.mean():.4f} +- {np.std(own, ddof=1) / len(own) ** 0.5:.4f}")
    names = ["extremes.png", "histogram.png", "scores.csv"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names and all(name in out for name in names)


def test_the_figures_are_those_that_training_prints(call, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train_gated.py", "--data", "digits", "--classes", "--hide-labels", "0.3",
                                      "--channels", "4", "--dilations", "1", "--epochs", "1", "--batch-size", "64",
                                      "--samples", "1", "--out", str(tmp_path / "run")])
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(io.StringIO()):
        runpy.run_path(str(EXAMPLES / "train_gated.py"), run_name="__main__")
    told, = re.findall(r"test: +(\S+) bits/dim", printed.getvalue())
    untold, = re.findall(r"(\S+) bits/dim when told no class", printed.getvalue())
    assert told != untold
    assert f"told the class\nmean:  {told} +-" in call(tmp_path / "run")
    assert f"told no class\nmean:  {untold} +-" in call(tmp_path / "run", "--no-class")
    folders = sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir())
    assert folders == ["evaluation", "evaluation-2"]  # each has one of its own, beside the weights


def test_another_split_and_a_single_image(runs, call, tmp_path):
    out = call("pixelcnn", "--split", "validation", "--images", 1, "--out", tmp_path)
    model, _ = checkpoint.load(runs / "pixelcnn" / "model.npz")
    expected = training.evaluate(model, DIGITS.validation.images[:1])
    assert f"mean:  {expected:.4f} bits/dim, " in out and "+-" not in out and "measured: 1 validation image" in out


# -- two models --------------------------------------------------------------------------------------------------------

def test_two_models_are_compared_image_by_image(runs, call, tmp_path):
    out = call("gated", "pixelcnn", "--images", N, "--out", tmp_path)
    path = tmp_path / "scores.csv"
    nats, others = column(path, "nats"), column(path, "second nats")
    for name, found in (("gated", nats), ("pixelcnn", others)):
        np.testing.assert_allclose(found, training.image_costs(checkpoint.load(runs / name / "model.npz")[0], some()),
                                   rtol=1e-6)
    difference = others - nats
    error = np.std(difference, ddof=1) / np.sqrt(N)
    assert (f"difference, pixelcnn minus gated: {difference.mean():.2f} +- {error:.2f} nats an image; pixelcnn is "
            f"better on {100 * (difference < 0).mean():.0f} % of the images") in out
    assert {"difference.png", "deciding.png"} <= {file.name for file in tmp_path.iterdir()}
    order, images = np.argsort(difference, kind="stable"), IMAGES
    grids = []
    for name, side, sign in (("gated", order[::-1], 1), ("pixelcnn", order, -1)):
        side = [i for i in side[:N // 2] if sign * difference[i] > 0]
        if side:
            ends = sign * difference[side[0]], sign * difference[side[-1]]
            heading = f"{name} better by: {ends[0]:.3g} to {ends[1]:.3g} nats"
            grids.append((plotting.grid(images[side], 17, 6), {heading: 1}))
    save_grids(tmp_path / "expected.png", grids)
    assert same_picture(tmp_path / "deciding.png", tmp_path / "expected.png")


def test_a_model_beside_itself_differs_nowhere(call, tmp_path):
    out = call("mixture.npz", "mixture.npz", "--images", 9, "--out", tmp_path)
    assert "difference, mixture.npz minus mixture.npz: 0.00 +- 0.00 nats" in out and "better on 0 %" in out
    assert not (tmp_path / "deciding.png").exists() and "deciding.png" not in out


def same_picture(path, expected):
    with Image.open(path) as one, Image.open(expected) as other:
        return np.array_equal(np.asarray(one), np.asarray(other))


def test_the_likeliest_and_the_least_likely_images_are_shown(call, tmp_path):
    call("pixelcnn", "--images", 75, "--out", tmp_path)
    images = DIGITS.test.images[::4]
    nats = column(tmp_path / "scores.csv", "nats")
    order = np.argsort(nats, kind="stable")
    grids = [(plotting.grid(images[chosen], 17, 6),
              {f"{word}: {nats[chosen[0]]:.3g} to {nats[chosen[-1]]:.3g} nats": 1})
             for word, chosen in (("likeliest", order[:30]), ("least likely", order[::-1][:30]))]
    save_grids(tmp_path / "expected.png", grids)
    assert same_picture(tmp_path / "extremes.png", tmp_path / "expected.png")


# -- a classifier ------------------------------------------------------------------------------------------------------

def test_bayes_rule_by_hand(scores):
    nats = -np.log([[1 / 2, 1 / 8], [1 / 4, 1 / 8], [1 / 4, 1 / 2]])  # (3 classes, 2 images)
    np.testing.assert_allclose(scores.posterior(nats), [[1 / 2, 1 / 6], [1 / 4, 1 / 6], [1 / 4, 2 / 3]])
    np.testing.assert_allclose(scores.log_evidence(nats), np.log([1 / 3, 1 / 4]))
    np.testing.assert_allclose(scores.posterior(nats + 5000), scores.posterior(nats))  # e^-5000 is 0 in a computer
    np.testing.assert_allclose(scores.log_evidence(nats + 5000), np.log([1 / 3, 1 / 4]) - 5000)
    assert scores.confusion(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 1]), 3).tolist() == [[1, 0, 1], [0, 1, 0],
                                                                                            [0, 1, 0]]


def test_a_model_of_classes_as_a_classifier(runs, call, tmp_path):
    out = call("gated", "--images", N, "--classify", 30, "--out", tmp_path)
    model, _ = checkpoint.load(runs / "gated" / "model.npz")
    chosen = [i * N // 30 for i in range(30)]
    images, labels = IMAGES[chosen], LABELS[chosen]
    p = np.empty((30, 10))
    for label in range(10):
        logits = to_host(model(to_device(images), to_device(model.condition(30, label)))).astype(np.float64)
        softmax = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
        p[:, label] = np.take_along_axis(softmax, images[..., None].astype(int), axis=-1).prod(axis=(1, 2, 3, 4))
    posterior = p / p.sum(axis=1, keepdims=True)
    expected = np.zeros((10, 10), int)
    for label, guess in zip(labels, posterior.argmax(axis=1)):
        expected[label, guess] += 1
    header, lines = table(tmp_path / "confusion.csv")
    assert header == ["is / taken for", *(f"class {i}" for i in range(10))]
    assert [[int(count) for count in line[1:]] for line in lines] == expected.tolist()
    right = 100 * expected.trace() / 30
    error = 100 * np.std(posterior.argmax(axis=1) == labels, ddof=1) / np.sqrt(30)
    assert f"class: {right:.1f} +- {error:.1f} % of 30 images classified right" in out
    assert f"an image costs {-np.log2(p.mean(axis=1)).mean() / 64:.4f} +- " in out
    assert re.search(r"class 3 +" + " +".join(map(str, expected[3])) + "\n", out)


# -- other images ------------------------------------------------------------------------------------------------------

def test_noise_and_images_of_one_level(runs, call, tmp_path, monkeypatch):
    histogram = importlib.import_module("tinyar.pictures.histogram")
    drawn = []
    monkeypatch.setattr(histogram, "save_figure", lambda path, figure: drawn.append(figure))
    out = call("gated", "--images", N, "--noise", "--out", tmp_path)
    model, _ = checkpoint.load(runs / "gated" / "model.npz")
    levels = np.broadcast_to(np.arange(17, dtype=np.uint8)[:, None, None, None], (17, 8, 8, 1))
    nats = training.image_costs(model, levels)
    assert f"level 0 all over {nats[0]:.2f}, the highest level {nats[-1]:.2f} nats an image" in out
    assert f"other: images of one level, 17: {nats.mean() / 64 / np.log(2):.4f} +- " in out and "told no class" in out
    noise = np.random.default_rng(0).integers(0, 17, (N, 8, 8, 1), dtype=np.uint8)
    assert f"other: uniform noise, 40: {training.evaluate(model, noise):.4f} +- " in out
    legend = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert [text.split(":")[0] for text in legend] == ["digits, test images", "uniform noise", "images of one level",
                                                       "level 0 all over"]


def test_other_data_is_brought_to_the_levels_of_the_model(runs, call, tmp_path):
    out = call("binary.npz", "--data", "digits", "--binarize", "fixed", "--own", "--images", N, "--out", tmp_path)
    model, _ = checkpoint.load(runs / "binary.npz")
    drawn = training.evaluate(model, data.load("digits", binarize="fixed").test.images[NUMBERS])
    own = training.evaluate(model, data.load("digits", levels=2).test.images[NUMBERS])
    assert f"mean:  {drawn:.4f} +- " in out and f"other: test images of its own data, 40: {own:.4f} +- " in out
    out = call("binary.npz", "--data", "digits", "--images", N, "--out", tmp_path)  # by a threshold, as in training
    assert f"mean:  {own:.4f} +- " in out


def test_other_data_is_drawn_in_black_and_white_as_the_models_own_was(runs, call, tmp_path):
    out = call("drawn.npz", "--data", "digits", "--out", tmp_path)
    expected = training.evaluate(checkpoint.load(runs / "drawn.npz")[0],
                                 data.load("digits", binarize="fixed", seed=3).test.images)
    assert "drawn once with P(1) = x/16, seed 3" in out and f"mean:  {expected:.4f} +- " in out


@pytest.mark.parametrize("run", ["three.npz", "foreign.npz"])
def test_classes_that_the_model_has_not_learned_are_not_told(runs, call, tmp_path, run):
    out = call(run, "--data", "digits", "--images", N, "--out", tmp_path)
    expected = training.evaluate(checkpoint.load(runs / run)[0], IMAGES)
    assert f"; told no class (digits has other classes)\nmean:  {expected:.4f} +- " in out and "class 9" in out
    with pytest.raises(SystemExit, match="--classify: the model has learned other classes than those of digits"):
        call(run, "--data", "digits", "--classify", N)


def test_a_folder_of_images_is_resized_and_turned_grey_and_its_classes_are_not_told(call, tmp_path):
    for i, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (12, 10, 10, 3), dtype=np.uint8)):
        plotting.save_image(tmp_path / "images" / "ab"[i % 2] / f"{i}.png", pixels, scale=1)
    out = call("gated", "--data", "folder", "--data-dir", tmp_path / "images", "--out", tmp_path / "out")
    assert "8x8x1, 17 levels" in out and "told no class (folder has other classes)" in out
    expected = data.load("folder", data_dir=tmp_path / "images", size=8, color=False, levels=17).test
    model, _ = checkpoint.load("gated/model.npz")
    np.testing.assert_allclose(column(tmp_path / "out" / "scores.csv", "nats"),
                               training.image_costs(model, expected.images), rtol=1e-6)
    assert {line[1] for line in table(tmp_path / "out" / "scores.csv")[1]} <= {"0", "1"}


def test_without_labels_a_model_of_classes_is_told_none(runs, call, tmp_path):
    for i in range(12):
        plotting.save_image(tmp_path / "images" / f"{i}.png", np.full((8, 8, 1), 20 * i, np.uint8), scale=1)
    out = call("gated", "--data", "folder", "--data-dir", tmp_path / "images", "--out", tmp_path / "out")
    assert "; told no class (folder has no labels)\n" in out and "class 0" not in out
    assert [line[1] for line in table(tmp_path / "out" / "scores.csv")[1]] == ["", ""]


# -- what doesn't fit --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, message", [
    (["missing"], "no file missing: expected a checkpoint"), (["."], "no file model.npz"),
    (["text.npz"], "not a complete checkpoint"), (["half.npz"], "truncated, damaged"),
    (["pixelcnn", "half.npz"], "truncated, damaged"),
    (["bare.npz"], "bare.npz doesn't say which data it was trained on: expected a run of"),
    (["large.npz"], "large.npz was made for images of 9x9x1, but those of digits are 8x8x1"),
    (["pixelcnn", "large.npz"], "large.npz was made for images of 9x9x1"),
    (["binary.npz", "--data", "digits", "--levels", "17"], "was made for 2 levels, but digits has 17 here"),
    (["pixelcnn", "binary.npz"], "binary.npz was made for 2 levels, but digits has 17 here"),
    (["pixelcnn", "--data", "digits", "--levels", "4"], "was made for 17 levels, but digits has 4 here"),
    (["pixelcnn", "--data", "digits", "--levels", "18"], "digits has only 17 levels of its own"),
    (["colour.npz", "--data", "digits"], "was made for images of 8x8x3, but those of digits are 8x8x1"),
    (["pixelcnn", "vqvae"], "measures squared error / variance, pixelcnn/model.npz bits/dim"),
    (["vqvae2/top", "vqvae2/bottom"], "has learned other codes than"),
    (["vqvae/prior", "vqvae2/top"], "has learned other codes than"),
    (["maps.npz"], "needs a map for every image, and doesn't say how to make it"),
    (["lonely/prior"], "is a prior of codes, and images become codes by its autoencoder"),
    (["mixed/prior"], "has learned the codes of another autoencoder"),
    (["pixelcnn", "--no-class"], "--no-class would do nothing: pixelcnn/model.npz is no model of classes"),
    (["pixelcnn", "--classify", "5"], "is no model of classes, so it can't tell them apart"),
    (["gated", "--levels", "4"], "--levels would do nothing: it goes with --data"),
    (["gated", "--own"], "--own would do nothing: it goes with --data"),
    (["own.npz", "--data", "digits", "--own"], "--own: the model's own data are a folder of images"),
    (["own.npz"], "--data-dir: expected the folder of your images"),
    (["gated", "--grey"], "--grey would do nothing"), (["gated", "--size", "4"], "--size would do nothing"),
    (["gated", "--binarize", "fixed"], "--binarize would do nothing"),
    (["gated", "--data", "folder"], "--data-dir: expected the folder of your images"),
    (["gated", "--data", "digits", "--size", "4"], "--size 4: the images of digits have a size of their own"),
    (["gated", "--data-dir", "."], "--data-dir: digits come with tinyar"),
    (["gated", "--data", "mnist", "--data-dir", "nowhere"], "--data-dir 'nowhere' is not an exist"),
    (["gated", "--images", "0"], "--images: expected"), (["gated", "--split", "all"], "--split: invalid choice"),
    (["gated", "--threads", "0"], "--threads: expected"), (["gated", "--classify", "none"], "--classify: expected"),
    (["gated", "--out", "/dev/null/x"], "can't write to the folder"), (["gated", "--out", "text.npz"], "text.npz"),
    (["gated", "a", "b"], "unrecognized arguments: b"),
])
def test_one_clear_line(runs, arguments, message):
    assert message in refused("evaluate.py", *arguments, folder=runs)


def test_labels_of_other_data_make_no_classifier(runs, call, tmp_path):
    for i in range(12):
        picture = np.full((8, 8, 1), 20 * i, np.uint8)
        plotting.save_image(tmp_path / "images" / "ab"[i % 2] / f"{i}.png", picture, scale=1)
    with pytest.raises(SystemExit, match="learned other classes than those of folder, which has labels of its own"):
        call("gated", "--data", "folder", "--data-dir", tmp_path / "images", "--classify", 2)


def test_a_split_without_images_is_refused(call, tmp_path, monkeypatch):
    load = data.load

    def without_test(name, **options):
        dataset = load(name, **options)
        return data.Dataset(dataset.name, dataset.train, dataset.validation, data.Split(dataset.test.images[:0]),
                            dataset.levels, dataset.description)
    monkeypatch.setattr(data, "load", without_test)
    with pytest.raises(SystemExit, match="digits has no test images"):
        call("pixelcnn", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_stays_behind_when_it_is_stopped_or_fails(call, runs, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt
    with monkeypatch.context() as patch, pytest.raises(SystemExit, match="^stopped; every file that is there is whole"):
        patch.setattr(training, "image_costs", stopped)
        call("pixelcnn", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    model, _ = checkpoint.load(runs / "pixelcnn" / "model.npz")
    for _, array in model.arrays():
        array[...] = 1e30  # finite, but what it computes isn't
    checkpoint.save(tmp_path / "huge.npz", model, {"about": {"options": {"data": "digits"}}})
    with pytest.raises(SystemExit) as end:
        call(tmp_path / "huge.npz", "--out", tmp_path / "out")
    assert "what 300 of 300 images cost isn't finite" in str(end.value.code) and not (tmp_path / "out").exists()


def test_a_table_is_written_whole_or_not_at_all(scores, tmp_path):
    def rows():
        yield ["image", "nats"]
        raise OSError(28, "No space left on device")
    scores.save_rows(tmp_path / "scores.csv", [["as it was"]])
    with pytest.raises(OSError, match="can't write .*scores.csv .No space left"):
        scores.save_rows(tmp_path / "scores.csv", rows())
    assert (tmp_path / "scores.csv").read_text() == "as it was\n" and len(list(tmp_path.iterdir())) == 1


def test_a_standard_error_is_numpys(scores):
    values = np.random.default_rng(0).standard_normal(50)
    mean, error = scores.mean_and_error(values)
    assert mean == pytest.approx(values.mean()) and error == pytest.approx(np.std(values, ddof=1) / np.sqrt(50))
    assert np.isnan(scores.mean_and_error(values[:1])[1]) and scores.words_of_mean(values[:1], 2) == f"{values[0]:.2f}"
