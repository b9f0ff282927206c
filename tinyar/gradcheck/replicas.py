"""May a batch be shared out over threads? A replica shares parameters and states with its layer, and nothing else."""

import functools

import numpy as np

from tinyar.backend import to_host
from tinyar.gradcheck.call import Call, parts_of, random_like
from tinyar.gradcheck.errors import ContractError, broken, running
from tinyar.gradcheck.twice import close, gradients_of


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
        if mine is theirs or any(getattr(mine, kind)[key] is getattr(theirs, kind)[key]
                                 for kind in ("grads", "sums") for key in getattr(mine, kind)):
            raise broken(layer, "a replica has gradients and sums of its own", f"those of {name} are shared",
                         "Make children in __init__; a replica of your own begins with super().replica()")
    # the same images in reverse, so that a shared cache shows
    other = Call(twin, tuple(part[::-1] for part in map(to_host, call.inputs)) if len(call.inputs) > 1
                 else to_host(call.inputs[0])[::-1], *[to_host(part)[::-1] for part in call.condition])
    layer.zero_grads()
    dx, expected = gradients_of(call, seed)
    expected |= {f"input {i}": part for i, part in enumerate(parts_of(dx))}
    layer.zero_grads()
    y = call.forward()
    other.forward()  # between forward and backward of the other thread
    dx = call.backward(random_like(y, np.random.default_rng(seed)))
    found = {name: grad for name, _, grad in layer.parameters()}
    found |= {f"input {i}": part for i, part in enumerate(parts_of(dx))}
    for name, grad in found.items():
        if not close(expected[name], grad):
            raise broken(layer, "threads don't share caches", f"a forward of a replica changes the gradient of {name}",
                         "Keep what backward needs in self.cache, not in the class, a global or a list made in "
                         "__init__")


def check_second_names(call, names):
    """forward and backward find the arrays in params, grads, state and sums alone; names are `second_names`.

    (A step may use others, which start makes anew.)
    """
    layer, layers = call.layer, dict(call.layer.layers())
    for path, attribute, place in names:
        value = vars(layers[path]).pop(attribute)
        try:
            call.backward(random_like(call.forward(), np.random.default_rng(0)))
        except ContractError as error:
            if getattr(error.__cause__, "name", None) == attribute:
                raise broken(layer, "a layer's arrays have one place", f"attribute {attribute} of "
                             f"{path or type(layer).__name__} is self.{place} under another name",
                             "Write the long name: astype and replica make new arrays, and the attribute would go on "
                             "being the old one") from error
            raise
        vars(layers[path])[attribute] = value


def check_states(call):
    """update reaches every layer, and moves states in place, since replicas share the arrays."""
    layer, reached = call.layer, set()
    before = [dict(part.state) for _, part in layer.layers()]
    call.forward()

    def reach(path, update):
        reached.add(path)
        return update()

    for path, part in layer.layers():
        part.update = functools.partial(reach, path, part.update)
    with running(layer, "update"):
        layer.update()
    for path, part in layer.layers():
        del part.update
        if path not in reached:
            raise broken(layer, "update reaches every layer", f"that of {path} isn't called", "Call super().update()")
    for (path, part), state in zip(layer.layers(), before):
        for name, array in state.items():
            if part.state.get(name) is not array:
                raise broken(layer, "update moves states in place",
                             f"state {name} of {path or type(part).__name__} is another array after update",
                             "Write self.state[name][...] = value; replicas share it")
