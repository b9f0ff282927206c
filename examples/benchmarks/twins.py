"""The PyTorch twin of a tinyar network: the same function, with the same weights,
written as one usually writes it in PyTorch.

A convolution that must not see later pixels comes in two forms:

    masked    as most code has it, also the University of Amsterdam's tutorial:
              a whole kernel, odd and centred, times a mask
    cropped   a kernel of the live rows (and, without a mask, columns) alone,
              and an image padded on some sides more than on others

Images and features of the twin are (batch, channels, height, width). Images are grey: ColorLinear, the 1x1 layer that
keeps the order of colours, has no twin, as it would need a mask of its own.
Only the processes that PyTorch runs in import this file.
"""

import torch
from torch import nn
from torch.nn import functional
from twin_weights import kernel_of, tensor
from twins_pixelcnnpp import PlusPlus
from twins_pixelsnail import Attentive
from twins_recurrent import DiagonalBiLSTM, Previous, RasterLSTM, RowLSTM

from tinyar.layers import (ELU, Chain, Conv2d, ConvTranspose2d, Dropout, GatedBlock, LayerNorm, Linear, MaskedConv2d,
                           ReLU, Residual, ShiftedConv2d)
from tinyar.layers.diagonal_lstm import DiagonalBiRecurrence
from tinyar.layers.recurrent import SequenceRecurrence
from tinyar.layers.row_lstm import RowRecurrence
from tinyar.models.gated_pixelcnn import PlainFirst, TwoStreams
from tinyar.models.pixelrnn import Previous as PreviousPixel
from tinyar.models.pyramid import Pyramid
from tinyar.models.snail import Snail
from tinyar.pictures.receptive_fields import live_pairs


def torch_twin(layer, cropped, channels_last):
    """The twin of a layer, or chain of layers, without conditions;
    channels_last says how PyTorch keeps its kernels in memory.
    """
    twin = convert(layer, cropped)
    return twin.to(memory_format=torch.channels_last) if channels_last else twin


def convert(layer, cropped):
    """The twin of one layer of the tree. Raises TypeError for a kind that has none."""
    if isinstance(layer, Chain) and isinstance(layer.links[0], (Pyramid, Snail)):
        return PlusPlus(layer) if isinstance(layer.links[0], Pyramid) else Attentive(layer, shifted=cropped)
    if isinstance(layer, Chain):
        return nn.Sequential(*convert_links(layer.links, cropped))
    if isinstance(layer, (Residual, MaskedConv2d, ShiftedConv2d, GatedBlock, PlainFirst, TwoStreams)):
        return {Residual: Skip, MaskedConv2d: Masked, ShiftedConv2d: ShiftedCropped if cropped else ShiftedMasked,
                GatedBlock: Block, PlainFirst: First, TwoStreams: Streams}[type(layer)](layer, cropped)
    if isinstance(layer, DiagonalBiRecurrence):
        return DiagonalBiLSTM(layer, cropped)
    if isinstance(layer, (LayerNorm, RowRecurrence)):
        return {LayerNorm: Norm, RowRecurrence: RowLSTM}[type(layer)](layer)
    if isinstance(layer, PreviousPixel):
        return Previous()
    if isinstance(layer, (ReLU, ELU)):
        return getattr(nn, type(layer).__name__)()
    if isinstance(layer, Dropout):
        return nn.Dropout(layer.rate)
    if isinstance(layer, Linear):
        twin = nn.Conv2d(layer.in_channels, layer.out_channels, 1)
        twin.weight.data = tensor(layer.params["w"]).T[:, :, None, None].contiguous()
    elif isinstance(layer, (Conv2d, ConvTranspose2d)):
        kind = getattr(nn, type(layer).__name__)  # both libraries keep a transposed kernel as its forward twin's
        twin = kind(layer.in_channels, layer.out_channels,
                    layer.windows.kernel, layer.windows.stride, layer.windows.padding)
        twin.weight.data = kernel_of(layer.params["w"])
    else:
        raise TypeError(f"{type(layer).__name__} has no PyTorch twin; expected a network of grey images, without "
                        "conditions, of the layers that twins.py imports")
    twin.bias.data = tensor(layer.params["b"])
    return twin


def convert_links(links, cropped):
    """Yield the twins of the links of a chain; one twin for a SequenceRecurrence and the Linear before it."""
    for link, following in zip(links, [*links[1:], None]):
        if isinstance(following, SequenceRecurrence):
            yield RasterLSTM(link, following)
        elif not isinstance(link, SequenceRecurrence):
            yield convert(link, cropped)


# -- one stream --------------------------------------------------------------------------------------------------------


class Masked(nn.Module):
    """MaskedConv2d: the kernel times its mask; cropped, without the rows below the centre, which are all masked."""

    def __init__(self, layer, cropped):
        super().__init__()
        self.half, self.cropped, rows = layer.half, cropped, layer.half + 1 if cropped else layer.kernel_size
        self.weight, self.bias = (nn.Parameter(kernel_of(layer.dense_kernel()[:rows])),
                                  nn.Parameter(tensor(layer.params["b"])))
        self.register_buffer("mask", kernel_of(live_pairs(layer)[:rows]))

    def forward(self, x):
        m = self.half
        if self.cropped:
            return functional.conv2d(functional.pad(x, (m, m, m, 0)), self.weight * self.mask, self.bias)
        return functional.conv2d(x, self.weight * self.mask, self.bias, padding=m)


class Norm(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.norm = nn.LayerNorm(layer.channels, eps=layer.eps)
        self.norm.weight.data, self.norm.bias.data = tensor(layer.params["gamma"]), tensor(layer.params["beta"])

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Skip(nn.Module):
    def __init__(self, layer, cropped):
        super().__init__()
        self.body = convert(layer.body, cropped)

    def forward(self, x):
        return x + self.body(x)


# -- two streams -------------------------------------------------------------------------------------------------------


def step_of(offsets):
    """The distance of neighbouring taps."""
    return offsets[1] - offsets[0] if len(offsets) > 1 else abs(offsets[0]) or 1


class ShiftedMasked(nn.Module):
    """ShiftedConv2d by a kernel as wide to the right as to the left, and as far down as up,
    whose other taps are masked.
    """

    def __init__(self, layer, cropped):
        super().__init__()
        self.dilation = step_of(layer.rows), step_of(layer.columns)
        self.padding = -layer.rows[0], -layer.columns[0]
        places = [[(offset + reach) // step for offset in offsets]
                  for offsets, reach, step in zip((layer.rows, layer.columns), self.padding, self.dilation)]
        sizes = [2 * reach // step + 1 for reach, step in zip(self.padding, self.dilation)]
        weight, mask = torch.zeros(layer.out_channels, layer.in_channels, *sizes), torch.zeros(1, 1, *sizes)
        live = (..., torch.tensor(places[0])[:, None], torch.tensor(places[1]))
        weight[live], mask[live] = kernel_of(layer.params["w"]), 1
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(tensor(layer.params["b"]))
        self.register_buffer("mask", mask)

    def forward(self, x):
        return functional.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding, dilation=self.dilation)


class ShiftedCropped(nn.Module):
    """ShiftedConv2d by its live taps alone:
    the image is padded (a negative number crops) so that they lie where they should.
    """

    def __init__(self, layer, cropped):
        super().__init__()
        self.dilation = step_of(layer.rows), step_of(layer.columns)
        self.sides = -layer.columns[0], layer.columns[-1], -layer.rows[0], layer.rows[-1]  # left, right, above, below
        self.weight, self.bias = nn.Parameter(kernel_of(layer.params["w"])), nn.Parameter(tensor(layer.params["b"]))

    def forward(self, x):
        return functional.conv2d(functional.pad(x, self.sides), self.weight, self.bias, dilation=self.dilation)


def gate(x):
    a, b = x.chunk(2, dim=1)
    return torch.tanh(a) * torch.sigmoid(b)


class Block(nn.Module):
    """GatedBlock."""

    def __init__(self, layer, cropped):
        super().__init__()
        self.vertical, self.horizontal, self.link, self.output = (
            convert(part, cropped) for part in (layer.vertical, layer.horizontal, layer.link, layer.output))
        self.dropout = convert(layer.dropout, cropped)
        self.shift, self.residual, self.last = layer.shift, layer.residual, layer.last

    def forward(self, v, h):
        above = self.vertical(v)
        link = self.link(functional.pad(above, (0, 0, 1, -1)) if self.shift else above)
        out = self.dropout(self.output(gate(self.horizontal(h) + link)))
        return None if self.last else gate(above), h + out if self.residual else out


class First(nn.Module):
    """PlainFirst."""

    def __init__(self, layer, cropped):
        super().__init__()
        self.vertical, self.horizontal = convert(layer.vertical, cropped), convert(layer.horizontal, cropped)

    def forward(self, v, h):
        return self.vertical(v), self.horizontal(h)


class Streams(nn.Module):
    """TwoStreams."""

    def __init__(self, layer, cropped):
        super().__init__()
        self.blocks = nn.ModuleList(convert(block, cropped) for block in layer.blocks)

    def forward(self, x):
        v = h = x
        for block in self.blocks:
            v, h = block(v, h)
        return h
