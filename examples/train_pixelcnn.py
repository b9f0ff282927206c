"""Lesson: train a PixelCNN, read its bits per dimension, and look at what it draws.

    python examples/train_pixelcnn.py --data digits               8x8 digits that come with tinyar, no network
    python examples/train_pixelcnn.py                             MNIST in 256 levels (or digits, if it can't be had)
    python examples/train_pixelcnn.py --data mnist --levels 2     MNIST in black and white, threshold 128
    python examples/train_pixelcnn.py --data digits --classes     conditioned on the class:
                                                                  a row of drawings for each digit
    python examples/train_pixelcnn.py --data cifar10 --levels 8   colour, R before G before B
    python examples/train_pixelcnn.py --resume                    go on with the latest run

The README's table says what such runs came to, in bits per dimension and minutes. Writes to
runs/pixelcnn-<data>/: model.npz (the best weights), training.npz (to resume), history.csv, curve.png, samples.png,
masks.png, and drawing.gif with --gif.
"""

import argparse
import math
import sys

from arguments import (add_data_arguments, classes_of, fill_in, folder_for, load_data, natural, options_of_a_run,
                       positive, share, take_up, whole)
from drawing import add_drawing_arguments, save_drawings

from tinyar import backend, layers, models, receptive_fields, training
from tinyar.optim import cosine

DEFAULTS = dict(epochs=5, batch_size=128, lr=2e-3)
DEFAULTS_FOR_DIGITS = dict(epochs=12, batch_size=16, lr=3e-3)  # few images need many updates, and overfit soon


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--channels", type=whole, default=64, help="features a pixel (64)")
    parser.add_argument("--blocks", type=int, default=5, help="residual blocks (5)")
    parser.add_argument("--kernel-size", type=whole, default=7,
                        help="odd; of the masked convolutions in the blocks (7)")
    parser.add_argument("--no-layer-norm", action="store_true", help="leave out LayerNorm")
    parser.add_argument("--no-residual", action="store_true", help="leave out the residual connections")
    parser.add_argument("--independent-colors", action="store_true",
                        help="colours of a pixel know nothing of each other")
    parser.add_argument("--classes", action="store_true", help="tell the network the class of each image")
    parser.add_argument("--hide-labels", type=share, default=0.0,
                        help="with --classes: share of images whose class isn't told (0)")
    parser.add_argument("--epochs", type=whole, help="5; 12 for digits")
    parser.add_argument("--batch-size", type=whole, help="128; 16 for digits")
    parser.add_argument("--lr", type=positive,
                        help="learning rate at its height, from which it falls by a cosine (0.002; 0.003 for digits)")
    parser.add_argument("--patience", type=whole, help="stop after so many epochs without a better validation figure")
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--threads", type=whole, help="cores to use (default: TINYAR_THREADS, or all)")
    parser.add_argument("--out", help="folder to write to (default: runs/pixelcnn-<data>, a new one each time)")
    parser.add_argument("--resume", action="store_true", help="go on with the latest run, or the one in --out")
    add_drawing_arguments(parser)
    args = parser.parse_args()
    if args.hide_labels and not args.classes and not args.resume:
        parser.error("--hide-labels goes with --classes")
    if args.resume:
        take_up(parser, args, "pixelcnn", "training.npz")
    return args


def main():
    args = parse_arguments()
    dataset = load_data(args)
    fill_in(args, DEFAULTS_FOR_DIGITS if dataset.name == "digits" else DEFAULTS)
    folder = folder_for(args, f"pixelcnn-{dataset.name}", "training.npz")
    model = models.PixelCNN(levels=dataset.levels, image_channels=dataset.image_shape[2], channels=args.channels,
                            blocks=args.blocks, kernel_size=args.kernel_size, layer_norm=not args.no_layer_norm,
                            residual=not args.no_residual, ordered_colors=not args.independent_colors,
                            classes=classes_of(dataset) if args.classes else 0, seed=args.seed)
    print(f"data:  {dataset.description}")
    print(f"model: PixelCNN, {model.count_parameters():,} parameters, computed by {backend.name}")

    about = {"data": dataset.name, "levels": args.levels, "binarize": args.binarize, "seed": args.seed,
             "image_shape": dataset.image_shape, "options": options_of_a_run(args)}
    updates = args.epochs * -(-len(dataset.train) // args.batch_size)
    history = training.fit(model, dataset.train, dataset.validation, epochs=args.epochs, batch_size=args.batch_size,
                           lr=cosine(args.lr, updates, warmup=min(100, updates // 10), minimum=args.lr / 50),
                           patience=args.patience, hide_labels=args.hide_labels, threads=args.threads,
                           seed=args.seed, out=folder, resume=args.resume, progress=True, about=about)
    if history.interrupted:
        sys.exit(f"stopped and saved; go on with the same command and --resume --out {folder}")
    print(f"test:  {training.evaluate(model, dataset.test, args.threads):.4f} bits/dim on {len(dataset.test):,} images "
          f"that training never saw, {dataset.levels} levels (knowing nothing costs {math.log2(dataset.levels):.2f})")
    if args.hide_labels:
        print(f"       {training.evaluate(model, dataset.test.images, args.threads):.4f} bits/dim when told no class")

    drawings = save_drawings(folder, model, dataset, args)
    convolutions = [layer for _, layer in model.layers()
                    if isinstance(layer, layers.MaskedConv2d) and layer.kernel_size > 1]
    titles = "first layer, mask A", "later layers, mask B"
    receptive_fields.save_masks(folder / "masks.png", dict(zip(titles, convolutions)))
    print(f"wrote to {folder}: model.npz, training.npz, history.csv, curve.png, masks.png, {', '.join(drawings)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; --resume goes on with the latest run saved, --resume --out FOLDER with the one there")
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"train_pixelcnn.py: {error}")
