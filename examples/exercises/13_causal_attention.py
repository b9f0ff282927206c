"""Exercise 13: causal attention, forward and backward.

    python examples/exercises/13_causal_attention.py

A convolution sees what is near. Attention reaches every earlier pixel in one step. The pixels of an image have numbers
i = 0 .. N - 1 in raster order. Pixel i asks a question, its query q_i. Each pixel j offers a key k_j and a value v_j.
The better a key fits the query, the more of its value comes to pixel i. With d channels of queries and keys:

    s_ij = q_i . k_j / sqrt(d)                            the scores, for j < i alone
    p_ij = exp(s_ij) / sum over m < i of exp(s_im)        a softmax over the earlier pixels
    o_i  = sum over j < i of p_ij v_j                     o_0 = 0: nothing comes before the first pixel

j < i, and not j <= i: in PixelSNAIL the key of a pixel knows the pixel itself.

Backward. do is the gradient by o. Sums run over the pairs j < i alone, and p_ij counts as 0 for all others:

    dv_j  = sum over i of p_ij do_i                       o_i = sum of p_ij v_j
    dp_ij = do_i . v_j
    ds_ij = p_ij (dp_ij - sum over m of p_im dp_im)       through the softmax
    dq_i  = sum over j of ds_ij k_j / sqrt(d)             s_ij = q_i . k_j / sqrt(d)
    dk_j  = sum over i of ds_ij q_i / sqrt(d)

As matrices: s = q k^T / sqrt(d), (N, N), one row for each i. Set the scores of all j >= i to a very negative number,
-1e30, before the softmax; subtract the largest of each row, so that exp doesn't overflow. The first row has no earlier
pixel: there all scores are -1e30, and the softmax comes out wrong. Set p to 0 there.

NumPy: np.tri(N, k=-1, dtype=bool) is True where j < i. a.swapaxes(1, 2) transposes the matrices of a batch. a @ b
multiplies them one by one.
"""

import judge  # first: see there
from unittest import mock

import numpy as np

from tinyar import models
from tinyar.layers.attention import CausalAttention


def attention(q, k, v):
    """What each pixel is told by earlier ones.

    q and k (batch, N, d), v (batch, N, value_channels)
    Returns o like v.
    """
    raise NotImplementedError


def attention_backward(do, q, k, v):
    """Its gradients. do like v.

    Returns dq like q, dk like k, dv like v.
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

def right(q, k, v, do=None):
    """o, or (dq, dk, dv) if there is a do, by tinyar's layer: an image of a single row."""
    layer = CausalAttention(q.shape[2], v.shape[2]).astype(np.float64)
    o = layer.forward(q[:, None], k[:, None], v[:, None])[:, 0]
    return o if do is None else tuple(gradient[:, 0] for gradient in layer.backward(do[:, None]))


def with_itself(q, k, v):
    """o if a pixel attended to itself too: its query stands one place further on."""
    later, more = (np.zeros_like(array[:, :1]) for array in (q, v))
    return right(np.concatenate([later, q], 1), np.concatenate([k, later], 1), np.concatenate([v, more], 1))[:, 1:]


def rules(attention, attention_backward):
    """The rules, in the order of the derivation."""
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 2, 5, 4))  # (batch, N, d)
    v, do = rng.standard_normal((2, 2, 5, 3))  # (batch, N, value_channels)
    o, before = right(q, k, v), np.tri(5, k=-1)
    e = np.exp(q @ k.swapaxes(1, 2) / 2)
    masked = e * before  # (batch, i, j)
    undefined = o.copy()
    undefined[:, 0] = np.nan
    got = attention(q, k, v)
    first = "The first pixel has nothing before it: o_0 = 0. Its softmax is over nothing, so set p to 0 there."
    yield judge.Rule("o: a mean of the values of earlier pixels", "o", got, o, {
        first: undefined,
        "The first pixel has nothing before it. Here it got the mean of all values: set p to 0 in its row.":
            np.concatenate([v.mean(axis=1, keepdims=True), o[:, 1:]], axis=1),
        "A pixel attends to itself. It may look at strictly earlier ones, j < i.": with_itself(q, k, v),
        "Nothing is masked: a pixel attends to later ones, and to itself.": e / e.sum(axis=2, keepdims=True) @ v,
        "The mask is turned: this looks at LATER pixels.": right(*(array[:, ::-1] for array in (q, k, v)))[:, ::-1],
        "The scores aren't divided by sqrt(d).": right(q * 2, k, v),
        "The scores are divided by d. It is sqrt(d).": right(q / 2, k, v),
        "d is the number of channels of queries and keys, not of values.": right(q * (4 / 3) ** 0.5, k, v),
        "The softmax is over i. It is over j, the last axis.":
            masked / np.maximum(masked.sum(axis=1, keepdims=True), 1e-30) @ v,
        "Queries and keys are exchanged: row i of the scores has q_i.": right(k, q, v),
        "The softmax is over all pixels, and the later ones are set to 0 afterwards. Mask before the softmax.":
            masked / e.sum(axis=2, keepdims=True) @ v,
        "A masked score is set to 0 here, and exp(0) = 1 counts. Set it to -1e30.": zeros_for_scores(q, k, v),
        "The weights don't add up to 1: divide by the sum of exp.": masked @ v})
    far = attention(q * 1e3, k, v)
    yield judge.Rule("o: scores of 1,000 are fine", "o", far, right(q * 1e3, k, v), {
        "exp of a large score is infinite. Subtract the largest score of each row first.": np.full(o.shape, np.nan),
        "Some rows overflow: subtract the largest score of each row first.": far if np.isnan(far).any() else o})
    yield from rules_of_gradients(attention_backward, q, k, v, do)


def zeros_for_scores(q, k, v):
    """o if masked scores were 0 instead of minus infinity."""
    e = np.exp(q @ k.swapaxes(1, 2) / 2 * np.tri(q.shape[1], k=-1))
    return e / e.sum(axis=2, keepdims=True) @ v


def rules_of_gradients(attention_backward, q, k, v, do):
    """The rules of the backward pass."""
    dq, dk, dv = attention_backward(do, q, k, v)
    right_dq, right_dk, right_dv = right(q, k, v, do)
    masked = np.exp(q @ k.swapaxes(1, 2) / 2) * np.tri(5, k=-1)
    p = masked / np.maximum(masked.sum(axis=2, keepdims=True), 1e-30)  # (batch, i, j)
    dp = do @ v.swapaxes(1, 2)
    yield judge.Rule("dv: each value, where it was looked at", "dv", dv, right_dv, {
        "p has to be transposed: dv_j adds up over i.": p @ do,
        "p is missing: a value comes to pixel i by the part p_ij.": np.tri(5, k=-1).T @ do,
        "The sign is turned.": -right_dv,
        "This isn't summed over i apart for each image of the batch.": np.broadcast_to(right_dv.sum(axis=0), v.shape)})
    centred = p * (dp - (p * dp).sum(axis=2, keepdims=True))
    steps = {  # {hint: ds}, for mistakes on the way to ds
        "The softmax's derivative is p (dp - sum of p dp). The sum is missing.": p * dp,
        "The softmax's derivative begins with p: p (dp - sum of p dp).": dp - (p * dp).sum(axis=2, keepdims=True),
        "The softmax's derivative begins with p, and not with 0 or 1: p (dp - sum of p dp).":
            np.tri(5, k=-1) * (dp - (p * dp).sum(axis=2, keepdims=True)),
        "The sum in the softmax's derivative is over i. It is over j, the last axis.":
            p * (dp - (p * dp).sum(axis=1, keepdims=True)),
        "The sum in the softmax's derivative is of dp alone. It is of p dp.": p * (dp - dp.sum(axis=2, keepdims=True)),
        "The softmax is skipped: ds isn't dp.": dp}
    for name, got, expected, other, turn in (("dq", dq, right_dq, k, lambda ds: ds),
                                             ("dk", dk, right_dk, q, lambda ds: ds.swapaxes(1, 2))):
        yield judge.Rule(f"{name}: through the scores", name, got, expected, {
            "1 / sqrt(d) is forgotten: it is in the scores.": expected * 2,
            "1 / sqrt(d) is there twice.": expected / 2,
            "ds isn't transposed right: dq adds up over j, dk over i.": turn(centred).swapaxes(1, 2) @ other / 2,
            "dq and dk are exchanged: dq_i has the keys, dk_j the queries.": right_dk if name == "dq" else right_dq,
            "The sign is turned.": -expected,
            **{hint: turn(ds) @ other / 2 for hint, ds in steps.items()}})


def finale(run, attention, attention_backward):
    """A PixelSNAIL whose attention is yours, forward and backward."""
    def as_rows(x):
        return x.reshape(len(x), -1, x.shape[-1])  # (batch, pixels, channels)

    class MyAttention(CausalAttention):
        """tinyar's layer, with your functions for whole images."""

        def __call__(self, q, k, v):
            return attention(*map(as_rows, (q, k, v))).reshape(v.shape).astype(v.dtype)

        def forward(self, q, k, v):
            self.cache = q, k, v
            return self(q, k, v)

        def backward(self, do, need_dx=True):
            inputs = self.take_cache()
            gradients = attention_backward(as_rows(do), *map(as_rows, inputs))
            return tuple(dx.reshape(x.shape).astype(do.dtype) for dx, x in zip(gradients, inputs))

    with mock.patch("tinyar.models.pixelsnail.CausalAttention", MyAttention):
        return run.pixels(models.PixelSNAIL(levels=17, channels=16, blocks=1, units=1))


EXERCISE = judge.Exercise(
    write={"attention": "o", "attention_backward": "dq, dk, dv"}, rules=rules, finale=finale,
    read=(CausalAttention.attend, CausalAttention.backward))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
