"""What a prior of fine codes is told: the whole grid of coarse codes, as features of the fine grid.

In VQ-VAE-2 the bottom prior is p(bottom codes | top codes, class). Every bottom code may look at all top codes, so this
network has no mask. Its features enter the prior as a map, by a `Conditional` in every block. They are made once for an
image, in drawing too.
"""

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.combine import Chain
from tinyar.layers.shape import Repeat
from tinyar.layers.strided import Conv2d
from tinyar.models.autoencoder import units

MAP_FACTOR = 2  # how much finer the prior's grid is


class Conditioner(Layer):
    """c -> the map that the prior's layers are told, twice as high and as wide.

    c (batch, rows, columns, classes + 1): the one-hot vector of the class, which stays as it is, and the number of the
    code; or (..., classes + codes) with a vector in the number's place. All is repeated to the finer grid:

    forward     f = units(conv3x3(one_hot(code)))                    (batch, rows, columns, channels)
                m = repeat([class, f])                               (batch, 2 rows, 2 columns, classes + channels)
    backward    (dclass, df) = repeat's backward of dm: sums over cells of 2x2
                dcode = the backward of units and conv3x3 of df      by the code's vector

    codes: how many there are. channels, hidden: widths of the residual units; count: how many. Raises ValueError
    for another number of channels.
    """

    def __init__(self, classes, codes, channels, hidden, count, rng):
        super().__init__()
        self.classes, self.codes = classes, codes
        self.features = Chain(Conv2d(codes, channels, 3, 1, 1, rng), *units(channels, hidden, count, rng))
        self.repeat = Repeat(MAP_FACTOR)

    def __call__(self, c):
        class_vector, codes = self.class_and_code(c)
        return self.repeat(xp.concatenate([class_vector, self.features(codes)], axis=-1))

    def forward(self, c):
        class_vector, codes = self.class_and_code(c)
        return self.repeat.forward(xp.concatenate([class_vector, self.features.forward(codes)], axis=-1))

    def backward(self, dm, need_dx=True):
        # m = repeat([class, f])
        dclass_and_f = self.repeat.backward(dm)
        dclass, df = dclass_and_f[..., :self.classes], dclass_and_f[..., self.classes:]
        # f = features(code)
        dcode = self.features.backward(df, need_dx)
        return xp.concatenate([dclass, dcode], axis=-1) if need_dx else None

    def class_and_code(self, c):
        """(the class's vector, the code's), from c."""
        c = c.astype(self.dtype)
        class_vector, codes = c[..., :self.classes], c[..., self.classes:]
        if codes.shape[-1] == 1:
            codes = (codes == xp.arange(self.codes)).astype(self.dtype)
        if codes.shape[-1] != self.codes:
            raise ValueError(f"Conditioner: expected {self.classes + 1} channels, or {self.classes + self.codes}, "
                             f"got shape {c.shape}")
        return class_vector, codes
