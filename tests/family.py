"""The autoregressive models, small, one of each kind: what must be true of one must be true of all."""

import numpy as np

from tinyar import gradcheck
from tinyar.backend import xp
from tinyar.models import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, PixelRNN, RowLSTM

PLAIN = dict(channels=18, blocks=2, first_kernel=5, kernel_size=3, head=(12,), seed=1)
GATED = dict(channels=9, first_kernel=5, kernel_size=3, dilations=(1, 2), head=(12,), seed=1)
TUTORIAL = dict(channels=8, first="plain", first_kernel=3, kernel_size=3, dilations=(1, 2), head=(),
                activation="elu", seed=1)
NAIVE = dict(hidden=5, seed=1)
LSTM = dict(hidden=5, layers=2, head=(12,), seed=1)

MODELS = {
    "PixelCNN": lambda: PixelCNN(levels=3, **PLAIN),
    "PixelCNN, plain blocks": lambda: PixelCNN(levels=2, block="plain", layer_norm=False, residual=False, **PLAIN),
    "PixelCNN, 7x7": lambda: PixelCNN(levels=4, **{**PLAIN, "first_kernel": 7, "kernel_size": 7}),
    "PixelCNN, ordered colours": lambda: PixelCNN(levels=2, image_channels=3, **PLAIN),
    "PixelCNN, independent colours": lambda: PixelCNN(levels=2, image_channels=3, ordered_colors=False, **PLAIN),
    "PixelCNN, classes": lambda: PixelCNN(levels=2, classes=3, **PLAIN),
    "PixelCNN, classes and maps": lambda: PixelCNN(levels=2, classes=3, map_channels=2, **PLAIN),
    "Gated": lambda: GatedPixelCNN(levels=3, **GATED),
    "Gated, 5x5, one block": lambda: GatedPixelCNN(
        levels=2, **{**GATED, "kernel_size": 5, "first_kernel": 7, "dilations": (1,)}),
    "Gated, first plain": lambda: GatedPixelCNN(levels=2, **TUTORIAL),
    "Gated, ordered colours": lambda: GatedPixelCNN(levels=2, image_channels=3, **{**GATED, "channels": 10}),
    "Gated, first plain, ordered colours": lambda: GatedPixelCNN(levels=2, image_channels=3, **TUTORIAL),
    "Gated, independent colours": lambda: GatedPixelCNN(levels=2, image_channels=3, ordered_colors=False, **GATED),
    "Gated, classes and maps": lambda: GatedPixelCNN(levels=2, classes=3, map_channels=2, **GATED),
    "Gated, first plain, classes": lambda: GatedPixelCNN(levels=2, classes=3, **TUTORIAL),
    "PixelRNN": lambda: PixelRNN(levels=3, **NAIVE),
    "PixelRNN, independent colours": lambda: PixelRNN(levels=2, image_channels=3, layers=2, truncate=4, **NAIVE),
    "PixelRNN, classes and maps": lambda: PixelRNN(levels=2, classes=3, map_channels=2, **NAIVE),
    "Row LSTM": lambda: RowLSTM(levels=3, **LSTM),
    "Row LSTM, 5 columns, no residuals": lambda: RowLSTM(levels=2, kernel_size=5, residual=False, **LSTM),
    "Row LSTM, ordered colours": lambda: RowLSTM(levels=2, image_channels=3, **LSTM),
    "Row LSTM, classes": lambda: RowLSTM(levels=2, classes=3, **LSTM),
    "Diagonal BiLSTM": lambda: DiagonalBiLSTM(levels=3, **LSTM),
    "Diagonal BiLSTM, 3 layers, no residuals": lambda: DiagonalBiLSTM(levels=4, first_kernel=5, residual=False,
                                                                      **{**LSTM, "layers": 3}),
    "Diagonal BiLSTM, ordered colours": lambda: DiagonalBiLSTM(levels=2, image_channels=3, **LSTM),
    "Diagonal BiLSTM, independent colours": lambda: DiagonalBiLSTM(levels=2, image_channels=3, ordered_colors=False,
                                                                   **LSTM),
    "Diagonal BiLSTM, classes and maps": lambda: DiagonalBiLSTM(levels=2, classes=3, map_channels=2, **LSTM),
}


def make(name):
    """A model of the family in float64, all its parameters away from 0."""
    return gradcheck.shake(MODELS[name]().astype(xp.float64))


def random_images(model, *shape, seed=0):
    """Images (*shape, image_channels) of random levels."""
    return np.random.default_rng(seed).integers(0, model.levels, (*shape, model.image_channels))


def random_condition(model, n, height, width, seed=0):
    """Labels, none among them, and maps for a model that takes them; (None, None, None) for others:
    condition, labels, maps.
    """
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, model.classes, n) if model.classes else None
    maps = rng.standard_normal((n, height, width, model.map_channels)) if model.map_channels else None
    return model.condition(n, labels, maps), labels, maps


def given(condition):
    """The condition as an argument behind the images, for models that may have none."""
    return [] if condition is None else [condition]
