"""The layers, one idea a file; each keeps the contract of tinyar.layer."""

from tinyar.layers.conv import MaskedConv2d
from tinyar.layers.norm import LayerNorm
from tinyar.layers.pointwise import Linear, ReLU

__all__ = ["LayerNorm", "Linear", "MaskedConv2d", "ReLU"]
