"""One training step (forward, backward, Adam) of a PixelCNN: tinyar beside PyTorch, on the same cores, taking turns.

    pip install -e '.[bench]'
    python examples/benchmarks/training_step.py                       report's 5-block model, batch 128, 28x28, 2 levels
    python examples/benchmarks/training_step.py --levels 256
    python examples/benchmarks/training_step.py --config paper --channels 64      3x3 blocks, h = 32
    python examples/benchmarks/training_step.py --model gated         Gated PixelCNN of the Amsterdam tutorial, batch 64, 256 levels
    python examples/benchmarks/training_step.py --growth              time for each image, and memory, at batches of 16 to 512
    python examples/benchmarks/training_step.py --backend cupy        on a GPU, PyTorch there too

PyTorch runs the usual masked form (the whole kernel times a mask) and the form cropped to the kernel's live rows (in Gated PixelCNN, where
that is a rectangle, to its live taps), each with and without channels-last memory. Before the race the twin's logits are
compared with tinyar's. With --growth PyTorch runs the cropped form, channels-last.
"""

import argparse
import statistics

import numpy as np
from contenders import describe_machine, print_table, published_model, race

USUAL = {"pixelcnn": dict(config="report", levels=2, batch=128), "gated": dict(config="tutorial", levels=256, batch=64)}


def images_and_model(kind, config, levels, batch, options):
    images = np.random.default_rng(0).integers(0, levels, (batch, 28, 28, 1)).astype(np.uint8)
    return images, published_model(kind, config, levels=levels, image_channels=1, **options)


def tinyar_step(kind, config, levels, batch, threads, options):
    """A function that makes one step, finished when it returns."""
    from tinyar.backend import to_host
    from tinyar.optim import Adam
    from tinyar.parallel import Workers
    images, model = images_and_model(kind, config, levels, batch, options)
    workers, adam = Workers(model, threads).__enter__(), Adam(model)

    def step():
        float(workers.gradient(images))
        adam.step()
        to_host(next(model.parameters())[1])  # waits for a GPU
    return step


def torch_step(kind, config, levels, batch, threads, options, cropped, channels_last, device):
    """The same in PyTorch."""
    import torch
    from twins import torch_twin
    torch.set_num_threads(threads)
    images, model = images_and_model(kind, config, levels, batch, options)
    rng = np.random.default_rng(1)
    for _, param, _ in model.parameters():
        param += 0.01 * rng.standard_normal(param.shape)  # biases of 0 would hide mistakes
    twin = torch_twin(model.net, cropped, channels_last).to(device)
    x = torch.tensor(images).permute(0, 3, 1, 2)
    logits = twin((x[:2].to(device).float() * (2 / (levels - 1)) - 1)).detach().cpu().permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(logits, model(images[:2]).reshape(logits.shape), atol=1e-3)
    adam = torch.optim.Adam(twin.parameters(), lr=1e-3)

    def step():
        on_device = x.to(device)
        adam.zero_grad()
        scaled = on_device.float() * (2 / (levels - 1)) - 1
        if channels_last:
            scaled = scaled.contiguous(memory_format=torch.channels_last)
        loss = torch.nn.functional.cross_entropy(twin(scaled), on_device[:, 0].long())
        loss.backward()
        adam.step()
        loss.item()
        if device == "cuda":
            torch.cuda.synchronize()
    return step


def contenders_of(args, batch, forms):
    """tinyar, and PyTorch in some of its forms (name, cropped, channels-last), as `race` takes them."""
    options = {key: getattr(args, key) for key in ("channels", "blocks") if getattr(args, key)}
    common = dict(kind=args.model, config=args.config, levels=args.levels, batch=batch, threads=args.threads, options=options)
    device = "cuda" if args.backend == "cupy" else "cpu"
    contenders = {"tinyar": (tinyar_step, {**common, "threads": args.threads if device == "cpu" else 1},
                             {"TINYAR_BACKEND": args.backend})}
    for name, cropped, channels_last in forms:
        arguments = dict(**common, cropped=cropped, channels_last=channels_last, device=device)
        contenders[f"PyTorch, {name}"] = (torch_step, arguments, {"TINYAR_BACKEND": "numpy"})
    return contenders


def print_growth(args):
    """A line for each size of the batch: milliseconds for each image (the median step's), and peak memory."""
    print(f"{'batch':>6s} {'tinyar, an image':>18s} {'memory':>9s} {'PyTorch, an image':>18s} {'memory':>9s}")
    for batch in (16, 32, 64, 128, 256, 512):
        results = race(contenders_of(args, batch, [("cropped", True, True)]), args.rounds)
        columns = [f"{1000 * statistics.median(times) / batch:15.3f} ms {memory:6.0f} MB" for times, memory in results.values()]
        print(f"{batch:6d} " + " ".join(columns), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=tuple(USUAL), default="pixelcnn")
    parser.add_argument("--config", help="a published configuration of it (report; tutorial)")
    parser.add_argument("--channels", type=int, help="another width")
    parser.add_argument("--blocks", type=int, help="another number of blocks (PixelCNN)")
    parser.add_argument("--levels", type=int, help="(2; gated 256)")
    parser.add_argument("--batch-size", type=int, help="(128; gated 64)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy")
    parser.add_argument("--growth", action="store_true", help="a table by the size of the batch")
    args = parser.parse_args()
    usual = USUAL[args.model]
    args.config, args.levels = args.config or usual["config"], args.levels or usual["levels"]
    batch = args.batch_size or usual["batch"]
    print(describe_machine(args.threads))
    changes = "".join(f", {getattr(args, key)} {key}" for key in ("channels", "blocks") if getattr(args, key))
    print(f"{args.model} {args.config}{changes}, {args.levels} levels, 28x28, {args.rounds} rounds, {args.backend}"
          + ("" if args.growth else f", batch {batch}"))
    if args.growth:
        print_growth(args)
    else:
        forms = [("masked", False, False), ("masked, channels-last", False, True),
                 ("cropped", True, False), ("cropped, channels-last", True, True)]
        print_table(race(contenders_of(args, batch, forms), args.rounds), baseline="tinyar")


if __name__ == "__main__":
    main()
