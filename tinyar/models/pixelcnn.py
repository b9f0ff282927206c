"""PixelCNN: a stack of masked convolutions that predicts every pixel from those before it, all at once.

    p(image) = product over pixels i, in raster order, of p(x_i | x_1 ... x_(i-1))

and in colour each factor is split again, p(R | past) p(G | past, R) p(B | past, R, G). Every sub-pixel is one of `levels`
values, by a softmax. In training all true pixels are known, so a single forward pass gives all factors; the masks alone see
to it that no factor sees its own pixel. Drawing is sequential (`tinyar.sampling`).

Source: van den Oord, Kalchbrenner, Kavukcuoglu 2016, "Pixel Recurrent Neural Networks", arXiv 1601.06759. A k x k network has a
blind spot: pixels above and more than (k - 1) / 2 columns a row to the right are never seen (`examples/receptive_field.py`).
"""

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Chain, Layer, Residual
from tinyar.layers.conv import MaskedConv2d
from tinyar.layers.norm import LayerNorm
from tinyar.layers.pointwise import Linear, ReLU
from tinyar.likelihoods import Categorical
from tinyar.losses import bits_per_dim

PUBLISHED = {
    # 7x7 blocks 64-32-32-64 with LayerNorm: 280,130 parameters with 5 blocks and 2 levels; 8 and 10 blocks were tried too.
    "report": dict(levels=2, channels=64, blocks=5, kernel_size=7, layer_norm=True, head=(64,)),
    # The paper's CIFAR-10 network, 3x3 blocks 2h-h-h-2h with h = 128, 15 of them: 5,340,416 parameters if all taps are counted.
    "paper": dict(levels=256, image_channels=3, channels=256, blocks=15, kernel_size=3, layer_norm=False, head=(1024, 1024)),
    # The same idea at the size of its MNIST networks, h = 16.
    "paper-mnist": dict(levels=2, channels=32, blocks=7, kernel_size=3, layer_norm=False, head=(32, 32)),
    # Berkeley CS294-158, homework 1: five plain 7x7 convolutions, no residuals.
    "homework": dict(levels=2, channels=64, blocks=5, block="plain", kernel_size=7, layer_norm=False, residual=False, head=(64,)),
}


class PixelCNN(Layer):
    """logits = net(2 x / (levels - 1) - 1), with net one masked convolution of type A, residual blocks of type B, and a head.

        first      k1 x k1 convolution, mask A                      image channels -> channels
        block      [LayerNorm], then u + body(u); the body is
          bottleneck   ReLU, 1x1; ReLU, k x k mask B; ReLU, 1x1     channels -> channels / 2 -> channels / 2 -> channels
          plain        ReLU, k x k mask B                           channels -> channels
        head       ReLU, 1x1 for each width in `head`, then ReLU, 1x1 to image_channels * levels logits

    x (batch, height, width, image_channels), integers 0 .. levels - 1, of any height and width;
    logits (batch, height, width, image_channels, levels). backward returns the gradient by x as if its levels were real numbers.

    With one_hot the pixels are codes (`tinyar.codes`), numbers without an order: the network sees the one-hot vector of each, and
    x may also be such vectors (..., levels) themselves, by which backward then returns the gradient.

    residual=False leaves out the "u +", layer_norm=False the LayerNorm. With ordered_colors (for more than one image channel)
    the channels of every layer are dealt out to the colours and masked in the order R, G, B; without, all colours of a pixel are
    independent of each other, given the earlier pixels. The weights of the last layer start at a tenth of the usual size, so
    that the first loss is near ln(levels). Raises ValueError for options that don't fit together.
    """

    def __init__(self, levels=2, image_channels=1, ordered_colors=True, channels=64, blocks=5, block="bottleneck", first_kernel=7,
                 kernel_size=7, layer_norm=True, residual=True, head=(64,), one_hot=False, seed=0):
        super().__init__()
        self.config = dict(levels=levels, image_channels=image_channels, ordered_colors=ordered_colors, channels=channels,
                           blocks=blocks, block=block, first_kernel=first_kernel, kernel_size=kernel_size,
                           layer_norm=layer_norm, residual=residual, head=list(head), one_hot=one_hot, seed=seed)
        if block not in ("bottleneck", "plain"):
            raise ValueError(f"PixelCNN: block is 'bottleneck' or 'plain', got {block!r}")
        if not isinstance(blocks, (int, np.integer)) or blocks < 0:
            raise ValueError(f"PixelCNN: blocks is a whole number of at least 0, got {blocks!r}")
        if one_hot and image_channels != 1:
            raise ValueError(f"PixelCNN: one_hot is for grids of codes, of one channel, got image_channels={image_channels}")
        self.likelihood = Categorical(levels, most=2 ** 16 if one_hot else 256)
        self.levels, self.image_channels, self.one_hot = levels, image_channels, one_hot
        self.unit = "bits/code" if one_hot else "bits/dim"
        colors = image_channels if ordered_colors else 1
        # Which sub-pixels of a pixel are drawn from one step: each colour by itself, or all at once.
        self.color_passes = [slice(c, c + 1) for c in range(colors)] if colors > 1 else [slice(0, image_channels)]
        rng = np.random.default_rng(seed)

        def conv(inputs, outputs, size, mask_type="B"):
            return MaskedConv2d(inputs, outputs, size, mask_type, colors, rng)

        def pointwise(inputs, outputs):
            return Linear(inputs, outputs, rng) if colors == 1 else conv(inputs, outputs, 1)

        def body():
            if block == "plain":
                return Chain(ReLU(), conv(channels, channels, kernel_size))
            half = channels // 2
            return Chain(ReLU(), pointwise(channels, half), ReLU(), conv(half, half, kernel_size), ReLU(), pointwise(half, channels))

        links = [conv(levels if one_hot else image_channels, channels, first_kernel, "A")]
        for _ in range(blocks):
            links += [LayerNorm(channels, colors)] if layer_norm else []
            links += [Residual(body()) if residual else body()]
        widths = [channels, *head, image_channels * self.likelihood.outputs_per_subpixel]
        for inputs, outputs in zip(widths, widths[1:]):
            links += [ReLU(), pointwise(inputs, outputs)]
        for param in links[-1].params.values():
            param *= 0.1
        self.net = Chain(*links)

    @classmethod
    def published(cls, name, **changes):
        """A published configuration ('report', 'paper', 'paper-mnist', 'homework'), with some options changed.

        PixelCNN.published("report", blocks=8). Raises ValueError for another name.
        """
        if name not in PUBLISHED:
            raise ValueError(f"PixelCNN: no published configuration {name!r}; there are {', '.join(PUBLISHED)}")
        return cls(**{**PUBLISHED[name], **changes})

    def __call__(self, x):
        return self.logits(self.net(self.scale(x)))

    def forward(self, x):
        return self.logits(self.net.forward(self.scale(x)))

    def backward(self, dlogits, need_dx=True):
        dnet = dlogits.reshape(*dlogits.shape[:-2], -1)
        dscaled = self.net.backward(dnet, need_dx)
        if not need_dx or self.one_hot:
            return dscaled
        return dscaled * (2 / (self.levels - 1))

    def loss(self, logits, x, weight=1.0):
        """The mean nats per sub-pixel of the images x, and its gradient by the logits; both times weight, x's share of a batch."""
        loss, dlogits = self.likelihood.loss(logits, x)
        dlogits *= weight
        return loss * weight, dlogits

    def score(self, x):
        """The nats of the images x, summed over sub-pixels, by inference alone."""
        return self.likelihood.nats(self(x), x).sum(dtype=xp.float64)

    def figure(self, loss):
        """A mean loss as it is reported, in self.unit."""
        return bits_per_dim(loss)

    def step(self, x, at):
        """The logits (batch, image_channels, levels) at one pixel; x (batch, image_channels), of which only earlier colours count."""
        return self.logits(self.net.step(self.scale(x), at))

    def see(self, x, at):
        self.net.see(self.scale(x), at)

    def scale(self, x):
        """Levels 0 .. levels - 1 as numbers from -1 to 1, so that the zeros around the image are a colour of their own; or one-hot."""
        if self.one_hot and x.shape[-1] == self.levels:
            return x.astype(self.dtype)
        if x.ndim not in (2, 4) or x.shape[-1] != self.image_channels:
            raise ValueError(f"PixelCNN: expected images (batch, height, width, {self.image_channels}), got shape {x.shape}")
        if self.one_hot:
            return (x == xp.arange(self.levels)).astype(self.dtype)
        return x.astype(self.dtype) * (2 / (self.levels - 1)) - 1

    def logits(self, features):
        """(..., image_channels * levels) as (..., image_channels, levels)."""
        return features.reshape(*features.shape[:-1], self.image_channels, self.levels)
