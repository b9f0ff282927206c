"""The stand-in for CuPy refuses what CuPy refuses, offers nothing that CuPy lacks, and tinyar runs on it."""

import ast
import functools
import importlib
import inspect
import operator
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.special

from tinyar.backend import on_gpu

if on_gpu:
    pytest.skip("the stand-in is tested from the NumPy backend; this run computes on CuPy, or on the stand-in itself",
                allow_module_level=True)

ROOT = pathlib.Path(__file__).parents[1]
STANDIN = ROOT / "tests" / "standin"
# Which tests of each, "" for all: what takes long on the CPU says nothing more about device and host here.
LONG = {
    "test_training.py": "not overfits and not real", "test_gated.py": "", "test_sampling.py": "", "test_mixture.py": "",
    "test_autoregressive.py": "draws_equal and (Row or Diagonal or PixelRNN or maps)",
    "test_normalized.py": "grey-size3 or float32 or none-mixture or prepare or softmax",
    "test_scheduled_sampling.py": "not all_models", "test_recurrent.py": "step or gradient",
    "test_conditions.py": "hidden or threads or resuming or pieces or anew",
    "test_vqvae.py": "threads or resumed or decoding or perplexity or moves or variance or bound",
    "test_model.py": "autoencoder or ones_own or class", "test_attention.py": "", "test_dropout.py": "",
    "test_image_costs.py": "",
    "test_pixelcnnpp.py": "networks or data or drawing or map",
    "test_pixelsnail.py": "networks or drawing or looks or 0-size0",
    "test_contract.py": "broken or right or wrong or told or named or keeps and not PixelCNN and not LSTM "
                        "and not SNAIL and not VQVAE2"}
FILES_ON_STANDIN = {
    "test_layers.py": "", "test_pixelcnn.py": "", "test_losses.py": "", "test_optim.py": "",
    "test_conditions.py": "hidden", "test_scheduled_sampling.py": "sequential", "test_strided.py": "",
    "test_quantizer.py": "", "test_vqvae2.py": "reference or sum or images or checkpoint",
    "test_codes.py": "reference or vectors or generate", "test_mutants.py": "", "test_weights.py": "",
    "test_gradcheck.py": "not gradient and not table"}


def load_standin():
    """The stand-in's cupy and cupyx.scipy.special; sys.modules stays as it was, since a real CuPy may be there."""
    def take_out():
        names = [name for name in sys.modules if name.partition(".")[0] in ("cupy", "cupyx")]
        return {name: sys.modules.pop(name) for name in names}

    before = take_out()
    sys.path.insert(0, str(STANDIN))
    try:
        return importlib.import_module("cupy"), importlib.import_module("cupyx.scipy.special")
    finally:
        sys.path.remove(str(STANDIN))
        take_out()
        sys.modules.update(before)


cp, special = load_standin()
HOST = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def a():
    return cp.asarray(HOST)


def run_python(*arguments, **variables):
    """Run Python in the project's root on the stand-in, with one BLAS thread: tinyar asks for that on a CPU alone."""
    path = os.pathsep.join(filter(None, [str(STANDIN), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "TINYAR_BACKEND": "cupy", "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


# -- what it refuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mix", [
    "np.asarray(a)", "np.array([a, a])", "np.sum(a)", "np.exp(a)", "np.concatenate([a, host])", "np.isfinite(a)",
    "a + host", "host + a", "a @ host.T", "host @ a.T", "a == host", "host < a", "a + [1, 2, 3]", "np.add(host, a)",
    "operator.iadd(a, host)", "operator.iadd(host, a)", "host.__setitem__(..., a)", "a.clip(0, host)", "xp.exp(host)",
    "xp.sum(host)", "xp.matmul(a, host.T)", "xp.exp(a, out=host)", "xp.concatenate([a, host])",
    "xp.stack([host, host])", "xp.where(a > 0, a, host)", "xp.einsum('ij,ij->i', a, host)", "xp.zeros_like(host)",
    "xp.mean([a, a])", "xp.exp([1.0, 2.0])", "xp.add.at(a, xp.arange(2), host)", "special.expit(host)",
    "special.softmax(host)", "range(a[0, 1])", "hash(a)", "np.testing.assert_array_equal(a, host)"])
def test_mixing_the_two_kinds_of_arrays_is_a_type_error(a, mix):
    with pytest.raises(TypeError):
        eval(mix, {"np": np, "xp": cp, "special": special, "operator": operator, "a": a, "host": HOST.copy()})


def test_errors_read_like_those_of_cupy(a):
    with pytest.raises(TypeError, match="Implicit conversion to a NumPy array is not allowed. Please use .*get"):
        np.asarray(a)
    with pytest.raises(TypeError, match="Unsupported type <class 'numpy.ndarray'>"):
        cp.exp(HOST)
    with pytest.raises(ValueError, match="cannot be used for fill"):
        a[...] = HOST
    with pytest.raises(ValueError, match="Unsupported dtype object"):
        cp.asarray(None)


@pytest.mark.parametrize("name", ["errstate", "vecdot", "matvec", "vecmat", "block", "summ"])
def test_a_name_that_cupy_lacks_is_an_attribute_error(name):
    with pytest.raises(AttributeError, match=name):
        getattr(cp, name)


@pytest.mark.parametrize("call", [
    "a.sum(where=a > 1)", "xp.sum(a, initial=1.0)", "a.max(initial=0)", "a.item(0)", "xp.exp(a, where=a > 0)",
    "xp.einsum('ij->i', a, out=xp.zeros(2))"])
def test_an_option_that_cupy_lacks_is_a_type_error(a, call):
    with pytest.raises(TypeError):
        eval(call, {"xp": cp, "a": a})


# -- what it computes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expression", [
    "a + 1", "2 - a", "np.float32(2) * a", "a * a.copy()", "-a", "abs(a - 3)", "a @ a.T", "a ** 2 >= a", "a % 2 == 1",
    "a.sum(axis=0)", "a.sum()", "xp.max(a, axis=1, keepdims=True)", "a.argmax()", "a.mean(dtype=xp.float32)",
    "a.reshape(3, -1).T", "a.transpose(1, 0)", "a.swapaxes(0, 1)", "a.astype(xp.uint8)", "a.view(xp.uint16)",
    "a.ravel()", "a[:, None, 1]", "a[1, 2]", "a[xp.asarray([1, 0, 1])]", "a[np.array([1, 0, 1])]", "a[[1, 0, 1]]",
    "a[..., [2, 0]]", "a[[]]", "a[xp.asarray([1, 0, 1]), [0, 1, 2]]", "a[a > 2]", "a[:, a[0] > 0]",
    "a.take(xp.asarray([2, 0]), axis=1)",
    "xp.take_along_axis(a, xp.asarray([[1], [0]]), 1)", "xp.stack([a, a], axis=1)", "xp.einsum('ij,kj->ik', a, a)",
    "xp.where(a > 2, a, 0)", "xp.full((2, 3), 1.5, dtype=a.dtype)", "xp.array([a.sum(), a.max()])",
    "xp.lib.stride_tricks.as_strided(a, (3,), (16,))", "xp.lib.stride_tricks.sliding_window_view(a, 2, axis=1)",
    "special.softmax(a, axis=1)", "special.log_softmax(a, axis=1)", "special.logsumexp(a, axis=1)", "special.expit(a)",
    "special.log_expit(a)"])
def test_it_computes_as_numpy_does(a, expression):
    got = eval(expression, {"np": np, "xp": cp, "special": special, "a": a})
    expected = eval(expression, {"np": np, "xp": np, "special": scipy.special, "a": HOST})
    assert isinstance(got, cp.ndarray) and got.dtype == expected.dtype and got.shape == expected.shape
    np.testing.assert_array_equal(cp.asnumpy(got), expected)


def test_out_in_place_and_views_write_into_the_array(a):
    out = cp.empty((2, 3))
    assert cp.subtract(a, 1, out=out) is out and cp.matmul(a, cp.eye(3), out=out) is out
    same = a
    same += 1
    same[0, 1:] *= 10
    cp.add.at(same, cp.asarray([0, 0]), 1)
    assert same is a and a.tolist() == [[3, 22, 32], [4, 5, 6]]
    assert out.get().tolist() == HOST.tolist()
    row = a[1]
    row[:2] = a[0, :2]
    assert a[1].tolist() == [3, 22, 6]
    assert HOST.tolist() == [[0, 1, 2], [3, 4, 5]]  # a copy went to the device


def test_reductions_are_0d_arrays_that_are_fetched_and_counted(a):
    before = cp.fetches
    total, first = a.sum(), a[0, 1]
    assert isinstance(total, cp.ndarray) and total.shape == first.shape == cp.count_nonzero(a).shape == ()
    assert cp.fetches == before
    assert (float(total), int(total), total.item(), bool(total > 1), f"{first:.1f}") == (15.0, 15, 15.0, True, "1.0")
    assert cp.asnumpy(a).tolist() == a.get().tolist() == HOST.tolist()
    assert cp.fetches == before + 7


def test_an_index_array_out_of_bounds_wraps_around_and_a_number_does_not(a):
    assert a[cp.asarray([2, -1])].tolist() == a[[0, 1]].tolist()
    assert cp.take(a, cp.asarray([7]), axis=1).tolist() == [[1], [4]]
    with pytest.raises(IndexError):
        a[2]


def test_no_floating_point_warnings():
    zero = cp.zeros(1)
    for not_finite in (cp.log(zero), zero / zero, cp.exp(zero + 1000)):
        assert not cp.isfinite(not_finite).any()


@pytest.mark.parametrize("decorator", [cp.fuse, cp.fuse(), cp.fuse(kernel_name="double")])
def test_fuse_leaves_the_function_as_it_is(a, decorator):
    @decorator
    def double(x):
        return x + x

    assert double(a).tolist() == (2 * HOST).tolist()


# -- what it offers exists in CuPy, and what tinyar uses is offered ----------------------------------------------------


@functools.cache
def real_modules():
    """The real cupy and cupyx.scipy.special; skips the test that asks where CuPy isn't installed."""
    try:
        return importlib.import_module("cupy"), importlib.import_module("cupyx.scipy.special")
    except ImportError as error:
        pytest.skip(f"CuPy isn't installed, so the stand-in can't be compared with it ({error})")


def attribute(root, dotted):
    """root.a.b for "a.b"; None when there is no such thing."""
    return functools.reduce(lambda value, name: getattr(value, name, None), dotted.split("."), root)


def test_every_name_of_the_standin_exists_in_cupy():
    real, real_special = real_modules()
    names = cp.__all__ + ["lib.stride_tricks.as_strided", "lib.stride_tricks.sliding_window_view", "add.at",
                          "cuda.Device.synchronize", "cuda.Stream.null.synchronize"]
    missing = [name for name in names if attribute(real, name) is None and name != "newaxis"]
    missing += [f"ndarray.{name}" for name in vars(cp.ndarray)
                if not hasattr(real.ndarray, name) and name not in ("__dict__", "__weakref__")]
    missing += [f"special.{name}" for name in special.__all__ if not hasattr(real_special, name)]
    missing += [f"ndarray.{name}({option}=)" for name, options in cp.METHODS.items() for option in options
                if option not in getattr(real.ndarray, name).__doc__.partition("\n")[0]]
    assert not missing
    assert all(getattr(real, name) is getattr(cp, name) for name in cp.SAME_AS_NUMPY)


def test_cupy_imports_without_a_gpu_and_tinyar_says_what_is_missing():
    real_modules()
    code = "import cupy; assert not cupy.is_available(); import tinyar.backend"
    run = run_python("-c", code, PYTHONPATH=os.environ.get("PYTHONPATH", ""), CUDA_VISIBLE_DEVICES="")
    assert run.stdout.strip().endswith("(check nvidia-smi; TINYAR_BACKEND=numpy computes on the CPU)"), run.stdout


def uses(root):
    """(place, dotted name, keywords) of every root.name in tinyar's files: xp.sum(x, axis=0) gives "sum", ["axis"]."""
    for path in sorted((ROOT / "tinyar").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        calls = {call.func: call for call in ast.walk(tree) if isinstance(call, ast.Call)}
        inner = {node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node not in inner:
                dotted = re.fullmatch(root + r"\.([\w.]+)", ast.unparse(node))
                if dotted:
                    keywords = [word.arg for word in calls[node].keywords if word.arg] if node in calls else []
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", dotted[1], keywords


@pytest.mark.parametrize("root, module", [("xp", cp), ("special", special)])
def test_every_name_that_tinyar_uses_is_offered(root, module):
    missing = [f"{place}: {root}.{name}" for place, name, _ in uses(root)
               if name.partition(".")[0] not in module.__all__ or attribute(module, name) is None and name != "newaxis"]
    assert not missing
    assert root == "special" or len(list(uses("xp"))) > 20


@pytest.mark.parametrize("root, which", [("xp", 0), ("special", 1)])
def test_every_keyword_that_tinyar_gives_is_known_to_cupy(root, which):
    real, unknown = real_modules()[which], []
    for place, name, keywords in uses(root):
        function = attribute(real, name)
        if not keywords or name == "einsum":  # whose keywords the stand-in itself knows
            continue
        is_ufunc = type(function).__name__ == "ufunc"
        allowed = {"out", "dtype", "casting"} if is_ufunc else inspect.signature(function).parameters
        unknown += [f"{place}: {root}.{name}({word}=)" for word in keywords if word not in allowed]
    assert not unknown


# -- tinyar on it ------------------------------------------------------------------------------------------------------


def test_tinyar_takes_the_standin_and_mixing_is_noticed():
    code = ("import numpy as np; from tinyar.backend import xp, name; from tinyar.layers import Linear; "
            "assert name == 'cupy' and 'standin' in xp.__file__; Linear(2, 3)(np.ones((4, 2)))")
    run = run_python("-c", code)
    assert run.returncode != 0 and "TypeError: Unsupported type <class 'numpy.ndarray'>" in run.stdout, run.stdout


@pytest.mark.parametrize("file, which", [
    *(pytest.param(*item, id=item[0]) for item in FILES_ON_STANDIN.items()),
    *(pytest.param(*item, id=f"{item[0]}, more", marks=pytest.mark.long) for item in LONG.items())])
def test_suite_passes_on_the_standin(file, which):
    run = run_python("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", which, str(ROOT / "tests" / file))
    assert run.returncode == 0, run.stdout
