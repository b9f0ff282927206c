"""What the benchmarks share: rivals in processes of their own that take turns.

Each contender lives in its own process, so that neither library's idle threads, memory or settings touch the other's;
they take turns, one run each, so that whatever else the machine does hits all alike. Peak memory is the process's,
less what it had after its imports. On a GPU both libraries multiply in float32, or in TF32 if TINYAR_TF32=1 is set;
PyTorch by itself would use TF32 in its convolutions.

A benchmark imports this before all else, since it looks after the end of the script too (endings.py).
"""

import os
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # where endings.py, kinds.py, ... are
import endings  # noqa: E402  first, so that Ctrl-C ends the imports too in one line
import contextlib  # noqa: E402
import importlib.metadata  # noqa: E402
import importlib.util  # noqa: E402
import multiprocessing  # noqa: E402
import pathlib  # noqa: E402
import platform  # noqa: E402
import re  # noqa: E402
import signal  # noqa: E402
import statistics  # noqa: E402
import time  # noqa: E402

from arguments import ArgumentParser  # noqa: E402,F401
from kinds import MOST_CHANNELS, some_name, up_to  # noqa: E402,F401

from tinyar.backend import choose_backend  # noqa: E402

MISSING = 'PyTorch is what tinyar is measured against here, and it isn\'t installed: pip install -e ".[bench]"'


class ContenderError(RuntimeError):
    """What went wrong in the process of a contender."""


# -- the command line --------------------------------------------------------------------------------------------------

def new_parser(doc):
    """A parser with the options of every benchmark."""
    parser = ArgumentParser(doc)
    parser.add_argument("--threads", type=up_to(1024), default=2, help="cores to use (2)")
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy",
                        help="numpy on a CPU, or cupy on a GPU, PyTorch there too (numpy)")
    return parser


def check_libraries(args):
    """Raise ImportError if PyTorch isn't installed, BackendError if CuPy is asked for and can't be used."""
    if importlib.util.find_spec("torch") is None:
        raise ImportError(MISSING)
    choose_backend(args.backend)


# -- the race ----------------------------------------------------------------------------------------------------------

def race(contenders, rounds, warmup=2):
    """Let contenders take turns: {title: (times in seconds, peak memory in MB)}.

    contenders: {title: (function, keyword arguments, environment)}; the function must be importable, and returns the
    run to time. Its name starts with "torch" if it needs PyTorch. Raises ContenderError for what goes wrong in one.
    """
    context = multiprocessing.get_context("spawn")
    running = {}
    for title, (function, arguments, environment) in contenders.items():
        here, there = context.Pipe()
        saved = dict(os.environ)
        os.environ.update(environment)
        process = context.Process(target=serve, args=(there, function.__module__, function.__name__, arguments),
                                  daemon=True)
        with deaf_to_ctrl_c():
            process.start()
        there.close()
        os.environ.clear()
        os.environ.update(saved)
        running[title] = (process, here)
        received(title, here)  # ready
    times = {title: [] for title in running}
    for turn in range(warmup + rounds):
        for title, (_, pipe) in running.items():
            pipe.send("run")
            seconds = received(title, pipe)
            if turn >= warmup:
                times[title].append(seconds)
    results = {}
    for title, (process, pipe) in running.items():
        pipe.send("stop")
        results[title] = (times[title], received(title, pipe))
        process.join()
    return results


@contextlib.contextmanager
def deaf_to_ctrl_c():
    """A context: a process that starts in it never hears Ctrl-C; it ends when this one does. Windows knows no such."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def received(title, pipe):
    """What a contender says next. Raises ContenderError if it failed, or is gone."""
    try:
        answer = pipe.recv()
    except EOFError:
        raise ContenderError(f"{title}: its process ended without a word") from None
    if isinstance(answer, Exception):
        raise ContenderError(f"{title}: {answer}")
    return answer


def serve(pipe, module, function, arguments):
    """A contender's process: what goes wrong in it is sent to the one that measures."""
    try:
        take_turns(pipe, module, function, arguments)
    except EOFError:
        pass  # that one has gone
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(ContenderError(endings.one_line(error)))


def take_turns(pipe, module, function, arguments):
    """The loop of a contender's process."""
    make = getattr(importlib.import_module(module), function)
    if function.startswith("torch"):
        import torch
        importlib.import_module("twins")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = os.environ.get("TINYAR_TF32") == "1"
    else:
        importlib.import_module("tinyar")
    before = peak_memory()
    run = make(**arguments)
    pipe.send("ready")
    while pipe.recv() == "run":
        start = time.perf_counter()
        run()
        pipe.send(time.perf_counter() - start)
    pipe.send(peak_memory() - before)


def peak_memory():
    """The most memory this process ever had, in MB (Linux; NaN elsewhere)."""
    status = pathlib.Path("/proc/self/status")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 1024 if status.exists() else float("nan")


def published_model(kind, config, **options):
    """The published configuration of a model by its short name, with some options changed."""
    from tinyar import models
    kinds = {"pixelcnn": models.PixelCNN, "gated": models.GatedPixelCNN, "naive": models.PixelRNN,
             "row": models.RowLSTM, "diagonal": models.DiagonalBiLSTM, "pixelcnnpp": models.PixelCNNpp,
             "pixelsnail": models.PixelSNAIL}
    return kinds[kind].published(config, **options)


def print_table(results, baseline=None):
    """A line for each contender: median and minimum in ms, the ratio of medians to the baseline's, peak memory."""
    base = statistics.median(results[baseline][0]) if baseline else None
    print(f"{'':44s} {'median':>9s} {'min':>9s} {'ratio':>7s} {'peak memory':>12s}")
    for title, (times, memory) in results.items():
        median = statistics.median(times)
        ratio = f"{median / base:7.2f}" if base else " " * 7
        print(f"{title:44s} {1000 * median:6.0f} ms {1000 * min(times):6.0f} ms {ratio} {memory:9.0f} MB")


def describe_machine(threads, libraries=("numpy", "torch")):
    """One line: date, machine, versions, threads."""
    versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in libraries)
    return (f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {threads} threads, "
            f"Python {platform.python_version()}, {versions}")
