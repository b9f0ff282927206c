"""Can images be drawn through a layer? Causality, exactly, and the same numbers step by step as at once."""

import numpy as np

from tinyar.backend import to_device, to_host
from tinyar.gradcheck.differences import Call
from tinyar.gradcheck.errors import broken
from tinyar.layer import Layer
from tinyar.models.autoregressive import AutoregressiveModel


def is_causal(call):
    """Whether it has a step at every pixel: one input, and all in the tree draw pixel by pixel."""
    if len(call.inputs) > 1 or call.inputs[0].ndim != 4 or type(call.layer).step is Layer.step:
        return False
    start(call, call.inputs[0].shape)
    try:
        call.layer.step(call.inputs[0][:, 0, 0], (0, 0))
    except TypeError as error:
        if "isn't causal" in str(error) or "row by row" in str(error):
            return False
        raise
    return True


def check_drawing(call, own_pixel=None):
    """Causality first, since a layer that looks ahead can't be drawn at all; then steps beside the whole."""
    if own_pixel is None:
        own_pixel = not isinstance(call.layer, AutoregressiveModel)
    check_causality(call, own_pixel)
    height, width = call.inputs[0].shape[1:3]
    check_steps(call, own_pixel, height, width)
    check_steps(call, own_pixel, max(1, height - 1), width)  # nothing is left over from the drawing before


def check_causality(call, own_pixel):
    """Change x at one pixel of one image: outputs at earlier pixels stay equal, bit for bit."""
    layer, x = call.layer, call.inputs[0]
    before, saved = to_host(call()), to_host(x).copy()
    order = np.arange(x.shape[1] * x.shape[2]).reshape(x.shape[1:3])
    for at in np.ndindex(order.shape):
        x[0, at[0], at[1]] += 1
        changed = (to_host(call()) != before).reshape(*before.shape[:3], -1).any(axis=3)
        x[...] = to_device(saved)
        if changed[1:].any():
            raise broken(layer, "images of a batch don't mix", f"pixel {at} of image 0 changes another image",
                         "Sum over channels or pixels, never over the first axis")
        early = np.argwhere(changed[0] & (order < order[at]))
        if early.size:
            raise broken(layer, "nothing depends on a later pixel", f"x at {at} changes the output at "
                         f"{tuple(int(i) for i in early[0])}, which comes before it in raster order",
                         "Look only at rows above, and at columns to the left in the own row")
        if not own_pixel and changed[0][at] and not depends_on_earlier_colors_only(call, at, before):
            raise broken(layer, "nothing depends on its own pixel", f"x at {at} changes the output there",
                         "The first layer needs mask A; later ones may have mask B")


def depends_on_earlier_colors_only(call, at, before):
    """Of a model whose colours are ordered: each colour of x changes the outputs of later colours alone."""
    model, x = call.layer, call.inputs[0]
    if getattr(model, "colors", 1) == 1:
        return False
    for color in range(model.colors):
        saved = float(x[0, at[0], at[1], color])
        x[0, at[0], at[1], color] += 1
        after = to_host(call())
        x[0, at[0], at[1], color] = saved
        if (after[0, at[0], at[1], :color + 1] != before[0, at[0], at[1], :color + 1]).any():
            return False
    return True


def check_steps(call, own_pixel, height, width):
    """Steps over the raster of images cut to this size, each made with a wrong pixel first, equal the whole."""
    layer, x = call.layer, call.inputs[0][:, :height, :width]
    cut = Call(layer, to_host(x))
    cut.condition = [part[:, :height, :width] for part in call.condition]
    whole = to_host(cut())
    wrong = to_host(x)[::-1] + 1
    start(cut, x.shape)
    for at in np.ndindex(height, width):
        expected, scale = whole[:, at[0], at[1]], max(float(np.abs(whole).max()), 1e-12)
        right, other = x[:, at[0], at[1]], to_device(wrong[:, at[0], at[1]])
        first = to_host(layer.step(other, at))  # a step may be repeated
        if own_pixel or getattr(layer, "colors", 1) > 1:
            first = to_host(layer.step(right, at))
        layer.see(right, at)
        if first.shape != expected.shape or not np.abs(first - expected).max() < 1e-9 * scale:
            raise broken(layer, "a step computes what forward computes", f"at pixel {at} of {height} x {width} they "
                         f"differ: shapes {first.shape} and {expected.shape}" if first.shape != expected.shape else
                         f"at pixel {at} of {height} x {width} they differ by "
                         f"{np.abs(first - expected).max() / scale:.1e}",
                         "start forgets everything; step and see write by position, so that the last x at a pixel "
                         "counts")


def start(call, shape):
    """Begin to draw images of this shape, told the condition where there is one."""
    call.layer.start(*shape[:3], *call.condition)
