"""Lesson: what do LayerNorm, residual connections, depth and the order of colours bring? One variant changed at a time.

    python examples/compare.py --data mnist --levels 2      six variants of the report's network
                                                            on black-and-white MNIST
    python examples/compare.py --data cifar10 --levels 8    in colour there is a seventh:
                                                            colours independent of each other
    ... the same options, and --out runs/compare-mnist      go on where it was broken off

All variants get the same images in the same order, the same number of updates and the same learning rates; so this
says what helps at a small budget, not where each would end. Writes to runs/compare-<data>/: a folder for each
variant, curves.png with the validation curves of all, and table.csv: validation bits/dim after the first and the last
epoch, parameters, seconds.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import csv
import sys

import arguments
import splits
from kinds import MOST_CHANNELS, ByData, odd, path, rate, up_to, whole

from tinyar import models, training
from tinyar.data.atomic import atomic_write
from tinyar.optim import cosine
from tinyar.pictures import plotting

VARIANTS = {
    "5 blocks": {},
    "5 blocks, no LayerNorm": dict(layer_norm=False),
    "5 blocks, no residuals": dict(residual=False),
    "5 blocks, neither": dict(layer_norm=False, residual=False),
    "8 blocks": dict(blocks=8),
    "10 blocks": dict(blocks=10),
}
COLOR_VARIANTS = {"5 blocks, independent colours": dict(ordered_colors=False)}


def parse_arguments():
    parser = arguments.new_parser(__doc__)
    add = parser.add_argument
    add("--channels", type=up_to(MOST_CHANNELS), default=32, help="features a pixel (32; the report has 64)")
    add("--kernel-size", type=odd, default=7, help="odd; of the masked convolutions in the blocks (7)")
    add("--images", type=whole, default=ByData(6400, digits=1297),
        help="training images, the first ones of the data (6400; 1297 for digits)")
    add("--held-out", type=whole, default=1000, help="validation images (1000, or all)")
    add("--epochs", type=whole, default=ByData(5, digits=10),
        help="how often every training image is seen (5; 10 for digits)")
    add("--batch-size", type=whole, default=ByData(64, digits=16), help="images an update (64; 16 for digits)")
    add("--lr", type=rate, default=ByData(2e-3, digits=3e-3),
        help="learning rate at its height, from which it falls by a cosine (0.002; 0.003 for digits)")
    add("--only", nargs="+", metavar="VARIANT", help="some of the variants, by their names in quotes")
    add("--out", type=path, help="folder to write to, or to go on in "
                      "(default: runs/compare-<data>, or the next number if that is finished)")
    return arguments.parse(parser)


def chosen_variants(args, dataset):
    """{name: changed options} of those to train. Raises ValueError for an unknown name."""
    variants = {**VARIANTS, **(COLOR_VARIANTS if dataset.image_shape[2] > 1 else {})}
    unknown = [name for name in args.only or () if name not in variants]
    if unknown:
        raise ValueError(f"--only: no variant {unknown[0]!r} for this data; there are {', '.join(map(repr, variants))}")
    return {name: variants[name] for name in args.only or variants}


def train(name, changes, dataset, args, folder):
    """One variant: its history and its number of parameters."""
    options = dict(levels=dataset.levels, image_channels=dataset.image_shape[2], channels=args.channels,
                   kernel_size=args.kernel_size, seed=args.seed)
    model = models.PixelCNN(**{**options, **changes})
    images = splits.first(dataset, args.images or len(dataset.train)).train
    updates = args.epochs * -(-len(images) // args.batch_size)
    print(f"{name}: {model.count_parameters():,} parameters, {updates} updates")
    history = training.fit(model, images, dataset.validation.images[:args.held_out], epochs=args.epochs,
                           batch_size=args.batch_size, lr=cosine(args.lr, updates, warmup=min(100, updates // 10)),
                           average=0.99, threads=args.threads, seed=args.seed,
                           out=folder / name.replace(", ", "-").replace(" ", "-"), resume=True, progress=True)
    if history.interrupted:
        sys.exit(f"stopped and saved; go on with the same command and --out {folder}")
    return history, model.count_parameters()


def main():
    args = parse_arguments()
    dataset = arguments.load_data(args)
    variants = chosen_variants(args, dataset)
    folder = arguments.folder_for(args, "compare", "table.csv")
    print(f"data:  {dataset.description}")
    print(f"each:  the first {min(args.images, len(dataset.train)):,} of the training images, {args.epochs} epochs")
    histories, parameters = {}, {}
    for name, changes in variants.items():
        histories[name], parameters[name] = train(name, changes, dataset, args, folder)

    plotting.save_curves(folder / "curves.png", {
        name: ([row["updates"] for row in history.rows], [row["validation"] for row in history.rows])
        for name, history in histories.items()}, "updates", "validation bits/dim")
    table = [(name, history.rows[0]["validation"], history.rows[-1]["validation"], parameters[name],
              history.rows[-1]["seconds"]) for name, history in histories.items()]
    with atomic_write(folder / "table.csv") as name, open(name, "w", newline="") as file:
        csv.writer(file).writerows([("variant", "first epoch", "last epoch", "parameters", "seconds"), *table])
    print(f"\n{'validation bits/dim after':32} 1 epoch  {args.epochs} epochs  parameters  seconds")
    for name, first, last, count, seconds in sorted(table, key=lambda row: row[2]):
        print(f"{name:32} {first:7.4f}  {last:8.4f}  {count:10,}  {seconds:7.0f}")
    print(f"wrote to {folder}: curves.png, table.csv, and a folder for each variant")


if __name__ == "__main__":
    endings.run(main, stopped="the same command with --out goes on from what was saved")
