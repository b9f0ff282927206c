"""The command line of the examples: what is wrong, and Ctrl-C, comes in one line; folders belong to one run at a time.

The whole campaign is tests/campaign_command_line.py.
"""

import argparse
import contextlib
import functools
import importlib
import io
import os
import pathlib
import re
import runpy
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from PIL import Image

import campaign_command_line as campaign
from test_examples import EXAMPLES, refused
from tinyar import data, models
from tinyar.training import checkpoint

ROOT = EXAMPLES.parent
SMALL = ["--channels", "8", "--blocks", "1", "--kernel-size", "3", "--epochs", "1", "--samples", "4", "--threads", "1"]
DIGITS = ["train_pixelcnn.py", "--data", "digits", *SMALL]
posix = pytest.mark.skipif(os.name == "nt", reason="signals and limits of POSIX")


@pytest.fixture(autouse=True)
def examples(monkeypatch):
    """The examples can be imported, as they import each other."""
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), str(EXAMPLES / "benchmarks"), *sys.path])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Options that name a dozen small pictures, which are trained on in no time."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(12):
        Image.fromarray(np.full((8, 8), 20 * i, np.uint8)).save(folder / f"{i}.png")
    return ["--data", "folder", "--data-dir", folder, "--size", "8", "--grey", "--levels", "4"]


def start(script, *arguments, folder, stdout=subprocess.PIPE, **environment):
    return subprocess.Popen([sys.executable, EXAMPLES / script, *map(str, arguments)], cwd=folder, text=True,
                            stdout=stdout, stderr=subprocess.PIPE, env={**os.environ, **environment},
                            encoding=environment.get("PYTHONIOENCODING"))


def ended(process):
    """(exit status, standard output, the last line on standard error) of a process, which shows no traceback."""
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in f"{out}{err}", err
    return process.returncode, out, (err.strip().splitlines() or [""])[-1]


def called(script, *arguments, **environment):
    """What a script prints, within this process."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        for name, value in environment.items():
            patch.setenv(name, str(value))
        patch.setattr(sys, "argv", [script, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    return printed.getvalue()


# -- options -----------------------------------------------------------------------------------------------------------

class Found(Exception):
    """Carries a parser out of a script."""


@functools.cache
def parser_of(script):
    """The parser of a script, with all its options."""
    def stop(self, *_):
        raise Found(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(sys, "argv", [script])
        names = runpy.run_path(str(EXAMPLES / script))
        with pytest.raises(Found) as found:
            names.get("parse_arguments", names["main"])()
    return found.value.args[0]


@pytest.mark.parametrize("script", campaign.scripts())
def test_help_explains_every_option(script):
    for action in parser_of(script)._actions:
        assert action.help and len(action.help) > 5, action.dest
        assert action.nargs == 0 or action.type or action.choices or action.dest in ("label", "only", "config"), (
            f"{script} {action.dest}: nothing looks at its value")


def test_kinds_of_options():
    kinds = importlib.import_module("kinds")
    for kind, good, bad in (
            (kinds.whole, {"1": 1, "1000000": 10 ** 6}, ["0", "1000001", "1.0", "", "x", "-1", "9" * 5000]),
            (kinds.natural, {"0": 0}, ["-1", "", "1e3", str(2 ** 63)]),
            (kinds.odd, {"3": 3, "255": 255}, ["1", "4", "257"]),
            (kinds.rate, {"0.001": 0.001, "1e-5": 1e-5}, ["0", "nan", "inf", "1e30", "-1", "1e400", ""]),
            (kinds.temperature, {"0.5": 0.5}, ["1e-9", "1e9", "0"]),
            (kinds.share, {"0": 0, "1": 1}, ["1.1", "-0.1", "nan"])):
        for text, value in good.items():
            assert kind(text) == value
        for text in bad:
            with pytest.raises(argparse.ArgumentTypeError, match="expected .*, got") as error:
                kind(text)
            assert len(str(error.value)) < 200


def test_a_tilde_is_the_home_folder(monkeypatch):
    path = importlib.import_module("kinds").path
    monkeypatch.setenv("HOME", "/somebody")
    monkeypatch.setenv("USERPROFILE", "/somebody")
    assert path("~/x") == "/somebody/x" and path("a~/x") == "a~/x"
    for text, message in (("~nobody-here/x", "no home folder '~nobody-here'"), ("", "expected a name"),
                          (" ", "expected a name")):
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            path(text)


def test_out_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    called("receptive_field.py", "--size", 4, "--blocks", 1, "--kernel-size", 3, "--out=~/x", HOME=tmp_path / "home",
           USERPROFILE=tmp_path / "home")
    assert [path.name for path in tmp_path.iterdir()] == ["home"] and (tmp_path / "home" / "x" / "masks.png").exists()


# -- one line ----------------------------------------------------------------------------------------------------------

def raised(function, *arguments):
    """The exception that a call raises."""
    with pytest.raises(BaseException) as error:
        function(*arguments)
    return error.value


def missing_key():
    return {}["k"]


def refuse():
    raise ValueError("size: expected\n  less")


@pytest.mark.parametrize("function, arguments, line", [
    (refuse, (), "size: expected; less"), (open, ("/nowhere/x",), "/nowhere/x: No such file or directory"),
    (missing_key, (), r"KeyError: 'k' \(test_command_line.py, line \d+; python -X dev shows the way there\)"),
    (np.matmul, (np.ones(2), np.ones(3)), r"ValueError: matmul: .* \(test_command_line.py, line \d+; .*\)"),
    (np.empty, ((10 ** 15, 8),), "not enough memory; smaller sizes, .* take less .Unable to allocate .*"),
    (importlib.import_module, ("nowhere",), r"No module named 'nowhere'; .*pip install -e \"\.\[test\]\""),
])
def test_errors_in_one_line(function, arguments, line):
    assert re.fullmatch(line, importlib.import_module("endings").one_line(raised(function, *arguments)))


def test_numpy_does_not_warn_before_training_says_what_is_wrong():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.import_module("endings").run(lambda: np.exp(np.float32(1000)))
        with pytest.raises(RuntimeWarning):
            np.exp(np.float32(1000))


@pytest.mark.parametrize("arguments, message", [
    (["train_pixelcnn.py", "--data", "digits", "--channels", "300000"], "--channels: expected a whole number"),
    (["train_pixelcnn.py", "--data", "digits", "--samples", "1000000000000"], "--samples: expected"),
    (["train_pixelcnn.py", "--data", "digits", "--threads", "999999999"], "--threads: expected"),
    (["train_pixelcnn.py", "--data", ""], "--data: invalid choice: ''"),
    (["train_pixelcnn.py", "--data", "digits", "--lr", "1e30"], "--lr: expected a number above 0 (and at most 10)"),
    (["train_pixelcnn.py", "--data", "mnist", "--data-dir", ""], "--data-dir: expected a name, got ''"),
    (["train_pixelcnn.py", "--data", "mnist", "--data-dir", "nowhere"], "--data-dir 'nowhere' is not an exist"),
    (["train_pixelcnn.py", "--data", "digits", "--data-dir", "."], "--data-dir: digits come with tinyar"),
    (["train_pixelrnn.py", "--data", "cifar10", "--independent-colors"], "--independent-colors would do nothing: the"),
    (["train_pixelcnn.py", "--data", "digits", "--independent-colors"], "--independent-colors: the images of digits"),
    (["train_pixelcnn.py", "--data", "digits", "--hide-labels", "0.2"], "would do nothing: it goes with --classes"),
    (["train_pixelcnnpp.py", "--data", "digits", "--likelihood", "softmax", "--components", "3"],
     "--components would do nothing: it goes with --likelihood mixture"),
    (["compare_models.py", "--data", "digits", "--parameters", "1000000000"], "--parameters: expected"),
    (["super_resolution.py", "--data", "digits", "--samples", "4096", "--draws", "4096"], "at most 4,096, got 16,777"),
    (["receptive_field.py", "--checkpoint", "nowhere.npz"], "no file nowhere.npz: expected a checkpoint"),
    (["benchmarks/layers.py", "--only", "Quadratic"], "no layer has 'Quadratic' in its title"),
    (["benchmarks/training_step.py", "--model", "row", "--blocks", "3"], "--blocks with pixelcnn"),
    (["benchmarks/sampling.py", "--levels", "1"], "--levels: expected"),
])
def test_refused_in_one_line(tmp_path, arguments, message):
    assert message in refused(*arguments, folder=tmp_path)


def test_a_picture_gets_a_name_of_its_own(tmp_path):
    beside = importlib.import_module("weights").beside
    (tmp_path / "model.npz").touch()
    for name in ("drawn.png", "drawn-2.png", "drawn-3.png"):
        for run in (tmp_path, tmp_path / "model.npz"):
            assert beside(run, "drawn.png") == tmp_path / name
        (tmp_path / name).touch()
    assert beside(tmp_path, "levels.png") == tmp_path / "levels.png"


def test_threads_in_the_environment(tmp_path, monkeypatch):
    for text in ("abc", "0", "999999999"):
        monkeypatch.setenv("TINYAR_THREADS", text)
        line = refused("train_pixelcnn.py", "--data", "digits", folder=tmp_path)
        assert line.startswith("train_pixelcnn.py: TINYAR_THREADS: expected a whole number") and text in line


@pytest.mark.parametrize("script", ["benchmarks/layers.py", "benchmarks/sampling.py", "benchmarks/training_step.py"])
def test_without_pytorch_a_benchmark_says_how_to_get_it(tmp_path, monkeypatch, script):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "torch" else find(name, *rest))
    assert refused(script, folder=tmp_path).endswith('it isn\'t installed: pip install -e ".[bench]"')


def test_the_reason_why_mnist_is_not_there_is_told(tmp_path, monkeypatch, capsys):
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / "MNIST" / "raw" / "t10k-labels-idx1-ubyte").write_bytes(b"")
    monkeypatch.setenv("TINYAR_DATA", str(tmp_path))
    arguments = importlib.import_module("arguments")
    parser = arguments.ArgumentParser("")
    arguments.add_data_arguments(parser)
    assert arguments.load_data(parser.parse_args([])).name == "digits"
    assert f"{tmp_path / 'MNIST' / 'raw'} holds only a part of mnist: train-images" in capsys.readouterr().out


def test_commands_have_double_quotes():
    """cmd.exe passes single ones on to pip."""
    files = [*ROOT.glob("*.md"), *EXAMPLES.rglob("*.md"), *EXAMPLES.rglob("*.py"), *(ROOT / "tinyar").rglob("*.py")]
    for path in files:
        assert "'.[" not in path.read_text(encoding="utf-8"), path


# -- processes ---------------------------------------------------------------------------------------------------------

@posix
def test_ctrl_c_in_the_imports_and_after_them(tmp_path):
    for seconds in (0.25, 0.4, 0.8):
        process = start(*DIGITS, "--epochs", "1000", folder=tmp_path)
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        status, _, line = ended(process)
        assert status == 1 and line.startswith("stopped")


@posix
def test_a_wrong_backend_is_one_line(tmp_path):
    status, out, line = ended(start("training_loop.py", folder=tmp_path, TINYAR_BACKEND="abacus"))
    assert (status, out) == (1, "") and line.startswith("training_loop.py: TINYAR_BACKEND='abacus' is unknown")


@posix
def test_two_at_once_get_folders_of_their_own_or_are_refused(tmp_path, pictures):
    command = ["train_pixelcnn.py", *pictures, *SMALL]
    free = [start(*command, folder=tmp_path) for _ in range(2)]
    same = [start(*command, "--out", "same", folder=tmp_path) for _ in range(2)]
    assert [ended(process)[0] for process in free] == [0, 0]
    (good, _, _), (bad, _, line) = sorted(map(ended, same))
    assert (good, bad) == (0, 1) and re.search("same (belongs to|holds) a(nother)? (run|training run)", line)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["pixelcnn-folder", "pixelcnn-folder-2"]
    for folder in (tmp_path / "same", *(tmp_path / "runs").iterdir()):
        checkpoint.load(folder / "model.npz")
    assert not list(tmp_path.rglob(".*"))


@posix
def test_nothing_stays_behind_after_a_kill_and_resume(tmp_path, pictures):
    command = ["train_vqvae.py", *pictures, "--codes", "4", "--widths", "8", "--epochs", "1", "--samples", "4",
               "--threads", "1", "--prior-epochs", "4", "--out", "run"]
    process = start(*command, folder=tmp_path)
    while not (tmp_path / "run" / "prior" / "training.npz").exists() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert (tmp_path / "run" / ".running").exists()
    status, out, _ = ended(start(*command, "--resume", folder=tmp_path))
    assert status == 0 and (tmp_path / "run" / "samples.png").exists() and not list(tmp_path.rglob(".*"))


@posix
def test_a_full_disk_is_named(tmp_path):
    limit = ("import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
             "os.execv(sys.argv[1], sys.argv[1:])")
    command = [sys.executable, "-c", limit, sys.executable, EXAMPLES / DIGITS[0], *DIGITS[1:]]
    process = subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    status, _, line = ended(process)
    path = pathlib.Path("runs") / "pixelcnn-digits" / "training.npz"
    assert (status, line) == (1, f"train_pixelcnn.py: can't write {path} (File too large)")


@posix
def test_whoever_reads_may_go(tmp_path):
    read, write = os.pipe()
    os.close(read)
    status, _, line = ended(start("receptive_field.py", "--size", "4", folder=tmp_path, stdout=write))
    os.close(write)
    assert status == 1 and not line


def test_names_that_the_terminal_cannot_write(tmp_path):
    names = "\u043a\u043e\u0442", "\u72ac"
    for name in names:
        for i in range(4):
            (tmp_path / "pictures" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 30 * i, np.uint8)).save(tmp_path / "pictures" / name / f"{i}.png")
    folder = "\u043f\u0443\u0442\u044c"
    process = start("train_pixelcnn.py", "--data", "folder", "--data-dir", "pictures", "--size", "4", "--grey", *SMALL,
                    "--classes", "--out", folder, folder=tmp_path, PYTHONIOENCODING="cp1252")
    status, out, _ = ended(process)
    assert status == 0 and "class: 0 is ???, 1 is ?" in out and "wrote to ????: model.npz" in out
    _, state = checkpoint.load(tmp_path / folder / "model.npz")
    assert state["about"]["class_names"] == list(names)
    drawn = called("draw.py", tmp_path / folder, "--label", names[1], "--n", 2, "--out", tmp_path / "drawn.png")
    assert f"(rows: {names[1]})" in drawn


# -- classes by name, and what a checkpoint says of its run ------------------------------------------------------------

def save_model(path, about, classes=3):
    checkpoint.save(path, models.GatedPixelCNN(17, channels=4, dilations=(1,), classes=classes), {"about": about})


def test_labels_are_names_or_numbers(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["draw.py"])
    label_of = runpy.run_path(str(EXAMPLES / "draw.py"))["label_of"]
    numbers = sorted(map(str, range(12)))  # folders 0 ... 11: their alphabetical order isn't that of the numbers
    for text, names, number in (("dog", ["cat", "dog"], 1), ("1", ["cat", "dog"], 1), ("-1", ["cat"], -1),
                                ("7", None, 7), ("2", numbers, 4), ("10", numbers, 2), ("-1", numbers, -1)):
        assert label_of(text, names) == number
    for text, names in (("cow", ["cat", "dog"]), ("12", numbers), ("x", None), ("9" * 30, None), ("", None)):
        with pytest.raises(ValueError, match="--label: expected .* or -1 for no class, got"):
            label_of(text, names)


def test_classes_are_drawn_by_their_names(tmp_path):
    about = {"options": {"data": "digits"}, "image_shape": [4, 4, 1], "class_names": ["cat", "cow", "dog"]}
    save_model(tmp_path / "model.npz", about)
    out = called("draw.py", tmp_path / "model.npz", "--label", "dog", "0", "--out", tmp_path / "drawn.png")
    assert "class: 0 is cat, 1 is cow, 2 is dog" in out and "(rows: dog, cat)" in out
    for label, message in (("bird", "expected the name of a class, cat, cow, dog, or -1"), ("3", "expected 0 to 2")):
        assert message in refused("draw.py", tmp_path / "model.npz", "--label", label, folder=tmp_path)


def test_what_older_runs_say_is_understood(tmp_path):
    """They said data, levels, binarize and seed twice, and nothing of names."""
    options = {"data": "digits", "levels": 4, "binarize": None, "seed": 3, "size": None, "grey": False}
    about = {"data": "digits", "levels": 4, "binarize": None, "seed": 3, "image_shape": [8, 8, 1], "options": options}
    checkpoint.save(tmp_path / "model.npz", models.PixelCNN(4, channels=4, blocks=0), {"about": about})
    assert "wrote" in called("draw.py", tmp_path / "model.npz", "--complete", "--images", 2, "--completions", 1)
    arguments = importlib.import_module("arguments")
    assert arguments.load_again(about).description == data.load("digits", levels=4).description


@pytest.mark.parametrize("about", [
    5, [], {"options": 3}, {"options": None}, {"image_shape": 5}, {"image_shape": [8, 8]},
    {"image_shape": ["8", "8", "1"]}, {"class_names": "cat"}, {"class_names": [1]}, {"options": {"data": 5}},
    {"options": {"data": "digits", "levels": "x"}}])
def test_a_checkpoint_that_says_something_else_is_refused_in_one_line(tmp_path, about):
    save_model(tmp_path / "model.npz", about)
    line = refused("draw.py", tmp_path / "model.npz", "--complete", folder=tmp_path)
    assert line.startswith("draw.py: ") and "python -X dev" not in line
