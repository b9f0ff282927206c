"""Learning: the loop (loop.py), all that `fit` does around it, and what it leaves on disk.

In reading order: loop, parallel (one batch on all cores), ranks, mpi, world (on several machines), fit, options, run,
progress, checkpoint, header, packing, history; evaluation, nonfinite, scheduled_sampling, interrupt, folders.
"""

from tinyar.backend import NonFiniteError
from tinyar.training.evaluation import evaluate, image_costs
from tinyar.training.fit import fit
from tinyar.training.history import History
from tinyar.training.loop import train_epoch
from tinyar.training.parallel import Workers
from tinyar.training.scheduled_sampling import ScheduledSampling

__all__ = ["fit", "evaluate", "image_costs", "train_epoch", "Workers", "History", "ScheduledSampling", "NonFiniteError"]
