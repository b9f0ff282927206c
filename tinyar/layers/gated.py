"""The layer of Gated PixelCNN: two streams of features, one for the rows above and one for the pixels to the left.

A single stack of masked convolutions never sees some pixels above to the right, its blind spot. Here the work is split:

    vertical v      at row r knows whole rows, up to and including row r (or row r - 1, see below), without any mask
    horizontal h    knows the pixels to the left in its own row, and is told at every layer
                    what v knows of the rows above

Information goes from v to h only: v looks to the right, so whatever it took from h would be known too early.
(van den Oord et al. 2016, "Conditional Image Generation with PixelCNN Decoders", arXiv 1606.05328.)
"""

from tinyar.backend import xp
from tinyar.conditions import Conditional
from tinyar.layer import Layer
from tinyar.layers.colors import ColorLinear, check_mask_type, conv1x1
from tinyar.layers.combine import Sum
from tinyar.layers.dropout import Dropout
from tinyar.layers.pointwise import Gate, Linear
from tinyar.layers.shape import move_down, move_up
from tinyar.layers.shifted import ShiftedConv2d


class GatedBlock(Layer):
    """(v, h) -> (v', h'), each (batch, height, width, channels),
    with half-width m = (kernel_size - 1) / 2 and dilation d.

    forward     A_v = conv_v(v) + c V_v             rows -m d .. 0, columns -m d .. m d, in steps of d: 2 * channels
                v'  = gate(A_v)                     tanh of the first half times sigmoid of the second
                S   = A_v, moved down one row       if `shift`; a zero row comes in at the top
                A_h = conv_h(h) + c V_h + S W_l     columns -m d .. 0 of the row; without 0 under mask A
                h'  = [h +] k gate(A_h) W_o         the "h +" if `residual`; k is 1, in training with dropout
                                                    0 or 1 / (1 - rate), see `Dropout`
    backward    dg   = (k dh') W_o^T                of gate(A_h); then dA_h by the gate's own backward
                dh   = conv_h^T(dA_h) [+ dh']       conv^T: the backward of the convolution
                dS   = dA_h W_l^T
                dA_v = dS, moved up one row         if `shift`; a zero row comes in at the bottom
                       + the gate's backward of dv', which is 0 in the last block
                dv   = conv_v^T(dA_v)
                dW_o = sum_rc gate(A_h)^T (k dh'),  dW_l = sum_rc S^T dA_h
                dV_h = sum_rc c^T dA_h,  dV_v = sum_rc c^T dA_v

    The shift: A_v at row r has seen row r itself, to its very end. Moved down a row, it reaches h only where all that
    is past. A model whose first vertical layer already leaves out row r has shift=False. With neither the
    move nor such a first layer the current row would leak; with both, row r - 1 would be lost.

    The first block of a network reads the image (in_channels), has mask_type "A" and no residual. `last` leaves out v'
    (None), which nobody reads. c is the condition (`Conditional`). With `colors` > 1 the centre tap of conv_h and W_o
    are masked in the order of the colours, whose channels are dealt out within each half of the gate; v needs no such
    mask, it knows nothing of the current pixel.

    Drawing: `step_row` computes v' once for a whole row, `step` h' pixel by pixel. Raises ValueError for an even kernel
    size or one below 3.
    """

    def __init__(self, in_channels, channels, kernel_size, mask_type="B", dilation=1, shift=True, residual=True,
                 last=False, colors=1, condition_channels=0, dropout=0.0, rng=None):
        super().__init__()
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(f"GatedBlock: kernel_size must be odd and at least 3, got {kernel_size!r}")
        reach = kernel_size // 2 * dilation
        rows, columns = range(-reach, 1, dilation), range(-reach, reach + 1, dilation)
        self.shift, self.residual, self.last, self.channels = shift, residual, last, channels
        self.vertical = ShiftedConv2d(in_channels, 2 * channels, rows, columns, rng=rng)
        self.vertical_condition = Conditional(condition_channels, 2 * channels)
        self.vertical_gate = Gate()
        self.link = Linear(2 * channels, 2 * channels, rng)
        self.link.params["w"] *= 0.5 ** 0.5  # the start that suits a gate, as in ShiftedConv2d
        self.horizontal = horizontal_convolution(in_channels, 2 * channels, reach, dilation, mask_type, colors, 2, rng)
        self.horizontal_condition = Conditional(condition_channels, 2 * channels)
        self.horizontal_gate = Gate()
        self.output = conv1x1(channels, channels, colors, rng)
        self.dropout = Dropout(dropout)

    # -- the whole image -----------------------------------------------------------------------------------------------

    def __call__(self, v, h):
        above = self.vertical_condition(self.vertical(v))  # A_v (batch, height, width, 2 * channels)
        across = self.horizontal(h)
        across += self.link(move_down(above) if self.shift else above)
        out = self.output(self.horizontal_gate(self.horizontal_condition(across)))
        v_out, h_out = None if self.last else self.vertical_gate(above), h + out if self.residual else out
        return v_out, h_out

    def forward(self, v, h):
        above = self.vertical_condition.forward(self.vertical.forward(v))  # A_v (batch, height, width, 2 * channels)
        across = self.horizontal.forward(h)
        across += self.link.forward(move_down(above) if self.shift else above)
        out = self.output.forward(self.horizontal_gate.forward(self.horizontal_condition.forward(across)))  # of A_h
        out = self.dropout.forward(out)
        v_out, h_out = None if self.last else self.vertical_gate.forward(above), h + out if self.residual else out
        return v_out, h_out

    def backward(self, dv_out, dh_out, need_dx=True):
        """(dv, dh) of (dv', dh'); dv' is ignored in the last block. Both are None without need_dx."""
        # h' = h + k output(gate(A_h)),  A_h = conv_h(h) + c V_h + link(S)
        dout = self.dropout.backward(dh_out)
        dacross = self.horizontal_condition.backward(self.horizontal_gate.backward(self.output.backward(dout)))
        dh = self.horizontal.backward(dacross, need_dx)
        dabove = self.link.backward(dacross)
        # S = A_v moved down
        if self.shift:
            dabove = move_up(dabove)
        # v' = gate(A_v),  A_v = conv_v(v) + c V_v
        if not self.last:
            dabove += self.vertical_gate.backward(dv_out)
        dv = self.vertical.backward(self.vertical_condition.backward(dabove), need_dx)
        if need_dx and self.residual:
            dh += dh_out
        return dv, dh

    # -- drawing -------------------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        super().start(batch, height, width)
        above_the_image = xp.zeros((batch, width, 2 * self.channels), dtype=self.dtype)
        self.link_row = self.link(above_the_image)

    def step_row(self, v, row):
        """v' (batch, width, channels) at a row, from v there; the link's output is kept for the steps that follow."""
        self.vertical.see_row(v, row)
        above = self.vertical_condition.step_row(self.vertical.output_row(row), row)
        self.link_row = self.link(above)
        return None if self.last else self.vertical_gate(above)

    def step(self, h, at):
        """h' (batch, channels) at one pixel."""
        across = self.horizontal.step(h, at) + self.link_row[:, at[1]]
        out = self.output.step(self.horizontal_gate(self.horizontal_condition.step(across, at)), at)
        return h + out if self.residual else out

    def see(self, h, at):
        self.horizontal.see(h, at)


def horizontal_convolution(in_channels, out_channels, reach, dilation, mask_type, colors, parts, rng):
    """A convolution along the row: columns -reach .. 0 in steps of the dilation,
    the last one left out or masked by colour.
    """
    check_mask_type("GatedBlock", mask_type)
    if colors == 1:
        return ShiftedConv2d(in_channels, out_channels, (0,),
                             range(-reach, 1 if mask_type == "B" else 0, dilation), rng=rng)
    left = ShiftedConv2d(in_channels, out_channels, (0,), range(-reach, 0, dilation), bias=False, rng=rng)
    return Sum(left, ColorLinear(in_channels, out_channels, colors, mask_type, parts, rng=rng))
