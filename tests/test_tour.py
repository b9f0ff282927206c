"""The notebook as it is stored: small, run from top to bottom without an error, and shown to be of today's code."""

import ast
import importlib
import json
import pathlib

TOUR = pathlib.Path(__file__).parents[1] / "examples" / "tour.ipynb"
CELLS = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_it_is_small_and_has_run_from_top_to_bottom():
    assert TOUR.stat().st_size < 300_000 and len(CODE) > 10
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    outputs = [output for cell in CODE for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 8


def test_every_name_of_tinyar_that_it_uses_exists():
    """Running it takes too long here: campaign_tour.py does."""
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in CODE))
    rooms = {name.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "tinyar"
             for name in node.names}
    used = {(node.value.id, node.attr) for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in rooms}
    assert len(used) > 10
    for room, name in used:
        assert hasattr(importlib.import_module(f"tinyar.{room}"), name), f"{room}.{name}"


def test_files_that_it_names_exist():
    text = "\n".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
    named = [word.strip("`.,;()") for word in text.split() if word.startswith(("`tinyar/", "(`tinyar/", "`examples/"))]
    assert len(named) > 8
    for name in named:
        assert (TOUR.parents[1] / name).exists(), name
