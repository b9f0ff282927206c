"""The networks of the benchmarks in PyTorch, where that is installed: they say what tinyar's say."""

import pathlib

import numpy as np
import pytest

from family import random_images
from tinyar import gradcheck, models
from tinyar.backend import on_gpu, to_device, to_host

torch = pytest.importorskip("torch")
BENCHMARKS = pathlib.Path(__file__).parents[1] / "examples" / "benchmarks"
SMALL = dict(levels=5, channels=4, dropout=0.5)
MODELS = {
    "PixelCNN": lambda: models.PixelCNN(**SMALL, blocks=2, kernel_size=3),
    "GatedPixelCNN": lambda: models.GatedPixelCNN(**SMALL, dilations=(1, 2)),
    "PixelCNNpp": lambda: models.PixelCNNpp(**SMALL, units=1),
    "PixelSNAIL": lambda: models.PixelSNAIL(**SMALL, blocks=1, units=1),
    "RowLSTM": lambda: models.RowLSTM(levels=5, hidden=4, layers=2),
    "DiagonalBiLSTM": lambda: models.DiagonalBiLSTM(levels=5, hidden=4, layers=2),
}


@pytest.mark.skipif(on_gpu, reason="the twins take their weights from NumPy")
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("cropped", [False, True])
def test_a_twin_has_the_outputs_of_its_model(name, cropped, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from twins import torch_twin
    model = gradcheck.shake(MODELS[name]())
    images = random_images(model, 2, 8, 8)
    twin = torch_twin(model.net, cropped, channels_last=False).eval()  # eval: without dropout
    scaled = torch.tensor(images, dtype=torch.float32).permute(0, 3, 1, 2) * (2 / 4) - 1
    with torch.no_grad():
        outputs = twin(scaled).permute(0, 2, 3, 1).numpy()
    expected = to_host(model(to_device(images)))
    np.testing.assert_allclose(outputs, expected.reshape(outputs.shape), rtol=1e-3, atol=1e-3)
