"""Which array library is chosen, what is said when it can't be, and how many threads share a batch."""

import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest

from tinyar import backend


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
    with pytest.raises(backend.BackendError, match=r"CuPy can't be imported \(.*cupy.*pip install 'tinyar\[cuda13\]'"):
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
    run = subprocess.run([sys.executable, "-c", "import tinyar.backend"], cwd=pathlib.Path(__file__).parents[1],
                         env={**os.environ, "TINYAR_BACKEND": "torch"}, text=True, capture_output=True)
    assert run.returncode != 0
    assert run.stderr.strip().endswith("TINYAR_BACKEND='torch' is unknown: use 'numpy', 'cupy', or leave it unset")


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
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 2, 5}, raising=False)
    assert backend.default_threads() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert backend.default_threads() == 7
    monkeypatch.setattr(backend, "on_gpu", True)
    assert backend.default_threads() == 1
