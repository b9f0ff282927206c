"""From gradients to better parameters: Adam, RMSProp, learning-rate schedules, gradient clipping, averaged weights."""

from tinyar.optim.arrays import copy_arrays
from tinyar.optim.average import WeightAverage
from tinyar.optim.clipping import clip_global_norm, global_norm
from tinyar.optim.optimizers import Adam, Optimizer, RMSProp
from tinyar.optim.schedules import constant, cosine, exponential

__all__ = ["Adam", "RMSProp", "Optimizer", "constant", "cosine", "exponential", "clip_global_norm", "global_norm",
           "WeightAverage", "copy_arrays"]
