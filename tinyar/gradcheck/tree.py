"""Is the tree of a layer complete? Each layer within reach stands in it, once, and each parameter has its gradient."""

import gc
import types

from tinyar.gradcheck.errors import broken
from tinyar.layer import Layer


def check_tree(layer):
    """Raise ContractError for layers that the walk over the tree misses or meets twice, and for missing gradients."""
    if not isinstance(layer, Layer):
        raise TypeError(f"check_layer: expected a layer, an instance of tinyar.layer.Layer, got {layer!r}")
    check_started(layer)
    places = {}
    for path, part in layer.layers():
        if id(part) in places:
            raise broken(layer, "the tree is complete", f"{places[id(part)]} and {path} are one and the same layer",
                         "Give each place a layer of its own; a replica would split a shared one in two")
        places[id(part)] = path
    for path, part in layer.layers():
        for name, value in all_attributes(part).items():
            for hidden in layers_within(value):
                if id(hidden) not in places:
                    raise broken(layer, "the tree is complete", f"attribute {'.'.join(filter(None, (path, name)))} "
                                 f"hides a {type(hidden).__name__}, whose parameters would not be trained",
                                 "Make it an attribute of its own, or put it into a flat list, in __init__")
        check_gradients(layer, path, part)
        check_arrays(layer, path, part)


def check_started(layer):
    """Every layer of the tree has called the __init__ of Layer."""
    if not hasattr(layer, "params"):
        raise broken(layer, "the tree is complete", f"{type(layer).__name__}.__init__ has made no params",
                     "Begin it with super().__init__()")
    for _, child in layer.children():
        check_started(child)


def check_gradients(layer, path, part):
    """Every parameter of one layer of the tree has a gradient of its shape."""
    for name, param in part.params.items():
        if name not in part.grads or part.grads[name].shape != param.shape:
            found = f"has one of {part.grads[name].shape}" if name in part.grads else "has none"
            raise broken(layer, "every parameter has a gradient of its shape", f"parameter {name} of "
                         f"{path or type(part).__name__}, of shape {param.shape}, {found}",
                         "Register it with add_param")


def check_arrays(layer, path, part):
    """The arrays of one layer of the tree: each has one name, and can be saved and cast."""
    name = path or type(part).__name__
    twice = part.params.keys() & part.state.keys()
    if twice:
        raise broken(layer, "parameters and states have names of their own", f"{min(twice)} of {name} is both",
                     "Files keep them by name: rename the state")
    for key, array in part.state.items():
        if array.dtype.kind != "f":
            raise broken(layer, "states are floats", f"state {key} of {name} is {array.dtype}",
                         "astype casts them as it casts parameters: make it with dtype=xp.float32")


def second_names(layer):
    """[(path, attribute, place)] of attributes that are an array of their layer under another name, or a view of it."""
    found = []
    for path, part in layer.layers():
        arrays = {f"{kind}[{key!r}]": array for kind in ("params", "grads", "state", "sums")
                  for key, array in getattr(part, kind).items()}
        found += [(path, attribute, place) for attribute, value in vars(part).items() if attribute != "cache"
                  for place, array in arrays.items() if value is array or getattr(value, "base", None) is array]
    return found


def all_attributes(part):
    """The attributes of a layer by name, those of its classes among them."""
    found = {}
    for cls in reversed(type(part).__mro__):
        if cls.__module__ != Layer.__module__:
            found |= vars(cls)
    return found | vars(part)


def layers_within(value, depth=5):
    """Yield all layers that can be reached from a value: through containers, objects, bound methods and closures."""
    if isinstance(value, Layer):
        yield value
    elif depth and not isinstance(value, (type, types.ModuleType, str)):
        if isinstance(value, types.FunctionType):
            inside = [cell.cell_contents for cell in value.__closure__ or ()]
        else:
            inside = gc.get_referents(value)  # whatever it is made of
        for item in inside:
            yield from layers_within(item, depth - 1)
