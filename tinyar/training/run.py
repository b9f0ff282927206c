"""All that changes while a model is trained, and how it gets to disk and back."""

import contextlib
import math
import pathlib
import time
from dataclasses import asdict, dataclass

from tinyar.optim import copy_arrays
from tinyar.training import checkpoint
from tinyar.training.history import History
from tinyar.training.nonfinite import spoilt_array

# Options that are checksums, and of what.
CHECKSUMS = {"images": "the training images, labels or maps", "validation": "the held-out images, labels or maps"}


@dataclass
class Progress:
    """Where a run stands: updates in all, images seen in this epoch, and what they cost so far."""

    epoch: int = 1
    updates: int = 0
    images: int = 0  # seen in this epoch
    loss: float = 0.0  # mean loss per sub-pixel, summed over those images
    seconds: float = 0.0


class Run:
    """A model, its optimizer and averaged weights, and the folder in which the run is kept.

    model.npz has the best averaged weights so far: the file to draw with. training.npz has the latest weights
    and everything else that resuming needs. model.npz is written first, so after a kill between the two the last
    epoch is just done again.
    """

    def __init__(self, model, optimizer, average, scheduled_sampling, options, folder, save_every, about=None):
        self.model, self.optimizer, self.average, self.save_every = model, optimizer, average, save_every
        self.scheduled_sampling = scheduled_sampling
        self.options = checkpoint.plain_json(options)
        self.folder = None if folder is None else pathlib.Path(folder)
        self.progress, self.history = Progress(), History(unit=model.unit)
        self.about = checkpoint.plain_json(about or {})
        checkpoint.plain_json(model.config)  # what can't be saved is better found out before training than after
        self.best = None  # a copy of the best weights, by name

    def open(self, resume):
        """Make sure that the folder can be written to, and take up the run that lies there
        if it is to be resumed: True if so.
        """
        self.started = time.perf_counter()
        if self.folder is None:
            return False
        path = self.folder / "training.npz"
        if path.exists() and not resume:
            raise FileExistsError(f"{self.folder} holds a training run already: resume it, or choose another folder")
        found = path.exists()
        if found:
            self.load(path)
            self.started -= self.progress.seconds
        self.history.save(self.folder)
        return found

    def inputs(self, batch, condition):
        """What the network sees in the place of the images: None for the images themselves."""
        if not self.scheduled_sampling:
            return None
        inputs = self.scheduled_sampling.inputs(self.model, batch, condition, self.progress.updates,
                                                self.options["seed"])
        return None if inputs is batch else inputs

    def load(self, path):
        """Take up the run saved at `path`. Raises CheckpointError, nothing changed,
        if it is of another model or options.
        """
        state = checkpoint.load_state(path)
        if "options" not in state:
            raise checkpoint.CheckpointError(f"{path}: holds a model, but no training run to go on with")
        then = {"validation": self.options["validation"], **state["options"]}  # an older tinyar didn't note it
        differing = [key for key in self.options if key not in then or then[key] != self.options[key]]
        if differing:
            raise checkpoint.CheckpointError(f"{path}: this run was made with other options: " + "; ".join(
                f"{CHECKSUMS[key]} were others" if key in CHECKSUMS else
                f"{key} was {then.get(key)}, now {self.options[key]}" for key in differing))
        _, state = checkpoint.load(path, self.model)
        self.optimizer.load_state(state["optimizer"])
        if self.average:
            self.average.load_state(state["average"])
        self.progress, self.history = Progress(**state["progress"]), History(unit=self.model.unit, **state["history"])
        if self.history.rows:
            best, _ = checkpoint.load(self.folder / "model.npz", type(self.model))
            self.best = dict(best.arrays())

    def count_update(self):
        """An update was made: move on, and save everything now and then."""
        at = self.progress
        at.updates += 1
        at.seconds = time.perf_counter() - self.started
        if at.updates % self.save_every == 0:
            self.save()

    def save(self):
        """Write training.npz, if there is a folder to write to; not if loss or weights aren't finite:
        the last good file stays.
        """
        self.progress.loss = float(self.progress.loss)
        if self.folder is not None and math.isfinite(self.progress.loss) and not spoilt_array(self.model):
            state = {"about": self.about, "options": self.options, "progress": asdict(self.progress),
                     "optimizer": self.optimizer.state(), "average": self.average.state() if self.average else None,
                     "history": {"rows": self.history.rows, "best_epoch": self.history.best_epoch}}
            checkpoint.save(self.folder / "training.npz", self.model, state)

    def averaged(self):
        """A context in which the model has the averaged weights, if there are any."""
        return self.average.applied() if self.average else contextlib.nullcontext()

    def end_epoch(self, measure):
        """Measure the averaged weights by measure() -> a figure or None,
        keep them if they are the best, save everything.
        """
        at = self.progress
        with self.averaged():
            validation = measure()
            at.seconds = time.perf_counter() - self.started
            improved = self.history.add({
                "epoch": at.epoch, "updates": at.updates, "train": self.model.figure(float(at.loss) / at.images),
                "validation": validation, "learning_rate": self.optimizer.learning_rate(), "seconds": at.seconds})
            if improved:
                self.best = {name: array.copy() for name, array in self.model.arrays()}
                if self.folder is not None:
                    checkpoint.save(self.folder / "model.npz", self.model,
                                    {"about": self.about, "rows": self.history.rows})
        self.progress = Progress(epoch=at.epoch + 1, updates=at.updates, seconds=at.seconds)
        self.save()
        if self.folder is not None:
            from tinyar.pictures import save_curve  # here, because matplotlib takes long to import
            self.history.save(self.folder)
            save_curve(self.folder / "curve.png", self.history.rows, self.history.unit)

    def restore_best(self):
        """Give the model the best weights of the run."""
        if self.best:
            copy_arrays(self.best, dict(self.model.arrays()))
