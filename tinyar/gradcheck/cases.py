"""What `python -m tinyar.gradcheck` and the tests check: every layer and model, small, with an input for each.

A file of your own is checked by the same command if it has a function like `cases`, called `cases`: see `own_cases`.
"""

import importlib.util
import pathlib
import sys
from dataclasses import dataclass

import numpy as np

from tinyar import layers, models
from tinyar.models.gated_pixelcnn import PlainFirst
from tinyar.models.pixelrnn import Previous


@dataclass
class Case:
    """A layer, and what to check it at.

    x          an array, or the shape of one; or a list of these for a layer of several inputs
    levels     x is an image of so many levels, otherwise normal numbers
    condition  the shape of a conditional model's condition
    """

    title: str
    layer: object
    x: object
    levels: int = None
    condition: tuple = None

    def inputs(self, seed=1):
        """(x, condition) for `check` and `check_layer`."""
        rng = np.random.default_rng(seed)
        several = isinstance(self.x, list) and not all(isinstance(part, int) for part in self.x)
        found = [self.draw(part, rng) for part in (self.x if several else [self.x])]
        condition = None if self.condition is None else rng.standard_normal(self.condition)
        return tuple(found) if several else found[0], condition

    def draw(self, x, rng):
        """The array, or random levels or numbers of that shape; these keep away from ReLU's kink at 0."""
        if not isinstance(x, (tuple, list)):
            return np.asarray(x)
        if self.levels:
            return rng.integers(0, self.levels, x)
        numbers = rng.standard_normal(x)
        return numbers + 0.01 * np.sign(numbers)


def own_cases(path):
    """The cases of a Python file: those that its function `cases` returns.

        def cases():
            return [("SquaredReLU", SquaredReLU(), (2, 3, 4, 5)),
                    Case("a model", MyModel(levels=17), (2, 5, 6, 1), levels=17)]

    Each is a Case, or a tuple (title, layer, x or its shape, and for a model the levels of its images). Raises
    ValueError if the file isn't there, can't be imported, or offers none.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a Python file with a function cases()")
    if path.suffix != ".py":
        raise ValueError(f"{path}: expected the name of a Python file, ending in .py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "cases", None)):
            raise TypeError("it has no function cases() that returns a list of (title, layer, x or its shape)")
        found = [case if isinstance(case, Case) else Case(*case) for case in module.cases()]
    except Exception as error:
        raise ValueError(f"{path}: can't be used: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(path.parent))
    if not found:
        raise ValueError(f"{path}: its function cases() returned no cases")
    return found


def cases():
    """Every layer and model of tinyar, small, all axes of different size."""
    rng = np.random.default_rng(0)
    return [*layer_cases(rng), *combined_cases(rng), *model_cases(), *recurrent_model_cases(), *autoencoder_cases()]


def layer_cases(rng):
    """One idea each."""
    conv, linear, relu, norm = layers.MaskedConv2d, layers.Linear, layers.ReLU, layers.LayerNorm
    down, up, quantizer = layers.Conv2d, layers.ConvTranspose2d, layers.VectorQuantizer
    shifted, sequence, row = layers.ShiftedConv2d, layers.SequenceRecurrence, layers.RowRecurrence
    diagonal, both = layers.DiagonalRecurrence, layers.DiagonalBiRecurrence
    return [
        Case("Linear 4 -> 5", linear(4, 5, rng), (2, 3, 6, 4)),
        Case("ColorLinear 7 -> 8, 3 colours, 2 parts", layers.ColorLinear(7, 8, 3, parts=2, rng=rng), (2, 3, 6, 7)),
        Case("ReLU", relu(), (2, 3, 4, 5)),
        Case("ELU", layers.ELU(), (2, 3, 4, 5)),
        Case("ConcatELU", layers.ConcatELU(), (2, 3, 4, 5)),
        Case("Dropout 0.4", layers.Dropout(0.4), (2, 3, 4, 5)),
        Case("Gate 6", layers.Gate(), (2, 3, 4, 6)),
        Case("Reshape", layers.Reshape(5, 12), (2, 3, 4, 5)),
        Case("LayerNorm 6", norm(6), (2, 3, 4, 6)),
        Case("LayerNorm 7, 3 colours", norm(7, colors=3), (2, 3, 4, 7)),
        Case("MaskedConv2d 1x1 B", conv(3, 4, 1, "B", rng=rng), (2, 5, 6, 3)),
        Case("MaskedConv2d 3x3 A", conv(3, 4, 3, "A", rng=rng), (2, 5, 6, 3)),
        Case("MaskedConv2d 5x5 B", conv(3, 4, 5, "B", rng=rng), (2, 7, 6, 3)),
        Case("MaskedConv2d 5x5 B, many channels", conv(9, 4, 5, "B", rng=rng), (2, 6, 7, 9)),
        Case("MaskedConv2d 7x7 B, image smaller", conv(2, 3, 7, "B", rng=rng), (2, 1, 4, 2)),
        Case("MaskedConv2d 3x3 A, 3 colours", conv(3, 7, 3, "A", colors=3, rng=rng), (2, 5, 6, 3)),
        Case("MaskedConv2d 3x3 B, 3 colours", conv(7, 5, 3, "B", colors=3, rng=rng), (2, 5, 6, 7)),
        Case("MaskedConv2d 1x1 B, 3 colours, 2 parts", conv(7, 8, 1, "B", colors=3, rng=rng, parts=2), (2, 5, 6, 7)),
        Case("ShiftedConv2d 2x3", shifted(3, 4, (-1, 0), (-1, 0, 1), rng=rng), (2, 5, 6, 3)),
        Case("ShiftedConv2d 2x3, above", shifted(3, 4, (-2, -1), (-1, 0, 1), rng=rng), (2, 5, 6, 3)),
        Case("ShiftedConv2d 1x2, dilation 2, no bias", shifted(3, 4, (0,), (-2, 0), False, rng=rng), (2, 5, 6, 3)),
        Case("ShiftedConv2d 2x2, dilation 2", shifted(9, 4, (-2, 0), (-2, 0), rng=rng), (2, 5, 6, 9)),
        Case("Conv2d 4x4 / 2, padding 1", down(3, 4, 4, 2, 1, rng), (2, 5, 8, 3)),
        Case("Conv2d 3x2 / 2x1, padding 0x1", down(3, 4, (3, 2), (2, 1), (0, 1), rng), (2, 6, 5, 3)),
        Case("ConvTranspose2d 4x4 / 2, padding 1", up(3, 4, 4, 2, 1, rng=rng), (2, 2, 5, 3)),
        Case("ConvTranspose2d 3x2 / 2x1, extra row", up(3, 4, (3, 2), (2, 1), (0, 1), (1, 0), rng), (2, 2, 5, 3)),
        Case("SequenceRecurrence 3", sequence(3, rng), (2, 4, 5, 12)),
        Case("RowRecurrence 3", row(3, 3, rng), (2, 4, 5, 12)),
        Case("RowRecurrence 3, 5 taps", row(3, 5, rng), (2, 4, 6, 12)),
        Case("DiagonalRecurrence 3", diagonal(3, rng), (2, 4, 6, 12)),
        Case("DiagonalBiRecurrence 3", both(3, rng), (2, 6, 4, 24)),
        Case("VectorQuantizer 7", quantizer(7, 5, rng=rng), (2, 3, 4, 5)),
        Case("VectorQuantizer 7, EMA", quantizer(7, 5, 0.5, "ema", rng=rng), (2, 3, 4, 5)),
    ]


def combined_cases(rng):
    """Layers made of layers."""
    conv, linear, relu, block = layers.MaskedConv2d, layers.Linear, layers.ReLU, layers.GatedBlock
    body = layers.Chain(relu(), linear(6, 3, rng), relu(), conv(3, 3, 3, "B", rng=rng), relu(), linear(3, 6, rng))
    return [
        Case("Chain and Residual", layers.Chain(layers.LayerNorm(6), layers.Residual(body)), (2, 5, 4, 6)),
        Case("Residual first", layers.Residual(conv(3, 3, 3, "A", rng=rng)), (2, 5, 4, 3)),
        Case("Sum", layers.Sum(relu(), linear(3, 3, rng), conv(3, 3, 3, "A", rng=rng)), (2, 5, 4, 3)),
        Case("Chain of none", layers.Chain(), (2, 3, 4, 5)),
        Case("Previous", Previous(), (2, 3, 4, 5)),
        Case("GatedBlock", block(4, 4, 3, rng=rng), [(2, 5, 6, 4), (2, 5, 6, 4)]),
        Case("GatedBlock, mask A, no residual", block(2, 4, 5, "A", residual=False, rng=rng),
             [(2, 5, 6, 2), (2, 5, 6, 2)]),
        Case("GatedBlock, dilation 2, no shift, last", block(4, 4, 3, "B", 2, shift=False, last=True, rng=rng),
             [(2, 5, 6, 4), (2, 5, 6, 4)]),
        Case("GatedBlock, 3 colours", block(6, 6, 3, colors=3, rng=rng), [(2, 4, 5, 6), (2, 4, 5, 6)]),
        Case("PlainFirst", PlainFirst(2, 4, 3, rng=rng), [(2, 5, 6, 2), (2, 5, 6, 2)]),
    ]


def model_cases():
    """PixelCNN and Gated PixelCNN: colours, codes, conditions."""
    small = dict(channels=6, blocks=2, first_kernel=5, kernel_size=3, head=(5,))
    gated = dict(channels=5, first_kernel=5, kernel_size=3, dilations=(1, 2), head=(4,))
    tutorial = dict(channels=4, first="plain", first_kernel=3, kernel_size=3, dilations=(1, 2), head=(),
                    activation="elu")
    pixelcnn, gated_pixelcnn = models.PixelCNN, models.GatedPixelCNN
    image, map_too = (2, 4, 5, 1), (2, 4, 5, 5)
    return [
        Case("PixelCNN", pixelcnn(3, **small), (2, 5, 6, 1), 3),
        Case("PixelCNN, plain blocks", pixelcnn(block="plain", layer_norm=False, residual=False, **small),
             (2, 5, 6, 1), 2),
        Case("PixelCNN, ordered colours", pixelcnn(4, image_channels=3, **{**small, "channels": 12, "head": (9,)}),
             (2, 4, 5, 3), 4),
        Case("PixelCNN, independent colours", pixelcnn(4, image_channels=3, ordered_colors=False, **small),
             (2, 4, 5, 3), 4),
        Case("PixelCNN on codes", pixelcnn(5, one_hot=True, **small), (2, 4, 5, 5)),
        Case("PixelCNN, by its class", pixelcnn(3, classes=4, **small), image, 3, (2, 1, 1, 4)),
        Case("PixelCNN, by class and map", pixelcnn(3, classes=2, map_channels=3, **small), image, 3, map_too),
        Case("GatedPixelCNN", gated_pixelcnn(3, **gated), (2, 5, 6, 1), 3),
        Case("GatedPixelCNN, tutorial", gated_pixelcnn(3, **tutorial), (2, 5, 6, 1), 3),
        Case("GatedPixelCNN, ordered colours", gated_pixelcnn(4, image_channels=3, **gated), (2, 4, 5, 3), 4),
        Case("GatedPixelCNN on codes", gated_pixelcnn(5, one_hot=True, **gated), (2, 4, 5, 5)),
        Case("GatedPixelCNN, by its class", gated_pixelcnn(3, classes=4, **gated), image, 3, (2, 1, 1, 4)),
        Case("GatedPixelCNN, by class and map", gated_pixelcnn(3, classes=2, map_channels=3, **gated), image, 3,
             map_too),
    ]


def recurrent_model_cases():
    """The recurrent relatives."""
    lstm, two = dict(hidden=2, layers=1, first_kernel=3, head=(4,)), dict(hidden=2, layers=2, first_kernel=3, head=(4,))
    colors = dict(image_channels=3, hidden=3, layers=1, first_kernel=3, head=(6,))
    codes = dict(one_hot=True, residual=False, **lstm)
    grid = (2, 4, 5, 3)  # codes as vectors of 3 numbers
    return [
        Case("PixelRNN", models.PixelRNN(4, image_channels=3, hidden=3, layers=2), (2, 3, 4, 3), 4),
        Case("PixelRNN on codes, by its class", models.PixelRNN(3, one_hot=True, classes=4, hidden=2), grid,
             condition=(2, 1, 1, 4)),
        Case("RowLSTM", models.RowLSTM(3, **two), (2, 4, 5, 1), 3),
        Case("RowLSTM, ordered colours", models.RowLSTM(4, **colors), (2, 3, 4, 3), 4),
        Case("RowLSTM on codes, by class and map", models.RowLSTM(3, classes=2, map_channels=3, **codes), grid,
             condition=(2, 4, 5, 5)),
        Case("DiagonalBiLSTM", models.DiagonalBiLSTM(3, **two), (2, 3, 4, 1), 3),
        Case("DiagonalBiLSTM, ordered colours", models.DiagonalBiLSTM(4, **colors), (2, 3, 4, 3), 4),
        Case("DiagonalBiLSTM on codes, by its class", models.DiagonalBiLSTM(3, classes=4, **codes), grid,
             condition=(2, 1, 1, 4)),
    ]


def autoencoder_cases():
    """VQ-VAE."""
    options = dict(levels=4, widths=(3, 6), residual_units=1, residual_channels=4, codes=5, code_channels=3)
    return [
        Case("VQVAE", models.VQVAE(learning="gradient", **options), (2, 8, 12, 1), 4),
        Case("VQVAE, EMA, colour", models.VQVAE(image_channels=3, **options), (2, 8, 12, 3), 4),
        Case("VQVAE, flat, categorical", models.VQVAE(output="categorical", flat=(8, 12), **options),
             (2, 8, 12, 1), 4),
    ]
