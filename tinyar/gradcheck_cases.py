"""What `python -m tinyar.gradcheck` and the tests check: every layer and model of tinyar, small,
with an input for each.

A quantizer needs care: its backward is, on purpose, not its derivative. `frozen` makes of it
a layer of which it is one.
"""

import numpy as np

from tinyar import layers, models
from tinyar.backend import xp
from tinyar.layer import Chain, Layer, Residual


class FrozenQuantizer(Layer):
    """What a quantizer's backward is the gradient of: the same quantizer with its choices held fast.

    A quantizer is piecewise constant, and backward isn't its derivative, on purpose. But at a point
    z0, E0 it is that of

        y = z + c,  loss = mean |E[k] - z0|^2 + beta mean |e0 - z|^2        with k, e0 = E0[k] and c = e0 - z0 constant

    and there y and loss are the quantizer's own. The first forward freezes the constants.
    """

    def __init__(self, quantizer):
        super().__init__()
        self.quantizer, self.frozen = quantizer, None

    def forward(self, z):
        if self.frozen is None:
            self.frozen = z.copy(), self.quantizer.forward(z), self.quantizer.indices(z)
        z0, e0, k = self.frozen
        self.loss = self.quantizer.beta * ((e0 - z) ** 2).mean()
        if self.quantizer.learning == "gradient":
            self.loss = self.loss + ((self.quantizer.codebook[k] - z0) ** 2).mean()
        return z + (e0 - z0)

    def backward(self, dy):
        return self.quantizer.backward(dy)


class WithQuantizerLoss(Layer):
    """A layer with a frozen quantizer in it (or itself one),
    the quantizer's loss put behind its outputs: y (numbers + 1).
    """

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        y = self.layer.forward(x)
        self.shape = y.shape
        return xp.concatenate([y.reshape(-1), self.frozen_quantizer().loss.reshape(1)])

    def frozen_quantizer(self):
        return next(part for _, part in self.layers() if isinstance(part, FrozenQuantizer))

    def backward(self, dy):
        self.frozen_quantizer().quantizer.weight = dy[-1]
        return self.layer.backward(dy[:-1].reshape(self.shape))


class OfCondition(Layer):
    """A conditional model as a function of its condition, for fixed images:
    so that the condition's gradient can be checked.
    """

    def __init__(self, model, images):
        super().__init__()
        self.model, self.images = model, images

    def forward(self, condition):
        return self.model.forward(self.images, condition)

    def backward(self, dlogits):
        self.model.backward(dlogits, need_dx=False)
        return self.model.condition_gradient()


def frozen(layer):
    """A quantizer, or a model that has one as its attribute `quantizer`, ready to be checked."""
    if isinstance(layer, layers.VectorQuantizer):
        return WithQuantizerLoss(FrozenQuantizer(layer))
    layer.quantizer = FrozenQuantizer(layer.quantizer)
    return WithQuantizerLoss(layer)


def cases():
    """(title, layer, shape of x, levels or None): every layer and model of tinyar, small, all axes of different size.

    With `levels` x is an image of that many levels, otherwise standard normal numbers.
    """
    rng = np.random.default_rng(0)
    conv, linear, relu, norm = layers.MaskedConv2d, layers.Linear, layers.ReLU, layers.LayerNorm
    autoencoder = dict(levels=4, widths=(3, 6), residual_units=1, residual_channels=4, codes=5, code_channels=3)
    down, up, quantizer = layers.Conv2d, layers.ConvTranspose2d, layers.VectorQuantizer
    body = Chain(relu(), linear(6, 3, rng), relu(), conv(3, 3, 3, "B", rng=rng), relu(), linear(3, 6, rng))
    small = dict(channels=6, blocks=2, first_kernel=5, kernel_size=3, head=(5,))
    gated = dict(channels=5, first_kernel=5, kernel_size=3, dilations=(1, 2), head=(4,))
    tutorial = dict(channels=4, first="plain", first_kernel=3, kernel_size=3,
                    dilations=(1, 2), head=(), activation="elu")
    lstm = dict(hidden=2, layers=1, first_kernel=3, head=(4,))
    image = rng.integers(0, 3, (2, 4, 5, 1))
    shifted, sequence, row = layers.ShiftedConv2d, layers.SequenceRecurrence, layers.RowRecurrence
    diagonal, both = layers.DiagonalRecurrence, layers.DiagonalBiRecurrence
    return [
        ("Linear 4 -> 5", linear(4, 5, rng), (2, 3, 6, 4), None),
        ("ReLU", relu(), (2, 3, 4, 5), None),
        ("ELU", layers.ELU(), (2, 3, 4, 5), None),
        ("Gate 6", layers.Gate(), (2, 3, 4, 6), None),
        ("LayerNorm 6", norm(6), (2, 3, 4, 6), None),
        ("LayerNorm 7, 3 colours", norm(7, colors=3), (2, 3, 4, 7), None),
        ("MaskedConv2d 1x1 B", conv(3, 4, 1, "B", rng=rng), (2, 5, 6, 3), None),
        ("MaskedConv2d 3x3 A", conv(3, 4, 3, "A", rng=rng), (2, 5, 6, 3), None),
        ("MaskedConv2d 5x5 B", conv(3, 4, 5, "B", rng=rng), (2, 7, 6, 3), None),
        ("MaskedConv2d 7x7 B, image smaller", conv(2, 3, 7, "B", rng=rng), (2, 1, 4, 2), None),
        ("MaskedConv2d 3x3 A, 3 colours", conv(3, 7, 3, "A", colors=3, rng=rng), (2, 5, 6, 3), None),
        ("MaskedConv2d 3x3 B, 3 colours", conv(7, 5, 3, "B", colors=3, rng=rng), (2, 5, 6, 7), None),
        ("MaskedConv2d 1x1 B, 3 colours, 2 parts", conv(7, 8, 1, "B", colors=3, rng=rng, parts=2), (2, 5, 6, 7), None),
        ("ShiftedConv2d 2x3", shifted(3, 4, (-1, 0), (-1, 0, 1), rng=rng), (2, 5, 6, 3), None),
        ("ShiftedConv2d 1x2, dilation 2, no bias", shifted(
            3, 4, (0,), (-2, 0), bias=False, rng=rng), (2, 5, 6, 3), None),
        ("Conv2d 4x4 / 2, padding 1", down(3, 4, 4, 2, 1, rng), (2, 5, 8, 3), None),
        ("Conv2d 3x2 / 2x1, padding 0x1", down(3, 4, (3, 2), (2, 1), (0, 1), rng), (2, 6, 5, 3), None),
        ("ConvTranspose2d 4x4 / 2, padding 1", up(3, 4, 4, 2, 1, rng=rng), (2, 2, 5, 3), None),
        ("ConvTranspose2d 3x2 / 2x1, extra row", up(3, 4, (3, 2), (2, 1), (0, 1), (1, 0), rng), (2, 2, 5, 3), None),
        ("SequenceRecurrence 3", sequence(3, rng), (2, 4, 5, 12), None),
        ("RowRecurrence 3", row(3, 3, rng), (2, 4, 5, 12), None),
        ("RowRecurrence 3, 5 taps", row(3, 5, rng), (2, 4, 6, 12), None),
        ("DiagonalRecurrence 3", diagonal(3, rng), (2, 4, 6, 12), None),
        ("DiagonalBiRecurrence 3", both(3, rng), (2, 6, 4, 24), None),
        ("VectorQuantizer 7, frozen", frozen(quantizer(7, 5, rng=rng)), (2, 3, 4, 5), None),
        ("VectorQuantizer 7, frozen, EMA", frozen(quantizer(7, 5, 0.5, "ema", rng=rng)), (2, 3, 4, 5), None),
        ("Chain and Residual", Chain(norm(6), Residual(body)), (2, 5, 4, 6), None),
        ("PixelCNN", models.PixelCNN(levels=3, **small), (2, 5, 6, 1), 3),
        ("PixelCNN, plain blocks", models.PixelCNN(
            block="plain", layer_norm=False, residual=False, **small), (2, 5, 6, 1), 2),
        ("PixelCNN, ordered colours", models.PixelCNN(
            4, image_channels=3, **{**small, "channels": 9}), (2, 4, 5, 3), 4),
        ("PixelCNN on codes", models.PixelCNN(levels=5, one_hot=True, **small), (2, 4, 5, 5), None),
        ("PixelCNN, independent colours", models.PixelCNN(
            4, image_channels=3, ordered_colors=False, **small), (2, 4, 5, 3), 4),
        ("PixelCNN, by its class", OfCondition(
            models.PixelCNN(levels=3, classes=4, **small), image), (2, 1, 1, 4), None),
        ("PixelCNN, by class and map", OfCondition(
            models.PixelCNN(levels=3, classes=2, map_channels=3, **small), image), (2, 4, 5, 5), None),
        ("GatedPixelCNN", models.GatedPixelCNN(levels=3, **gated), (2, 5, 6, 1), 3),
        ("GatedPixelCNN, tutorial", models.GatedPixelCNN(levels=3, **tutorial), (2, 5, 6, 1), 3),
        ("GatedPixelCNN, ordered colours", models.GatedPixelCNN(4, image_channels=3, **gated), (2, 4, 5, 3), 4),
        ("GatedPixelCNN on codes", models.GatedPixelCNN(levels=5, one_hot=True, **gated), (2, 4, 5, 5), None),
        ("GatedPixelCNN, by its class", OfCondition(
            models.GatedPixelCNN(levels=3, classes=4, **gated), image), (2, 1, 1, 4), None),
        ("GatedPixelCNN, by class and map", OfCondition(
            models.GatedPixelCNN(levels=3, classes=2, map_channels=3, **gated), image), (2, 4, 5, 5), None),
        ("PixelRNN", models.PixelRNN(4, image_channels=3, hidden=3, layers=2), (2, 3, 4, 3), 4),
        ("PixelRNN on codes, by its class", OfCondition(
            models.PixelRNN(levels=3, one_hot=True, classes=4, hidden=2), image), (2, 1, 1, 4), None),
        ("RowLSTM", models.RowLSTM(levels=3, **{**lstm, "layers": 2}), (2, 4, 5, 1), 3),
        ("RowLSTM, ordered colours", models.RowLSTM(4, image_channels=3, **{**lstm, "hidden": 3}), (2, 3, 4, 3), 4),
        ("RowLSTM on codes, by class and map", OfCondition(models.RowLSTM(
            levels=3, one_hot=True, classes=2, map_channels=3, residual=False, **lstm), image), (2, 4, 5, 5), None),
        ("DiagonalBiLSTM", models.DiagonalBiLSTM(levels=3, **{**lstm, "layers": 2}), (2, 3, 4, 1), 3),
        ("DiagonalBiLSTM, ordered colours", models.DiagonalBiLSTM(
            4, image_channels=3, **{**lstm, "hidden": 3}), (2, 3, 4, 3), 4),
        ("DiagonalBiLSTM on codes, by its class", OfCondition(models.DiagonalBiLSTM(
            levels=3, one_hot=True, classes=4, residual=False, **lstm), image), (2, 1, 1, 4), None),
        ("VQVAE, frozen", frozen(models.VQVAE(learning="gradient", **autoencoder)), (2, 8, 12, 1), 4),
        ("VQVAE, frozen, EMA, colour", frozen(models.VQVAE(image_channels=3, **autoencoder)), (2, 8, 12, 3), 4),
        ("VQVAE, frozen, flat, categorical", frozen(models.VQVAE(
            image_channels=1, output="categorical", flat=(8, 12), **autoencoder)), (2, 8, 12, 1), 4),
    ]


def case_input(shape, levels, seed=1):
    """An input for a case: random levels of an image, or normal numbers that keep away from ReLU's kink at 0."""
    rng = np.random.default_rng(seed)
    if levels:
        return rng.integers(0, levels, shape)
    x = rng.standard_normal(shape)
    return x + 0.01 * np.sign(x)
