"""A short sample of the campaigns of spoilt files and of broken-off runs, and what their judges see."""

import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

if not hasattr(os, "fork"):
    pytest.skip("the campaigns need fork", allow_module_level=True)

import campaign_files
import campaign_mutants
import campaign_runs
from campaign_readers import Reader, TouchedError

from tinyar.models import PixelCNN
from tinyar.training import checkpoint

TESTS = pathlib.Path(__file__).parent
COMMAND = campaign_runs.SCRIPTS["PixelCNN"]


# -- samples -----------------------------------------------------------------------------------------------------------

@pytest.mark.long
def test_every_reader_survives_a_sample_of_spoilt_files():
    sample = subprocess.run([sys.executable, TESTS / "campaign_files.py", "--mutants", "26", "--seed", "36"], text=True,
                            env={**os.environ, "TINYAR_BACKEND": "numpy"},  # CUDA doesn't survive a fork
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert sample.returncode == 0 and sample.stdout.endswith(", 0 faults\n"), sample.stdout


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of an unbroken run."""
    top = tmp_path_factory.mktemp("unbroken")
    ended = campaign_runs.run([*COMMAND, "--out", "run"], top)
    assert ended.status == 0, ended.text
    return top / "run"


class InTheSeventhFile:
    """In the place of random numbers: kill once, in the writing of the seventh file, after an epoch."""

    def integers(self, least, most):
        return 1 if most == 4 else 7

    def random(self):
        return 0.0

    def uniform(self, least, most):
        return most


@pytest.mark.long
def test_a_run_that_is_killed_in_a_save_is_resumed_and_nothing_is_left_over(tmp_path, finished):
    kills = campaign_runs.kill_and_resume(COMMAND, tmp_path / "run", InTheSeventhFile(), 0)
    assert kills in (["in the writing of file 7"], [])  # a slow watcher may miss it
    campaign_runs.check_same(tmp_path / "run", campaign_runs.left_by(finished))


def test_a_run_that_fills_the_disk_names_the_file_and_is_resumed_with_room(tmp_path, finished):
    told = campaign_runs.full_disk(COMMAND, tmp_path, 60_000, campaign_runs.left_by(finished), may_mount=False)
    assert "can't write run/training.npz" in told


# -- the judge of files, on readers that do what may not happen --------------------------------------------------------

def sound_file(folder):
    checkpoint.save(folder / "c.npz", PixelCNN(channels=4, blocks=1, first_kernel=3, kernel_size=3))


def judged(folder, read, sound_value, kind, count=1):
    """The verdicts on so many mutants of a checkpoint."""
    (folder / "sound").mkdir()
    sound_file(folder / "sound")
    reader = Reader("planted", sound_file, read, ("c.npz",), {"kind": kind})
    return [campaign_files.judge(reader, folder / "sound", sound_value, number, 0, folder / str(number)).verdict
            for number in range(count)]


def raises(error):
    def read(folder):
        raise error
    return read


def hides_memory(folder):
    try:
        raise MemoryError
    except MemoryError as error:
        raise ValueError("c.npz: can't be read") from error


@pytest.mark.parametrize("verdict, read", {
    "foreign": raises(KeyError("c.npz: header")), "nameless": raises(ValueError("damaged")), "memory": hides_memory,
    "hang": lambda folder: time.sleep(3), "touched": raises(TouchedError("the model was changed")),
    "wrong": lambda folder: {"w": np.ones(2)}, "refused": raises(ValueError("c.npz: damaged")),
    "the same": lambda folder: {"w": np.zeros(2)}}.items())
def test_the_judge_of_files_sees(tmp_path, monkeypatch, verdict, read):
    monkeypatch.setattr(campaign_files, "SECONDS", 0.2)
    assert judged(tmp_path, read, {"w": np.zeros(2)}, campaign_mutants.bit) == [verdict]


def without_a_look_at_digests(folder):
    with np.load(folder / "c.npz") as arrays:
        return {name: arrays[name] for name in arrays.files if name.startswith("model/")}


def test_numbers_behind_the_right_checksum_of_a_zip_are_seen_to_be_wrong(tmp_path):
    sound_file(tmp_path)
    value = without_a_look_at_digests(tmp_path)
    found = judged(tmp_path, without_a_look_at_digests, value, campaign_mutants.numbers, count=30)
    assert "wrong" in found and "another" in found  # sealed anew


def test_numbers_that_are_not_finite_are_seen_to_be_accepted(tmp_path):
    found = judged(tmp_path, without_a_look_at_digests, {}, campaign_mutants.not_finite, count=4)
    assert found == ["accepted"] * 4


# -- the judge of runs, on folders that no run should leave ------------------------------------------------------------

def spoil_weights(path):
    arrays = dict(np.load(path))
    arrays["model/net.links.0.w"] += 1
    np.savez(path, **arrays)


@pytest.mark.parametrize("change, words", [
    (lambda folder: None, None),
    (lambda folder: (folder / ".running").touch(), r"\['.running'\] are too many"),
    (lambda folder: (folder / ".samples-12-0123abcd.png").touch(), "samples-12-0123abcd"),
    (lambda folder: (folder / "curve.png").unlink(), "curve.png"),
    (lambda folder: (folder / "samples.png").write_bytes(b"x"), r"not like the unbroken run: \['samples.png'\]"),
    (lambda folder: (folder / "history.csv").write_text("epoch,seconds\n1,2\n"), r"\['history.csv'\]"),
    (lambda folder: spoil_weights(folder / "model.npz"), r"\['model.npz'\], in \['model/net.links.0.w.npy'\]")])
def test_the_judge_of_runs_sees(tmp_path, finished, change, words):
    folder = shutil.copytree(finished, tmp_path / "run")
    change(folder)
    if words is None:
        campaign_runs.check_same(folder, campaign_runs.left_by(finished))
    else:
        with pytest.raises(campaign_runs.Fault, match=words):
            campaign_runs.check_same(folder, campaign_runs.left_by(finished))
