"""Exercise 08: drawing images, first slowly, then with a memory.

    python examples/exercises/08_sampling.py

A trained network gives, for each pixel, the logits of its levels, given the pixels before it. So images are drawn pixel
by pixel, row by row, each row from left to right. One draw from logits z, with a uniform number u from [0, 1):

    p_k = exp(z_k) / sum over j of exp(z_j)               subtract the largest z first, as in exercise 01
    the level is the first k with  p_0 + ... + p_k > u    so level k has the probability p_k

The slow way. Begin with images of zeros. At each pixel run the network on the whole images, take the logits there, draw
a level for each image, and write it into the images. Zeros at later pixels do no harm, since the network doesn't see
them. An image of 28 x 28 takes 784 runs, and each computes 784 pixels of which one is used.

The fast way. What a layer made of earlier pixels doesn't change any more. So each layer keeps its inputs so far, and
computes one pixel at a time. For a masked convolution that is exercise 04 at a single pixel:

    y[r, c] = b + sum over i, j of  x[r + i, c + j] w[m + i, m + j]           i, j from -m to m

The memory is an array of the inputs so far, with m zeros on each side, so that pixel (r, c) is at memory[:, m + r,
m + c]. A step first writes the new input there. Then it multiplies the k x k window around it with w, tap by tap, or
all at once. (w is masked: its taps on later pixels are 0.) With steps the loop over pixels becomes: step, draw, and
tell the model which pixel was drawn, so that later steps know it.

NumPy: np.cumsum(p, axis=-1) are the sums p_0 + ... + p_k. (sums <= u[:, None]).sum(axis=-1) counts how many of them
don't exceed u. np.einsum("nijc,ijco->no", window, w) multiplies and sums over i, j and c.
"""

import judge  # first: see there
import time
from unittest import mock

import numpy as np

from tinyar import models, sampling
from tinyar.layers.conv import CausalConv2d
from tinyar.layers.masked import MaskedConv2d
from tinyar.layers.strided import Conv2d
from tinyar.likelihoods import Categorical


def sample(network, uniforms):
    """Draw images by whole runs of the network.

    network, a function from images (n, height, width, 1), whole numbers, to logits (n, height, width, levels)
    uniforms (n, height, width), a number from [0, 1) for each pixel
    Returns images (n, height, width, 1), whole numbers.
    """
    raise NotImplementedError


def convolution_step(memory, x, w, b, at):
    """A convolution at one pixel. Writes x into the memory.

    memory (n, height + 2 m, width + 2 m, in), x (n, in), w (k, k, in, out), b (out), at = (row, col); k = 2 m + 1
    Returns y (n, out).
    """
    raise NotImplementedError


def sample_cached(model, uniforms):
    """Draw images by steps.

    model.start(n, height, width)   empty images; call this once, first
    model.step(at)                  the logits (n, levels) at the pixel at = (row, col)
    model.see(level, at)            the pixel is known now: level (n), whole numbers
    uniforms (n, height, width)
    Returns images (n, height, width, 1), whole numbers.
    """
    raise NotImplementedError


# -- the judge's part: you needn't read on -----------------------------------------------------------------------------

class Counting:
    """A network without doubt. Level 0 comes first, and each pixel is the one before it plus 1, modulo 5."""

    def __init__(self):
        self.calls = 0

    def __call__(self, images):
        self.calls += 1
        flat = images.reshape(len(images), -1)  # (n, pixels)
        following = np.concatenate([np.zeros_like(flat[:, :1]), (flat[:, :-1] + 1) % 5], axis=1)
        return 50. * (following[..., None] == np.arange(5)).reshape(*images.shape[:3], 5)


def rules(sample, convolution_step, sample_cached):
    """The rules, in the order of the derivation."""
    yield from rules_of_a_draw(sample)
    uniforms = np.random.default_rng(0).random((2, 3, 4))  # (n, height, width)
    in_order = np.broadcast_to(np.arange(12).reshape(3, 4) % 5, (2, 3, 4))[..., None]
    columns_first = np.broadcast_to(np.arange(4) + (np.arange(3) > 0)[:, None], (2, 3, 4))[..., None]
    at_once = np.ones_like(in_order)
    at_once[:, 0, 0] = 0
    network = Counting()
    yield judge.Rule("sample: pixel by pixel, in raster order", "images", sample(network, uniforms), in_order, {
        "Column by column is the wrong order: the outer loop is over rows.": columns_first,
        "Later pixels don't know what was drawn: write each level into the images.": at_once})
    yield judge.Rule("sample: one run of the network for each pixel", "runs for images of 3 x 4 pixels", network.calls,
                     12, {"All images of a batch are drawn at once: don't loop over n.": 24,
                          "The network runs once more than there are pixels.": 13})
    model = models.PixelCNN(levels=4, channels=4, blocks=1, kernel_size=3, seed=1)
    model.net.links[-1].params["w"] *= 100
    right, uniforms = sampling.sample(model, 3, (4, 4), seed=5), uniforms_of(5, 3, 4, 4)
    yield judge.Rule("sample: a PixelCNN", "images", sample(lambda images: model(images)[..., 0, :], uniforms), right)
    yield from rules_of_a_step(convolution_step)
    blind = Categorical(4).sample(model(right * 0)[..., 0, :], uniforms)[..., None]
    yield judge.Rule("sample_cached: it, by steps", "images", sample_cached(Steps(model), uniforms), right, {
        "Later steps don't know what was drawn: call model.see.": blind})


def rules_of_a_draw(sample):
    """The rules of drawing one pixel."""
    z, rng = np.random.default_rng(1).standard_normal((200, 4)) * 2, np.random.default_rng(2)
    u = rng.random(200)
    right, images = Categorical(4).sample(z, u), sample(lambda images: z[:, None, None], u[:, None, None])
    e = np.exp(z)
    yield judge.Rule("sample: a single pixel", "images", images, right[:, None, None, None], {
        hint: np.asarray(wrong)[:, None, None, None] for hint, wrong in {
            "This is the likeliest level. Draw: the first whose cumulative probability exceeds u.": z.argmax(axis=1),
            "This is one too high: count how many sums don't exceed u.": right + 1,
            "This is one too low: the FIRST level whose sum exceeds u.": right - 1,
            "The probabilities don't add up to 1: divide exp(z) by its sum.":
                np.minimum((np.cumsum(e, axis=1) <= u[:, None]).sum(axis=1), 3),
            "u is compared with the probabilities themselves. Compare with their sums p_0 + ... + p_k.":
                (e / e.sum(axis=1, keepdims=True) > u[:, None]).argmax(axis=1),
            "All images were drawn by what the network says of the first. Run it on all: don't loop over n.":
                Categorical(4).sample(np.broadcast_to(z[:1], z.shape), u),
            "The levels are counted from the top: p_0 + ... + p_k begins with level 0.":
                Categorical(4).sample(z, 1 - u)}.items()})
    certain = np.array([[-1000., 1000, -1000]])
    one = sample(lambda images: certain[:, None, None], np.zeros((1, 1, 1)))
    yield judge.Rule("sample: a level of probability 0 is never drawn", "images", one, np.ones((1, 1, 1, 1), int), {
        "A sum has to exceed u. With u = 0 a sum of 0 doesn't, so use > (or count <=).": np.zeros((1, 1, 1, 1), int)})


def rules_of_a_step(convolution_step):
    """The rules of a convolution at one pixel."""
    rng = np.random.default_rng(0)
    x, b, memory = rng.standard_normal((2, 4, 5, 3)), rng.standard_normal(2), np.zeros((2, 6, 7, 3))
    w = MaskedConv2d(3, 2, 3, "B", rng=rng).dense_kernel().astype(np.float64)
    got = [convolution_step(memory, x[:, r, c], w, b, (r, c)) for r in range(4) for c in range(5)]
    earlier, centre, turned, corner = w.copy(), np.zeros_like(w), w.swapaxes(0, 1) * (w != 0), np.zeros_like(w)
    earlier[1, 1], centre[1, 1], corner[1, 1] = 0, w[1, 1], w[0, 0]
    right = convolved(x, w, b)
    yield judge.Rule("convolution_step, pixel after pixel: the convolution", "y at pixel", got, right, {
        "b is forgotten.": right - b,
        "Nothing is ever in the memory: write x into it, memory[:, m + r, m + c] = x.":
            np.broadcast_to(b, right.shape),
        "x is written after the sum. The centre of the kernel reads it, so it has to be there first.":
            convolved(x, earlier, b),
        "Only x itself has an effect: add up the k x k window, whose first row lies above the pixel.":
            convolved(x, centre, b),
        "x is written at (r, c) of the memory. Its place is (m + r, m + c), behind the margin.":
            convolved(x, corner, b),
        "Rows and columns are exchanged, in the kernel or in the window.": convolved(x, turned, b)})


def convolved(x, w, b):
    """The convolution of whole images, pixel after pixel: (pixels, batch, out)."""
    layer = Conv2d(3, 2, 3, 1, 1).astype(np.float64)
    layer.params["w"][...] = w
    return (layer(x) + b).reshape(2, 20, 2).swapaxes(0, 1)


def uniforms_of(seed, n, height, width):
    """The uniform numbers (n, height, width) that tinyar.sampling draws by."""
    return np.random.default_rng(seed).random((height, width, n)).transpose(2, 0, 1)


class Steps:
    """A model of tinyar as sample_cached takes it."""

    def __init__(self, model):
        self.model = model

    def start(self, n, height, width):
        self.n = n
        self.model.start(n, height, width)

    def step(self, at):
        return self.model.step(np.zeros((self.n, 1), int), at)[:, 0]

    def see(self, level, at):
        self.model.see(np.asarray(level)[:, None], at)


def finale(run, sample, convolution_step, sample_cached):
    """A PixelCNN that draws by your functions, slowly and fast."""
    class MyMaskedConv2d(MaskedConv2d):
        """tinyar's layer, with your step."""

        def start(self, batch, height, width):
            m, self.dense = self.half, self.dense_kernel()
            self.memory = np.zeros((batch, height + 2 * m, width + 2 * m, self.in_channels), self.dtype)

        def step(self, x, at):
            return convolution_step(self.memory, x, self.dense, self.params["b"], at)

        def see(self, x, at):
            self.memory[:, self.half + at[0], self.half + at[1]] = x

    with mock.patch("tinyar.models.pixelcnn.MaskedConv2d", MyMaskedConv2d):
        model = models.PixelCNN(levels=17, channels=32, blocks=2, kernel_size=5)
    figure, uniforms, times = run.train(model), uniforms_of(1, 36, 8, 8), [time.perf_counter()]
    for draw in (lambda: sample(lambda images: model(images)[..., 0, :], uniforms),
                 lambda: sample_cached(Steps(model), uniforms)):
        images = draw()
        times.append(time.perf_counter())
    slow, fast = np.diff(times)
    print(f"36 images: {slow:.2f} s by whole runs, {fast:.2f} s by steps. On larger images steps gain far more.")
    run.draw(images)
    return figure


EXERCISE = judge.Exercise(
    write={"sample": "images", "convolution_step": "y", "sample_cached": "images"}, rules=rules, finale=finale,
    read=(Categorical.sample, CausalConv2d.step, sampling.sample, sampling.draw_pixel), writes_into=("memory",))

if __name__ == "__main__":
    judge.main(EXERCISE, globals())
