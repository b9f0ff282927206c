"""Lesson: the course's question. What is better than an RNN over the pixels, at equal size and at equal time?

    python examples/compare_models.py --data digits                      on the digits that come with tinyar, no network
    python examples/compare_models.py --data mnist --levels 2 --minutes 10 --parameters 100000
    ... the same options, and --out runs/models-digits                   go on where it was broken off

Naive pixel RNN, Row LSTM, Diagonal BiLSTM, PixelCNN, Gated PixelCNN, PixelCNN++ and PixelSNAIL, each of such a width
that all have about the same number of parameters, each trained for the same time: whole epochs until it is over. All
learn by Adam at the same rate, constant after 100 updates, and their averaged weights are measured, so that a longer
training would only go on from here. The last two have a mixture of logistics, the others a softmax. Writes to
runs/models-<data>/: a folder for each model, curves.png (held-out bits/dim against seconds), samples.png (a row of
drawings of each), table.csv.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import csv
import sys
import time

import arguments
import numpy as np
import splits
from kinds import ByData, path, positive, rate, up_to, whole

from tinyar import models, sampling, training
from tinyar.data.atomic import atomic_write
from tinyar.pictures import plotting

MODELS = {  # how wide, and the options that follow from it
    "naive RNN": (models.PixelRNN, lambda width: dict(hidden=width)),
    "Row LSTM": (models.RowLSTM, lambda width: dict(hidden=width, layers=3, head=(2 * width,))),
    "Diagonal BiLSTM": (models.DiagonalBiLSTM, lambda width: dict(hidden=width, layers=3, head=(2 * width,))),
    "PixelCNN": (models.PixelCNN, lambda width: dict(channels=2 * width, blocks=5, kernel_size=5, head=(2 * width,))),
    "Gated PixelCNN": (models.GatedPixelCNN, lambda width: dict(
        channels=width, first_kernel=5, dilations=(1, 2, 1, 2, 1), head=(2 * width,))),
    "PixelCNN++": (models.PixelCNNpp, lambda width: dict(channels=width)),
    "PixelSNAIL": (models.PixelSNAIL, lambda width: dict(channels=2 * width, blocks=2, key_channels=8,
                                                         value_channels=width)),
}


def parse_arguments():
    parser = arguments.new_parser(__doc__)
    add = parser.add_argument
    add("--minutes", type=positive, default=ByData(10.0, digits=1.5), help="to train each model (10; 1.5 for digits)")
    add("--parameters", type=up_to(10_000_000), default=60_000, help="about how many each has (60000)")
    add("--images", type=whole, help="training images an epoch, the first ones of the data (all)")
    add("--held-out", type=whole, default=1000, help="validation and test images (1000, or all)")
    add("--batch-size", type=whole, default=ByData(32, digits=16), help="images an update (32; 16 for digits)")
    add("--lr", type=rate, default=2e-3, help="learning rate, to which it grows in the first 100 updates (0.002)")
    add("--only", nargs="+", metavar="MODEL", help="some of the models, by their names in quotes")
    add("--out", type=path, help="folder to write to, or to go on in "
                      "(default: runs/models-<data>, or the next number if that is finished)")
    return arguments.parse(parser)


def build(name, dataset, parameters, seed):
    """The model of this name that comes nearest to so many parameters."""
    model_class, options = MODELS[name]
    common = dict(levels=dataset.levels, image_channels=dataset.image_shape[2], seed=seed)
    width = 4
    best = model = model_class(**common, **options(width))
    while model.count_parameters() < parameters:
        width += 1 + width // 20
        model = model_class(**common, **options(width))
        best = min(best, model, key=lambda model: abs(model.count_parameters() - parameters))
    return best


def train(model, dataset, args, folder):
    """Whole epochs until the time is over: the run's history. Goes on with a run that was broken off."""
    epochs, seconds = 1, 0.0
    images = splits.first(dataset, args.images or len(dataset.train)).train
    while seconds < 60 * args.minutes:
        history = training.fit(model, images, dataset.validation.images[:args.held_out],
                               epochs=epochs, batch_size=args.batch_size, lr=lambda t: args.lr * min(1, t / 100),
                               clip=1.0, threads=args.threads, average=0.995, seed=args.seed, out=folder,
                               resume=True, progress=True)
        if history.interrupted:
            sys.exit(f"stopped and saved; go on with the same command and --out {folder.parent}")
        epochs, seconds = len(history.rows) + 1, history.rows[-1]["seconds"]
    return history


def main():
    args = parse_arguments()
    dataset = arguments.load_data(args)
    names = args.only or list(MODELS)
    unknown = [name for name in names if name not in MODELS]
    if unknown:
        raise ValueError(f"--only: no model {unknown[0]!r}; there are {', '.join(map(repr, MODELS))}")
    folder = arguments.folder_for(args, "models", "table.csv")
    print(f"data:  {dataset.description}")
    curves, table, drawings = {}, [], []
    for name in names:
        model = build(name, dataset, args.parameters, args.seed)
        print(f"{name}: {model.count_parameters():,} parameters, {args.minutes:g} minutes")
        history = train(model, dataset, args, folder / name.replace(" ", "-"))
        curves[name] = [row["seconds"] for row in history.rows], [row["validation"] for row in history.rows]
        test = training.evaluate(model, splits.some_of(dataset.test, args.held_out).images, args.threads)
        start = time.perf_counter()
        drawn = sampling.sample(model, 100, dataset.image_shape, seed=args.seed)
        drawings.append(drawn[:12])
        last = history.rows[-1]
        table.append((name, test, model.count_parameters(), len(history.rows), last["seconds"] / len(history.rows),
                      time.perf_counter() - start))

    plotting.save_curves(folder / "curves.png", curves, "seconds of training", "held-out bits/dim")
    picture = plotting.grid(np.concatenate(drawings), dataset.levels, columns=12)
    plotting.save_grids(folder / "samples.png", [(picture, {"drawn from equal random numbers": 1})], names)
    header = "model", "test bits/dim", "parameters", "epochs", "seconds an epoch", "seconds to draw 100"
    with atomic_write(folder / "table.csv") as name, open(name, "w", newline="") as file:
        csv.writer(file).writerows([header, *table])
    print("\n" + "  ".join(f"{title:>16}" for title in header))
    for name, *figures in table:
        print(f"{name:>16}  {figures[0]:16.4f}  {figures[1]:16,}  {figures[2]:16}  "
              f"{figures[3]:16.1f}  {figures[4]:19.2f}")
    print(f"wrote to {folder}: curves.png, samples.png, table.csv, "
          "and a folder for each model")


if __name__ == "__main__":
    endings.run(main, stopped="the same command with --out goes on from what was saved")
