"""What a quantizer's backward is the gradient of.

A quantizer is piecewise constant, and its backward isn't its derivative, on purpose. But hold its choices fast at a
point z0, with k the codes chosen there, e0 = E[k] and c = e0 - z0 constant. Then backward is the gradient of

    y = z + c,   own loss = mean |E[k] - z0|^2 + beta mean |e0 - z|^2

and at z0 both are the quantizer's own. (With running means the codebook is a constant, and the first mean isn't there.)
"""

import contextlib

from tinyar.layers.quantizer import VectorQuantizer


@contextlib.contextmanager
def held_choices(layer):
    """A context in which the first forward of every quantizer in the tree is its own, and later ones are as above."""
    quantizers = [part for _, part in layer.layers() if isinstance(part, VectorQuantizer)]
    for quantizer in quantizers:
        quantizer.forward = held_forward(quantizer)
    try:
        yield
    finally:
        for quantizer in quantizers:
            del quantizer.forward


def held_forward(quantizer):
    """The forward of one quantizer in that context."""
    at_first = []  # z0, e0, k

    def forward(z):
        if not at_first:
            at_first.extend([z.copy(), type(quantizer).forward(quantizer, z), quantizer.indices(z)])
        z0, e0, k = at_first
        quantizer.codebook_loss = ((quantizer.codebook[k] - z0) ** 2).mean()
        quantizer.commitment_loss = ((e0 - z) ** 2).mean()
        return z + (e0 - z0)
    return forward
