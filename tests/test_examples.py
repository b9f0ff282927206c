"""The examples as a user runs them: from the command line, in a folder of their own."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import matplotlib.image
import pytest

from tinyar import checkpoint, data, models, training

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
SMALL = ["--channels", "8", "--blocks", "1", "--kernel-size", "3", "--epochs", "1", "--samples", "4", "--threads", "2"]


def run(script, *arguments, folder, data_folder="", expect=0):
    """Run an example without a network to hope for; returns (standard output, standard error)."""
    environment = {**os.environ, "TINYAR_DATA": str(data_folder), "XDG_CACHE_HOME": str(folder.parent / "cache"),
                   "https_proxy": "http://127.0.0.1:9"}
    result = subprocess.run([sys.executable, "-W", "error", EXAMPLES / script, *map(str, arguments)], cwd=folder, env=environment,
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == expect, result.stdout + result.stderr
    return result.stdout, result.stderr


def refused(script, *arguments, folder):
    """The last line that a refused call prints; nothing may be left behind, and no traceback shown."""
    before = sorted(folder.rglob("*"))
    result = subprocess.run([sys.executable, EXAMPLES / script, *map(str, arguments)], cwd=folder, capture_output=True, text=True,
                            timeout=60, env={**os.environ, "XDG_CACHE_HOME": str(folder.parent / "cache")})
    assert result.returncode != 0 and "Traceback" not in result.stderr, result.stderr
    assert sorted(folder.rglob("*")) == before
    return result.stderr.strip().splitlines()[-1]


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
    assert checkpoint.load(written / "model.npz")[1]["about"]["data"] == "digits"


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


def test_without_blocks_it_is_a_single_convolution(tmp_path):
    run("train_pixelcnn.py", "--data", "digits", *SMALL, "--blocks", "0", "--out", "run", folder=tmp_path)
    assert (tmp_path / "run" / "masks.png").exists()


def test_complete_finishes_the_lower_halves(trained):
    folder, _ = trained
    out, _ = run("complete.py", "runs/pixelcnn-digits/model.npz", "--images", "3", "--completions", "2", folder=folder)
    assert "completions.png" in out
    assert matplotlib.image.imread(folder / "runs" / "pixelcnn-digits" / "completions.png").std() > 0.01


VQVAE = ["--data", "digits", "--codes", "8", "--widths", "8", "--epochs", "1", "--prior-epochs", "1", "--samples", "4", "--threads", "2"]


def test_train_vqvae_runs_both_stages_and_resumes(tmp_path):
    out, _ = run("train_vqvae.py", *VQVAE, folder=tmp_path)
    names = ["codes.npz", "codes.png", "reconstructions.png", "samples.png", "usage.png"]
    assert sorted(path.name for path in (tmp_path / "runs" / "vqvae-digits").iterdir() if path.is_file()) == names
    assert "% of 8 in use, perplexity" in out and "nats per code" in out and "squared error / variance on 300 images" in out
    again, _ = run("train_vqvae.py", *VQVAE, "--resume", folder=tmp_path)
    assert again.splitlines()[-2:] == out.splitlines()[-2:]


def test_train_vqvae_flat_and_categorical(tmp_path):
    out, _ = run("train_vqvae.py", *VQVAE, "--flat", "--out", "flat", folder=tmp_path)
    assert "outputs.png" in out and not (tmp_path / "flat" / "prior").exists()
    out, _ = run("train_vqvae.py", *VQVAE, "--output", "categorical", "--out", "categorical", folder=tmp_path)
    assert "bits/dim given the codes" in out and "bound: " in out


@pytest.mark.parametrize("arguments, message", [
    (["--codes", "0"], "--codes: expected"), (["--widths", "8", "8", "8", "8"], "can't be halved 4 times"),
    (["--output", "gauss"], "'mse' or 'categorical'"), (["--learning", "magic"], "'gradient' or 'ema'"),
    (["--code-channels", "-1"], "--code-channels: expected"), (["--resume"], "nothing to resume"),
])
def test_bad_arguments_of_train_vqvae(tmp_path, arguments, message):
    assert message in refused("train_vqvae.py", "--data", "digits", *arguments, folder=tmp_path)


def test_without_data_named_and_no_network_it_trains_on_digits(tmp_path):
    out, _ = run("train_pixelcnn.py", *SMALL, folder=tmp_path, data_folder=tmp_path)
    assert "MNIST is neither here nor to be had" in out and (tmp_path / "runs" / "pixelcnn-digits" / "samples.png").exists()


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
    (["--data", "cifar11"], "unknown dataset 'cifar11': expected one of digits, mnist"),
    (["--data", "digits", "--levels", "1"], "levels=1"), (["--data", "digits", "--levels", "257"], "levels=257"),
    (["--data", "digits", "--levels", "two"], "invalid int value"), (["--data", "digits", "--binarize", "maybe"], "binarize='maybe'"),
    (["--data", "digits", "--kernel-size", "4"], "must be odd"), (["--data", "digits", "--epochs", "0"], "--epochs: expected"),
    (["--data", "digits", "--batch-size", "0"], "--batch-size: expected"), (["--data", "digits", "--threads", "0"], "threads"),
    (["--data", "digits", "--lr", "-1"], "--lr: expected a number above 0"), (["--data", "digits", "--channels", "0"], "--channels: expected"), (["--data", "digits", "--blocks", "-1"], "blocks"),
    (["--data", "digits", "--samples", "0"], "--samples"), (["--data", "digits", "--temperature", "0"], "--temperature"),
    (["--data", "mnist", "--data-dir", "nowhere"], "nowhere"), (["--data-dir", "nowhere"], "nowhere"), (["--data", "digits", "--resume"], "nothing to resume"),
    (["--data", "digits", "--out", "/dev/null/run"], "can't write to the folder"), (["--colour"], "unrecognized arguments"),
])
def test_bad_arguments_of_train_pixelcnn(tmp_path, arguments, message):
    assert message in refused("train_pixelcnn.py", *arguments, folder=tmp_path)


def test_bad_arguments_of_complete(tmp_path, trained):
    (tmp_path / "text.npz").write_text("no checkpoint")
    assert "not a complete checkpoint" in refused("complete.py", "text.npz", folder=tmp_path)
    assert "missing.npz" in refused("complete.py", "missing.npz", folder=tmp_path)
    model = trained[0] / "runs" / "pixelcnn-digits" / "model.npz"
    assert "--images: expected" in refused("complete.py", model, "--images", "0", folder=tmp_path)
    assert "--temperature: expected" in refused("complete.py", model, "--temperature", "-1", folder=tmp_path)


@pytest.mark.skipif(not os.environ.get("TINYAR_DATA"), reason="needs the real MNIST files: set TINYAR_DATA to their folder")
def test_it_trains_on_the_real_mnist(tmp_path):
    """A small network on 2,000 of the real images: seconds, and well below what a constant guess costs."""
    dataset = data.load("mnist", levels=2, download=False)
    assert dataset.train.images.shape == (50_000, 28, 28, 1) and dataset.test.images.shape == (10_000, 28, 28, 1)
    model = models.PixelCNN(levels=2, channels=16, blocks=1, kernel_size=3)
    history = training.fit(model, dataset.train.images[:2000], dataset.validation.images[:500], epochs=1, out=tmp_path, lr=1e-2)
    assert history.best < 0.35  # a constant guess of the share of white pixels costs 0.55
