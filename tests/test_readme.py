"""What README.md and examples/README.md say is so: their code runs, and what they name is there."""

import ast
import contextlib
import dataclasses
import functools
import importlib
import io
import pathlib
import re
import runpy
import sys
import textwrap

import numpy as np
import pytest

from tinyar import data, models, sampling, training
from tinyar.backend import to_host
from tinyar.gradcheck import __main__ as gradcheck_command
from tinyar.training import checkpoint

ROOT = pathlib.Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
FRONT, LESSONS = ROOT / "README.md", EXAMPLES / "README.md"
PAGES = [FRONT, LESSONS]
OWN_LAYER = (EXAMPLES / "own_layer.py").read_text()


def section(page, heading):
    """The text of a page from a heading to the next one of its kind."""
    return page.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]


def blocks(text, language="python"):
    """The fenced blocks of a language; "" for those without one."""
    return [block for found, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
            if found == language]


def ran(code, namespace, epochs):
    """What code prints when it runs on a part of the digits, with fewer epochs put in: {8: 2} for epochs=8."""
    for long, short in epochs.items():
        assert code.count(f"epochs={long}") == 1
        code = code.replace(f"epochs={long}", f"epochs={short}")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(data, "load", functools.partial(part_of, data.load))
        exec(compile(code, "README", "exec"), namespace)
    return printed.getvalue()


def part_of(load, name, **wishes):
    """A dataset with a quarter of its images, so that training takes less long."""
    whole = load(name, **wishes)
    return dataclasses.replace(whole, **{
        split: dataclasses.replace(images, images=images.images[::4], labels=images.labels[::4])
        for split, images in (("train", whole.train), ("validation", whole.validation), ("test", whole.test))})


# -- the code ----------------------------------------------------------------------------------------------------------

def test_the_twelve_lines_print_what_the_page_shows():
    text = section(FRONT, "Twelve lines")
    (code,), (shown,) = blocks(text), blocks(text, "")
    printed = ran(code, {}, {8: 4}).splitlines()
    assert len(code.splitlines()) == 12
    shown = shown.splitlines()
    assert printed[0] == shown[0] and len(printed) == len(shown)
    assert float(shown[1].split()[1]) - 0.02 < float(printed[1].split()[1]) < 0.6
    drawn = printed[2:-1]
    assert [len(line) for line in drawn] == [len(line) for line in shown[2:-1]] == [64] * 8
    assert set("".join(drawn)) == set(" #")
    assert all(float(lines[-1].split()[-1]) < 1e-6 for lines in (printed, shown))


def test_the_page_on_your_own_layer_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pointwise, drawing, model = blocks(section(FRONT, "Your own layer"))
    namespace = runpy.run_path(str(EXAMPLES / "own_layer.py"))  # which has what the page leaves out
    ran(pointwise, namespace, {})
    namespace["check_layer"](namespace["SquaredReLU"](), np.random.default_rng(0).standard_normal((2, 3, 4, 5)))
    printed = ran(model, namespace, {4: 1, 8: 2})
    assert re.fullmatch(r"7650 parameters, 0\.\d\d bits/dim on test\n", printed)
    assert namespace["images"].shape == (8, 8, 8, 1)
    rows = pathlib.Path("runs/own-layer/history.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "1", "2"]  # the second fit went on, and didn't begin again


def test_the_lesson_on_conditions_runs():
    code, = [block for block in blocks(LESSONS.read_text()) if "hide_labels" in block]
    namespace = {}
    printed = ran(code, namespace, {4: 1})
    told, not_told = map(float, re.fullmatch(r"told the class (\S+), told none (\S+)\n", printed).groups())
    assert max(told, not_told) < np.log2(17) and namespace["images"].shape == (10, 8, 8, 1)


@pytest.mark.parametrize("page", PAGES, ids=["front", "lessons"])
def test_what_is_shown_of_own_layer_stands_in_the_file(page):
    heading = "Your own layer" if page == FRONT else "12. Your own layer"
    paragraphs = [part.strip("\n") for block in blocks(section(page, heading)) for part in re.split(r"\n\n+", block)]
    code = [part for part in paragraphs if not part.startswith(("from ", "import "))]
    assert code and all(f"{part}\n" in OWN_LAYER or f"{textwrap.indent(part, '    ')}\n" in OWN_LAYER for part in code)


def test_the_recipes_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 17, (8, 8, 8, 1), dtype=np.uint8)
    for name, kind in (("pixelcnn-digits", models.PixelCNN), ("gated-digits", models.GatedPixelCNN)):
        model = kind(levels=17, channels=4, kernel_size=3, seed=0)
        training.fit(model, images, images, epochs=1, out=f"runs/{name}", about={"options": {"data": "digits"}})
    load_model, own_array, by_class, other_levels, likelihood, curves, export = blocks(section(LESSONS, "Recipes"))
    namespace = {}
    assert re.fullmatch(r"\d\.\d{4} bits/dim\n", ran(load_model, namespace, {}))
    assert namespace["images"].shape == (8, 8, 8, 1)
    best, unit = ran(own_array, {}, {}).split()
    assert 1.9 < float(best) < 2.3 and unit == "bits/dim"  # four levels of noise have 2 bits
    costs = ast.literal_eval(ran(by_class, {}, {}))
    assert sorted(costs) == list(range(10)) and all(50 < nats < 200 for nats in costs.values())
    ran(other_levels, namespace, {})
    pairs = list(zip(namespace["other"].arrays(), namespace["model"].arrays()))
    assert namespace["other"].levels == 4 and len(pairs) > 6
    assert [one.shape == array.shape for (_, one), (_, array) in pairs] == [True] * (len(pairs) - 2) + [False] * 2
    assert all((to_host(one) == to_host(array)).all() for (_, one), (_, array) in pairs[:-2])
    ran(likelihood, namespace, {})
    model = namespace["MixturePixelCNN"](levels=17, channels=4, blocks=1, kernel_size=3)
    assert model.outputs == 15 and sampling.sample(model, 1, (2, 2)).max() < 17
    ran(curves, {}, {})
    assert (tmp_path / "runs" / "curves.png").stat().st_size > 5000
    ran(export, {}, {})
    with np.load("weights.npz") as weights:
        kernels = [name for name in weights if name.endswith(".kernel")]
        assert kernels and all(weights[name].ndim == 4 for name in kernels)


def test_pretrained_weights_are_an_ordinary_checkpoint(monkeypatch):
    monkeypatch.chdir(ROOT)
    code, = blocks(section(LESSONS, "Pretrained weights"))
    namespace = {}
    assert "'images': 300" in ran(code, namespace, {}) and namespace["images"].shape == (8, 8, 8, 1)


def test_the_published_recipe_of_pixelcnnpp():
    recipe, = blocks(section(LESSONS, "7. PixelCNN++: a mixture of logistics, on three grids"))
    namespace = {}
    exec(compile(recipe, "README", "exec"), namespace)
    assert namespace["model"].count_parameters() == 53_659_080
    small = namespace["PixelCNNpp"](levels=17, channels=4)
    before = to_host(small.net.links[-1].params["v"]).copy()
    training.fit(small, data.load("digits").train.images[:32], epochs=1, **namespace["recipe"])
    assert (before != to_host(small.net.links[-1].params["v"])).all()


def test_blocks_are_all_looked_at():
    assert [len(blocks(page.read_text())) for page in PAGES] == [4, 11]


# -- the layers of the lesson ------------------------------------------------------------------------------------------

def test_gradcheck_takes_the_file(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gradcheck", str(EXAMPLES / "own_layer.py")])
    assert gradcheck_command.main() == 0
    assert capsys.readouterr().out.endswith("and the contract is kept\n")


def test_a_model_of_ones_own_layers_resumes_exactly_and_is_loaded_again(tmp_path):
    kind = runpy.run_path(str(EXAMPLES / "own_layer.py"))["DepthwisePixelCNN"]
    images = data.load("digits", levels=2).train.images[:80]

    def fitted(epochs, **options):
        model = kind(levels=2, channels=8, blocks=2, kernel_size=3)
        training.fit(model, images, epochs=epochs, batch_size=16, threads=2, **options)
        return {name: to_host(array) for name, array in model.arrays()}

    unbroken, _ = fitted(3), fitted(1, out=tmp_path)
    resumed = fitted(3, out=tmp_path, resume=True)
    loaded, _ = checkpoint.load(tmp_path / "model.npz", kind)
    for name, array in loaded.arrays():
        assert np.array_equal(resumed[name], unbroken[name]) and np.array_equal(to_host(array), unbroken[name]), name


# -- what is named -----------------------------------------------------------------------------------------------------

def spans(page):
    """What a page quotes as `code`, outside its blocks."""
    return [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", page.read_text(),
                                                                               flags=re.MULTILINE | re.DOTALL))]


def lines_of_code(page):
    """Commands: quoted, in blocks, and in indented lines."""
    text = page.read_text()
    return spans(page) + "".join(blocks(text, "")).splitlines() + re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)


def named_files():
    """(page, path) for each file that the pages name. A bare name stands in the folder of the one before it."""
    for page in PAGES:
        folder = ""
        for span in spans(page):
            if not re.fullmatch(r"[\w./]+(\.(py|md|png|gif|npz|csv)|/)", span) or span.startswith("runs/"):
                continue
            folder, path = (span.rpartition("/")[0], span) if "/" in span else (folder, span)
            yield page, [path, f"{folder}/{path}"]


def test_files_that_are_named_exist():
    written = {"history.csv", "film.gif"}  # by the scripts, in runs/
    seen = 0
    for page, paths in named_files():
        there = any((folder / path).exists() for folder in (ROOT, ROOT / "tinyar", EXAMPLES) for path in paths)
        assert there or paths[0] in written, f"{page}: {paths[0]}"
        seen += 1
    assert seen > 50


def test_the_reading_order_has_every_file():
    named = set()
    for row in section(FRONT, "Reading order").splitlines():
        folder = ""
        for span in re.findall(r"`([^`]+)`", row.split("|")[1]) if row.startswith("|") else []:
            folder, path = (span.rpartition("/")[0], span) if "/" in span else (folder, f"{folder}/{span}")
            named |= {span, path}
    for path in sorted((ROOT / "tinyar").rglob("*.py")):
        name = path.relative_to(ROOT / "tinyar").as_posix()
        folders = {f"{folder.as_posix()}/" for folder in pathlib.PurePath(name).parents}
        assert path.name[:2] == "__" or name in named or folders & named, f"{name} has no place in the reading order"


def test_names_of_tinyar_that_are_quoted_exist():
    found = {name for page in PAGES for name in re.findall(r"\btinyar(?:\.[A-Za-z_]\w*)+", "\n".join(spans(page)))}
    for name in found:
        parts, value = name.split("."), importlib.import_module("tinyar")
        for i, part in enumerate(parts[1:], start=2):
            with contextlib.suppress(ImportError):
                importlib.import_module(".".join(parts[:i]))
            value = getattr(value, part)
    assert len(found) >= 3


@functools.cache
def help_of(script):
    """What a script prints for --help, within this process, which is faster."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as printed:
        patch.setattr(sys, "argv", [script, "--help"])
        patch.syspath_prepend(EXAMPLES)
        with pytest.raises(SystemExit):
            runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=["front", "lessons"])
def test_commands_name_scripts_and_options_that_exist(page):
    commands = [re.split(r" {3,}", line)[0] for line in lines_of_code(page) if line.startswith("python examples/")]
    assert len(commands) > 8
    for command in commands:
        script, *arguments = command.removeprefix("python examples/").split()
        assert (EXAMPLES / script).exists(), command
        options = {argument for argument in arguments if argument.startswith("--")}
        assert not options or options <= set(re.findall(r"--[a-z-]+", help_of(script))), command


def test_other_options_that_are_named_exist():
    scripts = [path.name for path in EXAMPLES.glob("*.py") if "ArgumentParser" in path.read_text()
               or "new_parser" in path.read_text()]
    known = set(re.findall(r"--[a-z-]+", "".join(help_of(script) for script in scripts if script != "arguments.py")))
    named = {option for page in PAGES for span in spans(page) for option in re.findall(r"(?<!\S)--[a-z-]+", span)}
    elsewhere = {"--help", "--allow-run-as-root", "--mpi", "--backend"}  # of Python, launchers, benchmarks
    assert named - known == elsewhere - known and len(named) > 15


# -- the pages themselves ----------------------------------------------------------------------------------------------

def test_the_front_page_is_short_and_lines_are_not_long():
    assert len(FRONT.read_text().splitlines()) <= 180
    for page in PAGES:
        for number, line in enumerate(page.read_text().splitlines(), start=1):
            assert len(line) <= 120 or line.startswith("|"), f"{page}, line {number}"


def test_pictures_exist_and_are_small_and_each_is_shown():
    shown = set()
    for page in PAGES:
        text = page.read_text()
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text) + re.findall(r'<img src="([^"]+)"', text):
            path = (page.parent / picture).resolve()
            assert 0 < path.stat().st_size < 300_000, picture
            shown.add(path)
    assert shown == set((EXAMPLES / "gallery").resolve().iterdir())


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"(?<!!)\[[^\]]*\]\(([^)]+)\)", page.read_text()):
            path, _, anchor = target.partition("#")
            goal = (page.parent / path) if path else page
            assert goal.exists(), target
            anchors = [re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")
                       for heading in re.findall(r"^#+ (.+)$", goal.read_text(), re.MULTILINE)]
            assert not anchor or anchor in anchors, target
