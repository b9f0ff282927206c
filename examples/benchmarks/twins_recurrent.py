"""The PyTorch twins of the recurrent layers: nn.LSTM for the raster, loops in Python for rows and diagonals.

PyTorch has no kernel for the latter two, so this is how one writes them: the input's part of z is ready for the whole
image (a convolution outside), a step is one matrix product and a cell, and steps are cut off the map by `unbind` or
`split`, whose gradients are single copies; indexing would add up one gradient as large as the map for each step. A
diagonal layer comes in two forms:

    masked    as most code has it: whole columns of the skewed map; cells left of the image are then set to h0 and c0
    cropped   only those pixels of a column that lie in the image

Maps are (batch, channels, height, width) outside, and steps come first inside.
"""

import torch
from torch import nn
from torch.nn import functional
from twin_weights import tensor


class Previous(nn.Module):
    """Previous: the pixel before, in raster order."""

    def forward(self, x):
        return functional.pad(x.flatten(2), (1, -1)).view_as(x)


class RasterLSTM(nn.Module):
    """A Linear that makes Z, and the SequenceRecurrence behind it. nn.LSTM adds up two biases: one of them stays 0."""

    def __init__(self, gates, recurrence):
        super().__init__()
        self.lstm = nn.LSTM(gates.in_channels, recurrence.hidden)
        self.lstm.weight_ih_l0.data, self.lstm.weight_hh_l0.data, self.lstm.bias_ih_l0.data = (
            in_torch_order(tensor(w)) for w in (gates.params["w"], recurrence.params["w"][0], gates.params["b"]))
        self.lstm.bias_hh_l0.data.zero_()
        self.lstm.bias_hh_l0.requires_grad_(False)
        self.start = initial_states(recurrence)

    def forward(self, x):
        batch, _, height, width = x.shape
        start = tuple(state.expand(1, batch, -1).contiguous() for state in self.start)
        y, _ = self.lstm(x.flatten(2).permute(2, 0, 1), start)
        return y.permute(1, 2, 0).reshape(batch, -1, height, width)


class RowLSTM(nn.Module):
    """RowRecurrence."""

    def __init__(self, layer):
        super().__init__()
        self.size, self.half = layer.kernel_size, layer.half
        self.weight, self.start = nn.Parameter(tensor(layer.params["w"]).flatten(0, 1)), initial_states(layer)

    def forward(self, z):
        batch, _, _, width = z.shape
        h, c = (state.expand(batch * width, -1) for state in self.start)
        ys = []
        for row in z.permute(2, 0, 3, 1).flatten(1, 2).contiguous().unbind():  # (batch * width, 4h)
            padded = functional.pad(h.view(batch, width, -1), (0, 0, self.half, self.half))
            windows = torch.cat([padded[:, j:j + width] for j in range(self.size)], dim=2).flatten(0, 1)
            h, c = cell(torch.addmm(row, windows, self.weight), c)
            ys.append(h.view(batch, width, -1))
        return torch.stack(ys, dim=1).permute(0, 3, 1, 2)


class DiagonalBiLSTM(nn.Module):
    """DiagonalBiRecurrence."""

    def __init__(self, layer, cropped):
        super().__init__()
        direction = DiagonalCropped if cropped else DiagonalMasked
        self.left, self.right = direction(layer.left), direction(layer.right)

    def forward(self, z):
        z_left, z_right = z.chunk(2, dim=1)
        return self.left(z_left) + functional.pad(self.right(z_right.flip(3)).flip(3), (0, 0, 1, -1))


class DiagonalMasked(nn.Module):
    """DiagonalRecurrence over whole columns of the skewed map."""

    def __init__(self, layer):
        super().__init__()
        self.weight, self.start = nn.Parameter(tensor(layer.params["w"]).flatten(0, 1)), initial_states(layer)

    def forward(self, z):
        batch, _, height, width = z.shape
        columns = skew(z.permute(2, 3, 0, 1)).unbind(1)  # (height, batch, 4h)
        steps, rows = (torch.arange(n, device=z.device) for n in (len(columns), height))
        begun = (rows <= steps[:, None])[..., None, None]
        h, c = h0, c0 = [state.expand(height, batch, -1) for state in self.start]
        ys = []
        for column, in_image in zip(columns, begun):
            left_and_up = torch.cat([h, functional.pad(h, (0, 0, 0, 0, 1, -1))], dim=2)
            h, c = cell(column + left_and_up @ self.weight, c)
            h, c = torch.where(in_image, h, h0), torch.where(in_image, c, c0)
            ys.append(h)
        return unskew(torch.stack(ys, dim=1), width).permute(2, 3, 0, 1)


class DiagonalCropped(DiagonalMasked):
    """DiagonalRecurrence over the pixels of each diagonal alone, from top to bottom."""

    def forward(self, z):
        batch, _, height, width = z.shape
        diagonal = torch.arange(height)[:, None] + torch.arange(width)
        order = diagonal.flatten().argsort(stable=True).to(z.device)
        sizes = diagonal.flatten().bincount().tolist()
        h0, c0 = [state.expand(1, batch, -1) for state in self.start]
        none = torch.zeros_like(h0)
        h = c = none[:0]  # of the diagonal before
        ys = []
        for t, now in enumerate(z.permute(2, 3, 0, 1).flatten(0, 1).index_select(0, order).split(sizes)):
            # A row that ended in the diagonal before is dropped at the top; a new one begins below, while there is one.
            left, c, up = (h[1:], c[1:], h) if t >= width else (h, c, torch.cat([none, h]))
            left, c, up = (torch.cat([left, h0]), torch.cat([c, c0]), up) if t < height else (left, c, up[:-1])
            h, c = cell(now + torch.cat([left, up], dim=2) @ self.weight, c)
            ys.append(h)
        return torch.cat(ys).index_select(0, order.argsort()).view(height, width, batch, -1).permute(2, 3, 0, 1)


def cell(z, c):
    """(h, c) of the LSTM cell."""
    hidden = c.shape[-1]
    o, f, i = torch.sigmoid(z[..., :3 * hidden]).chunk(3, dim=-1)
    c = f * c + i * torch.tanh(z[..., 3 * hidden:])
    return o * torch.tanh(c), c


def skew(x):
    """x (height, width, ...) with row r moved right by r: (height, width + height - 1, ...), zeros in empty cells."""
    height, width = x.shape[:2]
    padded = functional.pad(x, (0, 0, 0, 0, 0, height))
    return padded.flatten(0, 1)[:-height].view(height, width + height - 1, *x.shape[2:])


def unskew(x, width):
    """The inverse of skew."""
    height = len(x)
    padded = functional.pad(x.flatten(0, 1), (0, 0, 0, 0, 0, height))
    return padded.view(height, width + height, *x.shape[2:])[:, :width]


def initial_states(recurrence):
    return nn.ParameterList([nn.Parameter(tensor(recurrence.params[name])) for name in ("h0", "c0")])


def in_torch_order(w):
    """Gates o, f, i, g as nn.LSTM wants them: i, f, g, o, and as rows."""
    o, f, i, g = w.chunk(4, dim=-1)
    return torch.cat([i, f, g, o], dim=-1).T.contiguous() if w.ndim == 2 else torch.cat([i, f, g, o])
