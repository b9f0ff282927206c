"""tinyar: autoregressive image models and VQ-VAEs from scratch, in NumPy on a CPU and CuPy on a GPU, without autograd.

In reading order: layer (the contract), layers, losses, likelihoods, gradcheck, models, optim, training, sampling.
"""

from tinyar import (backend, checkpoint, codes, conditions, data, layer, layers, likelihoods, losses, models, optim,
                    plotting, receptive_fields, sampling, scheduled_sampling, training)

__version__ = "0.1.0"
__all__ = ["backend", "layer", "layers", "losses", "likelihoods", "gradcheck", "models", "optim", "data", "training",
           "sampling", "checkpoint", "plotting", "receptive_fields", "codes", "conditions", "scheduled_sampling"]


def __getattr__(name):
    """gradcheck is imported when it is first asked for, so that `python -m tinyar.gradcheck`
    doesn't import it twice.
    """
    if name == "gradcheck":
        import importlib
        return importlib.import_module("tinyar.gradcheck")
    raise AttributeError(f"module 'tinyar' has no attribute {name!r}")
