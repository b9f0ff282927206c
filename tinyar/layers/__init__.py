"""The layers, one idea a file; each keeps the contract of tinyar.layer."""

from tinyar.conditions import Conditional
from tinyar.layers.above_left import AboveAndLeft
from tinyar.layers.attention import CausalAttention
from tinyar.layers.colors import ColorLinear, conv1x1  # noqa: F401  (a function, for readers' own layers)
from tinyar.layers.cells import CellConditional
from tinyar.layers.combine import Chain, Residual, Sum
from tinyar.layers.conv import CausalConv2d
from tinyar.layers.diagonal_lstm import DiagonalBiRecurrence, DiagonalRecurrence
from tinyar.layers.dropout import Dropout, HideImages, noise_told  # noqa: F401
from tinyar.layers.gated import GatedBlock
from tinyar.layers.gated_resnet import GatedResNet
from tinyar.layers.halving import HalvingConv2d
from tinyar.layers.masked import MaskedConv2d
from tinyar.layers.norm import LayerNorm
from tinyar.layers.pointwise import ELU, ConcatELU, Gate, Linear, ReLU
from tinyar.layers.quantizer import VectorQuantizer
from tinyar.layers.recurrent import SequenceRecurrence
from tinyar.layers.row_lstm import RowRecurrence
from tinyar.layers.shape import Repeat, Reshape
from tinyar.layers.shifted import ShiftedConv2d
from tinyar.layers.strided import Conv2d, ConvTranspose2d

__all__ = ["AboveAndLeft", "CausalAttention", "CausalConv2d", "CellConditional", "Chain", "ColorLinear", "ConcatELU",
           "Conditional", "Conv2d", "ConvTranspose2d", "DiagonalBiRecurrence", "DiagonalRecurrence", "Dropout", "ELU",
           "Gate", "GatedBlock", "GatedResNet", "HalvingConv2d", "HideImages", "LayerNorm", "Linear", "MaskedConv2d",
           "ReLU", "Repeat", "Reshape", "Residual", "RowRecurrence", "SequenceRecurrence", "ShiftedConv2d", "Sum",
           "VectorQuantizer"]
