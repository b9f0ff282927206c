"""Each layer, forward and backward: tinyar beside PyTorch,
with GFLOP/s and their share of the machine's matrix-product speed.

    pip install -e ".[bench]"
    python examples/benchmarks/layers.py
    python examples/benchmarks/layers.py --backend cupy

A batch of 128 maps of 28x28, spread over the threads in micro-batches as in training. GFLOP/s are tinyar's, and count
the products of live taps only; the machine's speed is that of a 1024x1024 product on each thread at once. PyTorch runs
with the kernel cropped to its live rows, with and without channels-last memory; the faster one is shown.
"""

from contenders import check_libraries, describe_machine, endings, new_parser, race, up_to  # first: see there
import contextlib
import statistics
from concurrent.futures import ThreadPoolExecutor

import numpy as np

HELD = contextlib.ExitStack()  # settings that last as long as the process

HEIGHT = WIDTH = 28
SIDE, PRODUCTS = 1024, 10  # the matrix products that the machine's speed is taken from
LAYERS = {  # title: (class, arguments, products a pixel of the input or 0)
    "MaskedConv2d 7x7 A, 1 -> 64": ("MaskedConv2d", (1, 64, 7, "A"), 24 * 64),
    "MaskedConv2d 7x7 B, 32 -> 32": ("MaskedConv2d", (32, 32, 7, "B"), 25 * 32 * 32),
    "MaskedConv2d 3x3 B, 32 -> 32": ("MaskedConv2d", (32, 32, 3, "B"), 5 * 32 * 32),
    "MaskedConv2d 3x3 B, 128 -> 128": ("MaskedConv2d", (128, 128, 3, "B"), 5 * 128 * 128),
    "Linear 64 -> 32": ("Linear", (64, 32), 64 * 32),
    "Linear 32 -> 64": ("Linear", (32, 64), 32 * 64),
    "Linear 64 -> 256": ("Linear", (64, 256), 64 * 256),
    "Conv2d 4x4 / 2, 64 -> 64": ("Conv2d", (64, 64, 4, 2, 1), 16 * 64 * 64 // 4),  # a quarter as many outputs as pixels
    "ConvTranspose2d 4x4 / 2, 64 -> 64": ("ConvTranspose2d", (64, 64, 4, 2, 1), 16 * 64 * 64),
    "LayerNorm 64": ("LayerNorm", (64,), 0),
    "ReLU 64": ("ReLU", (), 0),
}


def make_layer(title):
    from tinyar import layers
    kind, arguments, _ = LAYERS[title]
    layer = getattr(layers, kind)(*arguments)
    return layer, arguments[0] if arguments else 64


def normal(batch, channels, seed):
    return np.random.default_rng(seed).standard_normal((batch, HEIGHT, WIDTH, channels), dtype=np.float32)


def tinyar_layer(title, batch, threads):
    """Forward and backward of a batch, over threads in micro-batches."""
    from tinyar.backend import keep_freed_memory, on_gpu, one_blas_thread, to_device, to_host
    from tinyar.training.parallel import LEAST_IMAGES
    layer, channels = make_layer(title)
    replicas = [layer] + [layer.replica() for _ in range(threads - 1)]
    x = normal(batch, channels, 0)
    size = batch if on_gpu else LEAST_IMAGES.get(type(layer), 2)  # as in the training of a network with 64 channels
    dy = np.random.default_rng(1).standard_normal((batch, *layer(to_device(x[:1])).shape[1:]), dtype=np.float32)
    parts = [(to_device(x[i:i + size]), to_device(dy[i:i + size])) for i in range(0, batch, size)]
    keep_freed_memory()
    HELD.enter_context(one_blas_thread())
    pool = ThreadPoolExecutor(threads)
    first = "1 -> 64" in title  # this layer reads the data: nobody asks for its dx, nor does PyTorch compute it

    def work(replica, share):
        for x_part, dy_part in share:
            replica.forward(x_part)
            dx = replica.backward(dy_part, need_dx=False) if first else replica.backward(dy_part)
        return dy_part if first else dx

    def run():
        for last in pool.map(work, replicas, [parts[t::threads] for t in range(threads)]):
            to_host(last[0, 0, 0, 0])
    return run


def torch_layer(title, batch, threads, channels_last, device):
    """The same in PyTorch."""
    import torch
    from twins import torch_twin
    torch.set_num_threads(threads)
    layer, channels = make_layer(title)
    twin = torch_twin(layer, cropped=True, channels_last=channels_last).to(device)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    x = torch.tensor(normal(batch, channels, 0)).permute(0, 3, 1, 2).to(device).contiguous(memory_format=memory)
    x.requires_grad_("1 -> 64" not in title)
    dy = torch.ones_like(twin(x)).contiguous(memory_format=memory)

    def run():
        twin(x).backward(dy)
        if device == "cuda":
            torch.cuda.synchronize()
    return run


def matrix_products(threads):
    """PRODUCTS products of SIDE x SIDE matrices, on each thread at once."""
    from tinyar.backend import one_blas_thread, to_device, to_host, xp
    a = to_device(np.random.default_rng(0).standard_normal((SIDE, SIDE), dtype=np.float32))
    HELD.enter_context(one_blas_thread())
    pool = ThreadPoolExecutor(threads)

    def work(_):
        for _ in range(PRODUCTS):
            y = xp.matmul(a, a)
        return to_host(y[0, 0])
    return lambda: list(pool.map(work, range(threads)))


def main():
    parser = new_parser(__doc__)
    parser.add_argument("--batch-size", type=up_to(4096), default=128, help="maps, in one batch (128)")
    parser.add_argument("--rounds", type=up_to(1000), default=10, help="how often each is timed (10)")
    parser.add_argument("--only", default="", help="layers with this text in their title (all)")
    args = parser.parse_args()
    chosen = [title for title in LAYERS if args.only in title]
    if not chosen:
        parser.error(f"--only: no layer has {args.only!r:.60} in its title; there are {', '.join(LAYERS)}")
    check_libraries(args)
    device, threads = ("cuda", 1) if args.backend == "cupy" else ("cpu", args.threads)
    print(describe_machine(threads))
    ours = {"TINYAR_BACKEND": args.backend}
    times, _ = race({"products": (matrix_products, dict(threads=threads), ours)}, rounds=5)["products"]
    speed = threads * PRODUCTS * 2 * SIDE ** 3 / min(times) / 1e9
    print(f"matrix products: {speed:.0f} GFLOP/s on {threads} threads; "
          f"batch {args.batch_size} of {HEIGHT}x{WIDTH}, on {device}\n")
    print(f"{'forward and backward':32s} {'tinyar':>8s} {'GFLOP/s':>8s} {'share':>6s} {'PyTorch':>9s} {'ratio':>6s}")
    for title in chosen:
        _, _, weights = LAYERS[title]
        common = dict(title=title, batch=args.batch_size)
        results = race({
            "tinyar": (tinyar_layer, dict(**common, threads=threads), ours),
            **{f"torch {last}": (torch_layer, dict(**common, threads=args.threads, channels_last=last, device=device),
                                 {"TINYAR_BACKEND": "numpy"}) for last in (False, True)}}, args.rounds)
        seconds = statistics.median(results.pop("tinyar")[0])
        theirs = min(statistics.median(times) for times, _ in results.values())
        passes = 2 if "1 -> 64" in title else 3
        rate = passes * 2 * weights * args.batch_size * HEIGHT * WIDTH / seconds / 1e9
        counted = f"{rate:8.0f} {100 * rate / speed:5.0f}%" if weights else " " * 15
        print(f"{title:32s} {1000 * seconds:5.1f} ms {counted} {1000 * theirs:6.1f} ms {seconds / theirs:6.2f}")


if __name__ == "__main__":
    endings.run(main)
