"""Every model of tinyar, small, with an image for each."""

from tinyar import models
from tinyar.gradcheck.case import Case
from tinyar.layers.weights import Weighted


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
        Case("PixelCNN on codes, dropout", pixelcnn(5, one_hot=True, dropout=0.3, **small), (2, 4, 5, 5)),
        Case("PixelCNN, by its class", pixelcnn(3, classes=4, **small), image, 3, (2, 1, 1, 4)),
        Case("PixelCNN, by class and map", pixelcnn(3, classes=2, map_channels=3, **small), image, 3, map_too),
        Case("GatedPixelCNN", gated_pixelcnn(3, **gated), (2, 5, 6, 1), 3),
        Case("GatedPixelCNN, tutorial", gated_pixelcnn(3, **tutorial), (2, 5, 6, 1), 3),
        Case("GatedPixelCNN, ordered colours", gated_pixelcnn(4, image_channels=3, **gated), (2, 4, 5, 3), 4),
        Case("GatedPixelCNN on codes, dropout", gated_pixelcnn(5, one_hot=True, dropout=0.3, **gated), (2, 4, 5, 5)),
        Case("GatedPixelCNN, by its class", gated_pixelcnn(3, classes=4, **gated), image, 3, (2, 1, 1, 4)),
        Case("GatedPixelCNN, by class and map", gated_pixelcnn(3, classes=2, map_channels=3, **gated), image, 3,
             map_too),
        # steps on parts of an image, of odd sizes, have no coarser grid: so not drawn here
        Case("GatedPixelCNN, by class and coarser codes", gated_pixelcnn(3, classes=2, map_codes=4, map_units=1,
                                                                         **gated),
             (2, 4, 6, 1), 3, (2, 2, 3, 6), causal=False),
    ]


def plusplus_cases():
    """PixelCNN++, on images whose sides are no multiples of 4, and PixelSNAIL; with units as they are after training.

    A new unit adds a tenth of what it adds here, and its gradients would drown in rounding.
    """
    model, small = models.PixelCNNpp, dict(levels=5, channels=2, components=2)
    snail, tiny = models.PixelSNAIL, dict(channels=3, blocks=2, units=1, key_channels=4, value_channels=2, chunk=7)
    found = [
        Case("PixelCNNpp, dropout", model(dropout=0.3, **small), (2, 5, 6, 1), 5, entries=4),
        Case("PixelCNNpp on codes, by class and map", model(likelihood="softmax", one_hot=True, weight_norm=False,
                                                            classes=2, map_channels=3, **small),
             (2, 4, 5, 5), None, (2, 4, 5, 5), entries=4),
        Case("PixelSNAIL, dropout, 2 heads", snail(5, components=2, heads=2, dropout=0.3, **tiny), (2, 5, 6, 1), 5,
             entries=8),
        Case("PixelSNAIL, colour", snail(5, image_channels=3, components=2, weight_norm=False, **tiny), (2, 4, 3, 3), 5,
             entries=8),
        Case("PixelSNAIL on codes, by class and map", snail(5, likelihood="softmax", one_hot=True, classes=2,
                                                            map_channels=3, **tiny),
             (2, 4, 5, 5), None, (2, 4, 5, 5), entries=8),
    ]
    for case in found:
        for _, layer in case.layer.layers():
            if isinstance(layer, Weighted):
                layer.start_at(1)
    return found


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
    """VQ-VAE, and its hierarchy."""
    options = dict(levels=4, widths=(3, 6), residual_units=1, residual_channels=4, codes=5, code_channels=3)
    two = dict(levels=4, channels=6, residual_units=1, residual_channels=4, codes=5, top_codes=4, code_channels=3)
    return [
        Case("VQVAE", models.VQVAE(learning="gradient", **options), (2, 8, 12, 1), 4),
        Case("VQVAE, EMA, colour", models.VQVAE(image_channels=3, **options), (2, 8, 12, 3), 4),
        Case("VQVAE, flat, categorical", models.VQVAE(output="categorical", flat=(8, 12), **options),
             (2, 8, 12, 1), 4),
        Case("VQVAE2", models.VQVAE2(learning="gradient", **two), (2, 8, 4, 1), 4, entries=12),
        Case("VQVAE2, EMA, colour, stride 4, mixture", models.VQVAE2(
            image_channels=3, bottom_stride=4, output="mixture", components=2, **two), (2, 8, 16, 3), 4, entries=12),
        Case("VQVAE2, bottom codes hidden", models.VQVAE2(hide_bottom=0.5, **two), (3, 4, 8, 1), 4, entries=12),
    ]
