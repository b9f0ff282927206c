"""The rooms of tinyar: which file may know which, what importing costs, how long and how documented the files are."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "tinyar"
LONGEST_FILE, LONGEST_FUNCTION, MOST_NAMES = 220, 45, 15


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in FILES.items()}
ROOMS = sorted({".".join(name.split(".")[:2]) for name in FILES if name != "tinyar"})


# -- who knows whom ----------------------------------------------------------------------------------------------------


def statements(tree, within_functions):
    """All nodes of a file; without those in functions, which don't run when it is imported."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if within_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from statements(node, within_functions)


def imports(name, within_functions=False):
    """The modules that a file imports, by their full names: tinyar.layers.conv, numpy, ..."""
    found = set()
    for node in statements(TREES[name], within_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: imports by full names, not from .{node.module}"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in FILES else node.module)
    return found


def inside(module, *rooms):
    return any(module == f"tinyar.{room}" or module.startswith(f"tinyar.{room}.") for room in rooms)


def own(modules):
    """Those of tinyar."""
    return {module for module in modules if module == "tinyar" or module.startswith("tinyar.")}


def test_imports_are_found():
    assert "tinyar.layers.conv" in imports("tinyar.layers.masked") and "numpy" in imports("tinyar.losses")
    assert "cupy" in imports("tinyar.backend", within_functions=True) - imports("tinyar.backend")
    assert len(FILES) > 40 and "tinyar.layers" in ROOMS and "tinyar.backend" in ROOMS


def test_no_circle():
    """Whoever imports a file of a room runs the room's __init__ too, but that one only gathers: it counts as a file."""
    edges = {name: own(imports(name)) - {name} for name in FILES}
    done, path = set(), []

    def visit(name):
        assert name not in path, "a circle: " + " -> ".join(path[path.index(name):] + [name])
        if name not in done:
            path.append(name)
            for other in sorted(edges[name]):
                visit(other)
            done.add(path.pop())

    for name in FILES:
        visit(name)


def test_only_the_backend_names_cupy():
    """In code: a comment or a docstring may say what CuPy does."""
    for name in FILES:
        if name != "tinyar.backend":
            assert not [module for module in imports(name, True) if module.partition(".")[0] in ("cupy", "cupyx")], name
            names = {node.id for node in ast.walk(TREES[name]) if isinstance(node, ast.Name)}
            assert not names & {"cupy", "cupyx"}, name


def test_no_framework_is_imported():
    for name in FILES:
        roots = {module.partition(".")[0] for module in imports(name, True)}
        assert not roots & {"torch", "jax", "tensorflow", "autograd", "keras", "mxnet"}, name


REST = ["layers", "models", "training", "sampling", "codes", "gradcheck", "pictures", "data", "optim", "conditions",
        "likelihoods", "losses", "model", "layer", "backend"]


@pytest.mark.parametrize("room, unknown", [
    ("backend", REST), ("layer", [room for room in REST if room != "backend"]),
    ("conditions", [room for room in REST if room not in ("backend", "layer")]),
    ("losses", [room for room in REST if room != "backend"]),
    ("layers", ["models", "training", "sampling", "codes", "gradcheck", "pictures", "data", "optim", "model"]),
    ("model", [room for room in REST if room not in ("backend", "layer", "losses")]),
    ("likelihoods", [room for room in REST if room not in ("backend", "losses")]),
    ("models", ["training", "gradcheck", "sampling", "codes", "pictures", "data", "optim"]),
    ("optim", [room for room in REST if room not in ("backend", "layer")]),
    ("sampling", ["training", "gradcheck", "pictures", "data", "optim", "models"]),
    ("gradcheck", ["training", "sampling", "codes", "pictures", "data", "optim"]),
    ("training", ["gradcheck"]),
    ("pictures", ["training", "models", "gradcheck"]),
    ("data", [room for room in REST if room != "data"]),
])
def test_arrows_run_one_way(room, unknown):
    unknown = [other for other in unknown if other != room]
    found = sorted((name, module) for name in FILES if inside(name, room) for module in imports(name, True)
                   if inside(module, *unknown) or module == "tinyar")
    assert not found


# -- importing ---------------------------------------------------------------------------------------------------------


def run_python(code, folder=ROOT):
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=folder, text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, env={**os.environ, "TINYAR_BACKEND": "numpy"})
    assert run.returncode == 0, run.stdout
    return run.stdout


ALONE = """
import sys, types, importlib

room = sys.argv[1]
bare = types.ModuleType("tinyar")  # tinyar/__init__.py, which imports all rooms, is left out
bare.__path__ = [sys.argv[2]]
sys.modules["tinyar"] = bare
importlib.import_module(room)
print(*sorted(name for name in sys.modules if name.startswith("tinyar.")))
"""


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_can_be_imported_alone(room):
    """In a fresh process, by nobody else's help."""
    code = ALONE.replace("sys.argv[1]", repr(room)).replace("sys.argv[2]", repr(str(PACKAGE)))
    loaded = run_python(code).split()
    assert room in loaded
    if room in ("tinyar.backend", "tinyar.layer", "tinyar.conditions"):
        assert {name for name in loaded if not name.startswith("tinyar.conditions.")} <= {
            "tinyar.backend", "tinyar.layer", "tinyar.conditions"}


def test_importing_tinyar_leaves_pictures_out():
    loaded = run_python("import sys, tinyar; print(*sys.modules)").split()
    for module in ("matplotlib", "torch", "jax", "cupy"):
        assert module not in loaded
    assert run_python("import sys, tinyar; print(tinyar.pictures.__name__, 'matplotlib' in sys.modules)").split() == [
        "tinyar.pictures", "True"]
    code = "import tinyar; [getattr(tinyar, name) for name in tinyar.__all__]; tinyar.nothing"
    with pytest.raises(AssertionError, match="module 'tinyar' has no attribute 'nothing'"):
        run_python(code)


def test_a_folder_named_tinyar_does_not_hide_the_package(tmp_path):
    """In the folder above a clone there is a folder "tinyar", which Python takes for a package if it finds no other."""
    (tmp_path / "tinyar").mkdir()
    assert run_python("import tinyar; print(tinyar.data.load.__name__)", tmp_path) == "load\n"


# -- length, and docstrings --------------------------------------------------------------------------------------------


def test_at_most_fifteen_names_in_the_package():
    names = [path.name for path in PACKAGE.iterdir() if path.name != "__init__.py" and not path.name.startswith("__py")]
    assert len(names) <= MOST_NAMES, sorted(names)


def test_no_file_is_long():
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in FILES.items()}
    assert not {name: length for name, length in lengths.items() if length > LONGEST_FILE}


def test_no_line_is_long():
    files = [*ROOT.glob("*.py"), *(path for folder in ("tinyar", "tests", "examples")
                                   for path in (ROOT / folder).rglob("*.py"))]
    lines = {f"{path.relative_to(ROOT)}:{number}": len(line) for path in files
             for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)}
    assert not {place: length for place, length in lines.items() if length > 120}


def definitions(name):
    """(dotted name, node) of every function and class of a file."""
    def walk(node, prefix):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                yield f"{prefix}.{child.name}", child
                yield from walk(child, f"{prefix}.{child.name}")
            else:
                yield from walk(child, prefix)
    return walk(TREES[name], name)


def code_lines(function):
    """How many lines a function has behind its docstring."""
    body = function.body[ast.get_docstring(function) is not None:]
    return function.end_lineno - body[0].lineno + 1 if body else 0


def test_no_function_is_long():
    assert not {name: code_lines(node) for file in FILES for name, node in definitions(file)
                if not isinstance(node, ast.ClassDef) and code_lines(node) > LONGEST_FUNCTION}


CONTRACT = {  # what tinyar.layer and tinyar.model say of these methods holds in every class
    "__call__", "forward", "backward", "start", "step", "see", "see_row", "output_row", "step_row", "update", "sides",
    "loss", "score", "figure", "note", "prepare"}


def test_all_that_is_public_has_a_docstring():
    """Files, classes, functions, and methods of more than ten lines that aren't of the contract."""
    missing = [name for name, tree in TREES.items() if not ast.get_docstring(tree)]
    for file in FILES:
        kinds = {name: type(node) for name, node in definitions(file)}
        for name, node in definitions(file):
            outer, _, last = name.rpartition(".")
            is_method, is_inner = kinds.get(outer) is ast.ClassDef, kinds.get(outer) is ast.FunctionDef
            if last.startswith("_") or is_inner or is_method and (last in CONTRACT or code_lines(node) <= 10):
                continue
            if not ast.get_docstring(node):
                missing.append(name)
    assert not missing
