"""All that changes while a model is trained, and how it gets to disk and back."""

import contextlib
import math
import pathlib
import secrets
import time
import warnings
from dataclasses import asdict

from tinyar.data.archive import CheckpointError
from tinyar.model import spoilt_array
from tinyar.optim import copy_arrays
from tinyar.training import checkpoint
from tinyar.training.folders import claim
from tinyar.training.header import check_about
from tinyar.training.history import History
from tinyar.training.nonfinite import spoilt_state
from tinyar.training.options import differing
from tinyar.training.packing import plain_json
from tinyar.training.progress import Progress
from tinyar.training.world import world

# Options that are checksums, and of what.
CHECKSUMS = {"images": "the training images, labels or maps", "validation": "the held-out images, labels or maps"}


class Run:
    """A model, its optimizer and averaged weights, and the folder in which the run is kept; a context.

    model.npz has the best averaged weights so far: the file to draw with. training.npz has the latest weights
    and everything else that resuming needs; it is there from the beginning. model.npz is written first, so after a kill
    between the two the last epoch is just done again. Both have the name of the run, a random one, so that a file of
    another run is known. The folder is the run's (`folders.claim`) until the context ends.
    """

    def __init__(self, model, optimizer, average, scheduled_sampling, options, folder, save_every, about=None):
        self.model, self.optimizer, self.average, self.save_every = model, optimizer, average, save_every
        self.scheduled_sampling = scheduled_sampling
        self.options, self.about = plain_json(options), plain_json(about or {})
        self.folder = None if folder is None else pathlib.Path(folder).expanduser()
        self.progress, self.history = Progress(), History(unit=model.unit)
        check_about(self.about)
        plain_json(model.config)  # what can't be saved is better found out before training than after
        self.best = None  # a copy of the best weights, by name
        self.name, self.claim = secrets.token_hex(8), None

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.claim:
            self.claim.release()

    def open(self, resume):
        """Claim the folder, and take up the run that lies there if it is to be resumed: True if so."""
        self.started = time.perf_counter()
        if self.folder is None:
            return False
        path = self.folder / "training.npz"
        found = world().of_first(lambda: self.look_into(path, resume))
        if found:
            self.load(path)
            self.started -= self.progress.seconds
        self.write_history()
        return found

    def look_into(self, path, resume):
        """Claim the folder; whether there is a run, to be resumed, at `path`."""
        self.claim = claim(self.folder)
        found = path.exists()
        if found and not resume:
            raise FileExistsError(f"{self.folder} holds a training run already: resume it, or choose another folder")
        if not found and (self.folder / "model.npz").exists():  # a run writes training.npz first
            raise FileExistsError(f"{self.folder} holds weights, model.npz, but no training.npz to go on with: a run "
                                  "here would write over them; move them, or choose another folder")
        return found

    def inputs(self, batch, condition):
        """What the network sees in the place of the images: None for the images themselves."""
        if not self.scheduled_sampling:
            return None
        inputs = self.scheduled_sampling.inputs(self.model, batch, condition, self.progress.updates,
                                                self.options["seed"])
        return None if inputs is batch else inputs

    def load(self, path):
        """Take up the run saved at `path`.

        Raises CheckpointError, nothing changed, if it is of another model or other options, or damaged.
        """
        arrays, state = self.read(path)
        if "options" not in state:
            raise CheckpointError(f"{path}: holds a model, but no training run to go on with")
        try:
            self.refuse_other_options(path, state["options"])
            self.optimizer.check_state(state["optimizer"])
            if self.average:
                self.average.check_state(state["average"])
            history = History(unit=self.model.unit, **state["history"])
            history.check()
            progress = Progress(**state["progress"])
            progress.check(history.rows, self.options["batch_size"])
            self.refuse_another_schedule(path, progress, known="rates" in state["progress"])
        except CheckpointError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: the state of the run isn't what tinyar writes: {error!r}") from error
        self.best = self.read_best(state.get("run")) if history.kept_weights else None
        copy_arrays(arrays, dict(self.model.arrays()))
        self.optimizer.load_state(state["optimizer"])
        if self.average:
            self.average.load_state(state["average"])
        self.progress, self.history = progress, history
        self.name = state.get("run", self.name)

    def read(self, path):
        """What checkpoint.read finds in a file, on all ranks; rank 0 reads it."""
        return world().of_first(lambda: checkpoint.read(path, self.model))

    def write(self, path, state):
        """Save the model and `state`; rank 0 does it, and what goes wrong there is raised on all ranks."""
        world().of_first(lambda: checkpoint.save(path, self.model, state))

    def refuse_other_options(self, path, then):
        """Raise CheckpointError unless the run at `path` was made with the options of this one."""
        then = {"validation": self.options["validation"], **then}  # an older tinyar didn't note it
        found = differing(self.options, then)
        if found:
            raise CheckpointError(f"{path}: this run was made with other options: " + "; ".join(
                f"{CHECKSUMS[key]} were others" if key in CHECKSUMS else
                f"{key} was {then.get(key)}, now {self.options[key]}" for key in found))

    def refuse_another_schedule(self, path, progress, known):
        """Raise CheckpointError unless this run's learning rate was that of every update so far, where it is known."""
        lr, now = self.optimizer.lr, Progress()
        for t in range(1, progress.updates + 1):
            now.add_rate(lr(t) if callable(lr) else lr)
        if known and now.rates != progress.rates:
            raise CheckpointError(f"{path}: lr was another schedule over the {progress.updates:,} updates made so far; "
                                  "a run goes on with the schedule that it began with")
        progress.rates = now.rates

    def read_best(self, name):
        """The best weights so far, by name, from model.npz. Raises CheckpointError if that is of another run."""
        path = self.folder / "model.npz"
        if not world().of_first(path.exists):
            raise CheckpointError(f"{path}: is missing; training.npz beside it has the latest weights, not the best")
        best, state = self.read(path)
        if state.get("run") != name:
            raise CheckpointError(f"{path}: is of another run than training.npz beside it; expected run {name}, "
                                  f"got {state.get('run')!r:.100}")
        return best

    def count_update(self):
        """An update was made: move on, and save everything now and then."""
        progress = self.progress
        progress.updates += 1
        progress.add_rate(self.optimizer.learning_rate())
        progress.seconds = time.perf_counter() - self.started
        if progress.updates % self.save_every == 0:
            self.save()

    def save(self):
        """Write training.npz, if there is a folder to write to; not if the loss or an array isn't finite:
        the last good file stays.
        """
        self.progress.loss = float(self.progress.loss)
        if self.folder is not None and math.isfinite(self.progress.loss) and not self.spoilt():
            state = {"run": self.name, "about": self.about, "options": self.options, "progress": asdict(self.progress),
                     "optimizer": self.optimizer.state(), "average": self.average.state() if self.average else None,
                     "history": {"rows": self.history.rows, "best_epoch": self.history.best_epoch}}
            self.write(self.folder / "training.npz", state)

    def spoilt(self):
        """The name of the first array that isn't finite, the model's, optimizer's or average's; None if all are."""
        state = {"optimizer": self.optimizer.state(), "average": self.average.state() if self.average else None}
        return spoilt_array(self.model) or spoilt_state(state)

    def averaged(self):
        """A context in which the model has the averaged weights, if there are any."""
        return self.average.applied() if self.average else contextlib.nullcontext()

    def end_epoch(self, measure):
        """Measure the averaged weights by measure() -> a figure or None,
        keep them if they are the best, save everything.
        """
        progress = self.progress
        with self.averaged():
            validation = measure()
            progress.seconds = time.perf_counter() - self.started
            improved = self.history.add({
                "epoch": progress.epoch, "updates": progress.updates,
                "train": self.model.figure(float(progress.loss) / progress.images),
                "validation": validation, "learning_rate": self.optimizer.learning_rate(), "seconds": progress.seconds})
            if improved:
                self.best = {name: array.copy() for name, array in self.model.arrays()}
                if self.folder is not None:
                    self.write(self.folder / "model.npz",
                               {"run": self.name, "about": self.about, "rows": self.history.rows})
        self.progress = Progress(progress.epoch + 1, progress.updates, seconds=progress.seconds, rates=progress.rates)
        self.save()
        self.write_history()

    def write_history(self):
        """Write history.csv, and curve.png once an epoch is over. They may fail: no training ends by a picture."""
        if self.folder is None or not world().first:
            return
        try:
            self.history.save(self.folder)
            if self.history.rows:
                from tinyar.pictures import save_curve  # here, because matplotlib takes long to import
                save_curve(self.folder / "curve.png", self.history.rows, self.history.unit)
        except Exception as error:  # matplotlib may fail for reasons of its own: MPLBACKEND, say
            warnings.warn(f"{error}; training goes on, and the next epoch writes it again", stacklevel=2)

    def restore_best(self):
        """Give the model the best weights of the run."""
        if self.best:
            copy_arrays(self.best, dict(self.model.arrays()))
