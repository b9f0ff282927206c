"""VQ-VAE: an autoencoder whose bottleneck is a dictionary, so that an image becomes a small grid of whole numbers.

    z = encoder(x)          a vector z_i of d numbers for each position i of a coarse grid
    e_i = E[k_i]            k_i the number of the nearest of K codes        (tinyar.layers.quantizer)
    y = decoder(e)          the image again

    loss = reconstruction(y, x) + mean |sg[z] - e|^2 + beta mean |z - sg[e]|^2

The reconstruction's gradient reaches decoder and, straight through the quantizer, the encoder; the second term
moves the codes to the vectors, the third the vectors to their codes. With learning="ema", the default, the codes move
by running means instead, and the second term isn't in the loss. A PixelCNN that learns the grids of numbers
(`tinyar.codes`) makes the whole a generator: it draws the codes, and the decoder paints them.

Source: van den Oord, Vinyals, Kavukcuoglu 2017, "Neural Discrete Representation Learning", arXiv 1711.00937.
"""

import numpy as np

from tinyar.backend import to_device, to_host, xp
from tinyar.layers.combine import Chain
from tinyar.layers.pointwise import Linear
from tinyar.layers.quantizer import VectorQuantizer
from tinyar.layers.shape import Reshape
from tinyar.layers.strided import Conv2d, ConvTranspose2d
from tinyar.model import check_finite, check_levels
from tinyar.models.autoencoder import Autoencoder, joined_by_relu, units
from tinyar.models.autoregressive import start_small
from tinyar.models.options import check_count, whole_numbers

PUBLISHED = {
    # The paper's encoder and decoder: 4,942,915 parameters in colour with squared error, the codebook included.
    "paper": dict(widths=(256, 256), mix=False, residual_channels=256, codes=512, code_channels=64),
    # The network of the authors' example code: 695,491 in colour, the codebook included.
    "example": dict(widths=(64, 128), mix=True, residual_channels=32, codes=512, code_channels=64),
    # 32x32 images as 4x4 codes: 1,367,619 in colour, 1,363,521 in grey.
    "course": dict(widths=(64, 128, 128), mix=True, residual_channels=64, codes=256, code_channels=64),
}


class VQVAE(Autoencoder):
    """x -> encoder -> quantizer -> decoder -> y, for images whose sides are multiples of 2^len(widths).

        encoder    4x4 convolutions, stride 2, of these widths, joined by ReLU; [mix: ReLU, 3x3];
                   residual units; ReLU; 1x1 to d
        decoder    3x3 from d; residual units; ReLU; transposed 4x4 convolutions, stride 2, joined by ReLU,
                   of the widths backwards
        unit       u + body(u), the body ReLU, 3x3 to residual_channels, ReLU, 1x1 back

    What x and y are, what they cost, and output="mse", "categorical" and "mixture" (of `components`): see Autoencoder.
    codes (their number K), code_channels (d), beta, learning, decay and revive_below: see VectorQuantizer.
    flat=(height, width) makes one single code of an image of that size, by a linear layer from all positions: only K
    outputs are possible, and learning is clustering.

    Raises ValueError for options or images that don't fit.
    """

    published_options = PUBLISHED

    def __init__(self, levels=256, image_channels=1, widths=(64, 128), mix=True, residual_units=2,
                 residual_channels=32, codes=128, code_channels=16, beta=0.25, learning="ema", decay=0.99,
                 revive_below=0.1, output="mse", components=5, flat=None, seed=0):
        widths = whole_numbers("widths", widths)
        super().__init__(levels, image_channels, output, components, stride=2 ** len(widths))
        if not widths:
            raise ValueError("VQVAE: widths names at least one convolution of stride 2, got none")
        check_count(self, "residual_units", residual_units, least=0)
        self.flat = None if flat is None else whole_numbers("flat", flat)
        if self.flat and len(self.flat) != 2:
            raise ValueError(f"VQVAE: flat: expected (height, width), got {flat!r}")
        rng, top = np.random.default_rng(seed), widths[-1]
        down = [Conv2d(i, o, 4, 2, 1, rng) for i, o in zip((image_channels, *widths), widths)]
        down += [Conv2d(top, top, 3, 1, 1, rng)] if mix else []
        up = [ConvTranspose2d(i, o, 4, 2, 1, rng=rng) for i, o in zip(widths[::-1], (*widths[-2::-1], self.outputs))]
        to_code, from_code = self.bottleneck(top, code_channels, rng)
        self.encoder = Chain(*joined_by_relu(down), *units(top, residual_channels, residual_units, rng), *to_code)
        self.quantizer = VectorQuantizer(codes, code_channels, beta, learning, decay,
                                         revive_below=revive_below, rng=rng)
        self.decoder = Chain(*from_code, *units(top, residual_channels, residual_units, rng), *joined_by_relu(up))
        start_small(up[-1])  # the first outputs are near 0, the middle grey, rather than far off

    def bottleneck(self, top, code_channels, rng):
        """The layers to the codes and from them, two lists: a code for each position, or a single one if flat."""
        if self.flat is None:
            return [Linear(top, code_channels, rng)], [Conv2d(code_channels, top, 3, 1, 1, rng)]
        self.check_size(*self.flat)
        grid = self.flat[0] // self.stride, self.flat[1] // self.stride, top
        size = int(np.prod(grid))
        return ([Reshape(1, 1, size), Linear(size, code_channels, rng)],
                [Linear(code_channels, size, rng), Reshape(*grid)])

    def check_size(self, height, width):
        super().check_size(height, width)
        if self.flat and self.flat != [height, width]:
            raise ValueError(f"VQVAE: made for images of {self.flat[0]}x{self.flat[1]} pixels (flat), "
                             f"got {height}x{width}")

    # -- training ------------------------------------------------------------------------------------------------------

    def start_codebooks(self, pieces):
        self.quantizer.start_from(xp.concatenate([self.encoder(piece) for piece in pieces]))

    def __call__(self, x):
        return self.arrange(self.decoder(self.quantizer(self.encoder(self.scale(x)))))

    def forward(self, x):
        z = self.encoder.forward(self.scale(x))
        e = self.quantizer.forward(z)
        return self.arrange(self.decoder.forward(e)), self.quantizer.loss

    def backward(self, doutputs, need_dx=True):
        """dx, from doutputs = (dy, the gradient by the quantizer's own loss)."""
        dy, dloss = doutputs
        # y = decoder(e), e = quantizer(z), z = encoder(scaled x)
        de = self.decoder.backward(dy.reshape(*dy.shape[:3], self.outputs))
        dz = self.quantizer.backward(de, dloss=dloss)
        dscaled = self.encoder.backward(dz, need_dx)
        return dscaled * (2 / (self.levels - 1)) if need_dx else None

    # -- codes ---------------------------------------------------------------------------------------------------------

    def codes_of(self, images):
        """The numbers of the codes of images on the host: uint16 (batch, height / stride, width / stride, 1),
        (batch, 1, 1, 1) if flat.
        """
        check_finite(self)
        check_levels("VQVAE", images, self.levels)
        z = self.encoder(self.scale(to_device(images)))
        return to_host(self.quantizer.indices(z)).astype(np.uint16)[..., None]

    def images_of(self, codes):
        """The images that codes (batch, rows, columns, 1) stand for: levels, uint8, on the host."""
        check_finite(self)
        return self.levels_of(self.arrange(self.decoder(self.quantizer.lookup(codes[..., 0]))))
