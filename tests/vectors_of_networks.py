"""Weights by the rule of tests/vectors/README.md, for the reference numbers of whole networks."""

import pathlib

import numpy as np

from tinyar.backend import to_device, to_host, xp
from tinyar.conditions import Conditional
from tinyar.layers.weights import Weighted

VECTORS = pathlib.Path(__file__).parent / "vectors"


def load(name):
    """The arrays of a file of reference numbers."""
    with np.load(VECTORS / f"{name}.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def weights_by_rule(model, directions_only=False):
    """Set all parameters by the rule, in float64; returns the model."""
    model.astype(xp.float64)
    layers = [layer for _, layer in model.layers() if layer.params and isinstance(layer, (Weighted, Conditional))]
    for l, layer in enumerate(layers):
        for name, param in layer.params.items():
            if name in ("w", "v"):
                outputs = param.shape[getattr(layer, "output_axis", -1)]
                n = np.arange(param.size, dtype=np.int64)
                values = np.cos(0.1 * ((7 * n * n + 3 * n) % 1009) + 3 * l) / (param.size // outputs) ** 0.5
                param[...] = to_device(values.reshape(param.shape))
            elif not directions_only:
                j = np.arange(len(param))
                param[...] = to_device(1 + 0.25 * np.cos(0.9 * j + 3 * l + 1) if name == "g"
                                       else 0.2 * np.sin(1.1 * j + 3 * l + 2))
    return model


def assert_gradients(model, numbers):
    """Compare every gradient by its sum, its first and last entry, and its product with a probe."""
    grads = [to_host(grad).reshape(-1) for _, _, grad in model.parameters()]
    assert [grad.size for grad in grads] == list(numbers["param_sizes"])
    for i, (name, grad) in enumerate(zip(numbers["param_names"], grads)):
        n = np.arange(grad.size, dtype=np.int64)
        probe = np.sin(0.3 * ((5 * n * n + n) % 503) + 0.5)
        scale = np.abs(grad).sum() + 1e-30
        for key, got in (("grad_sum", grad.sum()), ("grad_first", grad[0]), ("grad_last", grad[-1]),
                         ("grad_probe", grad @ probe)):
            assert abs(got - numbers[key][i]) <= 1e-9 * scale, (name, key, got, numbers[key][i])


def assert_equal(got, expected):
    """Equal to 1e-9 of the largest number."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(to_host(got), expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
