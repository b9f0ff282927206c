"""Training: it learns, equals itself on any number of threads, and loses nothing to Ctrl-C, kill -9 or infinities."""

import csv
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import threadpoolctl

from tinyar import data, sampling, training
from tinyar.layers import Chain, ReLU
from tinyar.training import checkpoint, nonfinite
from tinyar.backend import default_threads, on_gpu, to_device, to_host
from tinyar.training.folders import FolderInUseError, latest_run_folder, new_run_folder
from tinyar.training.history import History
from tinyar.training.interrupt import Interrupt
from tinyar.models import VQVAE, VQVAE2, GatedPixelCNN, PixelCNN, PixelCNNpp, PixelSNAIL, RowLSTM
from tinyar.optim import Adam, Optimizer, WeightAverage, cosine
from tinyar.training.parallel import Workers, micro_batch_size

SMALL = dict(levels=17, channels=8, blocks=1, first_kernel=5, kernel_size=3)
DIGITS = data.load("digits")
TRAIN, VALIDATION = DIGITS.train.images[:60], DIGITS.validation.images[:30]


def fit(model=None, train=TRAIN, validation=VALIDATION, **options):
    model = model or PixelCNN(**SMALL)
    return model, training.fit(model, train, validation, **{"epochs": 3, "batch_size": 20, "threads": 2, **options})


def weights(model):
    return [to_host(param) for _, param, _ in model.parameters()]


def assert_same(one, other):
    assert all((a == b).all() for a, b in zip(weights(one), weights(other), strict=True))


@pytest.mark.parametrize("count", [8, 20])
def test_it_overfits_a_few_images_down_to_their_entropy(count):
    """No model can go below log2(count) bits an image, since probabilities sum to 1:
    0.047 bits/dim for 8 images, 0.068 for 20.
    """
    images = data.load("digits", levels=2).train.images[:count]
    assert len(np.unique(images, axis=0)) == count
    entropy = np.log2(count) / 64
    model = PixelCNN(levels=2, channels=32, blocks=2, kernel_size=5)
    training.fit(model, images, epochs=200, batch_size=count, lr=cosine(1e-2, 200, warmup=5), average=None)
    assert entropy <= training.evaluate(model, images) < 1.05 * entropy


def test_validation_falls_and_the_history_tells_it(tmp_path):
    model, history = fit(epochs=4, out=tmp_path, lr=1e-2)
    figures = [row["validation"] for row in history.rows]
    assert figures[-1] < figures[0] and figures[-1] < 0.95 * np.log2(17)
    assert ([row["epoch"] for row in history.rows] == [1, 2, 3, 4]
            and [row["updates"] for row in history.rows] == [3, 6, 9, 12])
    assert history.best == min(figures) and not history.interrupted and not history.stopped_early
    assert training.evaluate(model, VALIDATION) == pytest.approx(min(figures), abs=1e-6)
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["validation"]) for row in rows] == figures
    assert sorted(os.listdir(tmp_path)) == ["curve.png", "history.csv", "model.npz", "training.npz"]


def test_model_file_holds_the_weights_that_fit_leaves_in_the_model(tmp_path):
    model, _ = fit(out=tmp_path)
    assert_same(checkpoint.load(tmp_path / "model.npz")[0], model)


@pytest.mark.skipif(on_gpu, reason="on a GPU a batch is computed in one piece")
def test_the_gradient_over_threads_and_micro_batches_is_that_of_the_batch():
    model = PixelCNN(**SMALL).astype("float64")
    images = TRAIN[:37]
    loss, dlogits = model.loss(model.forward(images), images)
    model.zero_grads()
    model.backward(dlogits)
    whole = [grad.copy() for _, _, grad in model.parameters()]
    for threads in (1, 2, 3):
        with Workers(model, threads) as workers:
            assert float(workers.gradient(images)) == pytest.approx(float(loss), abs=1e-12)
            assert workers.measure(images) == pytest.approx(float(loss), abs=1e-12)
        for expected, (_, _, grad) in zip(whole, model.parameters()):
            np.testing.assert_allclose(grad, expected, atol=1e-13)


def test_micro_batches_fit_the_cache_and_leave_no_thread_idle():
    model = PixelCNN(levels=2, channels=64)
    for shape, threads, expected in (((50, 28, 28, 1), 2, 2), ((50, 14, 14, 1), 2, 10), ((50, 280, 280, 1), 2, 2),
                                     ((16, 8, 8, 1), 1, 16), ((16, 8, 8, 1), 2, 8), ((1, 8, 8, 1), 4, 1)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tinyar.training.parallel.on_gpu", False)
            assert micro_batch_size(model, np.zeros(shape), threads) == expected


def test_a_gpu_takes_a_training_batch_in_one_piece_but_not_all_test_images(monkeypatch):
    monkeypatch.setattr("tinyar.training.parallel.on_gpu", True)
    model = PixelCNN(levels=2, channels=64)
    assert micro_batch_size(model, np.zeros((128, 28, 28, 1)), 1) == 128
    # the 24 taps of the first kernel, for 64 features of each pixel, or one map of 64 features
    assert micro_batch_size(model, np.zeros((10_000, 28, 28, 1)), 1) == 2 ** 31 // (4 * 28 * 28 * 24 * 64) == 445
    small = PixelCNN(levels=2, channels=64, first_kernel=3, kernel_size=3)
    assert micro_batch_size(small, np.zeros((10_000, 28, 28, 1)), 1) == 2 ** 28 // (4 * 28 * 28 * 64) == 1337


def test_equal_seeds_train_equal_weights_and_others_do_not():
    (one, _), (same, _), (other, _) = (fit(seed=seed) for seed in (1, 1, 2))
    assert_same(one, same)
    assert any((a != b).any() for a, b in zip(weights(one), weights(other)))


def test_validated_saved_and_returned_weights_are_the_averaged_ones(tmp_path):
    model, history = fit(epochs=1, average=0.5, out=tmp_path, batch_size=10)
    twin = PixelCNN(**SMALL)
    adam, averaged = Adam(twin, 1e-3), WeightAverage(twin, 0.5)
    order = np.random.default_rng([0, 1]).permutation(len(TRAIN))  # the seed, and the epoch
    with Workers(twin, 2) as workers:
        for i in range(0, len(TRAIN), 10):
            workers.gradient(TRAIN[order[i:i + 10]])
            adam.step()
            averaged.update()
    raw, _ = checkpoint.load(tmp_path / "training.npz")
    assert_same(raw, twin)
    averaged.copy_to_model()
    assert_same(model, twin)
    assert_same(checkpoint.load(tmp_path / "model.npz")[0], twin)
    assert history.rows[0]["validation"] == pytest.approx(training.evaluate(twin, VALIDATION, threads=2), abs=1e-12)


def test_every_epoch_has_its_own_order(monkeypatch):
    seen, gradient = [], Workers.gradient
    monkeypatch.setattr(Workers, "gradient",
                        lambda self, images, *others, **noise: seen.append(images) or gradient(self, images))
    fit(epochs=2, batch_size=60)
    assert (seen[0] != seen[1]).any() and sorted(map(bytes, seen[0])) == sorted(map(bytes, seen[1]))


def test_resumed_equals_unbroken(tmp_path):
    """Broken off in the middle of epoch 2, and resumed from the file that was saved there."""
    unbroken, history = fit(out=tmp_path / "unbroken", epochs=3)

    class Breaks:
        """Images that raise in the second epoch's second batch."""

        def for_epoch(self, epoch):
            return TRAIN
    calls = []
    gradient = Workers.gradient

    def breaking(self, images, *others, **noise):
        calls.append(1)
        if len(calls) == 6:
            raise MemoryError("pulled the plug")
        return gradient(self, images)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(Workers, "gradient", breaking)
        fit(train=Breaks(), out=tmp_path / "broken", save_every=1)
    resumed, resumed_history = fit(out=tmp_path / "broken", resume=True)
    assert_same(resumed, unbroken)
    for row, expected in zip(resumed_history.rows, history.rows, strict=True):
        assert {**row, "seconds": 0} == {**expected, "seconds": 0}


def test_more_epochs_later_equal_all_at_once(tmp_path):
    unbroken, _ = fit(epochs=4)
    fit(epochs=2, out=tmp_path)
    longer, history = fit(epochs=4, out=tmp_path, resume=True)
    assert_same(longer, unbroken)
    again, _ = fit(epochs=4, out=tmp_path, resume=True)  # nothing left to do
    assert_same(again, unbroken)


SCRIPT = """
import sys
from tinyar import data, models, training
digits = data.load("digits")
model = models.PixelCNN(levels=17, channels=8, blocks=1, first_kernel=5, kernel_size=3)
training.fit(model, digits.train.images[:200], digits.validation.images[:30], epochs=5, batch_size=20, threads=2,
             out=sys.argv[1], resume=True, save_every=1)
print("finished")
"""


@pytest.mark.long
@pytest.mark.skipif(on_gpu, reason="what a killed process leaves on disk doesn't depend on the backend, "
                                   "and this takes its time")
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_kill_9_loses_nothing(tmp_path):
    """Killed at random moments again and again; what comes out in the end is what an unbroken run gives."""
    command = [sys.executable, "-c", SCRIPT]
    subprocess.run([*command, tmp_path / "unbroken"], check=True, stdout=subprocess.DEVNULL)
    rng, kills = np.random.default_rng(0), 0
    for _ in range(4):
        process = subprocess.Popen([*command, tmp_path / "killed"], stdout=subprocess.PIPE)
        saved = tmp_path / "killed" / "training.npz"
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        while process.poll() is None and (not saved.exists() or saved.stat().st_mtime_ns == before):
            time.sleep(0.002)  # wait until this run has saved something, so that the whole makes headway
        time.sleep(rng.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        if b"finished" in output:
            break
        kills += 1
        checkpoint.load(saved)
    assert kills >= 2
    subprocess.run([*command, tmp_path / "killed"], check=True, stdout=subprocess.DEVNULL)
    one, two = (checkpoint.load(tmp_path / name / "model.npz")[0] for name in ("unbroken", "killed"))
    assert_same(one, two)


@pytest.mark.skipif(os.name == "nt", reason="on Windows os.kill ends the process whatever the signal")
def test_ctrl_c_saves_and_stops_and_can_be_resumed(tmp_path, capsys):
    unbroken, _ = fit(epochs=2)

    class PressesCtrlC:
        """Images whose second epoch begins with Ctrl-C."""

        def for_epoch(self, epoch):
            if epoch == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return TRAIN
    handler = signal.getsignal(signal.SIGINT)
    _, history = fit(train=PressesCtrlC(), epochs=2, out=tmp_path)
    assert history.interrupted and len(history.rows) == 1
    assert capsys.readouterr().err == f"stopped in epoch 2 of 2, saved in {tmp_path}\n"
    assert signal.getsignal(signal.SIGINT) is handler
    resumed, history = fit(epochs=2, out=tmp_path, resume=True)
    assert not history.interrupted
    assert_same(resumed, unbroken)


@pytest.mark.parametrize("resume", [False, True])
def test_weights_without_a_run_are_not_written_over(tmp_path, resume):
    """Somebody kept model.npz and threw the large training.npz away."""
    fit(epochs=1, out=tmp_path)
    (tmp_path / "training.npz").unlink()
    kept = (tmp_path / "model.npz").read_bytes()
    with pytest.raises(FileExistsError, match="holds weights, model.npz, but no training.npz to go on with"):
        fit(epochs=1, out=tmp_path, resume=resume)
    assert (tmp_path / "model.npz").read_bytes() == kept


@pytest.mark.skipif(os.name == "nt", reason="on Windows os.kill ends the process whatever the signal")
def test_a_second_ctrl_c_stops_at_once():
    with pytest.raises(KeyboardInterrupt), Interrupt() as interrupt:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupt.asked
        os.kill(os.getpid(), signal.SIGINT)


def test_training_works_outside_the_main_thread():
    results = []
    thread = threading.Thread(target=lambda: results.append(fit(epochs=1)))
    thread.start()
    thread.join()
    assert len(results[0][1].rows) == 1


def test_early_stopping_keeps_the_best_weights(monkeypatch):
    figures = iter([3.0, 2.0, 2.5, float("nan"), 2.4, 1.0])
    monkeypatch.setattr(Workers, "measure", lambda self, images, condition: next(figures) * np.log(2))
    saved = []
    add = History.add
    monkeypatch.setattr(History, "add", lambda self, row: saved.append(weights(model)) or add(self, row))
    model = PixelCNN(**SMALL)
    _, history = fit(model, epochs=9, patience=3)
    assert history.stopped_early and history.best_epoch == 2 and len(history.rows) == 5
    assert all((a == b).all() for a, b in zip(weights(model), saved[1]))


def test_a_run_whose_first_figures_are_nan_goes_on(tmp_path, monkeypatch):
    figures = iter([float("nan"), float("nan"), 2.0])
    monkeypatch.setattr(Workers, "measure", lambda self, images, condition: next(figures) * np.log(2))
    fit(epochs=2, out=tmp_path)
    assert not (tmp_path / "model.npz").exists()
    _, history = fit(out=tmp_path, resume=True)
    assert history.best_epoch == 3 and (tmp_path / "model.npz").exists()


def test_nan_is_never_the_best():
    history = History()
    for epoch, figure in enumerate((float("nan"), 2.0, float("nan"), 3.0), start=1):
        history.add({"epoch": epoch, "validation": figure})
    assert history.best_epoch == 2


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_a_loss_that_is_not_finite_stops_with_the_name_of_the_layer(tmp_path):
    model = PixelCNN(**SMALL)
    fit(model, epochs=1, out=tmp_path)
    good = (tmp_path / "training.npz").read_bytes()
    # A GPU's loss is looked at at the end of the epoch only:
    # by then the update after the bad one has spoilt all parameters.
    where = (r"update 6 \(epoch 2\): parameter" if on_gpu else
             r"update 5 \(epoch 2\): parameter net.links.2.body.links.1.w isn't")
    with pytest.raises(training.NonFiniteError, match=where):
        class Spoils:
            """Images whose second epoch finds a broken weight in the model at its second batch."""

            def for_epoch(self, epoch):
                return TRAIN
        calls, gradient = [], Workers.gradient

        def spoiling(self, images, *others, **noise):
            calls.append(1)
            if len(calls) == 2:
                model.net.links[2].body.links[1].params["w"][0, 0] = np.inf
            return gradient(self, images)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Workers, "gradient", spoiling)
            training.fit(model, Spoils(), VALIDATION, epochs=3, batch_size=20, threads=2, out=tmp_path, resume=True)
    assert (tmp_path / "training.npz").read_bytes() == good


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.parametrize("validation", [VALIDATION, None])
def test_weights_that_an_update_spoils_are_never_saved(tmp_path, validation):
    """One update an epoch: its loss is still finite, the weights after it aren't."""
    fit(out=tmp_path, validation=validation, epochs=1, batch_size=60)
    good = {name: (tmp_path / name).read_bytes() for name in ("training.npz", "model.npz")}
    step = Adam.step

    def diverging(self):
        step(self)
        next(self.model.parameters())[1][...] = np.nan
    with (pytest.MonkeyPatch.context() as patch,
          pytest.raises(training.NonFiniteError, match="isn't finite any more after update 2")):
        patch.setattr(Adam, "step", diverging)
        fit(out=tmp_path, validation=validation, epochs=2, batch_size=60, resume=True, save_every=1)
    assert good == {name: (tmp_path / name).read_bytes() for name in good}


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
@pytest.mark.parametrize("make", [
    lambda: PixelCNN(**SMALL), lambda: GatedPixelCNN(levels=17, channels=4, dilations=(1,)),
    lambda: PixelCNNpp(levels=17, channels=4, units=1),
    lambda: PixelSNAIL(levels=17, channels=4, blocks=1, key_channels=2, value_channels=2),
    lambda: RowLSTM(levels=17, hidden=2), lambda: VQVAE(17, 1, widths=(4,), codes=4, code_channels=2),
    lambda: VQVAE2(17, 1, channels=4, codes=4, code_channels=2)],
    ids=["PixelCNN", "Gated", "PixelCNN++", "PixelSNAIL", "Row LSTM", "VQ-VAE", "VQ-VAE-2"])
def test_whichever_model_diverges_says_so(make):
    with pytest.raises(training.NonFiniteError):
        fit(make(), train=TRAIN[:8], validation=None, lr=1e30, batch_size=4, average=None)


def test_an_optimizer_that_does_not_count_its_steps_is_refused():
    class Descent(Optimizer):
        def __init__(self, model, lr):
            super().__init__(model, lr, eps=0.0, means=())

        def step(self):
            for _, param, grad in self.model.parameters():
                param -= self.learning_rate() * grad

    with pytest.raises(TypeError, match="Descent.step left t at 0 in update 1; expected it to begin with"):
        fit(optimizer=Descent, epochs=1)


def test_an_optimizer_of_another_make_is_refused():
    class Duck:
        def __init__(self, model, lr):
            pass

        def step(self):
            pass

    with pytest.raises(ValueError, match="optimizer: expected a class of tinyar.optim.Optimizer"):
        fit(optimizer=Duck, epochs=1)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_what_an_optimizer_keeps_is_never_saved_spoilt(tmp_path):
    """A square may be infinite where gradient, weights and loss aren't."""
    fit(out=tmp_path, epochs=1, batch_size=60)
    good = {name: (tmp_path / name).read_bytes() for name in ("training.npz", "model.npz")}
    step = Adam.step

    def squared(self):
        step(self)
        self.means["v"]["net.links.0.w"][0, 0] = np.inf
    with (pytest.MonkeyPatch.context() as patch,
          pytest.raises(training.NonFiniteError, match="optimizer/v/net.links.0.w isn't finite any more after update")):
        patch.setattr(Adam, "step", squared)
        fit(out=tmp_path, epochs=2, batch_size=60, resume=True, save_every=1)
    assert good == {name: (tmp_path / name).read_bytes() for name in good}


def test_a_run_without_its_best_weights_says_so(tmp_path):
    fit(out=tmp_path, epochs=1)
    (tmp_path / "model.npz").unlink()
    with pytest.raises(checkpoint.CheckpointError, match="model.npz: is missing; training.npz beside it has the late"):
        fit(out=tmp_path, epochs=2, resume=True)


def test_no_training_ends_by_a_picture(tmp_path, monkeypatch):
    def fails(*arguments):
        raise ValueError("Key backend: 'module://none' is not a valid value for backend")
    monkeypatch.setattr("tinyar.pictures.save_curve", fails)
    with pytest.warns(UserWarning, match="Key backend.*; training goes on"):
        _, history = fit(out=tmp_path, epochs=2)
    assert len(history.rows) == 2


@pytest.mark.skipif(os.name == "nt", reason="on Windows os.kill ends the process whatever the signal")
def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a job behind & in a script
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupt.asked
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_new_folder_is_one_without_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = new_run_folder("some")
    fit(out=first, epochs=1)
    (first / "training.npz").unlink()
    assert new_run_folder("some").name == "some-2"


def test_a_new_folder_is_one_without_the_file_that_ends_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = new_run_folder("some", "table.csv")
    first.joinpath("table.csv").write_text("done")
    assert new_run_folder("some", "table.csv").name == "some-2"


def test_the_latest_run_of_several_trainings_is_the_one_whose_last_was_saved_last(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file, seconds in (("a/autoencoder", 1000), ("a/prior", 3000), ("a-2/autoencoder", 2000), ("a-3/prior", 4000)):
        path = tmp_path / "runs" / file / "training.npz"
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (seconds, seconds))
    assert latest_run_folder("a", "autoencoder/training.npz").name == "a"
    os.utime(tmp_path / "runs/a-2/autoencoder/training.npz", (5000, 5000))
    assert latest_run_folder("a", "autoencoder/training.npz") == pathlib.Path("runs/a-2")


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_gradients_that_are_not_finite_are_not_clipped_but_refused(monkeypatch):
    monkeypatch.setattr("tinyar.training.loop.clip_global_norm", lambda model, limit: float("nan"))
    with pytest.raises(training.NonFiniteError, match="the gradients aren't finite at update 1"):
        fit(clip=1.0)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_the_first_layer_with_infinite_outputs_is_found():
    model = PixelCNN(**SMALL)
    layer = model.net.links[2].body.links[3]
    layer.params["w"][...] = 3e38
    found = nonfinite.first_non_finite(model, TRAIN[:4])
    assert found == "first in the output of layer net.links.2.body.links.3 (MaskedConv2d)"


def test_the_first_infinity_is_found_in_a_layer_that_is_called_with_an_option():
    class Scaled(ReLU):
        def forward(self, x, by=1.0):
            return super().forward(x) * by

    class Outer(Chain):
        def forward(self, x):
            return self.links[0].forward(x, by=float("inf"))

    found = nonfinite.first_non_finite(Outer(Scaled()), np.ones((1, 2, 2, 1), np.float32))
    assert found == "first in the output of layer links.0 (Scaled)"


def test_clipping_is_applied():
    (one, _), (clipped, _) = fit(epochs=1), fit(epochs=1, clip=1e-3)
    assert any((a != b).any() for a, b in zip(weights(one), weights(clipped)))


def test_a_split_is_drawn_anew_for_each_epoch():
    epochs = []

    class Fresh:
        def for_epoch(self, epoch):
            epochs.append(epoch)
            return TRAIN
    fit(train=Fresh(), epochs=3)
    assert [epoch for epoch in epochs if epoch] == [1, 2]


def test_progress_is_shown_on_request(capsys):
    fit(epochs=1)
    assert capsys.readouterr() == ("", "")
    fit(epochs=1, progress=True)
    captured = capsys.readouterr()
    assert "epoch 1: train" in captured.out and "held out" in captured.out and "60/60" in captured.err


@pytest.mark.parametrize("options, message", [
    (dict(train=TRAIN.astype(float)), "train: expected a NumPy array of integers, got float64"),
    (dict(train=TRAIN[0]), r"train: expected images \(N, height, width, 1\), got shape \(8, 8, 1\)"),
    (dict(train=TRAIN[:0]), "train: expected images"), (dict(train=TRAIN.repeat(3, axis=3)), "train: expected images"),
    (dict(train=TRAIN + 17), "train: expected levels 0 .. 16, got 17 .. 33"),
    (dict(train=TRAIN.astype(int) - 1), "got -1 .. 15"),
    (dict(validation=VALIDATION + 100), "validation: expected levels"),
    (dict(train=list(TRAIN)), "expected a NumPy array"),
    (dict(epochs=0), "epochs: expected"), (dict(epochs=1.5), "epochs: expected"),
    (dict(batch_size=0), "batch_size: expected"), (dict(save_every=0), "save_every"),
    (dict(patience=-1), "patience"), (dict(patience=0), "patience"), (dict(lr=float("inf")), "lr: expected"),
    (dict(about={"model": object()}), "can't be saved"), (dict(patience=2, validation=None), "needs validation"),
    (dict(threads=0), "threads: expected"), (dict(clip=-1.0), "clip: expected a limit above 0"),
    (dict(seed=-1), "seed: expected"),
    (dict(average=1.5), "decay"), (dict(lr=-1.0), "lr: expected"), (dict(lr=lambda t: 0.1 - t), "lr: expected"),
])
def test_arguments_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path, options, message):
    model, untouched = PixelCNN(**SMALL), PixelCNN(**SMALL)
    with pytest.raises(ValueError, match=message):
        fit(model, out=tmp_path / "run", **options)
    assert_same(model, untouched)
    assert not (tmp_path / "run").exists()


def test_a_file_of_weights_is_not_taken_for_a_run(tmp_path):
    checkpoint.save(tmp_path / "training.npz", PixelCNN(**SMALL))
    with pytest.raises(checkpoint.CheckpointError, match="no training run to go on with"):
        fit(out=tmp_path, resume=True)


def test_a_run_is_not_overwritten_nor_resumed_as_another(tmp_path):
    fit(out=tmp_path, epochs=1)
    before = (tmp_path / "training.npz").read_bytes()
    with pytest.raises(FileExistsError, match="holds a training run already"):
        fit(out=tmp_path, epochs=2)
    for options, message in ((dict(seed=5), "seed was 0, now 5"), (dict(batch_size=10), "batch_size was 20, now 10"),
                             (dict(lr=1e-2), "lr was"),
                             (dict(train=TRAIN[:40]), "the training images, labels or maps were others"),
                             (dict(validation=VALIDATION[:20]), "the held-out images, labels or maps were others")):
        with pytest.raises(checkpoint.CheckpointError, match=message):
            fit(out=tmp_path, epochs=2, resume=True, **options)
    with pytest.raises(checkpoint.CheckpointError, match="another model"):
        fit(PixelCNN(**{**SMALL, "channels": 6}), out=tmp_path, epochs=2, resume=True)
    assert (tmp_path / "training.npz").read_bytes() == before


def test_a_run_from_before_held_out_images_were_noted_goes_on(tmp_path):
    fit(out=tmp_path, epochs=1)
    model, state = checkpoint.load(tmp_path / "training.npz")
    del state["options"]["validation"]
    checkpoint.save(tmp_path / "training.npz", model, state)
    resumed, unbroken = fit(out=tmp_path, epochs=2, resume=True), fit(epochs=2)
    assert_same(resumed[0], unbroken[0])


def test_a_folder_that_cannot_be_written_is_found_out_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="can't write to the folder"):
        fit(out=tmp_path / "file" / "run")


def test_evaluate_refuses_images_that_do_not_fit():
    with pytest.raises(ValueError, match="images: expected levels"):
        training.evaluate(PixelCNN(**{**SMALL, "levels": 2}), TRAIN)


def test_evaluate_is_the_mean_over_all_images():
    model = PixelCNN(**SMALL)
    whole = to_host(model.likelihood.nats(model(to_device(TRAIN)), TRAIN)).mean() / np.log(2)
    assert training.evaluate(model, TRAIN, threads=default_threads()) == pytest.approx(float(whole), rel=1e-5)


def test_a_schedule_that_differs_in_any_update_made_is_refused(tmp_path):
    fit(out=tmp_path, epochs=2, lr=cosine(1e-3, 60, warmup=20))
    with pytest.raises(checkpoint.CheckpointError, match="lr was another schedule over the 6 updates"):
        fit(out=tmp_path, epochs=4, lr=lambda t: cosine(1e-3, 60, warmup=20)(t) * (1.01 if t == 4 else 1), resume=True)
    _, history = fit(out=tmp_path, epochs=4, lr=lambda t: cosine(1e-3, 60, warmup=20)(t) * (1.01 if t == 7 else 1),
                     resume=True)
    assert len(history.rows) == 4


def test_a_run_of_an_older_tinyar_which_noted_no_rates_goes_on_more_than_once(tmp_path):
    fit(out=tmp_path, epochs=1)
    model, state = checkpoint.load(tmp_path / "training.npz")
    del state["progress"]["rates"]
    checkpoint.save(tmp_path / "training.npz", model, state)
    for epochs in (2, 3):
        _, history = fit(out=tmp_path, epochs=epochs, resume=True)
        assert len(history.rows) == epochs


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fit(out="~/run", epochs=1)
    assert (tmp_path / "run" / "model.npz").exists()


# -- a folder belongs to one run ---------------------------------------------------------------------------------------

def test_a_folder_in_use_is_refused_and_free_afterwards(tmp_path):
    class Second:
        def for_epoch(self, epoch):
            if epoch == 1:
                with pytest.raises(FolderInUseError, match="belongs to another run of this process"):
                    fit(out=tmp_path, epochs=1)
            return TRAIN
    fit(train=Second(), out=tmp_path, epochs=2)
    assert sorted(os.listdir(tmp_path)) == ["curve.png", "history.csv", "model.npz", "training.npz"]
    fit(out=tmp_path, epochs=3, resume=True)


HOLD = """
import sys
from tinyar.training.folders import claim
claim(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(os.name == "nt", reason="no locks there")
def test_a_folder_of_another_process_is_refused_until_that_dies(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(FolderInUseError, match="a run that is going on in another process"):
            fit(out=tmp_path, epochs=1)
        process.kill()
    (tmp_path / f".training-{process.pid}-0123abcd.npz").write_bytes(b"half")  # as a kill in a save leaves it
    fit(out=tmp_path, epochs=1)
    assert sorted(os.listdir(tmp_path)) == ["curve.png", "history.csv", "model.npz", "training.npz"]


def test_a_model_file_of_another_run_is_refused(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        fit(out=tmp_path / name, epochs=2, seed=seed)
    shutil.copy(tmp_path / "b" / "model.npz", tmp_path / "a" / "model.npz")
    with pytest.raises(checkpoint.CheckpointError, match="is of another run than training.npz beside it"):
        fit(out=tmp_path / "a", epochs=3, seed=1, resume=True)


@pytest.mark.parametrize("spoil, message", [
    (lambda state: state["optimizer"].update(v={name: np.float32(1) for name in state["optimizer"]["v"]}),
     r"expected an array of shape \(12, 1, 8\), got \(\)|got 1.0"),
    (lambda state: state["optimizer"]["m"].popitem(), "names differ"),
    (lambda state: state["optimizer"].update(t=-1), "whole number of updates"),
    (lambda state: state.update(average=None), "isn't what tinyar writes"),
    (lambda state: state["progress"].update(epoch="two"), "whole numbers|isn't what tinyar writes"),
    (lambda state: state["history"].update(best_epoch=7), "can't be epoch 7"),
    (lambda state: state.pop("history"), "history"),
])
def test_a_spoilt_state_is_refused_and_nothing_is_touched(tmp_path, spoil, message):
    fit(out=tmp_path, epochs=1)
    model = PixelCNN(**SMALL)
    state = checkpoint.load(tmp_path / "training.npz", model)[1]
    spoil(state)
    checkpoint.save(tmp_path / "training.npz", model, state)
    fresh, twin = PixelCNN(**SMALL), PixelCNN(**SMALL)
    with pytest.raises(checkpoint.CheckpointError, match=message):
        fit(fresh, out=tmp_path, epochs=2, resume=True)
    assert_same(fresh, twin)


def test_a_table_that_cannot_be_written_does_not_end_a_training(tmp_path, monkeypatch):
    def locked(self, folder):
        raise PermissionError(13, "Permission denied")
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="Permission denied.*the next epoch writes it"):
        patch.setattr(History, "save", locked)
        fit(out=tmp_path, epochs=1)
    fit(out=tmp_path, epochs=2, resume=True)
    assert (tmp_path / "history.csv").exists()


# -- NaN never becomes a figure ----------------------------------------------------------------------------------------

def test_weights_that_are_not_finite_are_neither_measured_nor_drawn_from(tmp_path):
    model = PixelCNN(**SMALL)
    checkpoint.save(tmp_path / "c.npz", model)
    model.net.links[0].params["b"][3] = np.nan
    for use in (lambda: training.evaluate(model, VALIDATION), lambda: sampling.sample(model, 1, (2, 2))):
        with pytest.raises(FloatingPointError, match=r"PixelCNN: net.links.0.b isn't finite"):
            use()
    good = (tmp_path / "c.npz").read_bytes()
    with pytest.raises(checkpoint.CheckpointError, match="net.links.0.b: expected finite numbers"):
        checkpoint.save(tmp_path / "c.npz", model)
    assert (tmp_path / "c.npz").read_bytes() == good
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "check_numbers", lambda *_: None)
        checkpoint.save(tmp_path / "nan.npz", model)
    with pytest.raises(checkpoint.CheckpointError, match="net.links.0.b: expected finite numbers"):
        checkpoint.load(tmp_path / "nan.npz")


@pytest.mark.parametrize("state", [{"done": np.zeros(3, bool)}, {"names": np.array(["a"])},
                                   {"best": {"x": np.array([np.inf])}}, {"odd": np.array([None])}])
def test_a_state_that_could_not_be_loaded_is_not_saved(tmp_path, state):
    with pytest.raises(checkpoint.CheckpointError, match="expected (finite )?numbers"):
        checkpoint.save(tmp_path / "c.npz", PixelCNN(**SMALL), state)
    assert not (tmp_path / "c.npz").exists()


def test_a_schedule_is_asked_for_the_updates_of_the_run_alone(tmp_path):
    def schedule(t):
        return [1e-3, 5e-4, 1e-4][t - 1]
    fit(lr=schedule, epochs=1, batch_size=60, out=tmp_path)
    _, history = fit(lr=schedule, epochs=3, batch_size=60, out=tmp_path, resume=True)
    assert [row["learning_rate"] for row in history.rows] == [1e-3, 5e-4, 1e-4]
    with pytest.raises(ValueError, match="lr: expected a learning rate of at least 0"):
        fit(lr=lambda t: 1e-3 * (1 - t / 500), epochs=400, batch_size=20)


@pytest.mark.parametrize("options", [dict(lr=None), dict(lr="0.1"), dict(average="x"), dict(hide_labels=None),
                                     dict(clip="1"), dict(scheduled_sampling=lambda update: 0.5)])
def test_options_of_another_kind_are_refused(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))}: expected a"):
        fit(**options)


def test_two_fits_in_two_threads_leave_blas_as_it_was():
    def threads_of_blas():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    before = threads_of_blas()
    first, second = (threading.Thread(target=lambda n=n: fit(train=TRAIN[:n], epochs=n // 10, threads=1))
                     for n in (20, 60))
    first.start()
    second.start()
    first.join()
    second.join()
    assert threads_of_blas() == before
