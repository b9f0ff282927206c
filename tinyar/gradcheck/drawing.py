"""Can images be drawn through a layer? Causality, exactly, and the same numbers step by step as at once."""

import numpy as np

from tinyar.backend import to_device, to_host
from tinyar.gradcheck.call import Call
from tinyar.gradcheck.errors import ContractError, broken, running
from tinyar.layer import Layer
from tinyar.models.autoregressive import AutoregressiveModel

STEP, REPEAT, START, SEE, WRITE, ROW = (
    ("a step computes what forward computes", "step must be the formula of layer(x) at one pixel, and write x into the "
     "memory for later pixels; start must forget everything, and memory must have the layer's own number type: "
     "dtype=self.dtype"),
    ("a step may be repeated at a pixel, and the last x counts", "Write memory by position, as in "
     "self.memory[:, row, col] = x; append, roll or pop nothing"),
    ("start forgets everything", "In a second drawing something was left over from the first: make the memory anew in "
     "start"),
    ("see makes a pixel known", "Earlier pixels were seen after a step with another x: let see write x into the memory "
     "that later steps read. (A layer that remembers nothing is a Pointwise, which Chain.see passes through)"),
    ("nobody writes into x", "It belongs to the caller: make a new array instead of +=, *= or out="),
    ("a step of a row computes what forward computes", "step_row must be the formula of layer(x) for a whole row, from "
     "this row and the rows before it"))


WHICH = "Of a model, check its layers one by one to find which it is"


def draws(call):
    """Whether images can be drawn through it pixel by pixel: one input, an image, and all in the tree have a step."""
    if len(call.inputs) > 1 or call.inputs[0].ndim != 4 or type(call.layer).step is Layer.step:
        return False
    try:
        first_step(Call(call.layer.replica(), *map(to_host, call.inputs), *map(to_host, call.condition)))
    except ContractError as error:
        if "isn't causal" in str(error) or "row by row" in str(error):
            return False
        raise
    return True


def first_step(call):
    """The output of a step at the first pixel."""
    x = call.inputs[0].astype(call.layer.dtype)
    start(call, x.shape)
    with running(call.layer, "step"):
        return call.layer.step(x[:, 0, 0].copy(), (0, 0))


def check_drawing(call, own_pixel=None):
    """Causality first, since a layer that looks ahead can't be drawn at all; then steps beside the whole."""
    if own_pixel is None:
        own_pixel = not isinstance(call.layer, AutoregressiveModel)
    if not draws(call):
        check_causality(call, True)
        raise broken(call.layer, "images can be drawn", "a layer in it has no step",
                     "Give it step, see and, if it remembers, start; or say causal=False")
    reads_own_pixel = check_causality(call, own_pixel)
    height, width = call.inputs[0].shape[1:3]
    check_steps(call, height, width, ["right", "see"], STEP)
    check_steps(call, height, width, ["right", "see"], START)
    check_steps(call, max(1, height - 1), width, ["right", "see"], START)
    check_steps(call, height, max(1, width - 1), ["right", "see"], START, images=1)
    check_steps(call, height, width, ["wrong", "right", "see"], REPEAT)
    if not isinstance(call.layer, AutoregressiveModel):  # a layer may also stand where nobody calls see
        check_steps(call, height, width, ["right"], STEP)
    if not own_pixel or not reads_own_pixel:  # it may be the first layer, which is told pixels by see
        check_steps(call, height, width, ["right", "unknown", "see"], SEE)


def check_rows(call):
    """Of a layer that has step_row: the raster row by row equals the whole."""
    layer, x = call.layer, call.inputs[0]
    whole = call() if len(call.inputs) == 1 and x.ndim == 4 and hasattr(layer, "step_row") else None
    if getattr(whole, "shape", (None,))[:3] != x.shape[:3]:  # two streams, other grids: these have steps of their own
        return
    whole, layer = to_host(whole).copy(), layer.replica()
    scale = max(float(np.abs(whole).max()), 1e-12)
    start(Call(layer, *map(to_host, call.inputs), *map(to_host, call.condition)), x.shape)
    for row in range(x.shape[1]):
        try:
            with running(layer, "step_row"):
                y = to_host(layer.step_row(x[:, row].copy(), row))
        except ContractError as error:
            if getattr(error.__cause__, "name", None) == "step_row":  # an AttributeError: a link that has none
                return
            raise
        compare(layer, y, whole[:, row], scale, f"at row {row}", ROW)


def check_causality(call, own_pixel):
    """Change x at one pixel of one image: outputs at earlier pixels stay equal, bit for bit.

    Returns whether any output depends on its own pixel.
    """
    layer, x, itself = call.layer, call.inputs[0], []
    before, saved = to_host(call()).copy(), to_host(x).copy()  # y may be a view of x
    if before.shape[:3] != x.shape[:3]:
        raise broken(layer, "a causal layer has an output for every pixel", f"x has shape {x.shape}, y {before.shape}",
                     "Pad with zeros, so that the size stays")
    order = np.arange(x.shape[1] * x.shape[2]).reshape(x.shape[1:3])
    for at in np.ndindex(order.shape):
        x[0, at[0], at[1]] += 1
        changed = (to_host(call()) != before).reshape(*before.shape[:3], -1).any(axis=3)
        x[...] = to_device(saved)
        early = np.argwhere(changed[0] & (order < order[at]))
        if early.size:
            raise broken(layer, "nothing depends on a later pixel", f"x at {at} changes the output at "
                         f"{tuple(int(i) for i in early[0])}, which comes before it in raster order",
                         f"Look only at rows above, and at columns to the left in the own row. {WHICH}")
        if changed[0][at]:
            itself.append(at)
    if itself and not own_pixel:
        for at in itself:
            check_colors(call, at, before)
    return bool(itself)


def check_colors(call, at, before):
    """Of a model whose colours are ordered: each colour of x changes the outputs of later colours alone."""
    model, x = call.layer, call.inputs[0]
    colors = getattr(model, "colors", 1)
    if colors == 1:
        raise broken(model, "nothing depends on its own pixel", f"x at {at} changes the output there",
                     "The first layer needs mask A; later ones may have mask B")
    for color in range(colors):
        saved = float(x[0, at[0], at[1], color])
        x[0, at[0], at[1], color] += 1
        after = to_host(call())
        x[0, at[0], at[1], color] = saved
        changed = [int(c) for c in range(color + 1)
                   if (after[0, at[0], at[1], c] != before[0, at[0], at[1], c]).any()]
        if changed:
            raise broken(model, "a colour depends on earlier colours of its pixel alone", f"at pixel {at} colour "
                         f"{color} of x changes the outputs of colour {changed[0]}",
                         "Give every layer the model's colors (conv1x1 instead of Linear), and the first one mask A")


def check_steps(call, height, width, visits, rule, images=None):
    """Steps over the raster of some images cut to this size equal the whole; each pixel is visited in this way."""
    layer, x = call.layer, call.inputs[0][:images, :height, :width].copy()
    cut = Call(layer, to_host(x))
    cut.condition = [part[:images, :height, :width] for part in call.condition]
    try:
        whole = to_host(cut())
    except ContractError:
        if x.shape[1:] == call.inputs[0].shape[1:]:
            raise
        return  # a layer may be made for images of one size
    scale = max(float(np.abs(whole).max()), 1e-12)
    start(cut, x.shape)
    for at in np.ndindex(height, width):
        right = x[:, at[0], at[1]]
        y, given = None, {"right": right.copy(), "see": right.copy(), "wrong": right[::-1] + 1}
        given["unknown"] = given["wrong"].copy()
        if getattr(layer, "colors", 1) > 1:  # the last step at a pixel knows all colours but the last
            given["unknown"][:, :-1] = right[:, :-1]
        for visit in visits:
            with running(layer, "see" if visit == "see" else "step"):
                step = layer.see(given["see"], at) if visit == "see" else layer.step(given[visit], at)
            y = to_host(step).copy() if visit == "right" else y
        if (to_host(given["right"]) != to_host(right)).any() or (to_host(given["see"]) != to_host(right)).any():
            raise broken(layer, WRITE[0], f"step or see changed x at pixel {at}", WRITE[1])
        compare(layer, y, whole[:, at[0], at[1]], scale, f"at pixel {at} of {height} x {width}", rule)


def compare(layer, y, expected, scale, place, rule):
    """Raise ContractError unless a step's output is that of the whole, to rounding."""
    if y.shape != expected.shape:
        raise broken(layer, rule[0], f"{place} the output has shape {y.shape}, expected {expected.shape}", rule[1])
    error = np.abs(y - expected).max() / scale
    if not error < 1e-9:
        raise broken(layer, rule[0], f"{place} they differ by {error:.1e} of the largest number", rule[1])


def start(call, shape):
    """Begin to draw images of this shape, told the condition where there is one."""
    with running(call.layer, "start"):
        call.layer.start(*shape[:3], *call.condition)
