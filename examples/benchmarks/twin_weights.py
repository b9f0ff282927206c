"""tinyar's arrays as PyTorch's tensors, for the twins."""

import torch

from tinyar.backend import to_host


def tensor(array):
    return torch.tensor(to_host(array))


def kernel_of(array):
    """(rows, columns, in, out) as (out, in, rows, columns)."""
    return tensor(array).permute(3, 2, 0, 1).contiguous()
