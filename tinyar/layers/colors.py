"""The order of the colours within a pixel: R before G before B, kept by a 1x1 layer with blocks.

The channels of a feature map are dealt out to the colours in groups. A channel of group j at a pixel may depend on all
earlier pixels and on the colours of this pixel before colour j: group 0 (red) knows nothing of the current pixel,
group 1 (green) knows red, group 2 (blue) knows red and green. (van den Oord et al. 2016, arXiv 1601.06759, section
3.4.) The paper multiplies a whole matrix by a mask; here a masked weight doesn't exist.
"""

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Pointwise
from tinyar.layers.pointwise import Linear, as_rows, check_channels, check_last_axis, sum_rows


def group_slices(channels, colors):
    """The slice of channels of each colour: channel k belongs to group floor(colors * k / channels).

    The groups are contiguous and their sizes differ by at most one: 64 channels give 22, 21, 21. Raises ValueError
    when there are fewer channels than colours.
    """
    if colors < 1 or channels < colors:
        raise ValueError(f"{channels} channels can't be dealt out to {colors} colours: "
                         "each colour needs at least one channel")
    edges = [-(-j * channels // colors) for j in range(colors + 1)]  # ceil(j * channels / colors)
    return [slice(start, stop) for start, stop in zip(edges, edges[1:])]


class ColorLinear(Pointwise):
    """A linear map of the channels of each pixel that keeps the order of the colours.

    x (..., in) and y (..., out) are dealt out to the colours, and a group of y reads the groups of x that come before
    it (mask_type "A") or those and its own ("B"). With one matrix w_o (visible inputs, outputs of the group) for each
    colour o:

    forward     y[group o] = x[visible to o] w_o + b[group o]
    backward    dx[visible to o] += dy[group o] w_o^T
                dw_o = sum over pixels of x[visible to o]^T dy[group o],  db = sum over pixels of dy

    With parts > 1 the outputs are that many maps side by side, each dealt out by itself (the two halves of a gate, the
    four gates of an LSTM), and a matrix is w_o_part. Under mask A red sees nothing, so there is no w_0. The start is
    normal, of standard deviation sqrt(2 / inputs that an output sees on average) unless std is given; b starts at 0
    and is left out with bias=False. Raises ValueError for channels that can't be dealt out.
    """

    def __init__(self, in_channels, out_channels, colors, mask_type="B", parts=1, bias=True, std=None, rng=None):
        super().__init__()
        check_channels(self, in_channels, out_channels)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.blocks = list(color_blocks(in_channels, out_channels, mask_type, colors, parts))
        rng = rng or np.random.default_rng()
        std = std or (2 / max(self.count_weights() / out_channels, 1)) ** 0.5
        if bias:
            self.add_param("b", np.zeros(out_channels))
        for name, visible, group in self.blocks:
            self.add_param(name, rng.standard_normal((visible.stop, group.stop - group.start)) * std)

    def count_weights(self):
        return sum(visible.stop * (group.stop - group.start) for _, visible, group in self.blocks)

    def dense_matrix(self):
        """All blocks in one matrix (in, out), with zeros where an output doesn't see an input."""
        dense = xp.zeros((self.in_channels, self.out_channels), dtype=self.dtype)
        for name, visible, group in self.blocks:
            dense[visible, group] = self.params[name]
        return dense

    def __call__(self, x):
        check_last_axis(self, x, self.in_channels)
        y = xp.zeros((*x.shape[:-1], self.out_channels), dtype=x.dtype)
        if "b" in self.params:
            y += self.params["b"]
        for name, visible, group in self.blocks:
            y[..., group] += xp.matmul(x[..., visible], self.params[name])
        return y

    def forward(self, x):
        self.cache = x
        return self(x)

    def backward(self, dy, need_dx=True):
        x = self.take_cache()
        x_rows, dy_rows = as_rows(x), as_rows(dy)
        if "b" in self.grads:
            self.grads["b"] += sum_rows(dy_rows)
        dx = xp.zeros(x.shape, dtype=dy.dtype) if need_dx else None
        for name, visible, group in self.blocks:
            # y[group] += x[visible] w
            self.grads[name] += xp.matmul(x_rows[:, visible].T, dy_rows[:, group])
            if need_dx:
                dx[..., visible] += xp.matmul(dy[..., group], self.params[name].T)
        return dx


def check_mask_type(name, mask_type):
    """Raise ValueError, which begins with `name`, unless the mask is of type "A" or "B"."""
    if mask_type not in ("A", "B"):
        raise ValueError(f"{name}: mask_type is 'A' (centre hidden) or 'B' (centre visible), got {mask_type!r}")


def color_blocks(in_channels, out_channels, mask_type, colors, parts):
    """Yield (parameter name, visible inputs, group of outputs) for each colour and part that sees anything."""
    check_mask_type("ColorLinear", mask_type)
    if parts < 1 or out_channels % parts:
        raise ValueError(f"ColorLinear: {out_channels} output channels can't be cut into {parts} equal parts")
    size = out_channels // parts
    groups_in, groups_out = group_slices(in_channels, colors), group_slices(size, colors)
    for color, group in enumerate(groups_out):
        visible = groups_in[color].stop if mask_type == "B" else groups_in[color].start
        for part in range(parts if visible else 0):
            name = f"w_{color}" if parts == 1 else f"w_{color}_{part}"
            yield name, slice(0, visible), slice(part * size + group.start, part * size + group.stop)


def conv1x1(in_channels, out_channels, colors=1, rng=None, parts=1):
    """The 1x1 convolution: a Linear layer, or with `colors` > 1 one that keeps the order of the colours."""
    if colors == 1:
        return Linear(in_channels, out_channels, rng)
    return ColorLinear(in_channels, out_channels, colors, "B", parts, rng=rng)
