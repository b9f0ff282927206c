"""One training step (forward, backward, Adam) of a model: tinyar beside PyTorch, on the same cores, taking turns.

    pip install -e ".[bench]"
    python examples/benchmarks/training_step.py                       report's 5-block model, batch 128, 28x28, 2 levels
    python examples/benchmarks/training_step.py --levels 256
    python examples/benchmarks/training_step.py --config paper --channels 64      3x3 blocks, h = 32
    python examples/benchmarks/training_step.py --model gated         Gated PixelCNN of the Amsterdam tutorial,
                                                                      batch 64, 256 levels
    python examples/benchmarks/training_step.py --model pixelcnnpp    PixelCNN++, 575,166 weights, 256 levels, batch 64
    python examples/benchmarks/training_step.py --model pixelsnail    PixelSNAIL, 438,845 weights, 256 levels, batch 64
    python examples/benchmarks/training_step.py --model row           Row LSTM, 7 layers, h = 16, batch 16
    python examples/benchmarks/training_step.py --model diagonal      Diagonal BiLSTM, 7 layers, h = 16, batch 16
    python examples/benchmarks/training_step.py --model diagonal --config one-layer
    python examples/benchmarks/training_step.py --model naive --rounds 3      LSTM over the raster, h = 256, batch 128
    python examples/benchmarks/training_step.py --growth              time for each image, and memory,
                                                                      at batches of 16 to 512
    python examples/benchmarks/training_step.py --backend cupy        on a GPU, PyTorch there too

PyTorch runs the usual masked form (the whole kernel times a mask) and the form cropped to the kernel's live rows (in
Gated PixelCNN, where that is a rectangle, to its live taps), each with and without channels-last memory. Attention is
scaled_dot_product_attention with a strict mask, or, moved on by a pixel, with is_causal=True. Row LSTM and
Diagonal BiLSTM are loops of small steps, in which PyTorch may be faster on one thread than on more, so it runs both
ways; their forms are told in `twins_recurrent`.
Before the race the twin's outputs, and the norm of its gradient, are compared with tinyar's. With --growth PyTorch runs
the cropped form, channels-last.
"""

from contenders import (MOST_CHANNELS, check_libraries, describe_machine, endings, new_parser, print_table,  # first
                        published_model, race, some_name, up_to)
import statistics

import numpy as np

USUAL = {"pixelcnn": dict(config="report", levels=2, batch=128), "gated": dict(config="tutorial", levels=256, batch=64),
         "pixelcnnpp": dict(config="small", levels=256, batch=64),
         "pixelsnail": dict(config="small", levels=256, batch=64),
         "naive": dict(config="course", levels=2, batch=128), "row": dict(config="paper-mnist", levels=2, batch=16),
         "diagonal": dict(config="paper-mnist", levels=2, batch=16)}
MASKED, CROPPED = dict(cropped=False, channels_last=True), dict(cropped=True, channels_last=True)
FORMS = {  # PyTorch's, by the model: {title: arguments of torch_step}
    "pixelcnn": {"masked": dict(cropped=False, channels_last=False), "masked, channels-last": MASKED,
                 "cropped": dict(cropped=True, channels_last=False), "cropped, channels-last": CROPPED},
    "naive": {"nn.LSTM": CROPPED},
    "row": {"loop": CROPPED, "loop, 1 thread": dict(**CROPPED, threads=1)},
    "diagonal": {"masked": MASKED, "cropped": CROPPED,
                 "masked, 1 thread": dict(**MASKED, threads=1), "cropped, 1 thread": dict(**CROPPED, threads=1)},
}
FORMS["gated"] = FORMS["pixelcnn"]
FORMS["pixelcnnpp"] = {"live taps": FORMS["pixelcnn"]["cropped"], "live taps, channels-last": CROPPED}
FORMS["pixelsnail"] = {"strict mask": FORMS["pixelcnn"]["masked"], "strict mask, channels-last": MASKED,
                       "is_causal": FORMS["pixelcnn"]["cropped"], "is_causal, channels-last": CROPPED}


def images_and_model(kind, config, levels, batch, options):
    images = np.random.default_rng(0).integers(0, levels, (batch, 28, 28, 1)).astype(np.uint8)
    return images, published_model(kind, config, levels=levels, image_channels=1, **options)


def tinyar_step(kind, config, levels, batch, threads, options):
    """A function that makes one step, finished when it returns."""
    from tinyar.backend import to_host
    from tinyar.optim import Adam
    from tinyar.training.parallel import Workers
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
    from twins_pixelcnnpp import mixture_loss
    torch.set_num_threads(threads)
    images, model = images_and_model(kind, config, levels, batch, options)
    rng = np.random.default_rng(1)
    for _, param, _ in model.parameters():  # biases and first states of 0 would hide mistakes
        param += (0.3 if param.ndim == 1 else 0.01) * rng.standard_normal(param.shape)
    twin = torch_twin(model.net, cropped, channels_last).to(device)
    adam = torch.optim.Adam(twin.parameters(), lr=1e-3)
    x = torch.tensor(images).permute(0, 3, 1, 2)

    def gradient(x):
        scaled = x.float() * (2 / (levels - 1)) - 1
        if channels_last:
            scaled = scaled.contiguous(memory_format=torch.channels_last)
        outputs = twin(scaled)
        if kind in ("pixelcnnpp", "pixelsnail"):
            loss = mixture_loss(outputs, x[:, 0].long(), levels)
        else:
            loss = torch.nn.functional.cross_entropy(outputs, x[:, 0].long())
        loss.backward()
        return loss, outputs

    outputs = gradient(x[:2].to(device))[1].detach().cpu().permute(0, 2, 3, 1).numpy()
    norm = sum(param.grad.square().sum().item() for param in twin.parameters() if param.requires_grad) ** 0.5
    compare(model, images[:2], outputs, norm)

    def step():
        adam.zero_grad()
        loss, _ = gradient(x.to(device))
        adam.step()
        loss.item()
        if device == "cuda":
            torch.cuda.synchronize()
    return step


def compare(model, images, outputs, norm):
    """Raise AssertionError unless the model finds the same outputs (batch, height, width, outputs)
    and norm of the gradient.
    """
    ours = model.forward(images)
    np.testing.assert_allclose(outputs, ours.reshape(outputs.shape), atol=1e-3, err_msg="outputs of PyTorch and tinyar")
    model.zero_grads()
    model.backward(model.loss(ours, images)[1], need_dx=False)
    our_norm = sum(float((grad ** 2).sum()) for _, _, grad in model.parameters()) ** 0.5
    np.testing.assert_allclose(norm, our_norm, rtol=1e-3, err_msg="norm of the gradient of PyTorch and tinyar")


def contenders_of(args, batch, forms):
    """tinyar, and PyTorch in some of its forms, as `race` takes them."""
    options = {key: getattr(args, key) for key in ("channels", "blocks") if getattr(args, key)}
    common = dict(kind=args.model, config=args.config, levels=args.levels, batch=batch, threads=args.threads,
                  options=options)
    device = "cuda" if args.backend == "cupy" else "cpu"
    contenders = {"tinyar": (tinyar_step, {**common, "threads": args.threads if device == "cpu" else 1},
                             {"TINYAR_BACKEND": args.backend})}
    for form, options in forms.items():
        contenders[f"PyTorch, {form}"] = (torch_step, {**common, "device": device, **options},
                                          {"TINYAR_BACKEND": "numpy"})
    return contenders


def print_growth(args):
    """A line for each size of the batch: milliseconds for each image (the median step's), and peak memory."""
    print(f"{'batch':>6s} {'tinyar, an image':>18s} {'memory':>9s} {'PyTorch, an image':>18s} {'memory':>9s}")
    for batch in (16, 32, 64, 128, 256, 512):
        results = race(contenders_of(args, batch, {"cropped": CROPPED}), args.rounds)
        columns = [f"{1000 * statistics.median(times) / batch:15.3f} ms {memory:6.0f} MB"
                   for times, memory in results.values()]
        print(f"{batch:6d} " + " ".join(columns), flush=True)


def main():
    parser = new_parser(__doc__)
    parser.add_argument("--model", choices=tuple(USUAL), default="pixelcnn", help="whose training step (pixelcnn)")
    parser.add_argument("--config", type=some_name,
                        help="a published configuration of it (report; tutorial; course; paper-mnist)")
    parser.add_argument("--channels", type=up_to(MOST_CHANNELS), help="another width (PixelCNN, gated)")
    parser.add_argument("--blocks", type=up_to(100), help="another number of blocks (PixelCNN)")
    parser.add_argument("--levels", type=up_to(256, least=2),
                        help="levels a pixel (2; gated, pixelcnnpp, pixelsnail 256)")
    parser.add_argument("--batch-size", type=up_to(4096),
                        help="images an update (128; gated, pixelcnnpp, pixelsnail 64; row, diagonal 16)")
    parser.add_argument("--rounds", type=up_to(1000), default=10, help="how often each is timed (10)")
    parser.add_argument("--growth", action="store_true", help="a table by the size of the batch")
    args = parser.parse_args()
    if args.channels and args.model not in ("pixelcnn", "gated") or args.blocks and args.model != "pixelcnn":
        parser.error("--channels goes with --model pixelcnn or gated, --blocks with pixelcnn")
    check_libraries(args)
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
        print_table(race(contenders_of(args, batch, FORMS[args.model]), args.rounds), baseline="tinyar")


if __name__ == "__main__":
    endings.run(main)
