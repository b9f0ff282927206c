"""The PyTorch twin of PixelSNAIL on grey images: its attention is torch's scaled_dot_product_attention.

Its is_causal=True means j <= i, and attention over pixels needs j < i. There are two ways. The usual one is a mask of
one's own, in which the first pixel may look at itself, since a softmax needs something; what it finds is set to 0. The
other one moves the queries on by a pixel, so that is_causal=True does the rest.
"""

import torch
from torch import nn
from torch.nn import functional
from twin_weights import tensor
from twins_pixelcnnpp import AboveAndLeft, Convolution, Unit

from tinyar.backend import xp
from tinyar.models.snail import place_of_pixels


def over_masked(q, k, v):
    """o (batch, pixels, channels), by a strict mask."""
    pixels = q.shape[1]
    mask = torch.ones(pixels, pixels, dtype=torch.bool, device=q.device).tril(-1)
    mask[0, 0] = True
    o = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return o * (torch.arange(pixels, device=q.device) > 0)[:, None]


def over_shifted(q, k, v):
    """o (batch, pixels, channels), by is_causal: queries from the second pixel on, keys up to the last but one."""
    o = functional.scaled_dot_product_attention(q[:, 1:], k[:, :-1], v[:, :-1], is_causal=True)
    return functional.pad(o, (0, 0, 1, 0))


class SnailBlock(nn.Module):
    def __init__(self, block, shifted):
        super().__init__()
        self.units = nn.Sequential(*map(Unit, block.units))
        (unit, linear), (query_unit, query_linear) = block.key_value.links, block.query.links
        self.key_value = nn.Sequential(Unit(unit), Convolution(linear))
        self.query = nn.Sequential(Unit(query_unit), Convolution(query_linear))
        self.merge, self.keys, self.attend = Unit(block.merge), block.attention.key_channels, (
            over_shifted if shifted else over_masked)

    def forward(self, ul, x, place):
        ul = self.units(ul)
        batch, _, height, width = ul.shape
        k, v = self.key_value(torch.cat([x, ul, place], dim=1)).flatten(2).transpose(1, 2).split(
            [self.keys, self.merge.skip.conv.in_channels], dim=2)
        q = self.query(torch.cat([ul, place], dim=1)).flatten(2).transpose(1, 2)
        o = self.attend(q, k, v).transpose(1, 2)
        return self.merge(ul, o.reshape(batch, -1, height, width))


class Attentive(nn.Module):
    """The net of PixelSNAIL with one head: scaled image -> outputs."""

    def __init__(self, net, shifted):
        super().__init__()
        snail, _, output = net.links
        self.first, self.output = AboveAndLeft(snail.first), Convolution(output)
        self.blocks = nn.ModuleList(SnailBlock(block, shifted) for block in snail.blocks)

    def forward(self, x):
        place = tensor(place_of_pixels(*x.shape[2:], 1, xp.float32)).to(x.device)
        place = place.permute(2, 0, 1)[None].expand(len(x), -1, -1, -1)
        ul = self.first(torch.cat([x, torch.ones_like(x)], dim=1))
        for block in self.blocks:
            ul = block(ul, x, place)
        return self.output(functional.elu(ul))
