"""The weights in examples/pretrained/: each loads, draws what it drew when it was made, and has the figures it states.

Figures on MNIST need its files in the folder that TINYAR_DATA names; without them those tests are skipped.
"""

import importlib
import re
import shlex
import sys
import types

import pytest
from test_data import load_real
from test_examples import EXAMPLES, refused, run
from test_examples_evaluate import gated, save
from test_examples_evaluate import runs  # noqa: F401  a fixture: a small model of every kind

from tinyar import data
from tinyar.training import checkpoint

FOLDER = EXAMPLES / "pretrained"
FILES = sorted(FOLDER.rglob("*.npz"))
NAMES = sorted({file.relative_to(FOLDER).parts[0].removesuffix(".npz") for file in FILES})
FEW, MOST_BYTES = 200, 6_000_000
STATEMENT = dict(command="python x.py", minutes=1.5, machine="a machine", date="2026-11-26", data="digits", drawn=[],
                 figures=[{"of": "told the class", "unit": "bits/dim", "images": 300, "value": 1.25}])
SHIP = ["--minutes", "1.5", "--machine", "a machine", "--command", "python x.py"]


@pytest.fixture
def module(monkeypatch):
    """A function that imports a module of the examples."""
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module


def titled(file):
    return file.relative_to(FOLDER).as_posix()


def stated(file):
    """(model, about) of a file of weights."""
    model, state = checkpoint.load(file)
    return model, state["about"]


# -- those that come with tinyar ---------------------------------------------------------------------------------------

def test_all_together_are_small():
    assert 5 <= len(NAMES) and sum(file.stat().st_size for file in FILES) < MOST_BYTES


@pytest.mark.parametrize("file", FILES, ids=titled)
def test_the_command_has_the_options_in_the_file(file, module, monkeypatch):
    """Parsed as its script parses it, the command gives the options that the weights were trained with."""
    about = stated(file)[1]
    # A prior's are those of its autoencoder.
    options = about.get("options") or stated(file.parent.parent / "autoencoder" / "model.npz")[1]["options"]
    python, script, *arguments = shlex.split(about["trained"]["command"].split(" && ")[-1])
    assert python == "python" and (EXAMPLES.parent / script).exists()
    script = module(script.removeprefix("examples/").removesuffix(".py"))
    monkeypatch.setattr(sys, "argv", [script.__name__, *arguments])
    args = script.parse_arguments()
    shared = module("arguments")
    for name, value in vars(args).items():
        if isinstance(value, shared.ByData):
            setattr(args, name, value.digits if args.data == "digits" else value.default)
    now = shared.options_of_a_run(args)
    assert len(options) > 10
    for name, value in options.items():
        assert now[name] == value, name


@pytest.mark.parametrize("name", NAMES)
def test_it_draws_what_it_drew_when_it_was_made(name, module):
    """By checksum of each of ten images; another processor may round a few otherwise."""
    loaded = module("draw").load(types.SimpleNamespace(checkpoint=f"pretrained/{name}", prior=None))
    then = loaded[-1][1]["trained"]["drawn"]
    now = module("ship").drawn_checksums(loaded)
    assert len(then) == len(now) == len(set(then)) and sum(a != b for a, b in zip(then, now)) <= 3


@pytest.mark.parametrize("file", FILES, ids=titled)
def test_its_figures_are_those_stated(file, module):
    """On 200 test images: all that are stated, each to the last digit that is printed."""
    ship, subject = module("ship"), module("subjects").load_subject(file)
    name, options = subject.about["options"]["data"], module("arguments").options_of_data(subject.about["options"])
    dataset = data.load(name, **options) if name == "digits" else load_real(name, **options)
    test = module("fitting").fitted(subject, dataset).test
    numbers = module("splits").spread_evenly(len(test), FEW)
    few = data.Split(test.images[numbers], None if test.labels is None else test.labels[numbers])
    found = {figure["of"]: figure["value"] for figure in subject.trained["figures"] if figure["images"] == FEW}
    ways = ship.tellings(subject, few.labels)
    assert found.keys() == ways.keys()
    for words, labels in ways.items():
        costs = subject.scores(subject.split_of(few.images, labels)).figures
        assert costs.mean() == pytest.approx(found[words], abs=5e-5)


@pytest.mark.parametrize("file", FILES, ids=titled)
def test_the_readme_states_the_same(file, module):
    """The line about these weights in the lessons has every figure over all test images."""
    page = (EXAMPLES / "README.md").read_text()
    name = titled(file).removesuffix(".npz").removesuffix("/model").removesuffix("/autoencoder")
    (line,) = re.findall(rf"^\| `pretrained/{name}` \|.*$", page, re.MULTILINE)
    figures = module("statements").over_all_images(stated(file)[1]["trained"]["figures"])
    assert figures and all(f"{figure['value']:.4f}" in line for figure in figures)


# -- how they are found ------------------------------------------------------------------------------------------------

def test_names_are_found_from_any_folder_and_pictures_go_to_runs(tmp_path):
    out, _ = run("draw.py", "pretrained/digits", "--n", "4", folder=tmp_path)
    assert "bits/dim on the 300 test images of digits" in out
    assert "python examples/train_pixelcnn.py --data digits" in out
    assert (tmp_path / "runs" / "digits" / "drawn.png").exists()
    out, _ = run("evaluate.py", "pretrained/digits", folder=tmp_path)
    mean, says = re.search(r"^mean:  (\S+) .*\nstated: (\S+) ", out, re.MULTILINE).groups()
    assert mean == says and (tmp_path / "runs" / "digits" / "evaluation" / "scores.csv").exists()


def test_a_file_of_the_readers_own_comes_first(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights = module("weights")
    assert weights.weights_file("pretrained/digits") == FOLDER / "digits.npz"
    assert weights.home("pretrained/digits").parts == ("runs", "digits")
    save(tmp_path / "pretrained" / "digits" / "model.npz", gated())
    assert weights.weights_file("pretrained/digits").resolve() == tmp_path / "pretrained" / "digits" / "model.npz"
    assert weights.home("pretrained/digits").parts == ("pretrained", "digits")


def test_of_a_vqvae_a_network_is_asked_for(module, tmp_path):
    for script, option in (("receptive_field.py", "--checkpoint"), ("train_pixelcnn.py", "--start")):
        line = refused(script, option, "pretrained/mnist-vqvae", *["--data", "digits"] * (option == "--start"),
                       folder=tmp_path)
        assert "is the folder of a VQ-VAE; expected one network of it: pretrained/mnist-vqvae/autoencoder, " in line
    weights = module("weights")
    for given, parts in (("pretrained/mnist-vqvae", ("mnist-vqvae",)), (FOLDER / "digits.npz", ("digits",)),
                         ("pretrained/mnist-vqvae/prior", ("mnist-vqvae", "prior")),
                         (FOLDER / "mnist-vqvae" / "prior" / "model.npz", ("mnist-vqvae", "prior"))):
        assert weights.home(given).parts == ("runs", *parts)


@pytest.mark.parametrize("given", ["pretrained", "pretrained/", "pretrained/none", "pretrained/../draw.py",
                                   "pretrained/digits/prior"])
def test_unknown_names_are_refused_with_the_known_ones(given, tmp_path):
    assert "pretrained/mnist-256" in refused("draw.py", given, folder=tmp_path)


@pytest.mark.parametrize("spoilt", [
    "text", {}, {**STATEMENT, "minutes": "1"}, {**STATEMENT, "figures": ["text"]}, {**STATEMENT, "figures": {}},
    {**STATEMENT, "figures": [{**STATEMENT["figures"][0], "value": None}]}])
def test_a_statement_of_another_kind_is_refused(spoilt, tmp_path):
    about = {"options": {"data": "digits"}, "image_shape": [8, 8, 1], "class_names": None, "trained": spoilt}
    save(tmp_path / "model.npz", gated(), about=about)
    for script in ("draw.py", "evaluate.py"):
        assert "model.npz: " in refused(script, "model.npz", folder=tmp_path)


# -- how they are made -------------------------------------------------------------------------------------------------

@pytest.mark.long
def test_a_model_of_classes_states_what_it_costs_told_and_not_told(runs, tmp_path):  # noqa: F811
    save(tmp_path / "hiding.npz", gated(), classes=True, hide_labels=0.2)
    for name, ways in (("hiding.npz", ["told the class", "told no class"]), (runs / "gated", ["told the class"])):
        target = tmp_path / f"{len(ways)}.npz"
        out, _ = run("ship.py", name, target, "--date", "2026-11-25", *SHIP, folder=tmp_path)
        model, about = stated(target)
        trained = about["trained"]
        assert [(figure["of"], figure["images"]) for figure in trained["figures"]] == [
            (way, images) for way in ways for images in (300, FEW)]
        assert (trained["minutes"], trained["date"]) == (1.5, "2026-11-25") and len(set(trained["drawn"])) == 10
        assert ("told no class" in out) == (len(ways) == 2)
        for way in ways:
            evaluated, _ = run("evaluate.py", target, *["--no-class"] * (way == "told no class"), folder=tmp_path)
            value = next(figure["value"] for figure in trained["figures"] if figure["of"] == way)
            assert f"mean:  {value:.4f} " in evaluated


@pytest.mark.long
@pytest.mark.parametrize("name, stages", [("vqvae", ["autoencoder", "prior"]),
                                          ("vqvae2", ["autoencoder", "top", "bottom"])])
def test_a_vqvae_is_a_folder_with_all_its_stages(name, stages, runs, tmp_path, module):  # noqa: F811
    run("ship.py", runs / name, "given", *SHIP, folder=tmp_path)
    files = sorted((tmp_path / "given").rglob("*.npz"))
    assert [file.parent.name for file in files] == sorted(stages)
    for file in files:
        figures = stated(file)[1]["trained"]["figures"]
        assert [figure["images"] for figure in figures] in ([300, FEW], [300, FEW] * 2)
    drawn = module("draw").load(types.SimpleNamespace(checkpoint=tmp_path / "given", prior=None))
    assert module("ship").drawn_checksums(drawn) == drawn[-1][1]["trained"]["drawn"]
    assert drawn[0][1]["trained"]["drawn"] == []


@pytest.mark.long
@pytest.mark.parametrize("arguments, message", [
    (["vqvae/prior", "x.npz"], "got the prior of its codes"),
    (["vqvae", "x.npz"], "expected the name of a folder"),
    (["gated", "x"], "expected a name that ends in .npz"),
    (["gated", "text.npz"], "is there already"),
    (["gated", "x.npz", "--date", "yesterday"], "expected a date such as 2026-11-26"),
    (["gated", "x.npz", "--minutes", "0"], "expected a number above 0"),
    (["gated", "x.npz", "--command", ""], "expected a name"),
    (["bare.npz", "x.npz"], "doesn't say which data it was trained on"),
    (["half.npz", "x.npz"], "half.npz: not a complete checkpoint"),
])
def test_ship_refuses_in_one_line(arguments, message, runs):  # noqa: F811
    assert message in refused("ship.py", *arguments[:2], *SHIP, *arguments[2:], folder=runs)
