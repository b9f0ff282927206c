"""The models, one paper a file; each is a Layer from images to the parameters of a likelihood."""

from tinyar.models.pixelcnn import PixelCNN

__all__ = ["PixelCNN"]
