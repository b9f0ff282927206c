"""Does a layer keep the contract of tinyar.layer? Rule by rule, each with a message that says what to do.

`check_layer` works on a copy of the layer, in float64, with all parameters moved a little away from zero biases and
unit gains. A rule is checked only after those that it rests on.
"""

import copy

import numpy as np

from tinyar.backend import to_host, xp
from tinyar.gradcheck.call import Call, parts_of, random_like, shake
from tinyar.gradcheck.differences import TOLERANCE, check
from tinyar.gradcheck.distribution import check_distribution
from tinyar.gradcheck.drawing import check_drawing, check_rows, draws, first_step
from tinyar.gradcheck.errors import ContractError, broken
from tinyar.gradcheck.model_rules import check_model
from tinyar.gradcheck.replicas import check_replica, check_second_names, check_states
from tinyar.gradcheck.tree import check_tree, second_names
from tinyar.gradcheck.twice import by_how_much, check_untouched, close, gradients_of
from tinyar.layers.dropout import drops
from tinyar.models.autoregressive import AutoregressiveModel


def check_layer(layer, x, *, condition=None, causal=None, own_pixel=None, tolerance=TOLERANCE, entries=40, seed=0):
    """Put a layer, or a model, through the whole contract; returns the list of Comparison of its gradients.

    x          an input for forward, a host array, with a batch of at least 2; or a tuple of several inputs
    condition  of a conditional model, a host array
    causal     whether images can be drawn through it; None: yes for a model of images, and for a layer if every
               layer in it has a step
    own_pixel  whether an output may depend on the input at its own pixel; None: layers may, models of images may not
    entries    how many entries of each tensor finite differences try

    The layer itself isn't touched. Raises ContractError, or GradientError, for the first rule that it breaks,
    ValueError for an x that can't show it.
    """
    check_tree(layer)
    if any(len(np.shape(part)) < 2 or len(part) < 2 for part in (x if isinstance(x, tuple) else (x,))):
        raise ValueError("x: expected a batch of at least 2, or mixed images couldn't be seen, "
                         f"got shape {np.shape(x)}")
    check_number_type(layer, x, condition)
    twin = shake(copied(layer).astype(xp.float64))
    call = Call(twin, x, condition)
    check_second_names(call, second_names(layer))
    check_call_and_inputs(call, seed)
    check_images_apart(call)
    comparisons = check(twin, x, tolerance, entries, seed, condition)
    check_need_dx(call, seed)
    check_gradients_add_up(call, seed, need_dx=True)
    check_gradients_add_up(call, seed, need_dx=False)
    check_cache(call, seed)
    check_states(call)
    check_model(call, x)
    check_replica(call, seed)
    if causal or (causal is None and (isinstance(twin, AutoregressiveModel) or draws(call))):
        check_drawing(call, own_pixel)
        check_step_type(layer, x, condition)
    if causal is not False:
        check_rows(call)
    check_distribution(call)
    return comparisons


def copied(layer):
    """A copy that the checks may change."""
    try:
        return copy.deepcopy(layer)
    except TypeError as error:
        raise TypeError(f"{type(layer).__name__}: check_layer works on a copy, but an attribute of it can't be copied "
                        f"({error}); make locks, open files and modules where they are used") from error


def check_number_type(layer, x, condition):
    """A layer of float32 parameters computes in float32, in inference, forward and back."""
    twin = copied(layer).astype(xp.float32)
    call = Call(twin, x, condition)
    call.inputs = [part.astype(xp.float32) for part in call.inputs]
    call.condition = [part.astype(xp.float32) for part in call.condition]
    found = {"layer(x)": arrays_of(call())}
    y = call.forward()
    found |= {"forward(x)": arrays_of(y)}
    check_tree(twin)  # once more: a layer made in forward shows up now
    found |= {"dx of backward": arrays_of(call.backward(random_like(y, np.random.default_rng(0))))}
    for name, parts in found.items():
        others = [part.dtype for part in parts if part.dtype != xp.float32]
        if others:
            raise broken(layer, "float32 parameters compute in float32", f"{name} is {others[0]}",
                         "Use Python floats (2 ** 0.5), since float32_array * np.sqrt(2.0) becomes float64 in NumPy 2; "
                         "make arrays with dtype=self.dtype or x.dtype")


def arrays_of(y):
    """What has a number type in an output: not None, nor a Python number (of which `parts_of` makes a float64)."""
    return [part for part in (y if isinstance(y, tuple) else (y,)) if hasattr(part, "dtype")]


def check_step_type(layer, x, condition):
    """The same in drawing."""
    y = first_step(Call(copied(layer).astype(xp.float32), x, condition))
    if y.dtype != xp.float32:
        raise broken(layer, "float32 parameters compute in float32", f"the output of a step is {y.dtype}",
                     "Make memory with dtype=self.dtype")


# -- forward and backward ----------------------------------------------------------------------------------------------

def check_call_and_inputs(call, seed):
    """Inference is forward's formula and keeps nothing; nobody writes into x or dy."""
    layer, before = call.layer, [part.copy() for part in call.inputs]
    arrays, sums = copies(layer.arrays()), copies(sums_of(layer))
    inference = parts_of(call())
    kept = next((path for path, part in layer.layers() if part.cache is not None), None)
    if kept is not None:
        raise broken(layer, "inference keeps nothing", f"after layer(x) there is a cache in {kept or 'it'}",
                     "Set self.cache in forward alone")
    check_untouched(layer, "layer(x)", "x", call.inputs, before)
    check_unmoved(layer, "inference keeps nothing", "layer(x)", sums_of(layer), sums)
    y = call.forward()
    check_untouched(layer, "forward", "x", call.inputs, before)
    for one, other in zip(inference, () if drops(layer) else parts_of(y)):
        if one.shape != other.shape or not close(one, other):
            raise broken(layer, "layer(x) and forward(x) are one formula", f"they differ {by_how_much(one, other)}",
                         "Let forward call the same code, and keep what backward needs beside it")
    dy = random_like(y, np.random.default_rng(seed))
    slopes = [part.copy() for part in parts_of(dy)]
    call.backward(dy)
    check_untouched(layer, "backward", "x", call.inputs, before)
    check_untouched(layer, "backward", "dy", parts_of(dy), slopes)
    check_unmoved(layer, "parameters and states stay during a batch", "forward or backward", layer.arrays(), arrays)


def check_unmoved(layer, rule, entrance, now, before):
    """Arrays of the layer, (name, array) each, hold the numbers that they held before, {name: numbers}."""
    for name, array in now:
        if not (to_host(array) == before[name]).all():
            raise broken(layer, rule, f"{entrance} changed {name}", "The optimizer moves params, update moves state by "
                         "sums, and forward alone adds to sums")


def copies(arrays):
    """{name: numbers on the host} of (name, array) each."""
    return {name: to_host(array).copy() for name, array in arrays}


def sums_of(layer):
    """(name, array) of all sums in the tree."""
    return [(f"{path}.sums[{name}]".strip("."), array) for path, part in layer.layers()
            for name, array in part.sums.items()]


def check_images_apart(call):
    """Another first image changes no output of the other images."""
    before = [to_host(part).copy() for part in parts_of(call())]
    saved = [part[:1].copy() for part in call.inputs]
    for part in call.inputs:
        part[:1] = part[-1:]
    after = [to_host(part) for part in parts_of(call())]
    for part, first in zip(call.inputs, saved):
        part[:1] = first
    if any((one[1:] != other[1:]).any() for one, other in zip(before, after) if one.ndim):
        raise broken(call.layer, "images of a batch don't mix", "another image 0 changes the output of other images",
                     "Sum over channels or pixels, never over the first axis")


def check_gradients_add_up(call, seed, need_dx):
    """A second forward and backward doubles the gradients of the parameters."""
    call.layer.zero_grads()
    _, once = gradients_of(call, seed, need_dx=need_dx)
    _, twice = gradients_of(call, seed, need_dx=need_dx)
    for name, grad in once.items():
        if not close(2 * grad, twice[name]):
            raise broken(call.layer, "gradients add up", f"a second backward(dy, need_dx={need_dx}) does not double "
                         f"the gradient of {name}", "Write self.grads[...] += , not = ; the trainer sets them to zero")


def check_need_dx(call, seed):
    """backward(dy, need_dx=False) returns None and leaves the same gradients."""
    call.layer.zero_grads()
    _, whole = gradients_of(call, seed)
    call.layer.zero_grads()
    try:
        dx, without = gradients_of(call, seed, need_dx=False)
    except ContractError as error:
        if not isinstance(error.__cause__, TypeError) or "need_dx" not in str(error.__cause__):
            raise
        raise broken(call.layer, "backward takes need_dx", f"backward(dy, need_dx=False) is a TypeError ({error})",
                     "Write def backward(self, dy, need_dx=True)") from error
    if any(part is not None for part in (dx if isinstance(dx, tuple) else (dx,))):
        raise broken(call.layer, "need_dx=False leaves dx out", "backward returned a dx all the same",
                     "Return None then, and save the work")
    for name, grad in whole.items():
        if not close(grad, without[name]):
            raise broken(call.layer, "need_dx=False changes no gradient", f"the gradient of {name} differs",
                         "Add to self.grads before you ask for need_dx")


def check_cache(call, seed):
    """A backward uses the cache up."""
    y = call.forward()
    dy = random_like(y, np.random.default_rng(seed))
    call.backward(dy)
    left = next((path or type(part).__name__ for path, part in call.layer.layers() if part.cache is not None), None)
    if left is not None:
        raise broken(call.layer, "a backward uses up the cache of one forward", f"{left} still has one after it",
                     "Begin backward with self.take_cache()")
    remembers = any(part.params for _, part in call.layer.layers())
    try:
        call.backward(dy)
    except ContractError as error:
        if isinstance(error.__cause__, RuntimeError):  # there is no cache, it says
            return
        raise
    if remembers:
        raise broken(call.layer, "a backward uses up the cache of one forward", "a second backward went through",
                     "Begin backward with self.take_cache()")
