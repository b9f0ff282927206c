"""Does a layer keep the contract of tinyar.layer? Rule by rule, each with a message that says what to do.

`check_layer` works on a copy of the layer, in float64, with all parameters moved a little away from zero biases and
unit gains. The rules stand in the order in which a broken one would spoil those behind it.
"""

import copy

import numpy as np

from tinyar.backend import to_host, xp
from tinyar.gradcheck.differences import TOLERANCE, Call, check, parts_of, random_like, shake
from tinyar.gradcheck.drawing import check_drawing, is_causal
from tinyar.gradcheck.errors import broken
from tinyar.layer import Layer


def check_layer(layer, x, *, condition=None, causal=None, own_pixel=None, tolerance=TOLERANCE, entries=40, seed=0):
    """Put a layer, or a model, through the whole contract; returns the list of Comparison of its gradients.

    x          an input for forward, a host array, with a batch of at least 2; or a tuple of several inputs
    condition  of a conditional model, a host array
    causal     whether images can be drawn through it; None: if all in its tree have a `step`
    own_pixel  whether an output may depend on the input at its own pixel; None: layers may, models of images may not
    entries    how many entries of each tensor finite differences try

    The layer itself isn't touched. Raises ContractError, or GradientError, for the first rule that it breaks.
    """
    check_tree(layer)
    check_number_type(layer, x, condition)
    twin = shake(copy.deepcopy(layer).astype(xp.float64))
    call = Call(twin, x, condition)
    check_call_and_inputs(call, seed)
    comparisons = check(twin, x, tolerance, entries, seed, condition)
    check_gradients_add_up(call, seed)
    check_need_dx(call, seed)
    check_cache(call, seed)
    check_replica(call, seed)
    if causal or (causal is None and is_causal(call)):
        check_drawing(call, own_pixel)
    return comparisons


# -- the tree ----------------------------------------------------------------------------------------------------------

def check_tree(layer):
    """Every layer within reach is found by the walk over the tree, once, and parameters have gradients of their shape."""
    found = [part for _, part in layer.layers()]
    known = {id(part) for part in found}
    if len(known) < len(found):
        twice = next(path for path, part in layer.layers() if sum(part is other for other in found) > 1)
        raise broken(layer, "the tree is complete", f"the layer at {twice} stands in it twice",
                     "Give each place a layer of its own; a replica would split a shared one in two")
    for path, part in layer.layers():
        for name, value in vars(part).items():
            for hidden in layers_within(value):
                if id(hidden) not in known:
                    raise broken(layer, "the tree is complete", f"attribute {'.'.join(filter(None, (path, name)))} "
                                 f"hides a {type(hidden).__name__}, whose parameters would not be trained",
                                 "Make it an attribute of its own, or put it into a flat list")
        for name, param in part.params.items():
            if name not in part.grads or part.grads[name].shape != param.shape:
                raise broken(layer, "every parameter has a gradient of its shape", f"parameter {name} of "
                             f"{path or type(part).__name__} has none", "Register it with add_param")


def layers_within(value, depth=4):
    """Yield all layers that can be reached from a value through containers and plain objects."""
    if isinstance(value, Layer):
        yield value
    elif depth:
        if isinstance(value, dict):
            inside = value.values()
        elif isinstance(value, (list, tuple, set)):
            inside = value
        else:
            inside = vars(value).values() if hasattr(value, "__dict__") and not callable(value) else ()
        for item in inside:
            yield from layers_within(item, depth - 1)


def check_number_type(layer, x, condition):
    """A layer of float32 parameters computes in float32."""
    twin = copy.deepcopy(layer).astype(xp.float32)
    call = Call(twin, x, condition)
    call.inputs = [part.astype(xp.float32) for part in call.inputs]
    y = call.forward()
    dx = call.backward(random_like(y, np.random.default_rng(0)))
    del dx  # dy is float64 here, so dx may be
    for part in parts_of(y):
        if part.dtype != xp.float32:
            raise broken(layer, "float32 parameters compute in float32", f"its output is {part.dtype}",
                         "Use Python floats (2 ** 0.5), since float32_array * np.sqrt(2.0) becomes float64 in NumPy 2")


# -- forward and backward ----------------------------------------------------------------------------------------------

def check_call_and_inputs(call, seed):
    """Inference is forward's formula and keeps nothing; nobody writes into x or dy."""
    layer, before = call.layer, [part.copy() for part in call.inputs]
    inference = parts_of(call())
    kept = next((path for path, part in layer.layers() if part.cache is not None), None)
    if kept is not None:
        raise broken(layer, "inference keeps nothing", f"after layer(x) there is a cache in {kept or 'it'}",
                     "Set self.cache in forward alone")
    check_untouched(layer, "layer(x)", "x", call.inputs, before)
    y = call.forward()
    check_untouched(layer, "forward", "x", call.inputs, before)
    for one, other in zip(inference, parts_of(y)):
        if one.shape != other.shape or not close(one, other):
            raise broken(layer, "layer(x) and forward(x) are one formula", f"they differ by {difference(one, other)}",
                         "Let forward call the same code, and keep what backward needs beside it")
    dy = random_like(y, np.random.default_rng(seed))
    slopes = [part.copy() for part in parts_of(dy)]
    call.backward(dy)
    check_untouched(layer, "backward", "x", call.inputs, before)
    check_untouched(layer, "backward", "dy", parts_of(dy), slopes)


def check_untouched(layer, entrance, name, now, before):
    for array, copied in zip(now, before):
        if not (to_host(array) == to_host(copied)).all():
            raise broken(layer, "nobody writes into x or dy", f"{entrance} changed {name}",
                         "Both may belong to others: make a new array instead of +=, *= or out=")


def gradients_of(call, seed, **options):
    """Go forward and back once: what backward returned, and copies of all gradients."""
    y = call.forward()
    dx = call.backward(random_like(y, np.random.default_rng(seed)), **options)
    return dx, {name: grad.copy() for name, _, grad in call.layer.parameters()}


def check_gradients_add_up(call, seed):
    """A second forward and backward doubles the gradients of the parameters."""
    call.layer.zero_grads()
    _, once = gradients_of(call, seed)
    _, twice = gradients_of(call, seed)
    for name, grad in once.items():
        if not close(2 * grad, twice[name]):
            raise broken(call.layer, "gradients add up", f"a second backward does not double the gradient of {name}",
                         "Write self.grads[...] += , not = ; the trainer sets them to zero")


def check_need_dx(call, seed):
    """backward(dy, need_dx=False) returns None and leaves the same gradients."""
    call.layer.zero_grads()
    _, whole = gradients_of(call, seed)
    call.layer.zero_grads()
    try:
        dx, without = gradients_of(call, seed, need_dx=False)
    except TypeError as error:
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
    remembers = any(part.params for _, part in call.layer.layers())
    try:
        call.backward(dy)
    except RuntimeError:
        return
    if remembers:
        raise broken(call.layer, "a backward uses up the cache of one forward", "a second backward went through",
                     "Begin backward with self.take_cache()")


def check_replica(call, seed):
    """A replica shares parameters and states, and nothing else."""
    layer, twin = call.layer, call.layer.replica()
    for (path, mine), (_, theirs) in zip(layer.layers(), twin.layers()):
        name = path or type(mine).__name__
        for kind in ("params", "state"):
            ours, others = getattr(mine, kind), getattr(theirs, kind)
            if ours.keys() != others.keys() or any(ours[key] is not others[key] for key in ours):
                raise broken(layer, "a replica shares parameters and states", f"those of {name} are copies",
                             "Keep all of them in self.params or self.state")
        if mine is theirs or any(mine.grads[key] is theirs.grads[key] for key in mine.grads):
            raise broken(layer, "a replica has gradients of its own", f"those of {name} are shared",
                         "Make children in __init__, and nowhere else")
    other = Call(twin, tuple(part[::-1] for part in map(to_host, call.inputs)) if len(call.inputs) > 1
                 else to_host(call.inputs[0])[::-1], *[to_host(part)[::-1] for part in call.condition])
    layer.zero_grads()
    _, expected = gradients_of(call, seed)
    layer.zero_grads()
    y = call.forward()
    other.forward()  # between forward and backward of the other thread
    call.backward(random_like(y, np.random.default_rng(seed)))
    for name, _, grad in layer.parameters():
        if not close(expected[name], grad):
            raise broken(layer, "threads don't share caches", f"a forward of a replica changes the gradient of {name}",
                         "Keep what backward needs in self.cache, not in the class, a global or a list made in "
                         "__init__")


# -- comparing ---------------------------------------------------------------------------------------------------------

def difference(one, other):
    """The largest difference of two arrays, relative to their largest entry: a float."""
    scale = max(float(abs(one).max()), float(abs(other).max()), 1e-12) if one.size else 1
    return float(abs(one - other).max()) / scale if one.size else 0.0


def close(one, other, tolerance=1e-9):
    """Equal to rounding; NaN isn't."""
    return difference(one, other) < tolerance
