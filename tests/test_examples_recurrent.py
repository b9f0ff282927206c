"""The examples that train recurrent models, and those that compare models, from the command line."""

import csv

import matplotlib.image
import pytest

from test_examples import refused, run
from tinyar.training import checkpoint

SMALL = ["--data", "digits", "--images", "24", "--epochs", "1", "--hidden", "4", "--layers", "1", "--samples", "4"]


@pytest.mark.parametrize("model, arguments", [
    ("naive", ["--scheduled-sampling", "linear", "--clip", "1"]),
    ("row", ["--optimizer", "rmsprop"]), ("diagonal", ["--classes"])])
def test_train_pixelrnn(tmp_path, model, arguments):
    folder = tmp_path / "work"
    folder.mkdir()
    out, _ = run("train_pixelrnn.py", "--model", model, *SMALL, *arguments, folder=folder)
    written = folder / "runs" / f"{model}-digits"
    assert "the first 24 of each" in out and f"wrote to runs/{model}-digits" in out and "bits/dim on 24 images" in out
    assert matplotlib.image.imread(written / "samples.png").std() > 0.01
    network, state = checkpoint.load(written / "model.npz")
    assert type(network).__name__ == {"naive": "PixelRNN", "row": "RowLSTM", "diagonal": "DiagonalBiLSTM"}[model]
    assert state["about"]["options"]["model"] == model and network.classes == (10 if model == "diagonal" else 0)


@pytest.mark.long
def test_compare_trains_variants_and_goes_on_where_it_was(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    arguments = ["compare.py", "--data", "digits", "--images", "24", "--held-out", "10", "--epochs", "2",
                 "--channels", "6", "--kernel-size", "3", "--out", "both"]
    out, _ = run(*arguments, "--only", "5 blocks", "5 blocks, no residuals", folder=folder)
    with open(folder / "both" / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert ([row["variant"] for row in rows] == ["5 blocks", "5 blocks, no residuals"]
            and "validation bits/dim after" in out)
    assert matplotlib.image.imread(folder / "both" / "curves.png").std() > 0.01
    before = {path: path.stat().st_mtime_ns for path in (folder / "both").glob("*/training.npz")}
    again, _ = run(*arguments, "--only", "5 blocks", folder=folder)
    assert f"{float(rows[0]['last epoch']):.4f}" in again
    assert (before == {path: path.stat().st_mtime_ns for path in (folder / "both").glob("*/training.npz")}
            and len(before) == 2)
    assert "no variant '6 blocks'" in refused(*arguments[:-1], "other", "--only", "6 blocks", folder=folder)


@pytest.mark.long
def test_compare_models_at_equal_size_and_time(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    out, _ = run("compare_models.py", "--data", "digits", "--minutes", "0.001", "--images", "16",
                 "--held-out", "8", "--parameters", "10000", folder=folder)
    with open(folder / "runs" / "models-digits" / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == ["naive RNN", "Row LSTM", "Diagonal BiLSTM", "PixelCNN", "Gated PixelCNN",
                                          "PixelCNN++", "PixelSNAIL"]
    assert all(8000 < int(row["parameters"]) < 12500 for row in rows) and "samples.png" in out
    for name in ("curves.png", "samples.png"):
        assert matplotlib.image.imread(folder / "runs" / "models-digits" / name).std() > 0.01


def test_the_family_of_receptive_fields_is_drawn(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    out, _ = run("receptive_field.py", "--family", "--size", "12", "--blocks", "2", folder=folder)
    assert "Diagonal BiLSTM, 2 layers" in out and out.count("it sees 0") == 6
    assert "sees                112 (100.0 %)" in out.split("PixelSNAIL")[1]
    assert matplotlib.image.imread(folder / "runs" / "receptive_field" / "family.png").std() > 0.01
