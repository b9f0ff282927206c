"""Lesson: two layers of your own, checked, put into a PixelCNN, trained, resumed, and drawn from.

    python -m tinyar.gradcheck examples/own_layer.py     does each keep the contract? It takes them from `cases` below
    python examples/own_layer.py                         check, train on digits, draw; writes to runs/own-layer/

The contract is the docstring of tinyar/layer.py.
"""

if __name__ == "__main__":
    import endings  # first, so that Ctrl-C ends the imports too in one line

import numpy as np

from tinyar import data, models, sampling, training
from tinyar.backend import xp
from tinyar.gradcheck import Case, check_layer
from tinyar.layer import Layer, Pointwise
from tinyar.layers.colors import conv1x1
from tinyar.training import checkpoint


class SquaredReLU(Pointwise):
    """y = max(x, 0)^2, so dx = 2 max(x, 0) dy. Pointwise: drawing needs nothing more."""

    def __call__(self, x):
        return xp.maximum(x, 0) ** 2

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        return 2 * xp.maximum(x, 0) * dy if need_dx else None


class DepthwiseConv2d(Layer):
    """Causal convolution in which each channel has a k x k kernel of its own, under mask B. It mixes no channels.

    Taps (i, j), offsets of row and column: all of the rows above, and of the own row the left part and the centre.
    x, y (batch, height, width, channels), w (taps, channels); x and dy count as 0 outside the image.

    forward     y[r, c]  = sum over taps of  x[r + i, c + j] * w[i, j]
    backward    dx[r, c] = sum over taps of  dy[r - i, c - j] * w[i, j]
                dw[i, j] = sum over images and pixels of  x[r + i, c + j] * dy[r, c]
    """

    def __init__(self, channels, kernel_size, rng):
        super().__init__()
        self.channels, self.m = channels, kernel_size // 2
        self.taps = [(i, j) for i in range(-self.m, 1) for j in range(-self.m, self.m + 1) if i < 0 or j <= 0]
        self.add_param("w", rng.standard_normal((len(self.taps), channels)) / len(self.taps) ** 0.5)

    def pad(self, x):
        """x with m rows of zeros above, and m columns on either side."""
        return xp.pad(x, ((0, 0), (self.m, 0), (self.m, self.m), (0, 0)))

    def at_tap(self, padded, tap):
        """x[r + i, c + j] of all pixels (r, c): a view of the padded x."""
        top, left = self.m + tap[0], self.m + tap[1]
        height, width = padded.shape[1] - self.m, padded.shape[2] - 2 * self.m
        return padded[:, top:top + height, left:left + width]

    def __call__(self, x):
        padded = self.pad(x)
        return sum(self.at_tap(padded, tap) * w for tap, w in zip(self.taps, self.params["w"]))

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        padded = self.pad(self.take_cache())
        dpadded = xp.zeros_like(padded)
        for tap, w, dw in zip(self.taps, self.params["w"], self.grads["w"]):
            # y[r, c] += x[r + i, c + j] * w[i, j]
            dw += (self.at_tap(padded, tap) * dy).sum(axis=(0, 1, 2))  # dw is a view into self.grads
            dx_at_tap = self.at_tap(dpadded, tap)
            dx_at_tap += dy * w
        return self.at_tap(dpadded, (0, 0)) if need_dx else None

    def start(self, batch, height, width):
        self.seen = self.pad(xp.zeros((batch, height, width, self.channels), dtype=self.dtype))

    def see(self, x, at):
        self.seen[:, self.m + at[0], self.m + at[1]] = x

    def step(self, x, at):
        self.see(x, at)
        row, col = self.m + at[0], self.m + at[1]
        return sum(self.seen[:, row + i, col + j] * w for (i, j), w in zip(self.taps, self.params["w"]))


class DepthwisePixelCNN(models.PixelCNN):
    """PixelCNN with another body in its blocks: the depthwise layer looks around, a 1x1 convolution mixes channels."""

    def body(self, rng):
        return [SquaredReLU(), DepthwiseConv2d(self.channels, self.kernel_size, rng),
                SquaredReLU(), conv1x1(self.channels, self.channels, self.colors, rng)]


def cases():
    """What python -m tinyar.gradcheck takes from this file: (title, layer, x or the shape of x); Cases for models."""
    rng = np.random.default_rng(0)
    return [("SquaredReLU", SquaredReLU(), (2, 3, 4, 5)),
            ("DepthwiseConv2d 5x5", DepthwiseConv2d(3, 5, rng), (2, 5, 6, 3)),
            Case("DepthwisePixelCNN", DepthwisePixelCNN(levels=3, channels=4, blocks=1), (2, 5, 6, 1), levels=3)]


def main():
    rng = np.random.default_rng(0)
    check_layer(SquaredReLU(), rng.standard_normal((2, 3, 4, 5)))
    check_layer(DepthwiseConv2d(3, 5, rng), rng.standard_normal((2, 5, 6, 3)))

    digits = data.load("digits", levels=2)
    model = DepthwisePixelCNN(levels=2, channels=32, blocks=3, kernel_size=5)
    options = dict(batch_size=16, lr=3e-3, out="runs/own-layer", resume=True)
    training.fit(model, digits.train, digits.validation, epochs=4, **options)
    training.fit(model, digits.train, digits.validation, epochs=8, **options)  # goes on after the fourth epoch
    best, _ = checkpoint.load("runs/own-layer/model.npz", DepthwisePixelCNN)
    print(f"{best.count_parameters()} parameters, {training.evaluate(best, digits.test.images):.2f} bits/dim on test")
    images = sampling.sample(best, n=8, shape=(8, 8), seed=1)
    print("\n".join("".join(" #"[pixel] for pixel in row) for row in np.concatenate(images[..., 0], axis=1)))


if __name__ == "__main__":
    endings.run(main, stopped="the same command goes on from what was saved")
