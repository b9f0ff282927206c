"""Lesson: train a PixelCNN, read its bits per dimension, and look at what it draws.

    python examples/train_pixelcnn.py --data digits               8x8 digits that come with tinyar, no network
    python examples/train_pixelcnn.py                             MNIST in 256 levels (or digits, if it can't be had)
    python examples/train_pixelcnn.py --data mnist --levels 2     MNIST in black and white, threshold 128
    python examples/train_pixelcnn.py --resume                    go on with the latest run

What to expect of each, in bits per dimension and minutes, stands in the README's table. Writes to runs/pixelcnn-<data>/: model.npz
(the best weights), training.npz (to resume), history.csv, curve.png, samples.png, masks.png, and drawing.gif with --gif.
"""

import argparse
import math
import sys

from arguments import add_data_arguments, fill_in, folder_for, load_data, options_of_a_run, positive, take_up, whole

from tinyar import backend, layers, models, plotting, receptive_fields, sampling, training
from tinyar.optim import cosine

DEFAULTS = dict(epochs=5, batch_size=128, lr=2e-3)
DEFAULTS_FOR_DIGITS = dict(epochs=12, batch_size=16, lr=3e-3)  # few images need many updates, and overfit soon


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--channels", type=whole, default=64, help="features a pixel (64)")
    parser.add_argument("--blocks", type=int, default=5, help="residual blocks (5)")
    parser.add_argument("--kernel-size", type=whole, default=7, help="odd; of the masked convolutions in the blocks (7)")
    parser.add_argument("--no-layer-norm", action="store_true", help="leave out LayerNorm")
    parser.add_argument("--no-residual", action="store_true", help="leave out the residual connections")
    parser.add_argument("--epochs", type=whole, help="5; 12 for digits")
    parser.add_argument("--batch-size", type=whole, help="128; 16 for digits")
    parser.add_argument("--lr", type=positive, help="learning rate at its height, from which it falls by a cosine (0.002; 0.003 for digits)")
    parser.add_argument("--patience", type=whole, help="stop after so many epochs without a better validation figure")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=whole, help="cores to use (default: TINYAR_THREADS, or all)")
    parser.add_argument("--out", help="folder to write to (default: runs/pixelcnn-<data>, a new one each time)")
    parser.add_argument("--resume", action="store_true", help="go on with the latest run, or the one in --out")
    parser.add_argument("--samples", type=whole, default=64, help="images to draw at the end (64)")
    parser.add_argument("--temperature", type=positive, default=1.0, help="below 1 draws likelier, less varied images")
    parser.add_argument("--gif", action="store_true", help="film the drawing")
    args = parser.parse_args()
    if args.resume:
        take_up(parser, args, "pixelcnn", "training.npz")
    return args


def fill_in_defaults(args, dataset):
    for name, value in (DEFAULTS_FOR_DIGITS if dataset.name == "digits" else DEFAULTS).items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def main():
    args = parse_arguments()
    dataset = load_data(args)
    fill_in(args, DEFAULTS_FOR_DIGITS if dataset.name == "digits" else DEFAULTS)
    folder = folder_for(args, f"pixelcnn-{dataset.name}", "training.npz")
    model = models.PixelCNN(levels=dataset.levels, channels=args.channels, blocks=args.blocks, kernel_size=args.kernel_size,
                            layer_norm=not args.no_layer_norm, residual=not args.no_residual, seed=args.seed)
    print(f"data:  {dataset.description}")
    print(f"model: PixelCNN, {model.count_parameters():,} parameters, computed by {backend.name}")

    about = {"data": dataset.name, "levels": args.levels, "binarize": args.binarize, "seed": args.seed,
             "options": options_of_a_run(args)}
    updates = args.epochs * -(-len(dataset.train) // args.batch_size)
    history = training.fit(model, dataset.train, dataset.validation, epochs=args.epochs, batch_size=args.batch_size,
                           lr=cosine(args.lr, updates, warmup=min(100, updates // 10), minimum=args.lr / 50),
                           patience=args.patience, threads=args.threads, seed=args.seed, out=folder, resume=args.resume,
                           progress=True, about=about)
    if history.interrupted:
        sys.exit(f"stopped and saved; go on with the same command and --resume --out {folder}")
    print(f"test:  {training.evaluate(model, dataset.test.images, args.threads):.4f} bits/dim on {len(dataset.test):,} images "
          f"that training never saw, {dataset.levels} levels (knowing nothing costs {math.log2(dataset.levels):.2f})")

    film = plotting.Film(dataset.levels) if args.gif else None
    samples = sampling.sample(model, args.samples, dataset.image_shape, temperature=args.temperature, seed=args.seed,
                              progress=True, watch=film.watch if film else None)
    plotting.save_samples(folder / "samples.png", samples, dataset.test.images[:args.samples], dataset.levels)
    convolutions = [layer for _, layer in model.layers() if isinstance(layer, layers.MaskedConv2d)]
    titles = "first layer, mask A", "second convolution, mask B"
    receptive_fields.save_masks(folder / "masks.png", dict(zip(titles, convolutions)))
    if film:
        film.save(folder / "drawing.gif")
    print(f"wrote to {folder}: model.npz, training.npz, history.csv, curve.png, samples.png, masks.png{', drawing.gif' * args.gif}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; --resume goes on from what was saved")
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"train_pixelcnn.py: {error}")
