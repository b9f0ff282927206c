"""Lesson: a map as condition. From a small image to large ones: p(large image | small image), pixel by pixel.

    python examples/super_resolution.py --data digits                                 8x8 digits from 4x4
    python examples/super_resolution.py --data mnist --levels 2 --channels 32         28x28 digits from 7x7
    python examples/super_resolution.py --resume                                      go on with the latest run

The small image holds the mean of every factor x factor block of the large one. A Gated PixelCNN is told of it at every
pixel, in every gated block: of the small pixel that lies there and the eight around it, nine channels of a map for each
colour. It needs no mask, as it is known before anything is drawn.

A large image x has just one small image s, so p(x) = p(s) p(x | s): what the test images cost here is what s leaves
open, and it must be less than they cost a network that is told nothing. Many x belong to one s, and the draws show some
of them. That they shrink to s again isn't built in, it is learned; the line "draws:" says how nearly they do.

The maps of all images are kept in memory: 14 kB for a grey image of 28x28, 1 GB for MNIST.

Writes to runs/super-resolution-<data>/: model.npz (the best weights), training.npz (to resume), history.csv, curve.png,
and samples.png: in each row a test image, what was shown of it, and draws.
"""

import argparse
import dataclasses
import math
import sys

import numpy as np
from arguments import (add_data_arguments, fill_in, folder_for, load_data, natural, options_of_a_run, positive, take_up,
                       whole)

from tinyar import backend, models, plotting, sampling, training
from tinyar.optim import cosine

DEFAULTS = dict(factor=4, epochs=2, batch_size=32, lr=2e-3)
DEFAULTS_FOR_DIGITS = dict(factor=2, epochs=7, batch_size=16, lr=3e-3)  # few images need many updates, and overfit soon


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--factor", type=whole, help="how much smaller the small image is (4; 2 for digits)")
    parser.add_argument("--channels", type=whole, default=64, help="features a pixel (64)")
    parser.add_argument("--epochs", type=whole, help="2; 7 for digits")
    parser.add_argument("--batch-size", type=whole, help="32; 16 for digits")
    parser.add_argument("--lr", type=positive,
                        help="learning rate at its height, from which it falls by a cosine (0.002; 0.003 for digits)")
    parser.add_argument("--samples", type=whole, default=8, help="test images to draw from at the end (8)")
    parser.add_argument("--draws", type=whole, default=8, help="draws from each (8)")
    parser.add_argument("--temperature", type=positive, default=1.0, help="below 1 draws likelier, less varied images")
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--threads", type=whole, help="cores to use (default: TINYAR_THREADS, or all)")
    parser.add_argument("--out", help="folder to write to (default: runs/super-resolution-<data>, a new one each time)")
    parser.add_argument("--resume", action="store_true", help="go on with the latest run, or the one in --out")
    args = parser.parse_args()
    if args.factor == 1:
        parser.error("--factor: with 1 the small image would be the large one; expected at least 2")
    if args.resume:
        take_up(parser, args, "super-resolution", "training.npz")
    return args


def shrink(images, factor):
    """The mean of every block, in levels: (N, height, width, channels) -> (N, height / factor, width / factor, ...).

    Raises ValueError for a height or width that isn't a multiple of the factor.
    """
    n, height, width, channels = images.shape
    if height % factor or width % factor:
        raise ValueError(f"--factor: {height}x{width} images don't divide into blocks of {factor}x{factor}")
    return images.reshape(n, height // factor, factor, width // factor, factor, channels).mean(axis=(2, 4))


def enlarge(small, factor):
    """Every pixel as a block of factor x factor equal ones."""
    return small.repeat(factor, axis=1).repeat(factor, axis=2)


def maps_of(images, factor, levels):
    """What the network is told of each image, -1 .. 1: (N, height, width, 9 * channels), the same all over a block.

    Beyond the border it is told 0, a grey in the middle.
    """
    small = shrink(images, factor) * (2 / (levels - 1)) - 1
    rows, columns = small.shape[1:3]
    padded = np.pad(small, ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = [padded[:, i:i + rows, j:j + columns] for i, j in np.ndindex(3, 3)]
    return enlarge(np.concatenate(around, axis=3).astype(np.float16), factor)  # float32 in the network; half the memory


def main():
    args = parse_arguments()
    dataset = load_data(args)
    fill_in(args, DEFAULTS_FOR_DIGITS if dataset.name == "digits" else DEFAULTS)
    folder = folder_for(args, f"super-resolution-{dataset.name}", "training.npz")
    if dataset.train.redraw:
        raise ValueError("--binarize fresh: the maps are made once, of images that stay as they are; expected fixed")
    train, validation, test = (
        dataclasses.replace(split, maps=maps_of(split.images, args.factor, dataset.levels))
        for split in (dataset.train, dataset.validation, dataset.test))
    height, width, channels = dataset.image_shape
    model = models.GatedPixelCNN.published(
        "tutorial", levels=dataset.levels, image_channels=channels, channels=args.channels,
        map_channels=9 * channels, seed=args.seed)
    print(f"data:  {dataset.description}, from {height // args.factor}x{width // args.factor}")
    print(f"model: GatedPixelCNN, {model.count_parameters():,} parameters, computed by {backend.name}")

    about = {"data": dataset.name, "levels": args.levels, "binarize": args.binarize, "seed": args.seed,
             "image_shape": dataset.image_shape, "options": options_of_a_run(args)}
    updates = args.epochs * -(-len(train) // args.batch_size)
    history = training.fit(model, train, validation, epochs=args.epochs, batch_size=args.batch_size,
                           lr=cosine(args.lr, updates, warmup=min(100, updates // 10), minimum=args.lr / 50),
                           threads=args.threads, seed=args.seed, out=folder, resume=args.resume, progress=True,
                           about=about)
    if history.interrupted:
        sys.exit(f"stopped and saved; go on with the same command and --resume --out {folder}")
    print(f"test:  {training.evaluate(model, test, args.threads):.4f} bits/dim given the small image, on {len(test):,} "
          f"images that training never saw, {dataset.levels} levels (knowing nothing costs "
          f"{math.log2(dataset.levels):.2f})")

    shown = test.images[:args.samples]
    drawn = sampling.sample(model, len(shown) * args.draws, dataset.image_shape, temperature=args.temperature,
                            seed=args.seed, progress=True, maps=test.maps[:args.samples].repeat(args.draws, axis=0))
    small = shrink(shown, args.factor)
    distance = abs(shrink(drawn, args.factor) - small.repeat(args.draws, axis=0)).mean()
    others = shrink(train.images[np.arange(len(shown)) % len(train)], args.factor)
    by_chance = abs(others - small).mean()
    print(f"draws: shrunk again they are {distance:.2f} levels off what was shown, on average; "
          f"those of other images would be {by_chance:.2f}")
    rows = np.concatenate([shown[:, None], enlarge(small, args.factor)[:, None],
                           drawn.reshape(len(shown), args.draws, *dataset.image_shape)], axis=1)
    shades = np.rint(rows * (255 / (dataset.levels - 1))).astype(np.uint8)  # means lie between the levels
    plotting.save_image(folder / "samples.png",
                        plotting.grid(shades.reshape(-1, *dataset.image_shape), 256, columns=rows.shape[1]))
    print(f"wrote to {folder}: model.npz, training.npz, history.csv, curve.png, samples.png")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; --resume goes on with the latest run saved, --resume --out FOLDER with the one there")
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"super_resolution.py: {error}")
