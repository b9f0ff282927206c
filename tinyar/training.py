"""The training loop, the same for every model.

For each batch: set the gradients to zero, go forward, take the loss, go backward (all four in `Workers.gradient`,
spread over the cores), and let the optimizer step: see `train_epoch`. Around it `fit` measures held-out images after
every epoch, keeps the best weights, stops early, and survives Ctrl-C and kill -9: a resumed run ends bit for bit
like an unbroken one.

The order of the images in an epoch is a function of (seed, epoch) alone, and a learning-rate schedule one of the
number of updates, so neither has a state to save.
"""

import math
import signal
import threading
import zlib

import numpy as np
from tqdm import tqdm

from tinyar.backend import on_gpu, to_device, xp
from tinyar.conditions import Conditions
from tinyar.nonfinite import NonFiniteError, first_non_finite, spoilt_array
from tinyar.optim import Adam, WeightAverage, clip_global_norm
from tinyar.parallel import Workers
from tinyar.run import Run

FETCH_EVERY = 20 if on_gpu else 1  # looking at the loss makes a GPU wait, so it is done every so many updates

MEASURED_AT_ONCE = 1000  # images

ADVICE = "try a smaller learning rate, or clip the gradients"


def fit(model, train, validation=None, *, epochs=10, batch_size=128, lr=1e-3, optimizer=Adam, clip=None, average=0.999,
        patience=None, hide_labels=0.0, scheduled_sampling=None, threads=None,
        seed=0, out=None, resume=False, save_every=200, progress=False, about=None):
    """Train a model on its mean loss per sub-pixel; returns a History, in model.unit (bits per dimension for PixelCNN).

    train, validation   images (N, height, width, channels), integers on the host, or a Split of tinyar.data, whose
                        `for_epoch` may draw them anew for each epoch, and whose labels or maps
                        a conditional model needs
    lr                  a learning rate, or a schedule: a function of the update's number, 1, 2, ... (tinyar.optim)
    optimizer           Adam, RMSProp, or another class that is made from (model, lr)
    clip                limit of the global norm of the gradients, None for none
    average             decay of the averaged weights (tinyar.optim.WeightAverage), None for none
    patience            stop after so many epochs in a row that bring no better validation bits/dim, None for never
    hide_labels         share of the training images, others in every epoch, whose class isn't told, so that
                        a conditional model can do without one too
    scheduled_sampling  a tinyar.scheduled_sampling.ScheduledSampling that mixes the model's own draws into its inputs;
                        the training figure isn't a likelihood then, the validation figure is
    threads             cores to use (default: TINYAR_THREADS, or all)
    out                 folder for model.npz (the best weights so far), training.npz (all that resuming needs),
                        history.csv and curve.png; None writes nothing
    resume              go on with the run in `out`, or begin if there is none yet; `epochs` may be larger than before,
                        if the schedule doesn't depend on it
    save_every          updates between two savings within an epoch; each epoch's end saves too
    progress            show bars and a line an epoch
    about               a dict (of texts, numbers, lists) to keep in the files: which data, which options

    At the end the model has the best (averaged) weights; without validation images, the last averaged ones. Ctrl-C
    ends the run after the update at hand, saved, and the model has the latest weights; a second Ctrl-C ends it at once.

    Raises ValueError for images or options that don't fit, FileExistsError when `out` holds a run and resume
    is False, checkpoint.CheckpointError when it holds another run than this one, OSError when it can't be
    written, NonFiniteError.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("save_every", save_every),
                        ("patience", 1 if patience is None else patience)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed: expected a whole number of at least 0, got {seed!r}")
    if clip is not None and not clip > 0:
        raise ValueError(f"clip: expected a limit above 0, got {clip!r}")
    if not 0 <= hide_labels <= 1:
        raise ValueError(f"hide_labels: expected a share of the images from 0 to 1, got {hide_labels!r}")
    if hide_labels and not getattr(model, "classes", 0):
        raise ValueError(f"hide_labels={hide_labels!r}: the model isn't told any classes, expected 0")
    if patience and validation is None:
        raise ValueError("patience: stopping early needs validation images")
    workers = Workers(model, threads)
    draw_epoch = getattr(train, "for_epoch", lambda epoch: train)
    check_images(model, "train", draw_epoch(0))
    conditions = Conditions(model, train, "train", required=True)
    if validation is not None:
        held_out = getattr(validation, "images", validation)
        check_images(model, "validation", held_out)
        held_out_conditions = Conditions(model, validation, "validation", required=True)
    options = {"batch_size": batch_size, "clip": clip, "average": average, "seed": seed,
               "images": fingerprint(draw_epoch(0)) + conditions.fingerprint(),
               "validation": None if validation is None else fingerprint(held_out) + held_out_conditions.fingerprint(),
               "hide_labels": hide_labels,
               "optimizer": optimizer.__name__,
               "scheduled_sampling": None if scheduled_sampling is None else scheduled_sampling.fingerprint(),
               "lr": [lr(t) if callable(lr) else lr for t in (1, 10, 100, 1000, 10000)]}
    if not all(0 <= rate < math.inf for rate in options["lr"]):
        raise ValueError(f"lr: expected a learning rate of at least 0, got {options['lr']}")

    run = Run(model, optimizer(model, lr), None if average is None else WeightAverage(model, average),
              options, out, save_every, about)
    if not run.open(resume):
        model.prepare(draw_epoch(0))
    history = run.history
    with workers, Interrupt() as interrupt:
        while run.progress.epoch <= epochs and not (patience and history.epochs_since_best() >= patience):
            images = draw_epoch(run.progress.epoch - 1)
            with tqdm(desc=f"epoch {run.progress.epoch}/{epochs}", total=len(images), initial=run.progress.images,
                      unit=" images", disable=not progress) as bar:
                train_epoch(run, workers, images, conditions.hiding(hide_labels, seed, run.progress.epoch),
                            scheduled_sampling, interrupt, bar)
            if run.progress.images == len(images):
                spoilt = spoilt_array(model)
                if spoilt:
                    raise NonFiniteError(f"{spoilt} isn't finite any more "
                                         f"after update {run.progress.updates}; {ADVICE}")
                run.end_epoch(lambda: None if validation is None else measure(workers, held_out, held_out_conditions))
                if progress:
                    tqdm.write(describe(history.rows[-1], model.unit))
            if interrupt.asked:
                run.save()
                history.interrupted = True
                return history
    history.stopped_early = run.progress.epoch <= epochs
    run.restore_best()
    return history


def train_epoch(run, workers, images, conditions, scheduled_sampling, interrupt, bar):
    """Train to the end of the run's current epoch, or until it is interrupted."""
    at, batch_size, clip = run.progress, run.options["batch_size"], run.options["clip"]
    order = np.random.default_rng([run.options["seed"], at.epoch]).permutation(len(images))
    while at.images < len(images) and not interrupt.asked:
        chosen = order[at.images:at.images + batch_size]
        batch, condition = images[chosen], conditions.of(chosen)
        inputs = batch
        if scheduled_sampling:
            inputs = scheduled_sampling.inputs(run.model, batch, condition, at.updates, run.options["seed"])
        loss = workers.gradient(batch, condition, None if inputs is batch else inputs)
        at.loss = at.loss + loss.astype(xp.float64) * len(chosen)
        at.images += len(chosen)
        number = at.updates + 1
        if number % FETCH_EVERY == 0 or number % run.save_every == 0 or at.images == len(images):
            at.loss = float(at.loss)
            if not math.isfinite(at.loss):
                raise NonFiniteError(f"the loss isn't finite any more at update {number} (epoch {at.epoch}): "
                                     f"{first_non_finite(run.model, inputs, condition)}; {ADVICE}")
            figure = f"{run.model.figure(at.loss / at.images):.4f} {run.model.unit}"
            bar.set_postfix_str(", ".join(filter(None, (figure, run.model.note()))), refresh=False)
        if clip is not None and not math.isfinite(clip_global_norm(run.model, clip)):
            raise NonFiniteError(f"the gradients aren't finite at update {number} (epoch {at.epoch}): "
                                 f"{first_non_finite(run.model, inputs, condition)}; {ADVICE}")
        run.optimizer.step()
        run.model.update()
        if run.average:
            run.average.update()
        run.count_update()
        bar.update(len(chosen))


def evaluate(model, images, threads=None):
    """What images (N, height, width, channels) cost under the model, on average,
    in model.unit (bits/dim): a Python float.

    A conditional model is told the labels and maps of a Split; of an array of images, or of a Split without labels,
    tinyar.data.Split(images, maps=maps), it is told no class.
    """
    pixels = getattr(images, "images", images)
    check_images(model, "images", pixels)
    with Workers(model, threads) as workers:
        return measure(workers, pixels, Conditions(model, images, "images"))


def measure(workers, images, conditions):
    """What images cost on average, in model.unit; piece by piece, as maps are large in the network's float32."""
    total = 0.0
    for i in range(0, len(images), MEASURED_AT_ONCE):
        index = np.arange(i, min(i + MEASURED_AT_ONCE, len(images)))
        total += workers.measure(images[index], conditions.of(index)) * len(index)
    return workers.model.figure(total / len(images))


def check_images(model, name, images):
    """Raise ValueError unless `images` are what the model is made for; named `name` in the message."""
    if not isinstance(images, np.ndarray) or images.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected a NumPy array of integers, "
                         f"got {getattr(images, 'dtype', type(images).__name__)}")
    if images.ndim != 4 or images.size == 0 or images.shape[3] != model.image_channels:
        raise ValueError(f"{name}: expected images (N, height, width, {model.image_channels}), "
                         f"got shape {images.shape}")
    if not 0 <= images.min() <= images.max() < model.levels:
        raise ValueError(f"{name}: expected levels 0 .. {model.levels - 1}, got {images.min()} .. {images.max()}")
    model(to_device(images[:1]))  # refuses a size that doesn't fit


def fingerprint(images):
    """Shape and checksum: by these a resumed run knows that it has the same images."""
    return [*images.shape, zlib.crc32(np.ascontiguousarray(images))]


def describe(row, unit):
    """One line about an epoch."""
    validation = row["validation"]
    held_out = "" if validation is None else f", held out {validation:.4f}"
    return f"epoch {row['epoch']}: train {row['train']:.4f}{held_out} {unit}, {row['seconds']:.0f} s"


class Interrupt:
    """A context in which the first Ctrl-C only sets `asked`, so that the loop can stop between two updates;
    a second one stops.

    Signals reach the main thread alone, so elsewhere it does nothing.
    """

    def __enter__(self):
        self.asked = False
        self.in_main_thread = threading.current_thread() is threading.main_thread()
        if self.in_main_thread:
            self.previous = signal.signal(signal.SIGINT, self.ask)
        return self

    def ask(self, signum, frame):
        self.asked = True
        signal.signal(signal.SIGINT, self.previous)

    def __exit__(self, *error):
        if self.in_main_thread:
            signal.signal(signal.SIGINT, self.previous)
