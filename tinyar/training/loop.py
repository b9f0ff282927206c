"""The training loop, the same for every model.

For each batch of an epoch, in a random order:

    loss, gradient    gradients to zero, forward, loss, backward: `Workers.gradient`, spread over the cores
    parameters        the optimizer's step; then what learns without a gradient, and the average of the weights

The order of the images is a function of (seed, epoch) alone, and a learning-rate schedule one of the number of updates.
So neither has a state to save, and a run that was broken off ends exactly like one that never was.

Forward, loss and backward, in plain code: `examples/training_loop.py`.
"""

import math

import numpy as np

from tinyar.backend import NonFiniteError, on_gpu, xp
from tinyar.optim import clip_global_norm
from tinyar.training.nonfinite import first_non_finite
from tinyar.training.world import world

FETCH_EVERY = 20 if on_gpu else 1  # looking at the loss makes a GPU wait, so it is done every so many updates

ADVICE = "try a smaller learning rate, or clip the gradients"


def train_epoch(run, workers, images, conditions, interrupt, bar):
    """Train to the end of the run's current epoch, or until it is interrupted.

    run         a Run: the model, its optimizer and average, the options, and how far it is
    images      (N, height, width, channels), integers on the host, and their Conditions
    interrupt   an Interrupt, looked at before each update; bar, a tqdm bar that counts images

    Raises NonFiniteError when the loss isn't finite any more, or, where they are clipped, the gradients.
    """
    progress, model, options = run.progress, run.model, run.options
    order = np.random.default_rng([options["seed"], progress.epoch]).permutation(len(images))
    while progress.images < len(images) and not interrupt.asked:
        chosen = order[progress.images:progress.images + options["batch_size"]]
        batch, condition = images[chosen], conditions.batch(chosen)
        inputs = run.inputs(batch, condition)
        loss = workers.gradient(batch, condition, inputs, noise=(options["seed"], progress.updates + 1))
        scored = xp.asarray(loss, dtype=xp.float64) - model.penalty()
        progress.loss = progress.loss + scored * len(chosen)
        progress.images += len(chosen)
        check_and_show(run, loss, batch if inputs is None else inputs, condition, len(images), bar)
        step(run.optimizer, progress.updates + 1)
        update_states(model)
        if run.average:
            run.average.update()
        run.count_update()
        bar.update(len(chosen))


def step(optimizer, number):
    """The optimizer's step. Raises TypeError if it doesn't count it: schedules and resumed runs go by the count."""
    optimizer.step()
    if optimizer.t != number:
        raise TypeError(f"{type(optimizer).__name__}.step left t at {optimizer.t} in update {number}; expected it to "
                        "begin with self.t += 1")


def update_states(model):
    """Move what learns without a gradient. Some of it depends on single images, so all ranks take that of rank 0.

    Parameters beside states go too: reviving codes moves a codebook that learns by gradient.
    """
    model.update()
    moved = [array for _, layer in model.layers() if layer.state
             for array in (*layer.state.values(), *layer.params.values())]
    if moved:
        world().copy_first(moved)


def check_and_show(run, loss, inputs, condition, images_in_epoch, bar):
    """Now and then, fetch the loss and show it; clip the gradients. Raises NonFiniteError if either isn't finite."""
    progress, model, number = run.progress, run.model, run.progress.updates + 1
    noise = run.options["seed"], number
    if number % FETCH_EVERY == 0 or number % run.save_every == 0 or progress.images == images_in_epoch:
        progress.loss = float(progress.loss)
        if not math.isfinite(progress.loss):
            raise NonFiniteError(f"the loss isn't finite any more at update {number} (epoch {progress.epoch}): "
                                 f"{first_non_finite(model, inputs, condition, noise)}; {ADVICE}")
        figure = f"{model.figure(progress.loss / progress.images):.4f} {model.unit}"
        bar.set_postfix_str(", ".join(filter(None, (figure, model.note(float(loss))))), refresh=False)
    clip = run.options["clip"]
    if clip is not None and not math.isfinite(clip_global_norm(model, clip)):
        raise NonFiniteError(f"the gradients aren't finite at update {number} (epoch {progress.epoch}): "
                             f"{first_non_finite(model, inputs, condition, noise)}; {ADVICE}")
