"""When numbers become infinite or NaN: find out where, and say so, before they spoil anything that is saved."""

import numpy as np

from tinyar.backend import to_device, to_host
from tinyar.layers.dropout import noise_told
from tinyar.model import spoilt_array
from tinyar.training.packing import pack


def first_non_finite(model, images, condition=None, noise=(0, 0)):
    """Say where infinities or NaNs begin: the first parameter that has them, or else the first layer
    whose output has them. noise: (seed, update), as in the update that failed.
    """
    name = spoilt_array(model)
    if name:
        return f"parameter {name} isn't finite"
    twin, found = model.replica(), []

    def watched(path, forward):
        def forward_and_look(*inputs, **options):
            y = forward(*inputs, **options)
            parts = y if isinstance(y, tuple) else (y,)
            if not all(np.isfinite(to_host(part)).all() for part in parts if part is not None):
                found.append(path)
            return y
        return forward_and_look

    for path, layer in twin.layers():
        if not list(layer.children()):
            layer.forward = watched(f"{path} ({type(layer).__name__})", layer.forward)
    with noise_told(twin, *noise):
        twin.forward(*(to_device(array) for array in (images, condition) if array is not None))
    return f"first in the output of layer {found[0]}" if found else "first in the loss itself"


def spoilt_state(state):
    """The name of the first array in nested dicts that isn't finite, None if all are."""
    arrays = {}
    pack(state, "", arrays)
    return next((name.strip("/") for name, array in arrays.items() if not np.isfinite(array).all()), None)
