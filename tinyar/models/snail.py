"""The network of PixelSNAIL: convolutions for what is near, then attention to all that came before, block by block.

One stream of features, ul, that knows earlier pixels alone. The convolutions (2x2) look up and left, so by themselves
they never see much to the right of the pixel. Attention makes every earlier pixel reachable.
"""

import numpy as np

from tinyar.backend import to_device, xp
from tinyar.layer import Layer
from tinyar.layers.streams import RowThenPixel


class SnailBlock(Layer):
    """(ul, x) -> ul': residual units, attention over what they made, and a unit that merges the two.

    x (batch, height, width, image_channels) is the image itself, ul (batch, height, width, channels) the features so
    far, place the coordinates of the pixels (`place_of_pixels`), [ , ] side by side:

    forward     ul_1 = units(ul)
                (k, v) = K([x, ul_1, place]),  q = Q([ul_1, place])     K, Q: a unit of single pixels, a linear map
                ul' = merge(ul_1, attention(q, k, v))
    backward    (dul_1, do) = merge's backward of dul';  (dq, dk, dv) = attention's backward of do
                (dx, dul_1, -) += K's backward of [dk, dv];  (dul_1, -) += Q's backward of dq     -: nobody needs dplace
                dul = units' backward of dul_1

    Keys and values may use x, since attention looks at strictly earlier pixels. Queries may not: the pixel would see
    itself.

    Drawing: `step` makes ul' at a pixel. Its key and value need the pixel itself: `see`, once it is known.

        units, key_value, query, merge, attention    the layers above
        repeats                                      see place_of_pixels
    """

    def __init__(self, units, key_value, query, attention, merge, repeats=1):
        super().__init__()
        self.units, self.key_value, self.query, self.attention, self.merge = units, key_value, query, attention, merge
        self.repeats = repeats

    def __call__(self, ul, x):
        ul, *qkv = self.qkv(ul, x)
        return self.merge(ul, self.attention(*qkv))

    def qkv(self, ul, x):
        """(ul_1, q, k, v) by inference."""
        for unit in self.units:
            ul = unit(ul)
        place = self.places(ul)
        key_value = self.key_value(xp.concatenate([x, ul, place], axis=-1))
        return ul, self.query(xp.concatenate([ul, place], axis=-1)), *self.halves(key_value)

    def forward(self, ul, x):
        for unit in self.units:
            ul = unit.forward(ul)
        place = self.places(ul)
        key_value = self.key_value.forward(xp.concatenate([x, ul, place], axis=-1))
        query = self.query.forward(xp.concatenate([ul, place], axis=-1))
        self.cache = x.shape[-1]
        return self.merge.forward(ul, self.attention.forward(query, *self.halves(key_value)))

    def backward(self, dul, need_dx=True):
        """(dul, dx)."""
        image, channels = self.take_cache(), dul.shape[-1]
        # ul' = merge(ul_1, attention(q, k, v))
        dul, do = self.merge.backward(dul)
        dq, dk, dv = self.attention.backward(do)
        # (k, v) = K([x, ul_1, place])
        dinput = self.key_value.backward(xp.concatenate([dk, dv], axis=-1))
        dx = dinput[..., :image]
        dul += dinput[..., image:image + channels]
        # q = Q([ul_1, place])
        dul += self.query.backward(dq)[..., :channels]
        for number, unit in reversed(list(enumerate(self.units))):
            dul = unit.backward(dul, need_dx or number > 0)
        return (dul, dx) if need_dx else None

    def halves(self, key_value):
        """Keys and values, which lie side by side."""
        return key_value[..., :self.attention.key_channels], key_value[..., self.attention.key_channels:]

    def places(self, ul):
        """place for these features: the same for every image."""
        place = place_of_pixels(*ul.shape[1:3], self.repeats, ul.dtype)
        return xp.broadcast_to(place, (len(ul), *place.shape))

    # -- drawing -------------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        super().start(batch, height, width)
        place = place_of_pixels(height, width, self.repeats, self.dtype)
        self.place = xp.broadcast_to(place, (batch, *place.shape))

    def step(self, ul, at):
        for unit in self.units:
            ul = unit.step(ul, at)
        self.features = ul
        query = self.query.step(xp.concatenate([ul, self.place[:, at[0], at[1]]], axis=-1), at)
        return self.merge.step(ul, at, self.attention.step(query, at))

    def see(self, x, at):
        """The pixel of the latest step is known to be x: make its key and its value."""
        key_value = self.key_value.step(xp.concatenate([x, self.features, self.place[:, at[0], at[1]]], axis=-1), at)
        self.attention.see(*self.halves(key_value), at)


class Snail(RowThenPixel):
    """x (batch, height, width, image_channels + 1), an image and ones -> ul (batch, height, width, channels).

    forward     ul_0 = first(x),  ul_b = block_b(ul_(b-1), image)
    backward    (dul_(b-1), dimage_b) = block_b's backward of dul_b
                dx = first's backward of dul_0, and in the channels of the image the sum of all dimage_b

    first     AboveAndLeft, of which one term is drawn a row at a time: so this is a RowThenPixel
    blocks    SnailBlocks
    """

    def __init__(self, in_channels, first, blocks):
        super().__init__(in_channels)
        self.first, self.blocks = first, blocks

    def __call__(self, x):
        ul = self.first(x)
        for block in self.blocks:
            ul = block(ul, x[..., :-1])
        return ul

    def forward(self, x):
        ul = self.first.forward(x)
        for block in self.blocks:
            ul = block.forward(ul, x[..., :-1])
        return ul

    def backward(self, dul, need_dx=True):
        dimages = 0
        for block in reversed(self.blocks):
            dul, dimage = block.backward(dul)
            if need_dx:
                dimages = dimages + dimage
        dx = self.first.backward(dul, need_dx)
        if need_dx:
            dx[..., :-1] += dimages
        return dx

    def looks(self, x, at):
        """Where the pixel `at` looks: for each block the weights of its attention, (batch, heads, height, width)."""
        found, ul = [], self.first(x)
        for block in self.blocks:
            ul, q, k, v = block.qkv(ul, x[..., :-1])
            found.append(block.attention.weights_at(q, k, at))
            ul = block.merge(ul, block.attention(q, k, v))
        return found

    # -- drawing -------------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        super().start(batch, height, width)
        self.latest = None

    def begin_row(self, row):
        """The first term of ul_0. With the row above complete, its last pixel gets key and value."""
        self.first.begin_row(self.row_pixels, row)
        if row:
            self.tell_blocks(self.row_pixels[:, -1])

    def step_pixel(self, x, at):
        """ul at a pixel, which doesn't depend on x, the pixel itself.

        Now the pixel to its left gets key and value. Not before, since step and see may be repeated at a pixel.
        """
        row, col = at
        if col and self.latest == (row, col - 1):
            self.tell_blocks(self.row_pixels[:, col - 1])
        self.latest = row, col
        ul = self.first.step_pixel(self.row_pixels[:, col - 1], at)
        for block in self.blocks:
            ul = block.step(ul, at)
        return ul

    def tell_blocks(self, x):
        """The pixel of the latest step is x, the ones included."""
        for block in self.blocks:
            block.see(x[:, :-1], self.latest)


def place_of_pixels(height, width, repeats, dtype):
    """Where each pixel lies: (row - height / 2) / height and (col - width / 2) / width, from -1/2 to below 1/2.

    (height, width, 2 * repeats): the row so many times, then the column. In the published network that is as often as
    there are colours.
    """
    rows, cols = (((np.arange(n) - n / 2) / n) for n in (height, width))
    place = np.empty((height, width, 2 * repeats))
    place[..., :repeats], place[..., repeats:] = rows[:, None, None], cols[:, None]
    return to_device(place, dtype=dtype)
