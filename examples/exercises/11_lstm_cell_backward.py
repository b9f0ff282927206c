"""Exercise 11: the backward pass of an LSTM cell.

    python examples/exercises/11_lstm_cell_backward.py

An LSTM hands two vectors on from step to step, the hidden state h and the cell state c. At each step four gates are
made, from the input and from the h before: z_o, z_f, z_i, z_g. Then, with sigmoid(z) = 1 / (1 + exp(-z)), and products
entry by entry:

    o = sigmoid(z_o),  f = sigmoid(z_f),  i = sigmoid(z_i),  g = tanh(z_g)
    c = f c_prev + i g                                    forget a part, add something new
    h = o tanh(c)                                         show a part

Backward goes the same way in reverse. Two gradients arrive. dh is the gradient by this step's h, complete. dc is that
by this step's c, as far as it comes from the next step, which used c as its c_prev. But c was used by h as well. So the
whole gradient by c has two parts. With t = tanh(c), and tanh'(c) = 1 - t^2:

    do = dh t                                             h = o t
    dc <- dc + dh o (1 - t^2)                             the whole gradient by c, which the next lines use
    df = dc c_prev,   di = dc g,   dg = dc i              c = f c_prev + i g
    dc_prev = dc f

And through the activations, whose derivatives can be told from their values: sigmoid' = s (1 - s), tanh' = 1 - g^2:

    dz_o = do o (1 - o),  dz_f = df f (1 - f),  dz_i = di i (1 - i),  dz_g = dg (1 - g^2)

You get the gates after their activations, in the order o, f, i, g.

NumPy: o, f, i, g = gates takes an array (4, ...) apart. np.stack([a, b, c, d]) puts four together.
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar import models
from tinyar.layers import recurrent


def cell_backward(gates, c_prev, c, dh, dc):
    """The gradients of one step of an LSTM.

    gates (4, places, hidden): o, f, i, g; c_prev, c, dh, dc (places, hidden); dc is what comes from the next step.
    A place is a pixel of an image of the batch; each is computed for itself.
    Returns dz (4, places, hidden) in the same order, dc_prev (places, hidden).
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def right(gates, c_prev, c, dh, dc):
    """(dz, dc_prev) by tinyar, which writes into its arguments."""
    dz, dc = np.empty_like(gates), dc.copy()
    recurrent.cell_backward(gates, c_prev, c, dh, dc, dz)
    return dz, dc


def rules(cell_backward):
    """The rules, in the order of the derivation."""
    rng = np.random.default_rng(0)
    gates, (c_prev, dh, dc) = rng.standard_normal((4, 2, 3)), rng.standard_normal((3, 2, 3))
    c, h = np.empty((2, 3)), np.empty((2, 3))
    recurrent.cell_forward(gates, c_prev, c, h)  # gates are z before, and o, f, i, g after
    dz, dc_prev = cell_backward(gates, c_prev, c, dh, dc)
    right_dz, right_dc_prev = right(gates, c_prev, c, dh, dc)
    yield judge.Rule("dz has the shape of the gates", "shape of dz", np.shape(dz), (4, 2, 3))
    o, f, i, g = gates
    t, slope = np.tanh(c), gates * (1 - gates)
    later_only, now_only = right(gates, c_prev, c, dh * 0, dc), right(gates, c_prev, c, dh, dc * 0)
    bent = right(gates, c_prev, c, dh * 0, dc + dh * o * (1 - c * c))  # 1 - c^2 for 1 - t^2
    straight = right(gates, c_prev, c, dh * 0, dc + dh * o)  # no tanh' at all
    yield judge.Rule("dz_o: h = o tanh(c)", "dz_o", dz[0], right_dz[0], {
        "sigmoid' is forgotten: o (1 - o).": dh * t,
        "h = o tanh(c). The tanh is forgotten.": dh * c * slope[0],
        "The derivative of the sigmoid is o (1 - o), not 1 - o^2.": dh * t * (1 - o * o),
        "dc went into do. The output gate isn't in c.": (dh + dc) * t * slope[0],
        "The sign is turned.": -right_dz[0],
        "The gates are in another order: o, f, i, g.": right_dz[2],
        **{f"The gates were read in the order {order}. Theirs is o, f, i, g.":
           right(gates[places], c_prev, c, dh, dc)[0][2]
           for order, places in {"i, f, g, o": [3, 1, 0, 2], "i, f, o, g": [2, 1, 0, 3]}.items()}})
    by_c = {  # {hint: (dz, dc_prev)}, for mistakes in dc
        "What comes through h is missing in dc: dc + dh o (1 - t^2).": later_only,
        "What comes from the next step is missing in dc. It adds to what comes through h.": now_only,
        "tanh'(c) is 1 - tanh(c)^2, not 1 - c^2.": bent,
        "tanh'(c) = 1 - t^2 is forgotten in dc.": straight,
        "o is forgotten in dc: h = o tanh(c).": right(gates, c_prev, c, dh * 0, dc + dh * (1 - t * t))}
    whole = right_dc_prev / f  # dc, with both of its parts
    yield judge.Rule("dz_f: c = f c_prev + i g", "dz_f", dz[1], right_dz[1], {
        "f meets the c before, c_prev, not c.": whole * c * slope[1],
        "sigmoid' is forgotten: f (1 - f).": whole * c_prev,
        "The derivative of the sigmoid is f (1 - f), not 1 - f^2.": whole * c_prev * (1 - f * f),
        **in_the_place_of(right_dz, 1), **{hint: wrong[1] for hint, (wrong, _) in by_c.items()}})
    yield judge.Rule("dz_i: c = f c_prev + i g", "dz_i", dz[2], right_dz[2], {
        "i meets g: di = dc g. Here i and g are exchanged.": whole * i * slope[2],
        "sigmoid' is forgotten: i (1 - i).": whole * g, **in_the_place_of(right_dz, 2)})
    yield judge.Rule("dz_g: c = f c_prev + i g", "dz_g", dz[3], right_dz[3], {
        "g is a tanh, so its derivative is 1 - g^2, not g (1 - g).": whole * i * slope[3],
        "tanh' is forgotten: 1 - g^2.": whole * i,
        "g meets i: dg = dc i. Here i and g are exchanged.": whole * g * (1 - g * g)})
    yield judge.Rule("dc_prev: what the step before gets", "dc_prev", dc_prev, right_dc_prev, {
        "dc isn't multiplied by f: c_prev is in c by the part f.": whole,
        "dc is multiplied by i here. c_prev meets f.": whole * i,
        "The dc that arrived was handed on. Hand on the whole dc, with what came through h.": dc * f,
        "Only what came through h is handed on. What came from the next step goes further back too.": now_only[1]})


def in_the_place_of(right_dz, place):
    """{hint: what stands there} if another gate's gradient stands at this place."""
    return {f"This is dz_{name}. Stack the gradients in the order of the gates, o, f, i, g.": right_dz[other]
            for other, name in enumerate("ofig") if other != place}


def finale(run, cell_backward):
    """A Row LSTM that goes back through time by your function."""
    def in_place(gates, c_prev, c, dh, dc, dz):
        """Your function as tinyar calls it: it writes into dz and dc. Arrays are (..., batch, width, hidden)."""
        flat = [array.reshape(-1, array.shape[-1]) for array in (c_prev, c, dh, dc)]
        mine, dc_prev = cell_backward(gates.reshape(4, *flat[0].shape), *flat)
        dz[...], dc[...] = mine.reshape(dz.shape), dc_prev.reshape(dc.shape)

    with mock.patch("tinyar.layers.row_lstm.cell_backward", in_place):
        return run.pixels(models.RowLSTM(levels=17, hidden=16, layers=2, first_kernel=5))


EXERCISE = judge.Exercise(write={"cell_backward": "dz, dc_prev"}, rules=rules, finale=finale,
                          read=(recurrent.cell_forward, recurrent.cell_backward,
                                recurrent.SequenceRecurrence.scan_back))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
