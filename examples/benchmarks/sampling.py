"""Drawing images: cached steps beside the usual loop, which runs the network anew for every pixel.

    pip install -e ".[bench]"
    python examples/benchmarks/sampling.py                  report's 5-block model, 28x28, 2 levels
    python examples/benchmarks/sampling.py --model gated    Gated PixelCNN of the Amsterdam tutorial, 256 levels,
                                                            images of given classes
    python examples/benchmarks/sampling.py --model pixelcnnpp         PixelCNN++, 575,166 parameters, 256 levels
    python examples/benchmarks/sampling.py --model pixelsnail         PixelSNAIL, 438,845 parameters, 256 levels
    python examples/benchmarks/sampling.py --model row      Row LSTM of 7 layers, h = 16; or diagonal
    python examples/benchmarks/sampling.py --model naive    LSTM over the raster, h = 256
    python examples/benchmarks/sampling.py --whole-loop     runs the usual loop to its end once,
                                                            instead of timing some of its rounds

The usual loop makes height * width forward passes, all alike, so its time is that of one pass (the median of several)
times their number, unless --whole-loop is given. The gated tutorial's loop leaves out the rows below the pixel, so
its passes see half the image on average, and that is what is timed for it; PyTorch isn't told the classes, which
spares it a little. The loop's time is stated for the faster of tinyar's own forward and PyTorch's. A second table
shows that the time per pixel doesn't grow with the image.
"""

from contenders import check_libraries, describe_machine, endings, new_parser, published_model, race, up_to  # first
import statistics

import numpy as np

CLASSES = 10
SIDE = 28
MODELS = {  # title, published configuration
    "pixelcnn": ("PixelCNN", "report"),
    "gated": ("Gated PixelCNN, images of given classes", "tutorial"),
    "naive": ("LSTM over the raster", "course"),
    "row": ("Row LSTM", "paper-mnist"),
    "diagonal": ("Diagonal BiLSTM", "paper-mnist"),
    "pixelcnnpp": ("PixelCNN++", "small"),
    "pixelsnail": ("PixelSNAIL", "small"),
}


def model_of(kind, levels, options):
    classes = {"classes": CLASSES} if kind == "gated" else {}
    return published_model(kind, MODELS[kind][1], levels=levels, **classes, **options)


def rows_of_a_pass(kind):
    return SIDE // 2 if kind == "gated" else SIDE


def labels_of(model, n):
    """0, 1, ... 9, 0, ... for a model of classes, None for another."""
    return np.arange(n) % CLASSES if model.classes else None


def cached_drawing(kind, levels, options, n, size):
    """A function that draws n images by cached steps."""
    from tinyar.sampling import sample
    model = model_of(kind, levels, options)
    return lambda: sample(model, n, (size, size), labels=labels_of(model, n))


def tinyar_pass(kind, levels, options, n, rows=None):
    """A function that runs the network once, as the usual loop does for every pixel."""
    from tinyar.backend import keep_freed_memory, one_blas_thread, to_device, to_host
    keep_freed_memory()
    if kind in ("naive", "row", "diagonal"):
        one_blas_thread().__enter__()  # their products are too small to share
    model = model_of(kind, levels, options)
    images = to_device(np.zeros((n, rows or rows_of_a_pass(kind), SIDE, 1), dtype=np.uint8))
    condition = model.condition(n, labels_of(model, n))
    return lambda: to_host(model(images, condition)[0, 0, 0])


def torch_pass(kind, levels, options, n, threads, device):
    """The same in PyTorch, without gradients."""
    import torch
    from twins import torch_twin
    torch.set_num_threads(threads)
    twin = torch_twin(model_of(kind, levels, options).net, cropped=True, channels_last=True).to(device)
    x = torch.zeros(n, 1, rows_of_a_pass(kind), SIDE, device=device).contiguous(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            twin(x)[0, 0, 0, 0].item()
    return run


def whole_loop(kind, levels, options):
    """A function that makes all passes of the usual loop, for 100 images."""
    passes = [tinyar_pass(kind, levels, options, n=100, rows=row + 1 if kind == "gated" else SIDE)
              for row in range(SIDE)]

    def run():
        for run_row in passes:
            for _ in range(SIDE):
                run_row()
    return run


def main():
    parser = new_parser(__doc__)
    parser.add_argument("--model", choices=tuple(MODELS), default="pixelcnn", help="whose drawing (pixelcnn)")
    parser.add_argument("--blocks", type=up_to(100), help="another number of blocks than 5 (PixelCNN)")
    parser.add_argument("--levels", type=up_to(256, least=2),
                        help="levels a pixel (2; gated, pixelcnnpp, pixelsnail 256)")
    parser.add_argument("--rounds", type=up_to(1000), default=5, help="how often each is timed (5)")
    parser.add_argument("--whole-loop", action="store_true", help="for 100 images, run tinyar's usual loop to its end")
    args = parser.parse_args()
    if args.blocks and args.model != "pixelcnn":
        parser.error("--blocks goes with --model pixelcnn")
    check_libraries(args)
    device = "cuda" if args.backend == "cupy" else "cpu"
    levels = args.levels or (256 if args.model in ("gated", "pixelcnnpp", "pixelsnail") else 2)
    common = dict(kind=args.model, levels=levels, options={"blocks": args.blocks} if args.blocks else {})
    ours = {"TINYAR_BACKEND": args.backend}
    print(describe_machine(args.threads))

    title = "{} ({})".format(*MODELS[args.model]) + (f", {args.blocks} blocks" if args.blocks else "")
    print(f"\n{title}, {levels} levels, {SIDE}x{SIDE}, on {device}")
    print(f"{'images':>6s} {'cached':>10s} {'one pass: tinyar':>17s} {'PyTorch':>10s} "
          f"{'usual loop':>11s} {'ratio':>7s}")
    for n in (1, 16, 100):
        results = race({
            "cached": (cached_drawing, dict(**common, n=n, size=SIDE), ours),
            "tinyar": (tinyar_pass, dict(**common, n=n), ours),
            "torch": (torch_pass, dict(**common, n=n, threads=args.threads, device=device),
                      {"TINYAR_BACKEND": "numpy"}),
        }, args.rounds, warmup=1)
        cached, tinyar, torch = (statistics.median(results[title][0]) for title in ("cached", "tinyar", "torch"))
        loop = SIDE * SIDE * min(tinyar, torch)
        print(f"{n:6d} {cached:8.3f} s {1000 * tinyar:14.1f} ms {1000 * torch:7.1f} ms "
              f"{loop:9.1f} s {loop / cached:7.0f}", flush=True)

    if args.whole_loop:
        times, _ = race({"loop": (whole_loop, common, ours)}, 1, warmup=0)["loop"]
        print(f"100 images by the usual loop, run to its end: {times[0]:.1f} s")

    print(f"\n100 images, cached\n{'size':>9s} {'seconds':>9s} {'us per pixel':>13s}")
    for size in (28, 56, 112):
        times, _ = race({"cached": (cached_drawing, dict(**common, n=100, size=size), ours)}, 1, warmup=0)["cached"]
        print(f"{size:4d}x{size:<4d} {times[0]:9.2f} {1e6 * times[0] / size ** 2:13.0f}", flush=True)


if __name__ == "__main__":
    endings.run(main)
