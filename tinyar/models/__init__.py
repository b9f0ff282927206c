"""The models, one paper a file; each is a Layer from images to the parameters of a likelihood."""

from tinyar.models.gated_pixelcnn import GatedPixelCNN
from tinyar.models.pixelcnn import PixelCNN
from tinyar.models.vqvae import VQVAE

__all__ = ["GatedPixelCNN", "PixelCNN", "VQVAE"]
