"""One training step (forward, backward, Adam) of a PixelCNN: tinyar beside PyTorch, on the same cores, taking turns.

    pip install -e '.[bench]'
    python examples/benchmarks/training_step.py                       report's 5-block model, batch 128, 28x28, 2 levels
    python examples/benchmarks/training_step.py --levels 256
    python examples/benchmarks/training_step.py --config paper --channels 64      3x3 blocks, h = 32
    python examples/benchmarks/training_step.py --backend cupy        on a GPU, PyTorch there too

PyTorch runs the usual masked form (the whole kernel times a mask) and the form cropped to the kernel's live rows, each with and
without channels-last memory. Before the race the twin's logits are compared with tinyar's.
"""

import argparse

import numpy as np
from contenders import describe_machine, print_table, race, torch_twin


def images_and_model(config, levels, batch, options):
    from tinyar.models import PixelCNN
    images = np.random.default_rng(0).integers(0, levels, (batch, 28, 28, 1)).astype(np.uint8)
    return images, PixelCNN.published(config, levels=levels, image_channels=1, **options)


def tinyar_step(config, levels, batch, threads, options):
    """A function that makes one step, finished when it returns."""
    from tinyar.backend import to_host
    from tinyar.optim import Adam
    from tinyar.parallel import Workers
    images, model = images_and_model(config, levels, batch, options)
    workers, adam = Workers(model, threads).__enter__(), Adam(model)

    def step():
        float(workers.gradient(images))
        adam.step()
        to_host(next(model.parameters())[1])  # waits for a GPU
    return step


def torch_step(config, levels, batch, threads, options, cropped, channels_last, device):
    """The same in PyTorch."""
    import torch
    torch.set_num_threads(threads)
    images, model = images_and_model(config, levels, batch, options)
    twin = torch_twin(model.net, cropped, channels_last).to(device)
    x = torch.tensor(images).permute(0, 3, 1, 2)
    logits = twin((x.to(device).float() * (2 / (levels - 1)) - 1)).detach().cpu().permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(logits[:2], model(images[:2]).reshape(logits[:2].shape), atol=1e-3)
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="report", help="a published configuration (report)")
    parser.add_argument("--channels", type=int, help="another width")
    parser.add_argument("--blocks", type=int, help="another number of blocks")
    parser.add_argument("--levels", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--backend", choices=("numpy", "cupy"), default="numpy")
    args = parser.parse_args()
    options = {key: getattr(args, key) for key in ("channels", "blocks") if getattr(args, key)}
    common = dict(config=args.config, levels=args.levels, batch=args.batch_size, threads=args.threads, options=options)
    device = "cuda" if args.backend == "cupy" else "cpu"
    contenders = {"tinyar": (tinyar_step, {**common, "threads": args.threads if device == "cpu" else 1},
                             {"TINYAR_BACKEND": args.backend})}
    for form, cropped in (("masked", False), ("cropped", True)):
        for memory, channels_last in (("", False), (", channels-last", True)):
            arguments = dict(**common, cropped=cropped, channels_last=channels_last, device=device)
            contenders[f"PyTorch, {form}{memory}"] = (torch_step, arguments, {"TINYAR_BACKEND": "numpy"})
    print(describe_machine(args.threads))
    print(f"PixelCNN {args.config} {options or ''}, {args.levels} levels, batch {args.batch_size}, 28x28, {args.rounds} rounds, on {device}")
    print_table(race(contenders, args.rounds), baseline="tinyar")


if __name__ == "__main__":
    main()
