"""VQ-VAE: an autoencoder whose bottleneck is a dictionary, so that an image becomes a small grid of whole numbers.

    z = encoder(x)          a vector z_i of d numbers for each position i of a coarse grid
    e_i = E[k_i]            k_i the number of the nearest of K codes        (tinyar.layers.quantizer)
    y = decoder(e)          the image again

    loss = reconstruction(y, x) + mean |sg[z] - e|^2 + beta mean |z - sg[e]|^2

The reconstruction's gradient reaches decoder and, straight through the quantizer, the encoder; the second term
moves the codes to the vectors, the third the vectors to their codes. A PixelCNN that learns the grids of numbers
(`tinyar.codes`) makes the whole a generator: it draws the codes, and the decoder paints them.

Source: van den Oord, Vinyals, Kavukcuoglu 2017, "Neural Discrete Representation Learning", arXiv 1711.00937.
"""

import numpy as np

from tinyar.backend import to_device, to_host, xp
from tinyar.layer import Chain, Layer, Residual
from tinyar.layers.pointwise import Linear, ReLU
from tinyar.layers.quantizer import VectorQuantizer, perplexity
from tinyar.layers.shape import Reshape
from tinyar.layers.strided import Conv2d, ConvTranspose2d
from tinyar.likelihoods import Categorical
from tinyar.losses import bits_per_dim
from tinyar.models.autoregressive import whole_numbers

PUBLISHED = {
    # The paper's encoder and decoder: 4,942,915 parameters in colour with squared error, the codebook included.
    "paper": dict(widths=(256, 256), mix=False, residual_channels=256, codes=512, code_channels=64),
    # The network of the authors' example code: 695,491 in colour.
    "example": dict(widths=(64, 128), mix=True, residual_channels=32, codes=512, code_channels=64),
    # 32x32 images as 4x4 codes: 1,367,619 in colour, 1,363,521 in grey.
    "course": dict(widths=(64, 128, 128), mix=True, residual_channels=64, codes=256, code_channels=64),
}
IMAGES_TO_START_FROM = 1024


class VQVAE(Layer):
    """x -> encoder -> quantizer -> decoder -> outputs, for images whose sides are multiples of 2^len(widths).

        encoder    4x4 convolutions, stride 2, of these widths, joined by ReLU; [mix: ReLU, 3x3];
                   residual units; ReLU; 1x1 to d
        decoder    3x3 from d; residual units; ReLU; transposed 4x4 convolutions, stride 2, joined by ReLU,
                   of the widths backwards
        unit       u + body(u), the body ReLU, 3x3 to residual_channels, ReLU, 1x1 back

    x (batch, height, width, image_channels), integers 0 .. levels - 1, which the network sees as -1 .. 1. outputs:
      output="mse"           (batch, height, width, image_channels), the image from -1 to 1. The reconstruction loss
                             is the mean squared error divided by the variance of the training images:
                             1 is no better than their mean
      output="categorical"   (..., levels) logits. The loss is in nats per sub-pixel, given the codes; with the bits
                             of the codes added it bounds the bits per dimension of the image (`tinyar.codes.bound`)

    flat=(height, width) makes one single code of an image of that size: only K outputs are possible, and learning
    is clustering. `loss` returns the reconstruction loss alone; the quantizer's terms are in model.quantizer.loss,
    and their gradients are added in backward. Raises ValueError for options or images that don't fit.
    """

    def __init__(self, levels=256, image_channels=1, widths=(64, 128), mix=True, residual_units=2,
                 residual_channels=32, codes=128, code_channels=16, beta=0.25, learning="ema", decay=0.99,
                 revive_below=0.1, output="mse", flat=None, seed=0):
        super().__init__()
        widths = whole_numbers("widths", widths)
        self.config = dict(levels=levels, image_channels=image_channels, widths=widths, mix=mix,
                           residual_units=residual_units, residual_channels=residual_channels,
                           codes=codes, code_channels=code_channels, beta=beta,
                           learning=learning, decay=decay, revive_below=revive_below,
                           output=output, flat=None if flat is None else list(flat), seed=seed)
        if output not in ("mse", "categorical"):
            raise ValueError(f"VQVAE: output is 'mse' or 'categorical', got {output!r}")
        if not widths:
            raise ValueError("VQVAE: widths names at least one convolution of stride 2, got none")
        self.likelihood = Categorical(levels)
        self.levels, self.image_channels, self.output = levels, image_channels, output
        self.stride = 2 ** len(widths)
        self.unit = "bits/dim given the codes" if output == "categorical" else "squared error / variance"
        self.state["variance"] = xp.ones(1, dtype=xp.float32)
        self.state["prepared"] = xp.zeros(1, dtype=xp.float32)
        rng, top = np.random.default_rng(seed), widths[-1]

        def units():
            return [Residual(Chain(ReLU(), Conv2d(top, residual_channels, 3, 1, 1, rng),
                                   ReLU(), Linear(residual_channels, top, rng)))
                    for _ in range(residual_units)] + [ReLU()]

        def joined(convolutions):
            return [link for convolution in convolutions for link in (ReLU(), convolution)][1:]

        down = [Conv2d(i, o, 4, 2, 1, rng) for i, o in zip((image_channels, *widths), widths)]
        down += [Conv2d(top, top, 3, 1, 1, rng)] if mix else []
        outputs = image_channels * (levels if output == "categorical" else 1)
        up = [ConvTranspose2d(i, o, 4, 2, 1, rng=rng) for i, o in zip(widths[::-1], (*widths[-2::-1], outputs))]
        if flat is None:
            to_code, from_code = [Linear(top, code_channels, rng)], [Conv2d(code_channels, top, 3, 1, 1, rng)]
        else:
            self.check_size(*flat)
            grid = flat[0] // self.stride, flat[1] // self.stride, top
            to_code = [Reshape(1, 1, int(np.prod(grid))), Linear(int(np.prod(grid)), code_channels, rng)]
            from_code = [Linear(code_channels, int(np.prod(grid)), rng), Reshape(*grid)]
        self.encoder = Chain(*joined(down), *units(), *to_code)
        self.quantizer = VectorQuantizer(codes, code_channels, beta, learning, decay,
                                         revive_below=revive_below, rng=rng)
        self.decoder = Chain(*from_code, *units(), *joined(up))
        for param in up[-1].params.values():
            param *= 0.1  # the first outputs are near 0, the middle grey, rather than far off

    @classmethod
    def published(cls, name, **changes):
        """A published configuration ('paper', 'example', 'course'), with some options changed.
        ValueError for another name.
        """
        if name not in PUBLISHED:
            raise ValueError(f"VQVAE: no published configuration {name!r}; there are {', '.join(PUBLISHED)}")
        return cls(**{**PUBLISHED[name], **changes})

    # -- training ------------------------------------------------------------------------------------------------------

    def prepare(self, images):
        """Before training: take the variance of the images, and start the codebook from the encoder's vectors.
        Done only once.
        """
        if self.state["prepared"][0]:
            return
        self.state["prepared"][...] = 1
        scaled = images.astype(np.float64) * (2 / (self.levels - 1))
        self.state["variance"][...] = float(scaled.var()) or 1.0
        self.quantizer.start_from(self.encoder(self.scale(to_device(images[:IMAGES_TO_START_FROM]))))

    def __call__(self, x):
        return self.outputs(self.decoder(self.quantizer(self.encoder(self.scale(x)))))

    def forward(self, x):
        z = self.encoder.forward(self.scale(x))
        e = self.quantizer.forward(z)
        return self.outputs(self.decoder.forward(e))

    def backward(self, doutputs, need_dx=True):
        # outputs = decoder(e), e = quantizer(z), z = encoder(scaled x)
        de = self.decoder.backward(doutputs.reshape(*doutputs.shape[:3], -1))
        dz = self.quantizer.backward(de)
        dscaled = self.encoder.backward(dz, need_dx)
        return dscaled * (2 / (self.levels - 1)) if need_dx else None

    def loss(self, outputs, x, weight=1.0):
        """The reconstruction loss of the images x, and its gradient by the outputs;
        both times weight, x's share of a batch.
        """
        self.quantizer.weight = weight
        if self.output == "categorical":
            loss, doutputs = self.likelihood.loss(outputs, x)
        else:
            difference = outputs - self.scale(x)
            scale = 1 / (difference.size * self.state["variance"])
            loss, doutputs = (difference * difference).sum() * scale[0], 2 * scale * difference
        doutputs *= weight
        return loss * weight, doutputs

    def score(self, x):
        """The reconstruction loss of the images x, summed over sub-pixels, by inference alone:
        nats, or squared error / variance.
        """
        if self.output == "categorical":
            return self.likelihood.nats(self(x), x).sum(dtype=xp.float64)
        difference = self(x) - self.scale(x)
        return (difference * difference).sum(dtype=xp.float64) / self.state["variance"][0]

    def figure(self, loss):
        """A mean loss as it is reported, in self.unit."""
        return bits_per_dim(loss) if self.output == "categorical" else loss

    def note(self):
        """The perplexity of the codes that the last batch chose."""
        return f"perplexity {perplexity(self.quantizer.sums['counts']):.1f}"

    # -- codes ---------------------------------------------------------------------------------------------------------

    def codes_of(self, images):
        """The numbers of the codes of images on the host: uint16 (batch, height / stride, width / stride, 1),
        (batch, 1, 1, 1) if flat.
        """
        z = self.encoder(self.scale(to_device(images)))
        return to_host(self.quantizer.indices(z)).astype(np.uint16)[..., None]

    def images_of(self, codes):
        """The images that codes (batch, rows, columns, 1) stand for: levels, uint8, on the host;
        of a softmax the likeliest level.
        """
        outputs = self.outputs(self.decoder(self.quantizer.lookup(codes[..., 0])))
        if self.output == "categorical":
            return to_host(outputs.argmax(axis=-1)).astype(np.uint8)
        levels = np.rint((to_host(outputs) + 1) * ((self.levels - 1) / 2))
        return levels.clip(0, self.levels - 1).astype(np.uint8)

    # -- shapes --------------------------------------------------------------------------------------------------------

    def scale(self, x):
        """Levels 0 .. levels - 1 as numbers from -1 to 1."""
        if x.ndim != 4 or x.shape[-1] != self.image_channels:
            raise ValueError(f"VQVAE: expected images (batch, height, width, {self.image_channels}), "
                             f"got shape {x.shape}")
        self.check_size(*x.shape[1:3])
        return x.astype(self.dtype) * (2 / (self.levels - 1)) - 1

    def check_size(self, height, width):
        """Raise ValueError unless both sides are multiples of the stride."""
        if height < 1 or width < 1 or height % self.stride or width % self.stride:
            raise ValueError(f"VQVAE: images of {height}x{width} pixels can't be halved "
                             f"{len(self.config['widths'])} times; expected multiples of {self.stride}, "
                             "so pad the images or use fewer widths")

    def outputs(self, features):
        """The decoder's features in the shape of the outputs."""
        if self.output == "mse":
            return features
        return features.reshape(*features.shape[:3], self.image_channels, self.levels)
