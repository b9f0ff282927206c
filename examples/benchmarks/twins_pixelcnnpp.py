"""The PyTorch twin of PixelCNN++ on grey images, written as one usually writes it: nn.Conv2d with
torch.nn.utils.parametrizations.weight_norm, images padded on one side, features (batch, channels, height, width).

PyTorch's weight norm keeps a direction and a length for each output channel of a convolution, as tinyar does; of a
transposed one it would normalise the input channels, so that there dim=1 is asked for.
"""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm
from twin_weights import tensor

from tinyar.layers import ELU, ConvTranspose2d, HalvingConv2d, Linear
from tinyar.models.stages import Doubling, Halving


def normalised(module, layer, dim):
    """The module with the weights of a layer, with weight norm over all axes but `dim`."""
    v, g = (tensor(layer.params[name]) for name in "vg")
    if isinstance(layer, Linear):
        v = v[None, None]
    module.weight.data, module.bias.data = v.permute(3, 2, 0, 1).contiguous(), tensor(layer.params["b"])
    module = weight_norm(module, dim=dim)
    module.parametrizations.weight.original0.data = g.reshape(module.parametrizations.weight.original0.shape)
    return module


class Convolution(nn.Module):
    """ShiftedConv2d, HalvingConv2d or Linear: padding, then a convolution of the live taps."""

    def __init__(self, layer):
        super().__init__()
        rows, columns, stride = ((0,), (0,), 1) if isinstance(layer, Linear) else (
            layer.rows, layer.columns, 1 + isinstance(layer, HalvingConv2d))
        self.sides = -columns[0], columns[-1], -rows[0], rows[-1]  # left, right, above, below
        kernel = len(rows), len(columns)
        self.conv = normalised(nn.Conv2d(layer.in_channels, layer.out_channels, kernel, stride), layer, 0)

    def forward(self, x):
        return self.conv(functional.pad(x, self.sides) if any(self.sides) else x)


class Transposed(nn.Module):
    """ConvTranspose2d, stride 2."""

    def __init__(self, layer):
        super().__init__()
        windows = layer.windows
        twin = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, windows.kernel, windows.stride,
                                  windows.padding, layer.output_padding)
        self.conv = normalised(twin, layer, 1)

    def forward(self, x):
        return self.conv(x)


def concat_elu(x):
    return functional.elu(torch.cat([x, -x], dim=1))


class Unit(nn.Module):
    """GatedResNet, with either activation."""

    def __init__(self, layer):
        super().__init__()
        self.activation = functional.elu if isinstance(layer.first.links[0], ELU) else concat_elu
        self.first, self.second = Convolution(layer.first.links[1]), Convolution(layer.second.links[2])
        self.skip = Convolution(layer.skip.links[1]) if layer.skip else None
        self.dropout = nn.Dropout(layer.second.links[1].rate)

    def forward(self, x, a=None):
        u = self.first(self.activation(x))
        if a is not None:
            u = u + self.skip(self.activation(a))
        p, q = self.second(self.dropout(self.activation(u))).chunk(2, dim=1)
        return x + p * torch.sigmoid(q)


class TwoUnits(nn.Module):
    """Units, or SkipUnits."""

    def __init__(self, layer):
        super().__init__()
        self.u, self.ul = Unit(layer.unit_u), Unit(layer.unit_ul)

    def forward(self, u, ul, u_skip=None, ul_skip=None):
        if u_skip is None:
            u = self.u(u)
            return u, self.ul(ul, u)
        u = self.u(u, u_skip)
        return u, self.ul(ul, torch.cat([u, ul_skip], dim=1))


class TwoConvolutions(nn.Module):
    """Halving, or Doubling."""

    def __init__(self, u, ul):
        super().__init__()
        kind = Transposed if isinstance(u, ConvTranspose2d) else Convolution
        self.u, self.ul = kind(u), kind(ul)

    def forward(self, u, ul):
        return self.u(u), self.ul(ul)


def stage_of(stage):
    if isinstance(stage, Halving):
        return TwoConvolutions(stage.halve_u, stage.halve_ul)
    if isinstance(stage, Doubling):
        return TwoConvolutions(stage.double_u, stage.double_ul)
    return TwoUnits(stage)


MOVED_DOWN, MOVED_RIGHT = (0, 0, 1, -1), (1, -1, 0, 0)  # what to pad


class AboveAndLeft(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.above, self.left = Convolution(layer.above), Convolution(layer.left)

    def forward(self, x):
        return functional.pad(self.above(x), MOVED_DOWN) + functional.pad(self.left(x), MOVED_RIGHT)


class PlusPlus(nn.Module):
    """The net of PixelCNNpp, for sizes that are multiples of 4: scaled image -> outputs."""

    def __init__(self, net):
        super().__init__()
        pyramid, _, output = net.links
        self.first_u = Convolution(pyramid.first.first_u)
        self.above_and_left = AboveAndLeft(pyramid.first.above_and_left)
        self.up = nn.ModuleList(map(stage_of, pyramid.up))
        self.down = nn.ModuleList(map(stage_of, pyramid.down))
        self.output = Convolution(output)

    def forward(self, x):
        x = torch.cat([x, torch.ones_like(x)], dim=1)
        pile = [(functional.pad(self.first_u(x), MOVED_DOWN), self.above_and_left(x))]
        for stage in self.up:
            pile.append(stage(*pile[-1]))
        u, ul = pile.pop()
        for stage in self.down:
            u, ul = stage(u, ul, *([] if isinstance(stage, TwoConvolutions) else pile.pop()))
        return self.output(functional.elu(ul))


def mixture_loss(outputs, pixels, levels):
    """The mean nats per pixel of grey images (batch, height, width) under the exact mixture, (batch, 3 M, ...)."""
    logits, means, log_scales = outputs.chunk(3, dim=1)
    log_scales = log_scales.clamp(min=-7)
    x = (pixels[:, None].float() * (2 / (levels - 1)) - 1)
    inverse, half = torch.exp(-log_scales), 1 / (levels - 1)
    a, b = inverse * (x - means + half), inverse * (x - means - half)
    middle = functional.logsigmoid(a) - functional.softplus(b) + torch.log(-torch.expm1(-2 * half * inverse))
    log_p = torch.where(pixels[:, None] == 0, functional.logsigmoid(a),
                        torch.where(pixels[:, None] == levels - 1, -functional.softplus(b), middle))
    return -torch.logsumexp(functional.log_softmax(logits, dim=1) + log_p, dim=1).mean()
