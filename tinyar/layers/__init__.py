"""The layers, one idea a file; each keeps the contract of tinyar.layer."""

from tinyar.layers.conditional import Conditional
from tinyar.layers.conv import MaskedConv2d
from tinyar.layers.diagonal_lstm import DiagonalBiRecurrence, DiagonalRecurrence
from tinyar.layers.gated import GatedBlock
from tinyar.layers.norm import LayerNorm
from tinyar.layers.pointwise import ELU, Gate, Linear, ReLU
from tinyar.layers.quantizer import VectorQuantizer
from tinyar.layers.recurrent import SequenceRecurrence
from tinyar.layers.row_lstm import RowRecurrence
from tinyar.layers.shape import Reshape
from tinyar.layers.shifted import ShiftedConv2d
from tinyar.layers.strided import Conv2d, ConvTranspose2d

__all__ = ["Conditional", "Conv2d", "ConvTranspose2d", "DiagonalBiRecurrence", "DiagonalRecurrence", "ELU", "Gate",
           "GatedBlock", "LayerNorm", "Linear", "MaskedConv2d", "ReLU", "Reshape", "RowRecurrence",
           "SequenceRecurrence", "ShiftedConv2d", "VectorQuantizer"]
