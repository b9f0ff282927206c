"""fit: a training run from its first look at the data to the best weights.

Around the loop (`tinyar.training.loop`) it measures held-out images after every epoch, keeps the best weights, stops
early, and survives Ctrl-C and kill -9: a resumed run ends bit for bit like an unbroken one. Of several ranks
(ranks.py) all call it with the same arguments; rank 0 keeps the files and shows the progress.
"""

import sys

from tqdm import tqdm

from tinyar.backend import NonFiniteError
from tinyar.optim import Adam, WeightAverage
from tinyar.training.evaluation import measure
from tinyar.training.interrupt import Interrupt
from tinyar.training.loop import ADVICE, train_epoch
from tinyar.training.options import Sets, checked_options
from tinyar.training.parallel import Workers
from tinyar.training.run import Run
from tinyar.training.world import roll_call, world


def fit(model, train, validation=None, *, epochs=10, batch_size=128, lr=1e-3, optimizer=Adam, clip=None, average=0.999,
        patience=None, hide_labels=0.0, scheduled_sampling=None, threads=None,
        seed=0, out=None, resume=False, save_every=200, progress=False, about=None):
    """Train a model on its mean loss per sub-pixel; returns a History, in model.unit (bits per dimension for PixelCNN).

    Data
    train, validation   images (N, height, width, channels), integers on the host, or a Split of tinyar.data, which
                        also holds labels and maps, and may draw its images anew for each epoch
    hide_labels         share of the training images whose class is hidden, others in each epoch; so the model also
                        learns to do without one
    scheduled_sampling  a ScheduledSampling (tinyar.training) that mixes the model's own draws into its inputs;
                        the training figure isn't a likelihood then, the validation figure is

    Steps
    epochs, batch_size  how long, and how many images an update
    lr                  a learning rate, or a schedule: a function of the update's number, 1, 2, ... (tinyar.optim)
    optimizer           Adam, RMSProp, or another Optimizer, a class made from (model, lr); with options as a partial:
                        functools.partial(Adam, betas=(0.95, 0.9995))
    clip                limit of the global norm of the gradients, None for none
    average             decay of the averaged weights (tinyar.optim.WeightAverage), None for none
    patience            stop after so many epochs in a row that bring no better validation figure, None for never
    threads             cores to use (default: TINYAR_THREADS, or all)

    Files
    out                 folder for model.npz (the best weights so far), training.npz (all else that resuming needs),
                        history.csv and curve.png; None writes nothing
    resume              go on with the run in `out`, or begin if there is none yet; `epochs` may be larger than before,
                        if the schedule doesn't depend on it
    save_every          updates between two savings within an epoch; each epoch's end saves too
    progress            show bars and a line an epoch
    about               a dict (of texts, numbers, lists) to keep in the files: which data, which options

    At the end the model has the best (averaged) weights; without validation images, the last averaged ones. Ctrl-C
    ends the run after the update at hand, saved: fit returns, history.interrupted is True, and the model has the latest
    weights. A second Ctrl-C ends it at once.

    Raises ValueError for images or options that don't fit, FileExistsError when `out` holds a run and resume is False,
    or weights without a run, checkpoint.CheckpointError when it holds another run than this one, OSError when it can't
    be written, NonFiniteError.
    """
    sets = Sets(model, train, validation)
    options = checked_options(model, sets, epochs, batch_size, lr, optimizer, clip, average, patience, hide_labels,
                              scheduled_sampling, seed, save_every)
    workers = Workers(model, threads)
    roll_call(model, {**options, "epochs": epochs, "patience": patience, "threads": workers.threads})
    run = Run(model, optimizer(model, lr), None if average is None else WeightAverage(model, average),
              scheduled_sampling, options, out, save_every, about)
    with run:
        if not run.open(resume):  # no run was there to go on with
            prepare(model, sets.images_of_epoch(0))
            world().copy_first(array for _, array in model.arrays())
            if run.average:
                run.average.restart()
            run.save()
        with workers, Interrupt() as interrupt:
            all_epochs(run, workers, sets, interrupt, epochs, patience, show=progress and world().first)
    return run.history


def prepare(model, images):
    """model.prepare. Raises TypeError unless it leaves all arrays in their places, where replicas share them."""
    before = dict(model.arrays())
    model.prepare(images)
    others = [name for name, array in model.arrays() if array is not before.get(name)]
    if others:
        raise TypeError(f"{type(model).__name__}.prepare made new arrays ({', '.join(others)}); expected it to write "
                        "into those made in __init__: array[...] = value")


def all_epochs(run, workers, sets, interrupt, epochs, patience, show):
    """All epochs that are left, until the last one, the patience's end, or an interruption."""
    history = run.history
    while run.progress.epoch <= epochs and not (patience and history.epochs_since_best() >= patience):
        one_epoch(run, workers, sets, interrupt, epochs, show)
        if interrupt.asked:
            run.save()
            history.interrupted = True
            if world().first and not show:
                print(f"stopped in epoch {min(run.progress.epoch, epochs)} of {epochs}"
                      + (f", saved in {run.folder}" if run.folder else ""), file=sys.stderr)
            return
    history.stopped_early = run.progress.epoch <= epochs
    run.restore_best()


def one_epoch(run, workers, sets, interrupt, epochs, show):
    """The rest of the run's epoch; at its end, if nothing interrupts it, held-out images are measured."""
    progress, model = run.progress, run.model
    images = sets.images_of_epoch(progress.epoch - 1)
    conditions = sets.conditions.hiding(run.options["hide_labels"], run.options["seed"], progress.epoch)
    with tqdm(desc=f"epoch {progress.epoch}/{epochs}", total=len(images), initial=progress.images, unit=" images",
              disable=not show) as bar:
        train_epoch(run, workers, images, conditions, interrupt, bar)
    if progress.images < len(images):
        return
    spoilt = run.spoilt()
    if spoilt:
        raise NonFiniteError(f"{spoilt} isn't finite any more after update {progress.updates}; {ADVICE}")
    run.end_epoch(lambda: None if sets.held_out is None else measure(workers, sets.held_out, sets.held_out_conditions))
    if show:
        tqdm.write(describe(run.history.rows[-1], model.unit))


def describe(row, unit):
    """One line about an epoch."""
    validation = row["validation"]
    held_out = "" if validation is None else f", held out {validation:.4f}"
    return f"epoch {row['epoch']}: train {row['train']:.4f}{held_out} {unit}, {row['seconds']:.0f} s"
