"""VQ-VAE-2 from the command line: three stages, resumed in each, drawn from, and what doesn't belong together."""

import difflib
import shutil

import matplotlib.image
import numpy as np
import pytest
from test_examples import EXAMPLES, refused, run

from tinyar import codes, data, models
from tinyar.backend import to_host
from tinyar.training import checkpoint

SMALL = ["--data", "digits", "--codes", "8", "--code-channels", "4", "--channels", "8", "--epochs", "1",
         "--prior-epochs", "1", "--samples", "4", "--threads", "2"]
STAGE = ["curve.png", "history.csv", "model.npz", "training.npz"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a tiny run told the class, and what it printed."""
    folder = tmp_path_factory.mktemp("trained")
    out, _ = run("train_vqvae2.py", *SMALL, "--classes", "--beta", "2", "--prior-dropout", "0.1", folder=folder)
    return folder / "runs" / "vqvae2-digits", out


def test_three_stages(trained):
    folder, out = trained
    assert {path.name for path in folder.iterdir()} == {"autoencoder", "top", "bottom", "codes.npz", "samples.png",
                                                        "details.png"}
    for stage in ("autoencoder", "top", "bottom"):
        assert sorted(path.name for path in (folder / stage).iterdir()) == STAGE
    assert "PixelSNAIL on 2x2 codes" in out and "GatedPixelCNN on 4x4 codes" in out
    assert "given the top codes and the class" in out
    for name in ("samples.png", "details.png"):
        assert matplotlib.image.imread(folder / name).std() > 0.01
    nats = float(out.split("codes: ")[1].split()[0])
    top, bottom = (float(out.split(f"{level}: ")[2].split()[0]) for level in ("top", "bottom"))
    assert nats == pytest.approx(4 * top + 16 * bottom, abs=0.1) and nats < 20 * np.log(8)


def test_both_priors_remember_autoencoder_and_level(trained):
    autoencoder, _ = checkpoint.load(trained[0] / "autoencoder" / "model.npz")
    for level in ("top", "bottom"):
        model, state = checkpoint.load(trained[0] / level / "model.npz")
        assert state["about"]["autoencoder"] == codes.checksum(autoencoder) and state["about"]["level"] == level
        assert (model.classes, model.map_codes) == (10, 8 if level == "bottom" else 0)
        assert model.config["dropout"] == 0.1
    assert autoencoder.config["beta"] == 2
    assert isinstance(autoencoder, models.VQVAE2)


@pytest.mark.long
def test_it_goes_on_in_whichever_stage_it_was(trained, tmp_path):
    """What comes after a stage is made once more, to the same weights."""
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    for lost in ("top", "bottom"):
        shutil.rmtree(folder / lost)
    (folder / "codes.npz").unlink()
    run("train_vqvae2.py", "--data", "digits", "--resume", "--out", "run", folder=tmp_path)
    for level in ("top", "bottom"):
        found, expected = (checkpoint.load(where / level / "model.npz")[0] for where in (folder, trained[0]))
        for (name, one), (_, other) in zip(found.arrays(), expected.arrays()):
            np.testing.assert_array_equal(to_host(one), to_host(other), err_msg=name)


def test_drawing(trained, tmp_path):
    out, _ = run("draw.py", trained[0], "--label", "3", "5", "--n", "2", "--out", "drawn.png", folder=tmp_path)
    assert "VQVAE2, PixelSNAIL, GatedPixelCNN" in out and "rows: class 3, class 5" in out
    assert matplotlib.image.imread(tmp_path / "drawn.png").std() > 0.01
    assert "which no film shows" in refused("draw.py", trained[0], "--out", "x.gif", folder=tmp_path)
    assert "no completion of what is shown" in refused("draw.py", trained[0], "--complete", folder=tmp_path)
    assert "draws by two priors" in refused("draw.py", trained[0] / "autoencoder", folder=tmp_path)


def test_what_does_not_belong_together_is_refused(trained, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(trained[0], folder)
    for stage in ("top", "bottom"):
        (folder / stage).rename(folder / f"{stage}-")
    (folder / "top-").rename(folder / "bottom")
    (folder / "bottom-").rename(folder / "top")
    assert "expected the prior of the top level, got that of the bottom level" in refused(
        "draw.py", "run", folder=tmp_path)
    shutil.rmtree(folder)
    shutil.copytree(trained[0], folder)
    other = models.VQVAE2(17, channels=8, codes=8, code_channels=4, seed=5)
    checkpoint.save(folder / "autoencoder" / "model.npz", other)
    assert "another autoencoder" in refused("draw.py", "run", "--size", "8", "8", folder=tmp_path)
    shutil.rmtree(folder / "bottom")
    assert "no prior to draw codes from" in refused("draw.py", "run", folder=tmp_path)


@pytest.mark.long
def test_a_likelihood_bounds_the_bits_of_images(tmp_path):
    out, _ = run("train_vqvae2.py", *SMALL, "--output", "mixture", folder=tmp_path)
    given = float(out.split("test:")[1].split()[0])
    bound = float(out.split("bound: ")[1].split()[0])
    nats = float(out.split("codes: ")[1].split()[0])
    assert "bits/dim given the codes" in out and bound == pytest.approx(given + nats / np.log(2) / 64, abs=2e-3)


@pytest.mark.long
def test_images_that_cannot_be_halved_twice_get_a_margin(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(30):
        matplotlib.image.imsave(pictures / f"{i}.png", np.random.default_rng(i).random((6, 6, 3)))
    out, _ = run("train_vqvae2.py", *SMALL[2:], "--data", "folder", "--data-dir", pictures, "--size", "6",
                 folder=tmp_path)
    assert "A stride of 4 doesn't divide 6x6" in out and "on 2x2 codes" in out


def test_the_difference_from_the_lesson_before_is_small():
    before, after = ((EXAMPLES / name).read_text().splitlines() for name in ("train_vqvae.py", "train_vqvae2.py"))
    code = [lines[next(i for i, line in enumerate(lines) if line.startswith("import endings")):]
            for lines in (before, after)]
    changed = [line for line in difflib.ndiff(*code) if line[0] in "+-"]
    assert len(changed) <= 120 and len(after) <= 130


@pytest.mark.parametrize("arguments, message", [
    (["--codes", "1"], "expected at least 2"), (["--channels", "1"], "--channels: expected"),
    (["--output", "gauss"], "invalid choice"), (["--code-channels", "0"], "expected"),
])
def test_bad_arguments(tmp_path, arguments, message):
    assert message in refused("train_vqvae2.py", "--data", "digits", *arguments, folder=tmp_path)


def test_codes_know_their_images_by_content(trained, tmp_path):
    """Another seed draws other binarized images under the same name: their codes are made anew."""
    autoencoder = models.VQVAE2(2, channels=8, codes=8, code_channels=4)
    first, second = (codes.cached_datasets(tmp_path / "codes.npz", autoencoder, data.load(
        "digits", binarize="fixed", seed=seed))[1].train.images for seed in (0, 1))
    assert (first != second).any()
