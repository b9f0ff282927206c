"""Drawing images: cached steps beside the usual loop, which runs the whole network once for every pixel.

    pip install -e '.[bench]'
    python examples/benchmarks/sampling.py                  report's 5-block model, 28x28, 2 levels
    python examples/benchmarks/sampling.py --whole-loop     runs the usual loop to its end once, instead of timing some of its rounds

The usual loop makes height * width forward passes, all alike, so its time is that of one pass (the median of several) times their
number, unless --whole-loop is given. Its ratio is stated for the faster of tinyar's own forward and PyTorch's. A second table shows
that the time per pixel doesn't grow with the image.
"""

import argparse
import statistics
import time

import numpy as np
from contenders import describe_machine, race, torch_twin


def model_of(blocks, levels):
    from tinyar.models import PixelCNN
    return PixelCNN.published("report", blocks=blocks, levels=levels)


def cached_drawing(blocks, levels, n, size):
    """A function that draws n images by cached steps."""
    from tinyar.sampling import sample
    model = model_of(blocks, levels)
    return lambda: sample(model, n, (size, size))


def tinyar_pass(blocks, levels, n, size):
    """A function that runs the whole network once, as the usual loop does for every pixel."""
    from tinyar.backend import keep_freed_memory, to_device, to_host
    keep_freed_memory()
    model, images = model_of(blocks, levels), to_device(np.zeros((n, size, size, 1), dtype=np.uint8))
    return lambda: to_host(model(images)[0, 0, 0, 0, 0])


def torch_pass(blocks, levels, n, size, threads, device):
    """The same in PyTorch, without gradients."""
    import torch
    torch.set_num_threads(threads)
    twin = torch_twin(model_of(blocks, levels).net, cropped=True, channels_last=True).to(device)
    x = torch.zeros(n, 1, size, size, device=device).contiguous(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            twin(x)[0, 0, 0, 0].item()
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--levels", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy")
    parser.add_argument("--whole-loop", action="store_true", help="for 100 images, run tinyar's usual loop to its end")
    args = parser.parse_args()
    device = "cuda" if args.backend == "cupy" else "cpu"
    common, ours = dict(blocks=args.blocks, levels=args.levels), {"TINYAR_BACKEND": args.backend}
    print(describe_machine(args.threads))

    print(f"\nPixelCNN of {args.blocks} blocks, {args.levels} levels, 28x28, on {device}")
    print(f"{'images':>6s} {'cached':>10s} {'one pass: tinyar':>17s} {'PyTorch':>10s} {'usual loop':>11s} {'ratio':>7s}")
    for n in (1, 16, 100):
        results = race({
            "cached": (cached_drawing, dict(**common, n=n, size=28), ours),
            "tinyar": (tinyar_pass, dict(**common, n=n, size=28), ours),
            "torch": (torch_pass, dict(**common, n=n, size=28, threads=args.threads, device=device), {"TINYAR_BACKEND": "numpy"}),
        }, args.rounds, warmup=1)
        cached, tinyar, torch = (statistics.median(results[title][0]) for title in ("cached", "tinyar", "torch"))
        loop = 28 * 28 * min(tinyar, torch)
        print(f"{n:6d} {cached:8.3f} s {1000 * tinyar:14.1f} ms {1000 * torch:7.1f} ms {loop:9.1f} s {loop / cached:7.0f}")

    if args.whole_loop:
        run = tinyar_pass(**common, n=100, size=28)
        start = time.perf_counter()
        for _ in range(28 * 28):
            run()
        print(f"100 images by the usual loop, run to its end: {time.perf_counter() - start:.1f} s")

    print(f"\n100 images, cached\n{'size':>9s} {'seconds':>9s} {'us per pixel':>13s}")
    for size in (28, 56, 112):
        times, _ = race({"cached": (cached_drawing, dict(**common, n=100, size=size), ours)}, 1, warmup=0)["cached"]
        print(f"{size:4d}x{size:<4d} {times[0]:9.2f} {1e6 * times[0] / size ** 2:13.0f}")


if __name__ == "__main__":
    main()
