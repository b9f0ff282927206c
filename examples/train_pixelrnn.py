"""Lesson: image models with a memory: a plain LSTM over the pixels, the Row LSTM, and the Diagonal BiLSTM.

    python examples/train_pixelrnn.py --data digits                 the naive one, pixel after pixel; no network needed
    python examples/train_pixelrnn.py --data digits --model row     row by row; --model diagonal: diagonal by diagonal
    python examples/train_pixelrnn.py --data mnist --levels 2 --model row --images 6400        what a CPU affords
    python examples/train_pixelrnn.py --data digits --scheduled-sampling linear                practise on its own draws
    python examples/train_pixelrnn.py --model row --resume          go on with the latest run of this model

A recurrence is a loop in training too, over pixels in the naive one, over rows, or over diagonals; so it takes long.
The README's table says what such runs came to, in bits per dimension and minutes. Writes to runs/<model>-<data>/:
model.npz (the best weights), training.npz (to resume), history.csv, curve.png, samples.png, and drawing.gif with --gif.
"""

import argparse
import dataclasses
import math
import sys

import scipy.special
from arguments import (add_data_arguments, classes_of, fill_in, folder_for, load_data, natural, options_of_a_run,
                       positive, share, take_up, whole)
from drawing import add_drawing_arguments, save_drawings

from tinyar import backend, models, optim, scheduled_sampling, training

DEFAULTS = {
    "naive": dict(hidden=256, layers=1, epochs=3, batch_size=64, lr=2e-3, clip=1.0),
    "row": dict(hidden=32, layers=4, epochs=3, batch_size=32, lr=2e-3),
    "diagonal": dict(hidden=32, layers=2, epochs=3, batch_size=32, lr=2e-3),
}
DEFAULTS_FOR_DIGITS = {  # few images need many updates, and overfit soon
    "naive": dict(hidden=128, epochs=25, batch_size=16, lr=6e-3),
    "row": dict(epochs=10, batch_size=16, lr=3e-3),
    "diagonal": dict(epochs=10, batch_size=16, lr=3e-3),
}
OPTIMIZERS = {"adam": optim.Adam, "rmsprop": optim.RMSProp}
SCHEDULES = {  # of the share of true pixels, which comes to one half at the last update
    "linear": lambda updates: scheduled_sampling.linear(slope=0.5 / updates),
    "exponential": lambda updates: scheduled_sampling.exponential(0.5 ** (1 / updates)),
    "inverse-sigmoid": lambda updates: scheduled_sampling.inverse_sigmoid(half_at(updates)),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--model", choices=DEFAULTS, default="naive", help="which recurrence (naive)")
    parser.add_argument("--images", type=whole, help="use the first so many images of each split only (all)")
    parser.add_argument("--hidden", type=whole, help="numbers in a state (naive: 256, 128 for digits; others: 32)")
    parser.add_argument("--layers", type=whole, help="LSTM layers (naive: 1, row: 4, diagonal: 2)")
    parser.add_argument("--independent-colors", action="store_true",
                        help="colours of a pixel know nothing of each other, as always in the naive one")
    parser.add_argument("--classes", action="store_true", help="tell the network the class of each image")
    parser.add_argument("--hide-labels", type=share, default=0.0,
                        help="with --classes: share of images whose class isn't told (0)")
    parser.add_argument("--epochs", type=whole, help="3; for digits 10, or 25 for naive")
    parser.add_argument("--batch-size", type=whole, help="naive: 64, others: 32; 16 for digits")
    parser.add_argument("--lr", type=positive, help="learning rate at its height, from which it falls by a cosine "
                                                    "(0.002; for digits 0.003, or 0.006 for naive)")
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="the paper used RMSProp (adam)")
    parser.add_argument("--clip", type=positive, help="limit of the gradients' common norm (naive: 1, others: none)")
    parser.add_argument("--scheduled-sampling", choices=["none", *SCHEDULES], default="none",
                        help="feed it its own draws, by this schedule: at the end in half of the pixels (none)")
    parser.add_argument("--patience", type=whole, help="stop after so many epochs without a better validation figure")
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--threads", type=whole, help="cores to use (default: TINYAR_THREADS, or all)")
    parser.add_argument("--out", help="folder to write to (default: runs/<model>-<data>, a new one each time)")
    parser.add_argument("--resume", action="store_true", help="go on with the latest run, or the one in --out")
    add_drawing_arguments(parser)
    args = parser.parse_args()
    if args.hide_labels and not args.classes and not args.resume:
        parser.error("--hide-labels goes with --classes")
    if args.resume:
        take_up(parser, args, args.model, "training.npz")
    return args


def half_at(updates):
    """The k of an inverse sigmoid that is one half at so many updates: k ln k = updates."""
    return math.exp(scipy.special.lambertw(updates).real)


def first(split, n):
    """The first n images of a split, with their labels."""
    redraw = split.redraw and (lambda epoch: split.redraw(epoch)[:n])
    labels = None if split.labels is None else split.labels[:n]
    return dataclasses.replace(split, images=split.images[:n], labels=labels, redraw=redraw)


def make_model(args, dataset):
    options = dict(levels=dataset.levels, image_channels=dataset.image_shape[2], hidden=args.hidden, layers=args.layers,
                   classes=classes_of(dataset) if args.classes else 0, seed=args.seed)
    if args.model == "naive":
        return models.PixelRNN(**options)  # colours are always independent here
    kind = models.RowLSTM if args.model == "row" else models.DiagonalBiLSTM
    return kind(head=(2 * args.hidden, 2 * args.hidden), ordered_colors=not args.independent_colors, **options)


def main():
    args = parse_arguments()
    dataset = load_data(args)
    if args.images:
        splits = {name: first(getattr(dataset, name), args.images) for name in ("train", "validation", "test")}
        description = f"{dataset.description}, the first {args.images:,} of each"
        dataset = dataclasses.replace(dataset, description=description, **splits)
    if dataset.name == "digits":
        fill_in(args, DEFAULTS_FOR_DIGITS[args.model])
    fill_in(args, DEFAULTS[args.model])
    folder = folder_for(args, f"{args.model}-{dataset.name}", "training.npz")
    model = make_model(args, dataset)
    print(f"data:  {dataset.description}")
    print(f"model: {type(model).__name__}, {model.count_parameters():,} parameters, computed by {backend.name}")

    about = {"data": dataset.name, "levels": args.levels, "binarize": args.binarize, "seed": args.seed,
             "image_shape": dataset.image_shape, "options": options_of_a_run(args)}
    updates = args.epochs * -(-len(dataset.train) // args.batch_size)
    practice = None
    if args.scheduled_sampling != "none":
        practice = scheduled_sampling.ScheduledSampling(SCHEDULES[args.scheduled_sampling](updates))
    history = training.fit(model, dataset.train, dataset.validation, epochs=args.epochs, batch_size=args.batch_size,
                           lr=optim.cosine(args.lr, updates, warmup=min(100, updates // 10), minimum=args.lr / 50),
                           optimizer=OPTIMIZERS[args.optimizer], clip=args.clip, scheduled_sampling=practice,
                           patience=args.patience, hide_labels=args.hide_labels, threads=args.threads, seed=args.seed,
                           out=folder, resume=args.resume, progress=True, about=about)
    if history.interrupted:
        sys.exit(f"stopped and saved; go on with the same command and --resume --out {folder}")
    print(f"test:  {training.evaluate(model, dataset.test, args.threads):.4f} bits/dim on {len(dataset.test):,} images "
          f"that training never saw, {dataset.levels} levels (knowing nothing costs {math.log2(dataset.levels):.2f})")
    if args.hide_labels:
        print(f"       {training.evaluate(model, dataset.test.images, args.threads):.4f} bits/dim when told no class")

    drawings = save_drawings(folder, model, dataset, args)
    print(f"wrote to {folder}: model.npz, training.npz, history.csv, curve.png, {', '.join(drawings)}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; --resume goes on with the latest run saved, --resume --out FOLDER with the one there")
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"train_pixelrnn.py: {error}")
