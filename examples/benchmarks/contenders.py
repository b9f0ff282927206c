"""What the benchmarks share: rivals in processes of their own that take turns, and a PyTorch twin of any tinyar model.

Each contender lives in its own process, so that neither library's idle threads, memory or settings touch the other's; they take
turns, one run each, so that whatever else the machine does hits all alike. Peak memory is the process's, less what it had
after its imports.
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

    contenders: {title: (function, keyword arguments, environment)}; the function must be importable, and returns the run to time.
    Its name starts with "torch" if it needs PyTorch.
    """
    context = multiprocessing.get_context("spawn")
    running = {}
    for title, (function, arguments, environment) in contenders.items():
        here, there = context.Pipe()
        saved = dict(os.environ)
        os.environ.update(environment)
        process = context.Process(target=serve, args=(there, function.__module__, function.__name__, arguments), daemon=True)
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
    importlib.import_module("torch" if function.startswith("torch") else "tinyar")
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
    return f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} cores, {threads} threads, Python {platform.python_version()}, {versions}"


def torch_twin(layer, cropped, channels_last):
    """The same layer (or chain of layers) in PyTorch, with the same weights; its images are (batch, channels, height, width).

    cropped=False masks the whole kernel, as most code does: conv2d(x, weight * mask). cropped=True leaves out the rows below the
    centre, which are all masked, and pads the image instead.
    """
    import torch
    from torch import nn
    from torch.nn import functional

    from tinyar.backend import to_host
    from tinyar.layer import Chain, Residual
    from tinyar.layers import Conv2d, ConvTranspose2d, LayerNorm, Linear, MaskedConv2d, ReLU
    from tinyar.receptive_fields import live_pairs

    def tensor(array):
        return torch.tensor(to_host(array))

    class Masked(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.half, rows = layer.half, layer.half + 1 if cropped else layer.kernel_size
            kernel, mask = (tensor(array).permute(3, 2, 0, 1)[:, :, :rows].contiguous()
                            for array in (layer.dense_kernel(), live_pairs(layer)))
            self.weight, self.bias = nn.Parameter(kernel), nn.Parameter(tensor(layer.params["b"]))
            self.register_buffer("mask", mask)

        def forward(self, x):
            if cropped:
                m = self.half
                return functional.conv2d(functional.pad(x, (m, m, m, 0)), self.weight * self.mask, self.bias)
            return functional.conv2d(x, self.weight * self.mask, self.bias, padding=self.half)

    class Norm(nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.norm = nn.LayerNorm(layer.channels, eps=layer.eps)
            self.norm.weight.data, self.norm.bias.data = tensor(layer.params["gamma"]), tensor(layer.params["beta"])

        def forward(self, x):
            return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Skip(nn.Module):
        def __init__(self, body):
            super().__init__()
            self.body = body

        def forward(self, x):
            return x + self.body(x)

    def convert(layer):
        if isinstance(layer, Chain):
            return nn.Sequential(*map(convert, layer.links))
        if isinstance(layer, Residual):
            return Skip(convert(layer.body))
        if isinstance(layer, MaskedConv2d):
            return Masked(layer)
        if isinstance(layer, LayerNorm):
            return Norm(layer)
        if isinstance(layer, ReLU):
            return nn.ReLU()
        if isinstance(layer, Linear):
            twin = nn.Conv2d(layer.in_channels, layer.out_channels, 1)
            twin.weight.data = tensor(layer.params["w"]).T[:, :, None, None].contiguous()
            twin.bias.data = tensor(layer.params["b"])
            return twin
        if isinstance(layer, (Conv2d, ConvTranspose2d)):
            kind = getattr(nn, type(layer).__name__)  # both libraries keep a transposed kernel as its forward twin's
            twin = kind(layer.in_channels, layer.out_channels, layer.windows.kernel, layer.windows.stride, layer.windows.padding)
            twin.weight.data = tensor(layer.params["w"]).permute(3, 2, 0, 1).contiguous()
            twin.bias.data = tensor(layer.params["b"])
            return twin
        raise TypeError(f"no PyTorch twin of {type(layer).__name__}")

    twin = convert(layer)
    return twin.to(memory_format=torch.channels_last) if channels_last else twin
