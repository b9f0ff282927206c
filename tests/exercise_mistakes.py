"""The usual mistakes of every exercise, planted in tinyar's functions: (a part of the hint, how it is planted).

How: edits of tinyar's source, (old, new), ...; or the name of a function and a wrapper, right function -> wrong one.
"""

import functools

import numpy as np

from tinyar.likelihoods import logistic


def changed(change, place=None):
    """A wrapper that changes what a function returns; `place` is that of the result in a tuple."""
    def wrap(right):
        def wrong(*arguments):
            results = right(*arguments)
            if place is None:
                return change(results)
            return tuple(change(result) if n == place else result for n, result in enumerate(results))
        return wrong
    return wrap


def told(change):
    """A wrapper that changes the arguments: change(*arguments) -> arguments."""
    def wrap(right):
        return functools.wraps(right)(lambda *arguments: right(*change(*arguments)))
    return wrap


def in_the_order(places):
    """An LSTM's cell_backward that takes the gates from other places, and puts their gradients there."""
    def wrap(right):
        def wrong(gates, *others):
            dz, dc_prev = right(gates[places], *others)
            return dz[np.argsort(places)], dc_prev
        return wrong
    return wrap


def negative(result):
    return -result


def lost_by_rounding(right):
    def wrong(z, y):
        _, dz = right(z, y)
        p = dz * len(z) + np.eye(z.shape[1])[y]
        return -np.log(p[np.arange(len(z)), y] + 1e-12).mean(), dz
    return wrong


ATTEMPT = "p = xp.exp(z, out=z)\n    total = p.sum(axis=1, keepdims=True)\n    loss"
SOFTMAX = [
    ("1 / N is forgotten", ("p /= total * len(p)", "p /= total"), ("-= 1 / len(p)", "-= 1")),
    ("it is softmax minus one-hot", "softmax_cross_entropy", changed(negative, 1)),
    ("MINUS log p", "softmax_cross_entropy", changed(negative, 0)),
    ("This is the sum over pixels", (".mean()\n    p /=", ".sum()\n    p /=")),
    ("The 1 at the true level", ("p[target] -= 1 / len(p)", "pass")),
    ("Only the softmax is divided by N", ("-= 1 / len(p)", "-= 1")),
    ("exp(1000) is infinite", ("z = z - z.max(axis=1, keepdims=True)", "z = z.copy()")),
    ("Each pixel has a largest logit of its own", ("z.max(axis=1, keepdims=True)", "z.max()")),
    ("The softmax is over the wrong axis", ("z.max(axis=1", "z.max(axis=0"),
     (ATTEMPT, ATTEMPT.replace("axis=1", "axis=0")), ("xp.log(total[:, 0])", "xp.log(total[0, targets])")),
    ("in bits", "softmax_cross_entropy", changed(lambda loss: loss / np.log(2), 0)),
    ("p is rounded to 0, and something", "softmax_cross_entropy", lost_by_rounding)]

BITS = [
    ("The sign is turned", "bits_per_dim", changed(negative)),
    ("bits an image", "bits_per_dim", lambda right: lambda log_p, shape: right(log_p, (1,))),
    ("counts the channels too", "bits_per_dim", lambda right: lambda log_p, shape: right(log_p, shape[:2])),
    ("in nats: divide by log 2", ("nats_per_dim / math.log(2)", "nats_per_dim")),
    ("DIVIDED by log 2", ("nats_per_dim / math.log(2)", "nats_per_dim * math.log(2)")),
    ("the sum over images", "bits_per_dim", lambda right: lambda log_p, shape: sum(right(p, shape) for p in log_p)),
    ("Count in the training images", "frequencies", told(lambda train, test, levels: (test, test, levels))),
    ("The test images are asked for", "frequencies", told(lambda train, test, levels: (train, train, levels))),
    ("don't add up to 1", "frequencies",
     lambda right: lambda train, test, levels: right(train, test, levels) - np.log2(1 + levels / train.size)),
    ("of all places together", "frequencies_by_place", lambda right: lambda train, test, levels: right(
        np.broadcast_to(train.reshape(-1, 1, 1), (train.size, *test.shape[1:])), test, levels))]

MASKS = [
    ("The masks are exchanged: the centre of mask A", "mask", told(lambda size, kind: (size, "BA"[kind == "B"]))),
    ("leaves the LATER pixels", "mask", changed(lambda mask: mask[::-1, ::-1])),
    ("upside down", "mask", changed(lambda mask: mask[::-1])),
    ("Left and right are exchanged", "mask", changed(lambda mask: mask[:, ::-1])),
    ("Rows and columns are exchanged", "mask", changed(np.transpose)),
    ("In the rows above all columns live", ("(row, range(-m, m + 1))", "(row, range(-m, 1))")),
    ("in its own row, are earlier", ("own_row = range(-m, 1 if", "own_row = range(0, 1 if")),
    ("Inputs and outputs are exchanged", "centre_mask",
     lambda right: lambda inputs, outputs, kind: right(outputs, inputs, kind).T),
    ("a colour sees itself in mask B", "centre_mask", told(lambda i, o, kind: (i, o, "AB"[kind == "A"]))),
    ("not by turns", "centre_mask", lambda right: lambda i, o, kind: right(i, o, kind)[
        np.argsort(np.argsort(np.arange(i) % 3, kind="stable"))][:, np.argsort(np.argsort(np.arange(o) % 3,
                                                                                        kind="stable"))])]


def kernel(change):
    return told(lambda x, w, b: (x, change(w), b))


def alone(row, column):
    """A kernel without all taps but one."""
    def change(w):
        w, one = np.zeros_like(w), w
        w[row, column] = one[row, column]
        return w
    return change


FORWARD = [
    ("turned by 180 degrees", "convolution", kernel(lambda w: w[::-1, ::-1])),
    ("upside down", "convolution", kernel(lambda w: w[::-1])),
    ("Left and right", "convolution", kernel(lambda w: w[:, ::-1])),
    ("Rows and columns of the kernel", "convolution", kernel(lambda w: w.swapaxes(0, 1))),
    ("b is forgotten", ('y += self.params["b"]', "pass")),
    ("b is added once for each tap", "convolution", told(lambda x, w, b: (x, w, b * len(w) ** 2))),
    ("Only the last tap", "convolution", kernel(lambda w: alone(-1, -1)(w))),
    ("The image goes on at its other side", "convolution", lambda right: lambda x, w, b: right(
        np.pad(x, ((0, 0), *[(len(w) // 2,) * 2] * 2, (0, 0)), mode="wrap"), w, b)[
            :, len(w) // 2:len(w) // 2 + x.shape[1], len(w) // 2:len(w) // 2 + x.shape[2]]),
    ("y is smaller than the image", "convolution", lambda right: lambda x, w, b: right(x, w, b)[
        :, len(w) // 2:x.shape[1] - len(w) // 2, len(w) // 2:x.shape[2] - len(w) // 2])]

BACKWARD = [
    ("This isn't summed over the batch: every image's", "convolution_backward", lambda right: lambda x, w, dy: (
        *right(x, w, dy)[:2], dy.sum(axis=(1, 2)))),
    ("the mean over images and pixels. It is the sum", "convolution_backward",
     lambda right: lambda x, w, dy: (*right(x, w, dy)[:2], dy.mean(axis=(0, 1, 2)))),
    ("The taps are turned by 180 degrees", "convolution_backward", changed(lambda dw: dw[::-1, ::-1], 1)),
    ("The matrices are transposed", "convolution_backward", changed(lambda dw: dw.swapaxes(2, 3), 1)),
    ("add up the images", "convolution_backward",
     lambda right: lambda x, w, dy: (right(x, w, dy)[0], right(x[-1:], w, dy[-1:])[1], right(x, w, dy)[2])),
    ("The sign is turned", "convolution_backward", changed(negative, 1)),
    ("The signs of the offsets are turned", "convolution_backward",
     lambda right: lambda x, w, dy: (right(x, w[::-1, ::-1], dy)[0], *right(x, w, dy)[1:])),
    ("Is `return` inside the loop", "convolution_backward",
     lambda right: lambda x, w, dy: (right(x, alone(0, 0)(w), dy)[0], *right(x, w, dy)[1:])),
    ("divided by the number of images", "convolution_backward", changed(lambda dx: dx / len(dx), 0))]

NORM = [
    ("eps is added outside", ("1 / xp.sqrt(variance + self.eps)", "1 / (xp.sqrt(variance) + self.eps)")),
    ("eps is forgotten", ("1 / xp.sqrt(variance + self.eps)", "1 / xp.sqrt(variance)")),
    ("The root is forgotten", ("1 / xp.sqrt(variance + self.eps)", "1 / (variance + self.eps)")),
    ("ddof=1", ("* (1 / len(mean_of))", "* (1 / (len(mean_of) - 1))")),
    ("beta is forgotten", ('y += self.params["beta"]\n        return y.reshape', "return y.reshape")),
    ("Each pixel has its own", "layer_norm", lambda right: lambda x, gamma, beta, eps: gamma * right(
        x.reshape(1, -1), np.ones(x.size), np.zeros(x.size), eps).reshape(x.shape) + beta),
    ("This isn't summed over the batch", "layer_norm_backward",
     lambda right: lambda dy, *rest: (*right(dy, *rest)[:2], dy.sum(axis=(1, 2)))),
    ("The division by s is forgotten", ("xp.matmul(inverse, products[:, group])",
                                        "xp.matmul(xp.ones_like(inverse), products[:, group])")),
    ("The way through s is missing", ("dx_group -= scratch\n                outer(mean_u * ", "outer(mean_u * ")),
    ("The way through mu has the wrong sign", ("outer(mean_u * inverse", "outer(-mean_u * inverse")),
    ("gamma is forgotten: u = gamma dy", "layer_norm_backward", lambda right: lambda dy, x, gamma, eps: (
        right(dy, x, gamma * 0 + 1, eps)[0], *right(dy, x, gamma, eps)[1:]))]


def answers(*change):
    """A wrapper around find_leak with a list of answers in place of its own."""
    def wrap(right):
        left = iter(change)
        return lambda layers, x: next(left)
    return wrap


LEAK = [
    ("These are the inputs", "influence", lambda right: lambda layer, x, at: right(layer, x, at)[::-1, ::-1]
     [np.ix_((np.arange(4) + 3 - 2 * at[0]) % 4, (np.arange(5) + 4 - 2 * at[1]) % 5)]),
    ("cancel here", "influence", lambda right: lambda layer, x, at: right(Summed(layer), x, at)),
    ("Nothing changes", "influence", changed(np.zeros_like)),
    ("The axis of the batch", "influence", changed(lambda seen: seen[None])),
    ("All pixels changed", "influence", changed(np.ones_like)),
    ("may see its own pixel: numbers >= p", "find_leak", answers(1, 0, 1, 1, 1, 1)),
    ("It may not see its own pixel", "find_leak", answers(-1, -1, 1, 2, 3, 1)),
    ("not the last", "find_leak", lambda right: lambda layers, x: last_leak(right, layers, x)),
    ("Layers count from 0, and -1", "find_leak", changed(lambda number: number + 1 if number >= 0 else -1)),
    ("Layers count from 0; -1", "find_leak", changed(lambda number: number + 1)),
    ("Every network is called honest", "find_leak", changed(lambda number: -1))]


class Summed:
    """A layer whose output channels are added up."""

    def __init__(self, layer):
        self.layer = layer

    def forward(self, x):
        return self.layer.forward(x).sum(axis=-1, keepdims=True)

    def backward(self, dy):
        return self.layer.backward(np.repeat(dy, self.layer.out_channels, axis=-1))


def last_leak(right, layers, x):
    """The last of the layers that leak, by find_leak of one layer at a time."""
    found = [right(layers, x)]
    for number, layer in enumerate(layers):
        if number and right([layers[0], layer] if layer.in_channels == 3 else [layer], x) == 1:
            found.append(number)
    return max(found)


DRAW = [
    ("This is the likeliest level", "sample", lambda right: lambda network, u: right(
        lambda images: network(images) * 1e6, u)),
    ("one too high", "sample", changed(lambda images: images + 1)),
    ("Later pixels don't know", "sample", lambda right: lambda network, u: right(
        lambda images: network(images * 0), u)),
    ("the outer loop is over rows", "sample", lambda right: lambda network, u: right(
        lambda images: network(images.swapaxes(1, 2)).swapaxes(1, 2), u.swapaxes(1, 2)).swapaxes(1, 2)),
    ("don't loop over n", "sample", lambda right: lambda network, u: np.concatenate(
        [right(network, one[None]) if len(u) < 200 else right(lambda images: network(images)[i:i + 1], one[None])
         for i, one in enumerate(u)])),
    ("by what the network says of the first", "sample", lambda right: lambda network, u: np.concatenate(
        [right(lambda images: network(images)[:1], one[None]) for one in u])),
    ("b is forgotten", "convolution_step", told(lambda memory, x, w, b, at: (memory, x, w, b * 0, at))),
    ("Nothing is ever in the memory", "convolution_step", told(lambda memory, x, *rest: (memory * 0, x * 0, *rest))),
    ("Only x itself", "convolution_step", told(lambda memory, *rest: (memory * 0, *rest))),
    ("Rows and columns are exchanged", "convolution_step",
     told(lambda memory, x, w, b, at: (memory, x, w.swapaxes(0, 1), b, at))),
    ("call model.see", "sample_cached", lambda right: lambda model, u: right(Blind(model), u))]


class Blind:
    """A model that isn't told what was drawn."""

    def __init__(self, model):
        self.start, self.step = model.start, model.step

    def see(self, level, at):
        pass


def scattered(right):
    """dy goes to the codebook too."""
    def wrong(dy, z, codebook, k, beta):
        dz, dcodebook = right(dy, z, codebook, k, beta)
        return dz, dcodebook + (k[:, None] == np.arange(len(codebook))).T @ dy
    return wrong


QUANTIZER = [
    ("farthest away", (".argmin(axis=1)", ".argmax(axis=1)")),
    ("The code with the largest product", ("(xp.matmul(rows[i:i + size] - centre, slopes) + squares)",
                                           "xp.matmul(rows[i:i + size], -self.codebook.T)")),
    ("beta is forgotten: the second mean", "quantize", told(lambda z, codebook, beta: (z, codebook, 1.))),
    ("Only the first mean", "quantize", told(lambda z, codebook, beta: (z, codebook, 0.))),
    ("a sum over the channels", ("squares / difference.size", "squares / len(difference)")),
    ("Only dy is there", ("dy + self.beta * scale * difference.reshape(dy.shape)", "dy")),
    ("The sign of the second part", ("dy + self.beta * scale", "dy - self.beta * scale")),
    ("z is a constant there", ("dy + self.beta * scale", "dy + (1 + self.beta) * scale")),
    ("dy went to the codebook too", "quantize_backward", scattered),
    ("The sign is turned: the gradient by e", ('["codebook"] -= scale', '["codebook"] += scale')),
    ("only one of them counted", ("xp.matmul(one_hot.T, difference)",
                                  "xp.array([difference[k == c][-1] if (k == c).any() else difference[0] * 0 "
                                  "for c in range(self.codes)])"))]

MEANS = [
    ("gamma and 1 - gamma are exchanged: the old count", "move_codebook",
     told(lambda counts, means, z, k, gamma, eps: (counts, means, z, k, 1 - gamma, eps))),
    ("The new part isn't multiplied by 1 - gamma", ("(1 - self.decay) * self.sums", "self.sums")),
    ("The old counts are forgotten", ('self.decay * self.state["counts"] + (1 - self.decay) * ', "")),
    ("Here each code counts once", ('(1 - self.decay) * self.sums["counts"]',
                                    '(1 - self.decay) * (self.sums["counts"] > 0)')),
    ("not their mean", ('(1 - self.decay) * self.sums["sums"]',
                        '(1 - self.decay) * self.sums["sums"] / xp.maximum(self.sums["counts"], 1)[:, None]')),
    ("The counts aren't smoothed", ("means / smoothed[:, None]", "means / counts[:, None]")),
    ("isn't multiplied by N", ("* self.eps) * total", "* self.eps)")),
    ("N + K eps, not N + eps", ("(total + self.codes * self.eps)", "(total + self.eps)")),
    ("aren't divided at all", ("means / smoothed[:, None]", "means"))]

LSTM = [
    ("The tanh is forgotten", ("xp.multiply(dh, t, out=do)", "xp.multiply(dh, c, out=do)")),
    ("tanh'(c) is 1 - tanh(c)^2", ("dc += dh * o * (1 - t)", "dc += dh * o * (1 - c * c)")),
    ("is forgotten in dc", ("dc += dh * o * (1 - t)", "dc += dh * o")),
    ("What comes through h is missing", ("dc += dh * o * (1 - t)", "pass")),
    ("What comes from the next step is missing", "cell_backward",
     told(lambda gates, c_prev, c, dh, dc: (gates, c_prev, c, dh, dc * 0))),
    ("not c.", ("xp.multiply(dc, c_prev, out=df)", "xp.multiply(dc, c, out=df)")),
    ("Here i and g are exchanged", ("xp.multiply(dc, g, out=di)", "xp.multiply(dc, i, out=di)")),
    ("its derivative is 1 - g^2", ("dg *= 1 - g * g", "dg *= g * (1 - g)")),
    ("c_prev is in c by the part f", ("dc *= f", "pass")),
    ("sigmoid' is forgotten: o (1 - o)", ("dsigmoids *= sigmoids * (1 - sigmoids)", "pass")),
    ("This is dz_i. Stack", "cell_backward", changed(lambda dz: dz[[0, 2, 1, 3]], 0)),
    ("This is dz_g. Stack", "cell_backward", changed(lambda dz: dz[[0, 1, 3, 2]], 0)),
    ("in the order i, f, g, o", "cell_backward", in_the_order([3, 1, 0, 2])),
    ("in the order i, f, o, g", "cell_backward", in_the_order([2, 1, 0, 3]))]


def as_in_the_middle(right):
    """The ends treated like other levels: on a grid with two more levels, as fine, they are."""
    def wrong(logits, means, s, k, levels):
        finer = (levels - 1) / (levels + 1)
        return right(logits, means * finer, s + np.log(finer), k + 1, levels + 2)
    return wrong


def undivided(right):
    """r d P / d m, without the division by P."""
    def wrong(logits, means, s, k, levels):
        loss, dlogits, dmeans, ds = right(logits, means, s, k, levels)
        x = 2 * k / (levels - 1) - 1
        log_p, _, _ = logistic.exact_log_probability(x, k, means, s, levels)
        return loss, dlogits, dmeans * np.exp(log_p), ds
    return wrong


MIXTURE = [
    ("The ends own all", "mixture_loss", as_in_the_middle),
    ("MINUS the mean of log p.", "mixture_loss", changed(negative, 0)),
    ("The loss is their mean", ("return -log_pixel.sum() * scale", "return -log_pixel.sum()")),
    ("All bells have the same weight", "mixture_loss", told(lambda logits, *rest: (logits * 0, *rest))),
    ("not multiplied", "mixture_loss", told(lambda logits, means, s, *rest: (logits, means, -s, *rest))),
    ("exp(logits), and don't add up", ("log_weights = log_softmax(logits)\n        joint",
                                       "log_weights = logits\n        joint")),
    ("1 / N is forgotten: the loss is a mean", "mixture_loss", lambda right: lambda logits, *rest: (
        right(logits, *rest)[0], *(gradient * len(logits) for gradient in right(logits, *rest)[1:]))),
    ("r is missing", ("scale * (xp.exp(log_weights) - shares)", "scale * xp.exp(log_weights)")),
    ("w stands here for r", ("-scale * shares[..., None, :] * by_mean",
                             "-scale * xp.exp(log_weights)[..., None, :] * by_mean")),
    ("The division by P is forgotten", "mixture_loss", undivided)]

ATTENTION = [
    ("The scores aren't divided", ("float(heads / key_channels) ** 0.5", "1.0")),
    ("The scores are divided by d.", ("float(heads / key_channels) ** 0.5", "heads / key_channels")),
    ("not of values", ("float(heads / key_channels) ** 0.5", "float(heads / value_channels) ** 0.5")),
    ("looks at LATER pixels", "attention", lambda right: lambda *qkv: right(*(x[:, ::-1] for x in qkv))[:, ::-1]),
    ("Queries and keys are exchanged", "attention", told(lambda q, k, v: (k, q, v))),
    ("The first pixel has nothing before it: o_0 = 0", "attention", changed(
        lambda o: np.where(np.arange(o.shape[1])[:, None], o, np.nan))),
    ("A pixel attends to itself", "attention", lambda right: lambda q, k, v: right(*(
        np.concatenate(pair, axis=1) for pair in ((q[:, :1], q), (k, k[:, :1]), (v, v[:, :1]))))[:, 1:]),
    ("p has to be transposed", "attention_backward",
     lambda right: lambda do, q, k, v: (*right(do, q, k, v)[:2], weights(right, q, k, v) @ do)),
    ("The sum is missing", ("xp.subtract(dp, o_dot_do[:, :, asking], out=dp)", "dp")),
    ("begins with p", ("ds *= p\n", "ds *= p > 0\n")),
    ("1 / sqrt(d) is forgotten", ("        dq *= self.scale\n", "")),
    ("1 / sqrt(d) is there twice", ("dk *= self.scale\n", "dk *= self.scale ** 2\n"))]


def weights(right, q, k, v):
    """p (batch, i, j), from attention's own dv: dv_j = sum over i of p_ij do_i."""
    n = q.shape[1]
    rows = [right(np.repeat(np.eye(n)[None, :, i:i + 1], len(q), 0), q, k, v[..., :1])[2] for i in range(n)]
    return np.stack(rows, axis=1)[..., 0]


MISTAKES = {"01": SOFTMAX, "02": BITS, "03": MASKS, "04": FORWARD, "05": BACKWARD, "06": NORM, "07": LEAK, "08": DRAW,
            "09": QUANTIZER, "10": MEANS, "11": LSTM, "12": MIXTURE, "13": ATTENTION}
