"""Every layer of tinyar, small, nearly all axes of different size, with an input for each."""

from tinyar import layers
from tinyar.gradcheck.case import Case
from tinyar.models.gated_pixelcnn import PlainFirst
from tinyar.models.pixelrnn import Previous
from tinyar.models.snail import SnailBlock
from tinyar.models.stages import Halving, SkipUnits, Units


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
        Case("HideImages 0.4", layers.HideImages(0.4), (6, 2, 3, 2)),
        Case("Gate 6", layers.Gate(), (2, 3, 4, 6)),
        Case("Gate 6, linear", layers.Gate(activation=None), (2, 3, 4, 6)),
        Case("Reshape", layers.Reshape(5, 12), (2, 3, 4, 5)),
        Case("Repeat 2", layers.Repeat(2), (2, 3, 4, 5), causal=False),
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
        Case("HalvingConv2d 2x3", layers.HalvingConv2d(3, 4, (-1, 0), (-1, 0, 1), rng), (2, 5, 6, 3), causal=False),
        Case("HalvingConv2d 2x2", layers.HalvingConv2d(3, 4, (-1, 0), (-1, 0), rng), (2, 6, 5, 3), causal=False),
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


def attention_cases(rng):
    """Attention in one piece and in chunks, and the block of PixelSNAIL around it."""
    attention, norm = layers.CausalAttention, dict(rng=rng, weight_norm=True)

    def linear(inputs, outputs):
        return layers.Linear(inputs, outputs, **norm)

    def unit(conv, *channels):
        return layers.GatedResNet(conv, *channels, activation=layers.ELU, **norm)

    def block(units):
        """Of 3 features on images of 2 channels; keys of 4 numbers, values of 2."""
        key_value, query = (layers.Chain(unit(linear, i), linear(i, o)) for i, o in ((7, 6), (5, 4)))
        return SnailBlock(units, key_value, query, attention(4, 2, heads=2, chunk=5), unit(linear, 3, 2))

    def conv(inputs, outputs):
        return layers.ShiftedConv2d(inputs, outputs, (-1, 0), (-1, 0), **norm)

    return [
        Case("CausalAttention", attention(4, 6), [(2, 3, 5, n) for n in (4, 4, 6)]),
        Case("CausalAttention, chunks of 4, 2 heads", attention(4, 6, 2, 4), [(2, 5, 3, n) for n in (4, 4, 6)]),
        Case("CausalAttention, one pixel", attention(4, 6, 2), [(2, 1, 1, n) for n in (4, 4, 6)]),
        Case("AboveAndLeft", layers.AboveAndLeft(layers.ShiftedConv2d(3, 4, (0,), (-1, 0, 1), **norm),
                                                 layers.ShiftedConv2d(3, 4, (-1, 0), (0,), **norm)), (2, 4, 5, 3),
             causal=False),
        Case("SnailBlock", block([unit(conv, 3), unit(conv, 3)]), [(2, 4, 3, 3), (2, 4, 3, 2)], entries=20),
        Case("SnailBlock without convolutions", block([]), [(2, 3, 4, 3), (2, 3, 4, 2)]),
    ]


def normalised_cases(rng):
    """Kernels with weight normalization, and the gated residual units made of them."""
    shifted, unit, norm = layers.ShiftedConv2d, layers.GatedResNet, dict(rng=rng, weight_norm=True)

    def conv(inputs, outputs):
        return shifted(inputs, outputs, (-1, 0), (-1, 0), **norm)

    return [
        Case("Linear, weight norm", layers.Linear(4, 5, **norm), (2, 3, 6, 4)),
        Case("ShiftedConv2d, weight norm", shifted(3, 4, (-1, 0), (-1, 0, 1), **norm), (2, 5, 6, 3)),
        Case("ShiftedConv2d, weight norm, many", conv(9, 4), (2, 5, 6, 9)),
        Case("ShiftedConv2d, weight norm, no bias", shifted(9, 4, (-1, 0), (-1, 0), bias=False, **norm), (2, 4, 3, 9)),
        Case("HalvingConv2d, weight norm", layers.HalvingConv2d(3, 4, (-1, 0), (-1, 0, 1), **norm), (2, 5, 6, 3),
             causal=False),
        Case("Conv2d, weight norm", layers.Conv2d(3, 4, 4, 2, 1, **norm), (2, 5, 8, 3)),
        Case("ConvTranspose2d, weight norm", layers.ConvTranspose2d(3, 4, (2, 3), 2, (0, 1), (0, 1), **norm),
             (2, 2, 5, 3)),
        Case("GatedResNet", unit(conv, 3, **norm), (2, 4, 5, 3)),
        Case("GatedResNet, skip, dropout", unit(conv, 3, 2, dropout=0.3, **norm), [(2, 4, 5, 3), (2, 4, 5, 2)]),
        Case("GatedResNet of pixels, ELU", unit(layers.Linear, 4, activation=layers.ELU, rng=rng), (2, 4, 5, 4)),
        Case("Units", Units(unit(conv, 3, **norm), unit(conv, 3, 3, **norm), 0), [(2, 4, 5, 3)] * 2),
        Case("SkipUnits", SkipUnits(unit(conv, 3, 3, **norm), unit(conv, 3, 6, **norm), 0), [(2, 3, 4, 3)] * 4),
        Case("Halving", Halving(*(layers.HalvingConv2d(3, 4, (-1, 0), (-1, 0), **norm) for _ in range(2)), 0),
             [(2, 5, 4, 3)] * 2),
    ]
