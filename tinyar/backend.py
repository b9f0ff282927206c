"""Which array library computes: the only file of tinyar that names CuPy.

Every other file says `from tinyar.backend import xp` and writes `xp.matmul`, `xp.exp`, ...: NumPy on a CPU, CuPy on
a GPU. The choice is made once, when tinyar is imported, by the environment variable TINYAR_BACKEND:

    numpy    always NumPy
    cupy     CuPy, or an error that says what is missing
    unset    CuPy if it can be imported and finds a device, otherwise NumPy

Data, pictures and random numbers live on the host, as NumPy arrays; `to_device` and `to_host` are the only two bridges.
CuPy refuses to cross them by itself, and so does the stand-in for it in the tests.

TINYAR_TF32=1 lets a GPU multiply matrices in TF32, on its tensor cores: the factors of each product are rounded to
10 bits behind the point instead of 23 (a relative error of up to 0.0005), sums stay float32. Unset or 0 means true
float32. tinyar sets CUPY_TF32 by it, CuPy's own variable, which CuPy reads at its first product and never again.
"""

import contextlib
import contextvars
import ctypes
import math
import os
import threading

import numpy as np
import threadpoolctl


class BackendError(RuntimeError):
    """The array library asked for with TINYAR_BACKEND can't be used here."""


class NonFiniteError(FloatingPointError):
    """Numbers became infinite or NaN; the message names the array, or the layer, where they are."""


def choose_backend(wanted):
    """Return (array module, its name) for wanted = "numpy", "cupy" or "" (whichever is best here).

    Raises BackendError when the name is unknown, when CuPy was asked for and isn't installed, or when it
    finds no device.
    """
    if wanted not in ("", "numpy", "cupy"):
        raise BackendError(f"TINYAR_BACKEND={wanted!r} is unknown: use 'numpy', 'cupy', or leave it unset")
    if wanted == "numpy":
        return np, "numpy"
    try:
        import cupy
    except ImportError as error:
        if wanted == "cupy":
            raise BackendError(f"TINYAR_BACKEND=cupy, but CuPy can't be imported ({error}); "
                               'install it with pip install -e ".[cuda13]" or ".[cuda12]"') from error
        return np, "numpy"
    reason = ""
    try:
        if cupy.is_available():
            return cupy, "cupy"
    except Exception as error:  # CuPy 13 without a driver raises an error of CUDA's own here
        reason = f" ({error})"
    if wanted == "cupy":
        raise BackendError(f"TINYAR_BACKEND=cupy, and CuPy is installed, but it finds no CUDA device{reason}: "
                           "check nvidia-smi; TINYAR_BACKEND=numpy computes on the CPU")
    return np, "numpy"


def cupy_tf32(wanted):
    """CuPy's CUPY_TF32, "0" or "1", for a value of TINYAR_TF32. Raises BackendError for one that is unknown."""
    if wanted not in ("", "0", "1"):
        raise BackendError(f"TINYAR_TF32={wanted!r} is unknown: use '1' for TF32, '0' or nothing for float32")
    return wanted or "0"


os.environ["CUPY_TF32"] = cupy_tf32(os.environ.get("TINYAR_TF32", ""))
xp, name = choose_backend(os.environ.get("TINYAR_BACKEND", ""))
on_gpu = name == "cupy"
# Variables in which launchers of MPI write which of the processes on its machine this one is: MPICH, Open MPI, Slurm.
LOCAL_RANKS = "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"
blas_guard, blas_limits = threading.Lock(), []  # an entry for each context of one_blas_thread, the limit in the first


def to_host(array):
    """The NumPy array that holds the same numbers. Waits for the GPU where there is one."""
    return xp.asnumpy(array) if on_gpu else np.asarray(array)


def to_device(array, dtype=None):
    """The array of the chosen library that holds the same numbers, cast to dtype if one is given."""
    return xp.asarray(array, dtype=dtype)


def use_device():
    """Compute on the GPU of this process from now on, in the thread that calls (CuPy begins each with number 0).

    Processes that a launcher of MPI has started take one GPU each. Returns its name; None on a CPU.
    """
    if on_gpu:
        number = next((int(os.environ[name]) for name in LOCAL_RANKS if name in os.environ), 0)
        device = xp.cuda.Device(number % xp.cuda.runtime.getDeviceCount())
        device.use()
        return device.pci_bus_id
    return None


def nccl(rank, size):
    """CuPy's communicator over the GPUs of all ranks, started by way of mpi4py; None where CuPy has no NCCL."""
    from cupy.cuda import nccl as library
    if not library.available:
        return None
    from cupyx.distributed import NCCLBackend
    return NCCLBackend(size, rank, use_mpi=True)


def fuse(function):
    """Decorator: on a GPU, one kernel for a whole chain of elementwise operations,
    instead of one for each; on a CPU, no change.

    function takes arrays of one shape and Python numbers, all by position, and may change the arrays in place.
    It combines each number with arrays alone. What is computed from numbers, such as 1 - b, is computed outside, as in
    the kernel CuPy would take the narrowest type for it, float16.
    """
    return xp.fuse(function) if on_gpu else function


def default_threads():
    """How many threads share a batch: TINYAR_THREADS if set, else one for each core this process may use; 1 on a GPU.

    Where a container has a quota of CPU time, that counts: 2 CPUs of 64 are 2 threads. Raises ValueError when
    TINYAR_THREADS isn't a whole number of at least 1.
    """
    text = os.environ.get("TINYAR_THREADS", "")
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"TINYAR_THREADS={text!r}: expected a whole number of at least 1")
        return int(text)
    if on_gpu:
        return 1
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, cpu_quota()))


def cpu_quota(path="/sys/fs/cgroup/cpu.max"):
    """The quota of CPU time that Linux grants this container, in whole CPUs, rounded up; infinite for none."""
    try:
        with open(path) as file:
            quota, period = file.read().split()
        return -(-int(quota) // int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return float("inf")


@contextlib.contextmanager
def one_blas_thread():
    """A context in which every matrix product runs on the thread that asked for it.

    tinyar spreads a batch over threads of its own; a BLAS that did the same inside each of them would only get
    in the way. The limit is the whole process's, so of several contexts at a time the first sets it, and the last one
    to end puts back what was before.
    """
    if on_gpu:
        yield
        return
    with blas_guard:
        if not blas_limits:
            blas_limits.append(threadpoolctl.threadpool_limits(1, user_api="blas"))
        else:
            blas_limits.append(None)
    try:
        yield
    finally:
        with blas_guard:
            last = blas_limits.pop()
            if not blas_limits:
                last.restore_original_limits()


def keep_freed_memory():
    """Ask glibc to keep the memory that arrays give back, instead of returning it to the system each time.

    Training makes and drops hundreds of arrays of some 100 kB a step. By default glibc returns many of them to the
    system at once and takes fresh pages for the next array, each of which the system zeroes first: about a quarter
    of a training step. Elsewhere than on Linux with glibc this does nothing.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    m_trim_threshold, m_mmap_threshold = -1, -3  # their numbers in malloc.h
    if mallopt(m_mmap_threshold, 2 ** 25):  # 32 MB, the most that every glibc takes
        mallopt(m_trim_threshold, 2 ** 31 - 1)


# -- sizes: a number with a few digits too many, a slip or a damaged file, shouldn't fill the memory -------------------

MOST_NUMBERS = 2 ** 25  # in one parameter: 128 MB
numbers_left = contextvars.ContextVar("numbers_left", default=math.inf)


def check_size(what, *shape):
    """Raise ValueError for a parameter of more than MOST_NUMBERS numbers. `what` has it, for the message."""
    if math.prod(int(count) for count in shape) > MOST_NUMBERS:
        raise ValueError(f"{what}: {' x '.join(map(str, shape))} numbers are too many for a parameter, "
                         f"expected at most {MOST_NUMBERS:,}")


@contextlib.contextmanager
def at_most(numbers):
    """A context in which all parameters that are made have at most so many numbers, taken together."""
    token = numbers_left.set(numbers)
    try:
        yield
    finally:
        numbers_left.reset(token)


def counted(value):
    """The value of one more parameter, its numbers counted. Raises ValueError beyond what `at_most` allows."""
    numbers_left.set(numbers_left.get() - value.size)
    if numbers_left.get() < 0:
        raise ValueError("the model has too many parameters")
    return value
