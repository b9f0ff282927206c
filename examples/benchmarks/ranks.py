"""Ranks against threads: a training step on two ranks, what adding up the gradients costs, and what more would do.

    python examples/benchmarks/ranks.py                            two tables
    python examples/benchmarks/ranks.py --picture scaling.png      and the picture of 1, 2, 4, ... 64 ranks

It starts itself with mpiexec, so it needs pip install -e ".[mpi]". Each measured rank computes on one core,
but for a line with two threads.

The times of more than two ranks are computed, not measured, from what one rank needs and a network's two numbers:

    step(N) = compute / N + sum(N)                    strong scaling: one batch is shared by N ranks
    step(N) = compute + sum(N)                        weak scaling: every rank has a batch of its own
    sum(N)  = 2 log2(N) latency + 2 (N - 1) / N bytes / bandwidth         as a ring adds up
"""

import contenders  # first, so that Ctrl-C ends the imports too in one line
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np
from arguments import ArgumentParser
from contenders import describe_machine
from kinds import path, up_to
from matplotlib.figure import Figure

from tinyar import models
from tinyar.optim import Adam
from tinyar.pictures.grids import save_figure
from tinyar.training.parallel import Workers
from tinyar.training.world import world

LATENCY, BANDWIDTH = 30e-6, 1.25e9  # seconds and bytes a second, of a network of 10 Gbit/s
MOST_RANKS = 64
SIZES = {"report's PixelCNN": lambda: models.PixelCNN.published("report"),
         "Gated PixelCNN, 256 channels": lambda: models.GatedPixelCNN(levels=256, channels=256, dilations=(1,) * 5),
         "published PixelCNN++": lambda: models.PixelCNNpp.published("cifar10")}


def main():
    parser = ArgumentParser(__doc__)
    parser.add_argument("--rounds", type=up_to(1000), default=10, help="how often each is timed (10)")
    parser.add_argument("--batch-size", type=up_to(4096), default=128, help="images a step (128)")
    parser.add_argument("--picture", type=path, help="a file for the picture of many ranks")
    parser.add_argument("--measure", choices=("step", "sums"), help="what a rank does that this script has started")
    parser.add_argument("--threads", type=up_to(1024), default=1, help="of a rank that this script has started (1)")
    args = parser.parse_args()
    if args.measure:
        measure = {"step": measure_step, "sums": measure_sums}[args.measure]
        found = measure(args)
        if world().first:
            print(json.dumps(found))
        return
    mpiexec = shutil.which("mpiexec", path=os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]]))
    if mpiexec is None:
        parser.error('no mpiexec is installed: pip install -e ".[mpi]"')
    print(describe_machine(2, ("numpy", "mpi4py")))
    print(f"a step of the report's PixelCNN on {args.batch_size} images, 28x28; median of {args.rounds}")
    steps = print_steps(args, mpiexec)
    print_sums(args, mpiexec)
    if args.picture:
        save_scaling(args.picture, steps)
        print(f"wrote {args.picture}")


# -- what is started ---------------------------------------------------------------------------------------------------

def started(args, mpiexec, ranks, measure, threads=1, batch_size=None):
    """What the ranks measure: this script again, started by mpiexec, or alone."""
    launcher = [] if ranks == 1 else [mpiexec, "-n", str(ranks)]
    ended = subprocess.run([*launcher, sys.executable, __file__, "--measure", measure, "--threads", str(threads),
                            "--rounds", str(args.rounds), "--batch-size", str(batch_size or args.batch_size)],
                           text=True, stdout=subprocess.PIPE, env={**os.environ, "TINYAR_BACKEND": "numpy"})
    if ended.returncode:
        raise RuntimeError(f"a process of {ranks} ranks ended with status {ended.returncode}")
    return json.loads(ended.stdout)


def measure_step(args):
    """{"step": seconds, "sum": seconds in which gradients are added up, "bytes": of the gradients}."""
    ranks, add, times, in_sum = world(), world().sum, [], []
    images = np.random.default_rng(0).integers(0, 2, (args.batch_size, 28, 28, 1)).astype(np.uint8)
    model = SIZES["report's PixelCNN"]()
    adam = Adam(model)

    def timed(arrays):
        ranks.of_all(None)  # to wait for a slower rank isn't part of the sum
        begun = time.perf_counter()
        add(arrays)
        in_sum.append(time.perf_counter() - begun)

    ranks.sum = timed
    with Workers(model, args.threads) as workers:
        for _ in range(args.rounds + 2):
            begun = time.perf_counter()
            workers.gradient(images)
            adam.step()
            times.append(time.perf_counter() - begun)
    return {"step": statistics.median(times[2:]), "sum": statistics.median(in_sum[2:]),
            "bytes": sum(array.nbytes for array in model.addends())}


def measure_sums(args):
    """[(network, parameters, seconds to add up its gradients, seconds of Adam's step), ...]."""
    found = []
    for title, make in SIZES.items():
        model = make()
        adam, sums, steps = Adam(model), [], []
        for _ in range(max(3, args.rounds // 2)):
            world().of_all(None)
            begun = time.perf_counter()
            world().sum(model.addends())
            sums.append(time.perf_counter() - begun)
            adam.step()
            steps.append(time.perf_counter() - begun - sums[-1])
        found.append((title, model.count_parameters(), statistics.median(sums), statistics.median(steps)))
    return found


# -- what is shown -----------------------------------------------------------------------------------------------------

def print_steps(args, mpiexec):
    """Print a line for each way to share a batch; returns what was measured, {(ranks, threads, batch): ...}."""
    steps = {}
    print(f"{'':28s} {'step':>9s} {'in the sum':>11s} {'share':>7s}")
    for ranks, threads, batch in ((1, 1, args.batch_size), (1, 2, args.batch_size), (2, 1, args.batch_size),
                                  (2, 1, 2 * args.batch_size)):
        found = steps[ranks, threads, batch] = started(args, mpiexec, ranks, "step", threads, batch)
        title = f"{ranks} x {threads} thread{'s' * (threads > 1)}, {batch} images"
        print(f"{title:28s} {1000 * found['step']:6.0f} ms {1000 * found['sum']:8.2f} ms "
              f"{100 * found['sum'] / found['step']:5.1f} %", flush=True)
    return steps


def print_sums(args, mpiexec):
    """Print what two ranks need to add up the gradients of small and large networks."""
    print(f"{'':28s} {'parameters':>12s} {'in the sum':>11s} {'Adam':>9s}")
    for title, parameters, in_sum, adam in started(args, mpiexec, 2, "sums"):
        print(f"{title:28s} {parameters:12,} {1000 * in_sum:8.1f} ms {1000 * adam:6.1f} ms")


def save_scaling(file, steps):
    """The time of a step by the number of ranks, each on one core: measured for 1 and 2, computed beyond."""
    batch = min(size for _, _, size in steps)
    one = steps[1, 1, batch]
    ranks = 2 ** np.arange(int(math.log2(MOST_RANKS)) + 1)
    added = 2 * np.log2(ranks) * LATENCY + 2 * (ranks - 1) / ranks * one["bytes"] / BANDWIDTH
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="ranks, one core each", ylabel="milliseconds a step", xscale="log", yscale="log",
                              xticks=ranks, xticklabels=[str(count) for count in ranks])
    for color, title, computed, two in (
            ("tab:blue", f"one batch of {batch} images", one["step"] / ranks + added, steps[2, 1, batch]),
            ("tab:orange", f"{batch} images for each rank", one["step"] + added, steps[2, 1, 2 * batch])):
        axes.plot(ranks, 1000 * computed, "--", color=color, label=f"{title}: computed")
        axes.plot([1, 2], [1000 * one["step"], 1000 * two["step"]], "o", color=color, label="measured")
    axes.minorticks_off()
    axes.legend(frameon=False)
    save_figure(pathlib.Path(file), figure)


if __name__ == "__main__":
    contenders.endings.run(main, ranks=True)
