"""Which array library is chosen, what is said when it can't be, fused functions, TF32,
and how many threads share a batch.
"""

import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

from tinyar import backend

ROOT = pathlib.Path(__file__).parents[1]
ON_STANDIN = {"TINYAR_BACKEND": "cupy", "PYTHONPATH": str(ROOT / "tests" / "standin")}


def run_python(code, **variables):
    """Run code in the project's root; its standard output, the last line of its errors, and whether it failed."""
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **variables},
                         text=True, capture_output=True)
    return run.stdout.strip(), run.stderr.strip().rpartition("\n")[2], run.returncode != 0


@pytest.fixture
def fake_cupy(monkeypatch):
    """Make `import cupy` find a module with a device or without one, or nothing; returns the module."""
    def install(is_available=None):
        module = None if is_available is None else types.SimpleNamespace(is_available=lambda: is_available)
        monkeypatch.setitem(sys.modules, "cupy", module)
        return module
    return install


# -- the choice --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["torch", "NumPy", "cuda", " "])
def test_an_unknown_name_is_refused(wanted):
    with pytest.raises(backend.BackendError, match=f"TINYAR_BACKEND='{wanted}' is unknown: use 'numpy', 'cupy'"):
        backend.choose_backend(wanted)


def test_cupy_asked_for_but_not_installed(fake_cupy):
    fake_cupy()
    with pytest.raises(backend.BackendError, match=r'CuPy can.t be imported \(.*cupy.*pip install -e "\.\[cuda13\]"'):
        backend.choose_backend("cupy")


def test_cupy_asked_for_but_without_a_device(fake_cupy):
    fake_cupy(is_available=False)
    with pytest.raises(backend.BackendError, match="CuPy is installed, but it finds no CUDA device"):
        backend.choose_backend("cupy")


@pytest.mark.parametrize("is_available", [None, False])
def test_unset_falls_back_to_numpy(fake_cupy, is_available):
    fake_cupy(is_available)
    assert backend.choose_backend("") == (np, "numpy")


@pytest.mark.parametrize("wanted", ["", "cupy"])
def test_a_device_is_taken(fake_cupy, wanted):
    module = fake_cupy(is_available=True)
    assert backend.choose_backend(wanted) == (module, "cupy")


@pytest.mark.parametrize("is_available", [None, True])
def test_numpy_asked_for_is_numpy(fake_cupy, is_available):
    fake_cupy(is_available)
    assert backend.choose_backend("numpy") == (np, "numpy")


def test_the_environment_variable_is_read_when_tinyar_is_imported():
    _, error, failed = run_python("import tinyar.backend", TINYAR_BACKEND="torch")
    assert failed
    assert error.endswith("TINYAR_BACKEND='torch' is unknown: use 'numpy', 'cupy', or leave it unset")


# -- the bridges -------------------------------------------------------------------------------------------------------


def test_to_device_and_back():
    host = np.arange(6, dtype=np.uint8).reshape(2, 3)
    array = backend.to_device(host, dtype=backend.xp.float32)
    assert isinstance(array, backend.xp.ndarray) and array.dtype == np.float32
    back = backend.to_host(array)
    assert type(back) is np.ndarray and back.dtype == np.float32
    assert back.tolist() == host.tolist()
    assert backend.to_device(host).dtype == np.uint8
    assert backend.to_host(host) is host


# -- fused functions ---------------------------------------------------------------------------------------------------


def test_a_fused_function_computes_the_same_and_changes_arrays_in_place():
    def halve_and_square(a, b, half):
        a *= half
        return a * b, a - half

    arrays = [[backend.to_device(np.array(values, dtype=np.float32)) for values in ([1, 2, 3], [4, 5, 6])]
              for _ in range(2)]
    results = [function(*pair, 0.5)
               for function, pair in zip((halve_and_square, backend.fuse(halve_and_square)), arrays)]
    assert all(array.dtype == np.float32 for array in results[1])
    for plain, fused in zip([*results[0], arrays[0][0]], [*results[1], arrays[1][0]]):
        assert backend.to_host(fused).tolist() == backend.to_host(plain).tolist()
    assert backend.to_host(arrays[1][0]).tolist() == [0.5, 1, 1.5]


def test_on_the_standin_numbers_meet_arrays_alone_in_a_fused_function():
    code = ("from tinyar.backend import fuse, xp\n"
            "a = xp.ones(3)\n"
            "assert fuse(lambda a, b: b - b * a / b)(a, 0.5).tolist() == [-0.5] * 3\n"
            "for formula in ('(1 - b) * a', 'b * b + a', 'a if b else a', 'b ** 2 * a', 'max(b, 1) * a', '-b * a'):\n"
            "    try:\n"
            "        fuse(eval('lambda a, b: ' + formula))(a, 0.5)\n"
            "        raise AssertionError(formula)\n"
            "    except TypeError:\n"
            "        pass")
    assert run_python(code, **ON_STANDIN) == ("", "", False)


def test_on_the_standin_a_fused_function_takes_device_arrays_by_position_alone():
    for call, message in (("(a, b=0.5)", "unexpected keyword argument"), ("(np.ones(3), 0.5)", "Unsupported type")):
        code = ("import numpy as np; from tinyar.backend import fuse, xp; a = xp.ones(3); "
                f"fuse(lambda a, b: a * b){call}")
        _, error, failed = run_python(code, **ON_STANDIN)
        assert failed and message in error, error


# -- TF32 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before, wanted, told", [("1", "", "0"), ("1", "0", "0"), ("0", "1", "1")])
def test_cupy_is_told_about_tf32_before_it_is_imported(before, wanted, told):
    code = ("import os, sys\n"
            "class Watch:\n"
            "    def find_spec(name, path, target=None):\n"
            "        if name == 'cupy': print(os.environ['CUPY_TF32'])\n"
            "sys.meta_path.insert(0, Watch)\n"
            "import tinyar.backend\n"
            "print(os.environ['CUPY_TF32'])")
    output, error, _ = run_python(code, TINYAR_TF32=wanted, CUPY_TF32=before, **ON_STANDIN)
    assert output.split() == [told, told], error


@pytest.mark.parametrize("wanted", ["yes", "2", " 1"])
def test_an_unknown_wish_about_tf32_is_refused(wanted):
    with pytest.raises(backend.BackendError, match=f"TINYAR_TF32='{wanted}' is unknown: use '1' for TF32"):
        backend.cupy_tf32(wanted)


# -- threads -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0", "two", "-1", "1.5", " 2"])
def test_a_number_of_threads_that_is_none_is_refused(monkeypatch, text):
    monkeypatch.setenv("TINYAR_THREADS", text)
    with pytest.raises(ValueError, match=f"TINYAR_THREADS='{text}': expected a whole number of at least 1"):
        backend.default_threads()


def test_the_number_of_threads_set(monkeypatch):
    monkeypatch.setenv("TINYAR_THREADS", "3")
    assert backend.default_threads() == 3


@pytest.mark.parametrize("text", [None, ""])
def test_threads_unset_are_one_for_each_core_and_one_on_a_gpu(monkeypatch, text):
    if text is None:
        monkeypatch.delenv("TINYAR_THREADS", raising=False)
    else:
        monkeypatch.setenv("TINYAR_THREADS", text)
    monkeypatch.setattr(backend, "on_gpu", False)
    monkeypatch.setattr(backend, "cpu_quota", lambda: float("inf"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert backend.default_threads() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert backend.default_threads() == 7
    monkeypatch.setattr(backend, "on_gpu", True)
    assert backend.default_threads() == 1


def test_a_probe_that_fails_counts_as_no_device(monkeypatch):
    """CuPy 13 without a driver raises an error of its own instead of saying no."""
    def fails():
        raise RuntimeError("cudaErrorInsufficientDriver")
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(is_available=fails))
    assert backend.choose_backend("") == (np, "numpy")
    with pytest.raises(backend.BackendError, match=r"finds no CUDA device \(cudaErrorInsufficientDriver\)"):
        backend.choose_backend("cupy")


@pytest.mark.parametrize("text, cores, threads", [
    ("200000 100000\n", 64, 2), ("150000 100000\n", 64, 2), ("50000 100000\n", 64, 1), ("800000 100000\n", 4, 4),
    ("max 100000\n", 6, 6), ("", 6, 6), (None, 6, 6)])
def test_a_quota_of_cpu_time_counts(monkeypatch, tmp_path, text, cores, threads):
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)
    quota = backend.cpu_quota(tmp_path / "cpu.max")
    monkeypatch.delenv("TINYAR_THREADS", raising=False)
    monkeypatch.setattr(backend, "on_gpu", False)
    monkeypatch.setattr(backend, "cpu_quota", lambda: quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)), raising=False)
    assert backend.default_threads() == threads
