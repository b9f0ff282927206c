"""The models, one paper a file; each is a Model (`tinyar.model`) from images to the parameters of a likelihood."""

from tinyar.models.gated_pixelcnn import GatedPixelCNN
from tinyar.models.lstms import DiagonalBiLSTM, RowLSTM
from tinyar.models.pixelcnn import PixelCNN
from tinyar.models.pixelcnnpp import PixelCNNpp
from tinyar.models.pixelrnn import PixelRNN
from tinyar.models.pixelsnail import PixelSNAIL
from tinyar.models.vqvae import VQVAE
from tinyar.models.vqvae2 import VQVAE2

__all__ = ["DiagonalBiLSTM", "GatedPixelCNN", "PixelCNN", "PixelCNNpp", "PixelRNN", "PixelSNAIL", "RowLSTM",
           "VQVAE", "VQVAE2"]
