"""The layers, one idea a file; each keeps the contract of tinyar.layer."""

from tinyar.layers.conv import MaskedConv2d
from tinyar.layers.norm import LayerNorm
from tinyar.layers.pointwise import Linear, ReLU
from tinyar.layers.quantizer import VectorQuantizer
from tinyar.layers.shape import Reshape
from tinyar.layers.strided import Conv2d, ConvTranspose2d

__all__ = ["Conv2d", "ConvTranspose2d", "LayerNorm", "Linear", "MaskedConv2d", "ReLU", "Reshape", "VectorQuantizer"]
