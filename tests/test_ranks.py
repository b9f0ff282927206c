"""Ranks are further threads: the same weights, bit for bit; the same way on; and whatever goes wrong ends them all.

The ranks are pretended, threads of this process. test_mpi.py starts real ones.
"""

import functools
import subprocess
import sys

import numpy as np
import pytest
from pretended import on_ranks

from tinyar import codes, data, training
from tinyar.backend import NonFiniteError, to_host, xp
from tinyar.models import VQVAE, GatedPixelCNN, PixelCNN, PixelCNNpp
from tinyar.optim import Adam
from tinyar.training import checkpoint
from tinyar.training.history import History
from tinyar.training.parallel import Workers
from tinyar.training.world import world

DIGITS = data.load("digits")


def split(first, last):
    return data.Split(DIGITS.train.images[first:last], DIGITS.train.labels[first:last])


IMAGES, SPLIT = DIGITS.train.images[:50], split(0, 50)
HELD_OUT = data.Split(DIGITS.validation.images[:20], DIGITS.validation.labels[:20])
MODELS = {
    "PixelCNN": lambda: PixelCNN(levels=17, channels=8, blocks=1, first_kernel=5, kernel_size=3),
    "VQ-VAE with revival": lambda: VQVAE(levels=17, widths=(4, 8), residual_channels=4, codes=16, code_channels=4,
                                         revive_below=1.0),
    "VQ-VAE by gradient with revival": lambda: VQVAE(
        levels=17, widths=(4, 8), residual_channels=4, codes=16, code_channels=4, learning="gradient",
        revive_below=1.0),
    "dropout": lambda: PixelCNNpp(levels=17, channels=4, components=2, dropout=0.5),
    "classes with hidden labels": lambda: GatedPixelCNN(levels=17, channels=6, dilations=(1,), head=(8,), classes=10),
}
OPTIONS = {
    "PixelCNN": dict(clip=1.0),
    "VQ-VAE with revival": dict(average=None),
    "VQ-VAE by gradient with revival": dict(average=None),
    "dropout": dict(optimizer=functools.partial(Adam, betas=(0.95, 0.9995))),
    "classes with hidden labels": dict(hide_labels=0.3),
}
models = pytest.mark.parametrize("name", MODELS)


def fit(name, out=None, train=SPLIT, model=None, **options):
    model = model or MODELS[name]()
    history = training.fit(model, train, HELD_OUT, out=out,
                           **{"epochs": 2, "batch_size": 20, "threads": 1, "seed": 2, "save_every": 2,
                              **OPTIONS[name], **options})
    return model, history


def saved(folder):
    """The numbers in a run's training.npz, and what it says of its progress without the seconds."""
    with np.load(folder / "training.npz") as file:
        arrays = {name: file[name] for name in file.files if name not in ("header", "digests", "state/text")}
    _, state = checkpoint.load(folder / "training.npz")
    rows = [{key: value for key, value in row.items() if key != "seconds"} for row in state["history"]["rows"]]
    return arrays, rows


def assert_same_files(one, other):
    (arrays, rows), (others, other_rows) = saved(one), saved(other)
    assert arrays.keys() == others.keys() and rows == other_rows and rows
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)


# -- the same as threads -----------------------------------------------------------------------------------------------

@models
def test_two_ranks_are_two_threads_bit_for_bit(name, tmp_path):
    fit(name, tmp_path / "threads", threads=2)
    assert not any(isinstance(end, Exception) for end in on_ranks(2, lambda rank: fit(name, tmp_path / "ranks")))
    assert_same_files(tmp_path / "threads", tmp_path / "ranks")


@models
def test_all_ranks_end_with_the_same_model(name):
    (one, _), *others = on_ranks(3, lambda rank: fit(name, batch_size=13))
    for other, history in others:
        for (key, a), (_, b) in zip(one.arrays(), other.arrays(), strict=True):
            np.testing.assert_array_equal(to_host(a), to_host(b), err_msg=key)
        assert len(history.rows) == 2


@pytest.mark.parametrize("name", ["VQ-VAE with revival", "VQ-VAE by gradient with revival"])
def test_codes_were_revived(name):
    """Otherwise the tests above wouldn't say anything about revival."""
    model, _ = fit(name)
    assert model.quantizer.revived > 0


@models
@pytest.mark.parametrize("ranks, threads", [(2, 1), (3, 2), (40, 1)])
def test_the_gradient_is_that_of_the_batch(name, ranks, threads):
    def gradient(rank):
        model = MODELS[name]().astype(xp.float64)
        model.prepare(IMAGES)
        with Workers(model, threads) as workers:
            loss = workers.gradient(IMAGES[:37], model.condition(37) if hasattr(model, "condition") else None,
                                    noise=(5, 9))
        return float(loss), [to_host(array) for array in model.addends()]

    loss, whole = gradient(0)
    for other, parts in on_ranks(ranks, gradient):
        assert other == pytest.approx(loss, rel=1e-12)
        for one, part in zip(whole, parts, strict=True):
            np.testing.assert_allclose(part, one, atol=1e-12 * (1 + np.abs(one).max()))


def test_held_out_images_are_measured_by_all():
    model = MODELS["PixelCNN"]()
    alone = training.evaluate(model, IMAGES[:37], threads=1)
    replicas = [MODELS["PixelCNN"]() for _ in range(3)]
    found = on_ranks(3, lambda rank: training.evaluate(replicas[rank], IMAGES[:37], threads=1))
    assert found == pytest.approx([alone] * 3, rel=1e-6) and len(set(found)) == 1
    costs = training.image_costs(replicas[0], IMAGES[:37], threads=1)
    for others in on_ranks(3, lambda rank: training.image_costs(replicas[rank], IMAGES[:37], threads=1)):
        np.testing.assert_allclose(others, costs, rtol=1e-5)


# -- going on ----------------------------------------------------------------------------------------------------------

class Killed(Exception):
    pass


def killed_at(call, monkeypatch):
    """Make the gradient numbered `call` of every rank fail."""
    gradient, calls = Workers.gradient, {}

    def failing(self, *args, **noise):
        rank = world().rank
        calls[rank] = calls.get(rank, 0) + 1
        if calls[rank] == call:
            raise Killed
        return gradient(self, *args, **noise)

    monkeypatch.setattr(Workers, "gradient", failing)


@models
def test_a_run_that_was_killed_goes_on_exactly_on_as_many_ranks(name, tmp_path):
    on_ranks(2, lambda rank: fit(name, tmp_path / "unbroken"))
    with pytest.MonkeyPatch.context() as patch:
        killed_at(6, patch)  # in the middle of the second epoch, after an update that isn't saved
        assert all(isinstance(end, Killed) for end in on_ranks(2, lambda rank: fit(name, tmp_path / "broken")))
    on_ranks(2, lambda rank: fit(name, tmp_path / "broken", resume=True))
    assert_same_files(tmp_path / "unbroken", tmp_path / "broken")


@pytest.mark.parametrize("ranks", [1, 3])
def test_on_another_number_of_ranks_the_figures_agree(ranks, tmp_path):
    _, unbroken = fit("PixelCNN", epochs=3)
    on_ranks(2, lambda rank: fit("PixelCNN", tmp_path, epochs=1))
    for _, history in on_ranks(ranks, lambda rank: fit("PixelCNN", tmp_path, epochs=3, resume=True)):
        for row, expected in zip(history.rows, unbroken.rows, strict=True):
            assert row["validation"] == pytest.approx(expected["validation"], abs=1e-4)
            assert row["train"] == pytest.approx(expected["train"], abs=1e-4)


def test_early_stopping_is_the_same_on_all():
    ends = on_ranks(2, lambda rank: fit("PixelCNN", epochs=9, patience=1, lr=0.0))
    assert [(len(history.rows), history.stopped_early) for _, history in ends] == [(2, True)] * 2


# -- files and lines ---------------------------------------------------------------------------------------------------

def test_rank_0_alone_shows_progress(capsys):
    on_ranks(3, lambda rank: fit("PixelCNN", progress=True))
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("epoch 2: train") == 1


def test_rank_0_alone_writes(tmp_path, monkeypatch):
    writers = []
    for owner, name in ((checkpoint, "save"), (History, "save")):
        def recorded(*args, save=getattr(owner, name)):
            writers.append(world().rank)
            return save(*args)
        monkeypatch.setattr(owner, name, recorded)
    on_ranks(3, lambda rank: fit("PixelCNN", tmp_path))
    assert len(writers) > 5 and set(writers) == {0}


def test_codes_are_extracted_once(tmp_path, monkeypatch):
    calls, extract = [], codes.extract
    monkeypatch.setattr(codes, "extract", lambda *args: calls.append(world().rank) or extract(*args))
    model = MODELS["VQ-VAE with revival"]()
    first, second = on_ranks(2, lambda rank: codes.cached_dataset(tmp_path / "codes.npz", model, DIGITS))
    np.testing.assert_array_equal(first.train.images, second.train.images)
    assert calls == [0] * 3


# -- what goes wrong ---------------------------------------------------------------------------------------------------

def spoilt(rank, value, name="PixelCNN"):
    """A model whose first parameter has `value` on this rank."""
    model = MODELS[name]()
    next(param for _, param, _ in model.parameters())[...] = value
    return model


@pytest.mark.parametrize("changed, said", [
    (dict(batch_size=10), "batch_size is 10, on rank 0 20"), (dict(epochs=3), "epochs is 3, on rank 0 2"),
    (dict(seed=9), "seed is 9, on rank 0 2"), (dict(threads=2), "threads is 2, on rank 0 1"),
    (dict(train=split(1, 51)), "images is .*, on rank 0"), (dict(lr=0.1), "lr is"),
    (dict(model=PixelCNN(levels=17, channels=8, blocks=2)), "blocks is 2, on rank 0 1"),
    (dict(model=PixelCNNpp(levels=17, channels=4)), "model is 'PixelCNNpp', on rank 0 'PixelCNN'"),
])
def test_a_rank_that_does_something_else_is_refused(changed, said, tmp_path):
    for end in on_ranks(3, lambda rank: fit("PixelCNN", tmp_path, **changed if rank == 1 else {})):
        with pytest.raises(ValueError, match="rank 1 of 3 is about to do something else than rank 0: .*" + said):
            raise end
    assert not list(tmp_path.iterdir())


def test_other_weights_at_the_start_become_those_of_rank_0():
    (one, _), (other, _) = on_ranks(2, lambda rank: fit("PixelCNN", model=spoilt(rank, 0.1 * rank)))
    for (_, a), (_, b) in zip(one.arrays(), other.arrays(), strict=True):
        np.testing.assert_array_equal(to_host(a), to_host(b))


@pytest.mark.filterwarnings("ignore:(overflow|invalid value):RuntimeWarning")
def test_what_is_not_finite_ends_all_alike(tmp_path):
    ends = on_ranks(2, lambda rank: fit("PixelCNN", tmp_path, lr=1e30))
    assert all(isinstance(end, NonFiniteError) for end in ends) and len(set(map(str, ends))) == 1


def test_a_folder_that_cannot_be_written_ends_all_alike(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    ends = on_ranks(3, lambda rank: fit("PixelCNN", tmp_path / "file"))
    assert all(isinstance(end, OSError) for end in ends) and len(set(map(str, ends))) == 1


def test_a_save_that_fails_ends_all_alike(tmp_path, monkeypatch):
    save, calls = checkpoint.save, []

    def full(*args):
        calls.append(args)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        save(*args)

    monkeypatch.setattr(checkpoint, "save", full)
    ends = on_ranks(2, lambda rank: fit("PixelCNN", tmp_path))
    assert all("No space left" in str(end) for end in ends)


def test_an_error_on_one_rank_ends_the_others(tmp_path):
    class Failing:
        labels = maps = None

        def for_epoch(self, epoch):
            if epoch == 1 and world().rank == 1:
                raise Killed
            return IMAGES

    ends = on_ranks(2, lambda rank: fit("PixelCNN", tmp_path, train=Failing()))
    assert isinstance(ends[1], Killed) and isinstance(ends[0], Exception)


# -- alone -------------------------------------------------------------------------------------------------------------

def test_without_a_launcher_mpi_is_not_imported():
    code = ("import sys, tinyar; from tinyar.training.world import world; "
            "assert world().size == 1 and world().first and world().of_all(3) == [3] and world().any(True); "
            "assert 'mpi4py' not in sys.modules and 'tinyar.training.mpi' in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
