"""VQ-VAE-2: two grids of codes. The coarse one says what the image is, the fine one, told the coarse one, how it looks.

    fine     = encoder_bottom(x)                           (batch, rows, columns, channels), x bottom_stride times finer
    e_top    = quantizer_top(z_top),        z_top    = to_top(encoder_top(fine))           half as many rows and columns
    e_bottom = quantizer_bottom(z_bottom),  z_bottom = to_bottom([f, fine]),  f = decoder_top(e_top)
    y        = decoder([up(e_top), e_bottom])              [ , ] side by side; f and up(e_top) on the fine grid

    loss = reconstruction(y, x) + the own losses of both quantizers

So the top codes reach the image in two ways: by `up`, and by f through the bottom codes. Backward adds both up, and at
`fine` the gradients of its two readers too:

    (dup, de_bottom) = decoder's backward of dy
    (df, dfine)      = to_bottom's backward of dz_bottom           dz_bottom: quantizer_bottom's backward of de_bottom
    de_top  = up's backward of dup + decoder_top's backward of df
    dfine  += encoder_top's backward of to_top's backward of dz_top       dz_top: quantizer_top's backward of de_top
    dx      = encoder_bottom's backward of dfine

Where the bottom codes alone can say everything, training learns to do without the top ones (on MNIST it does). With
hide_bottom, e_bottom is 0 for a share of the training images. These are decoded from the top codes alone, so the top
codes have to say what the image is. With m (batch, 1, 1, 1), 0 for these images and 1 for the others, the decoder sees
m e_bottom, and backward multiplies de_bottom by m. The paper doesn't do this; it resembles the quantizer dropout of
Zeghidour et al. 2021, "SoundStream: an end-to-end neural audio codec", arXiv 2107.03312.

Source: Razavi, van den Oord, Vinyals 2019, "Generating diverse high-fidelity images with VQ-VAE-2", arXiv 1906.00446.
The paper's reconstruction loss is the plain squared error; here it is divided by the images' variance, which makes beta
smaller or larger beside it.
"""

import numpy as np

from tinyar.backend import to_device, to_host, xp
from tinyar.layers.combine import Chain
from tinyar.layers.dropout import HideImages
from tinyar.layers.pointwise import Linear, check_channels
from tinyar.layers.quantizer import VectorQuantizer
from tinyar.layers.strided import Conv2d, ConvTranspose2d
from tinyar.model import check_finite, check_levels
from tinyar.models.autoencoder import Autoencoder, joined_by_relu, units
from tinyar.models.autoregressive import start_small
from tinyar.models.options import check_count

PUBLISHED = {
    # ImageNet, 256x256 -> 64x64 and 32x32 codes: 1,782,339 parameters, both codebooks included.
    "imagenet": dict(image_channels=3, bottom_stride=4, channels=128, residual_channels=64, codes=512,
                     code_channels=64),
    # The same with the narrower residual units of a widely used PyTorch code: 1,454,403.
    "port": dict(image_channels=3, bottom_stride=4, channels=128, residual_channels=32, codes=512, code_channels=64),
    # Not from the paper. CIFAR-10, 32x32 -> 16x16 and 8x8: 1,449,347.
    "cifar10": dict(image_channels=3, bottom_stride=2, channels=128, residual_channels=64, codes=512, code_channels=64),
    # Not from the paper. MNIST, 28x28 -> 14x14 and 7x7: 353,985.
    "mnist": dict(image_channels=1, bottom_stride=2, channels=64, residual_channels=32, codes=128, code_channels=32),
}


class VQVAE2(Autoencoder):
    """An autoencoder with two codebooks, for images whose sides are multiples of 2 * bottom_stride.

        encoder_bottom   [stride 4: 4x4 convolution, stride 2, to channels / 2, ReLU;] 4x4, stride 2; ReLU; 3x3; units
        encoder_top      4x4, stride 2, to channels / 2; ReLU; 3x3; units
        decoder_top      3x3 from a code; units; transposed 4x4, stride 2, to a code's numbers
        up               transposed 4x4, stride 2, of a code's numbers
        decoder          3x3 from two codes; units; transposed 4x4, stride 2 [, ReLU, and once more]
        to_top, to_bottom    1x1, to a code's numbers

    units: see VQVAE, with a last ReLU. channels: of the features. codes, code_channels, beta, learning, decay and
    revive_below, the same for both levels: see VectorQuantizer; top_codes, where given, is another number for the top.
    hide_bottom: the share of the training images whose bottom codes are hidden from the decoder.
    What x and y are, what they cost, and output="mse", "categorical" and "mixture" (of `components`): see Autoencoder.

    Raises ValueError for options or images that don't fit.
    """

    published_options = PUBLISHED

    def __init__(self, levels=256, image_channels=1, bottom_stride=2, channels=64, residual_units=2,
                 residual_channels=32, codes=128, top_codes=None, code_channels=32, beta=0.25, learning="ema",
                 decay=0.99, revive_below=0.1, hide_bottom=0.0, output="mse", components=5, seed=0):
        if bottom_stride not in (2, 4):
            raise ValueError(f"VQVAE2: bottom_stride is 2 or 4, got {bottom_stride!r}")
        super().__init__(levels, image_channels, output, components, stride=2 * bottom_stride)
        check_count(self, "residual_units", residual_units, least=0)
        check_channels(self, channels)
        if channels < 2:
            raise ValueError("VQVAE2: channels: expected at least 2, since some layers have half as many, got 1")
        self.code_channels = code_channels
        rng, half = np.random.default_rng(seed), channels // 2

        def convolutions(*widths):
            """Of stride 2 along these widths, then a 3x3 one; and the residual units."""
            halving = [Conv2d(i, o, 4, 2, 1, rng) for i, o in zip(widths, widths[1:])]
            return Chain(*joined_by_relu([*halving, Conv2d(widths[-1], channels, 3, 1, 1, rng)]),
                         *units(channels, residual_channels, residual_units, rng))

        def transposed(inputs, *widths):
            """A 3x3 one and the units, then transposed ones of stride 2 along the widths."""
            doubling = [ConvTranspose2d(i, o, 4, 2, 1, rng=rng) for i, o in zip((channels, *widths), widths)]
            return Chain(Conv2d(inputs, channels, 3, 1, 1, rng),
                         *units(channels, residual_channels, residual_units, rng), *joined_by_relu(doubling))

        def quantizer(codes):
            return VectorQuantizer(codes, code_channels, beta, learning, decay, revive_below=revive_below, rng=rng)

        once_more = bottom_stride == 4
        self.encoder_bottom = convolutions(image_channels, half, *[channels] * once_more)
        self.encoder_top = convolutions(channels, half)
        self.to_top = Linear(channels, code_channels, rng)
        self.quantizer_top = quantizer(codes if top_codes is None else top_codes)
        self.decoder_top = transposed(code_channels, code_channels)
        self.to_bottom = Linear(code_channels + channels, code_channels, rng)
        self.quantizer_bottom = quantizer(codes)
        self.hide_bottom = HideImages(hide_bottom)
        self.up = ConvTranspose2d(code_channels, code_channels, 4, 2, 1, rng=rng)
        self.decoder = transposed(2 * code_channels, *[half] * once_more, self.outputs)
        start_small(self.decoder.links[-1])  # the first outputs are near 0, the middle grey, rather than far off
        # At first the bottom codes should tell of the image, not repeat the top codes: on digits half the error.
        start_small(self.decoder_top.links[-1])

    # -- training ------------------------------------------------------------------------------------------------------

    def start_codebooks(self, pieces):
        """The top one first: the bottom vectors depend on it."""
        self.quantizer_top.start_from(xp.concatenate(
            [self.to_top(self.encoder_top(self.encoder_bottom(piece))) for piece in pieces]))
        self.quantizer_bottom.start_from(xp.concatenate(
            [self.vectors(self.encoder_bottom(piece))[1] for piece in pieces]))

    def vectors(self, fine):
        """(e_top, z_bottom) by inference, from `fine`."""
        e_top = self.quantizer_top(self.to_top(self.encoder_top(fine)))
        return e_top, self.to_bottom(xp.concatenate([self.decoder_top(e_top), fine], axis=-1))

    def __call__(self, x):
        e_top, z_bottom = self.vectors(self.encoder_bottom(self.scale(x)))
        return self.decoded(e_top, self.quantizer_bottom(z_bottom))

    def decoded(self, e_top, e_bottom):
        """y of the codes' vectors, by inference."""
        return self.arrange(self.decoder(xp.concatenate([self.up(e_top), e_bottom], axis=-1)))

    def forward(self, x):
        fine = self.encoder_bottom.forward(self.scale(x))
        e_top = self.quantizer_top.forward(self.to_top.forward(self.encoder_top.forward(fine)))
        f = self.decoder_top.forward(e_top)
        z_bottom = self.to_bottom.forward(xp.concatenate([f, fine], axis=-1))
        e_bottom = self.hide_bottom.forward(self.quantizer_bottom.forward(z_bottom))
        y = self.decoder.forward(xp.concatenate([self.up.forward(e_top), e_bottom], axis=-1))
        return self.arrange(y), self.quantizer_top.loss + self.quantizer_bottom.loss

    def backward(self, doutputs, need_dx=True):
        """dx, from doutputs = (dy, the gradient by the quantizers' own losses)."""
        dy, dloss = doutputs
        # y = decoder([up(e_top), e_bottom])
        dboth = self.decoder.backward(dy.reshape(*dy.shape[:3], self.outputs))
        dup, de_bottom = dboth[..., :self.code_channels], self.hide_bottom.backward(dboth[..., self.code_channels:])
        # e_bottom = quantizer_bottom(z_bottom),  z_bottom = to_bottom([f, fine])
        dz_bottom = self.quantizer_bottom.backward(de_bottom, dloss=dloss)
        df_and_fine = self.to_bottom.backward(dz_bottom)
        df, dfine = df_and_fine[..., :self.code_channels], df_and_fine[..., self.code_channels:]
        # f = decoder_top(e_top)
        de_top = self.up.backward(dup) + self.decoder_top.backward(df)
        # e_top = quantizer_top(z_top),  z_top = to_top(encoder_top(fine))
        dz_top = self.quantizer_top.backward(de_top, dloss=dloss)
        dfine = dfine + self.encoder_top.backward(self.to_top.backward(dz_top))
        # fine = encoder_bottom(scaled x)
        dscaled = self.encoder_bottom.backward(dfine, need_dx)
        return dscaled * (2 / (self.levels - 1)) if need_dx else None

    # -- codes ---------------------------------------------------------------------------------------------------------

    def codes_of(self, images):
        """The numbers of the codes of images on the host, (top, bottom): uint16 (batch, rows, columns, 1) each."""
        check_finite(self)
        check_levels("VQVAE2", images, self.levels)
        fine = self.encoder_bottom(self.scale(to_device(images)))
        top = self.quantizer_top.indices(self.to_top(self.encoder_top(fine)))
        bottom = self.quantizer_bottom.indices(self.vectors(fine)[1])
        return tuple(to_host(numbers).astype(np.uint16)[..., None] for numbers in (top, bottom))

    def images_of(self, top, bottom):
        """The images that codes (batch, rows, columns, 1) stand for, bottom twice as fine as top: levels, uint8, on the
        host. Raises ValueError for grids that don't fit together.
        """
        check_finite(self)
        if bottom.shape != (len(top), 2 * top.shape[1], 2 * top.shape[2], 1):
            raise ValueError("VQVAE2: expected bottom codes twice as fine as the top codes, "
                             f"got shapes {top.shape} and {bottom.shape}")
        return self.levels_of(self.decoded(self.quantizer_top.lookup(top[..., 0]),
                                           self.quantizer_bottom.lookup(bottom[..., 0])))
