"""tinyar: autoregressive image models and VQ-VAEs from scratch, in NumPy on a CPU and CuPy on a GPU, without autograd.

In reading order: layer, layers, losses, likelihoods, gradcheck, model, conditions, models, optim, training, sampling,
codes, pictures, data, backend.

Words, each with one meaning throughout:
    level         the value of a sub-pixel, a whole number 0 .. levels - 1; a sub-pixel is one colour of a pixel
                  (a VQ-VAE-2 has two levels of codes, top and bottom: there the word is the paper's)
    outputs       what a network puts out for a pixel; logits, where a softmax follows
    tap           one place of a kernel, an offset (row, column); it lives or is masked
    segment       the live taps of one row of a kernel
    code          an entry of a VQ-VAE's codebook, a vector, which goes by its number
    condition     what a model is told of an image besides its pixels; labels and maps are what it is made from
    known, drawn  a pixel that was given, or sampled
    forward, step the same formula on whole images, or at one pixel
    figure        a mean loss in the unit in which it is reported
    thread, rank  who shares a batch: a thread of one process; a process, on this machine or another
    micro-batch   a few images of a batch, which a thread computes at once
    replica       a thread's twin of a model: the same parameters, gradients of its own
    dx            d before the name of a variable: d loss / d of it, in its shape; a gradient has no other name
    nats          -ln p; bits/dim are nats per sub-pixel / ln 2
"""

import importlib

from tinyar import (backend, codes, conditions, data, gradcheck, layer, layers, likelihoods, losses, model, models,
                    optim, sampling, training)
from tinyar.training import checkpoint, parallel, scheduled_sampling

__version__ = "0.2.0"
__all__ = ["backend", "layer", "layers", "losses", "likelihoods", "gradcheck", "model", "models", "conditions", "optim",
           "data", "training", "sampling", "codes", "pictures", "checkpoint", "parallel", "scheduled_sampling"]


def __getattr__(name):
    """pictures is imported when it is first asked for: matplotlib takes as long to import as all the rest."""
    if name == "pictures":
        return importlib.import_module("tinyar.pictures")
    raise AttributeError(f"module 'tinyar' has no attribute {name!r}")
