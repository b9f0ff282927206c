"""What the benchmarks share: rivals in processes of their own that take turns.

Each contender lives in its own process, so that neither library's idle threads, memory or settings touch the other's;
they take turns, one run each, so that whatever else the machine does hits all alike. Peak memory is the process's,
less what it had after its imports. On a GPU both libraries multiply in float32, or in TF32 if TINYAR_TF32=1 is set;
PyTorch by itself would use TF32 in its convolutions.
"""

import importlib
import multiprocessing
import os
import pathlib
import platform
import re
import statistics
import time


def race(contenders, rounds, warmup=2):
    """Let contenders take turns: {title: (times in seconds, peak memory in MB)}.

    contenders: {title: (function, keyword arguments, environment)}; the function must be importable, and returns the
    run to time. Its name starts with "torch" if it needs PyTorch.
    """
    context = multiprocessing.get_context("spawn")
    running = {}
    for title, (function, arguments, environment) in contenders.items():
        here, there = context.Pipe()
        saved = dict(os.environ)
        os.environ.update(environment)
        process = context.Process(target=serve, args=(there, function.__module__, function.__name__, arguments),
                                  daemon=True)
        process.start()
        os.environ.clear()
        os.environ.update(saved)
        running[title] = (process, here)
        here.recv()  # ready
    times = {title: [] for title in running}
    for turn in range(warmup + rounds):
        for title, (_, pipe) in running.items():
            pipe.send("run")
            seconds = pipe.recv()
            if turn >= warmup:
                times[title].append(seconds)
    results = {}
    for title, (process, pipe) in running.items():
        pipe.send("stop")
        results[title] = (times[title], pipe.recv())
        process.join()
    return results


def serve(pipe, module, function, arguments):
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
             "row": models.RowLSTM, "diagonal": models.DiagonalBiLSTM}
    return kinds[kind].published(config, **options)


def print_table(results, baseline=None):
    """A line for each contender: median and minimum in ms, the ratio of medians to the baseline's, peak memory."""
    base = statistics.median(results[baseline][0]) if baseline else None
    print(f"{'':44s} {'median':>9s} {'min':>9s} {'ratio':>7s} {'peak memory':>12s}")
    for title, (times, memory) in results.items():
        median = statistics.median(times)
        ratio = f"{median / base:7.2f}" if base else " " * 7
        print(f"{title:44s} {1000 * median:6.0f} ms {1000 * min(times):6.0f} ms {ratio} {memory:9.0f} MB")


def describe_machine(threads):
    """One line: date, machine, versions, threads."""
    versions = " ".join(f"{name} {importlib.import_module(name).__version__}" for name in ("numpy", "torch"))
    return (f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {threads} threads, "
            f"Python {platform.python_version()}, {versions}")
