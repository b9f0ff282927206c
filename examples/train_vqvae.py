"""Lesson: train a VQ-VAE, then a prior on its codes, and let the two together draw.

    python examples/train_vqvae.py --data digits            8x8 digits that come with tinyar, no network
    python examples/train_vqvae.py                          MNIST in 256 levels (or digits, if it can't be had)
    python examples/train_vqvae.py --data mnist --prior gated --classes     a prior told the class:
                                                                            a row of drawings for each
    python examples/train_vqvae.py --data mnist --widths 64 128 128 --code-channels 64 --codes 256    4x4 codes of 32x32
    python examples/train_vqvae.py --data mnist --flat      one code an image: clustering; all K outputs in one picture
    python examples/train_vqvae.py --resume                 go on with the latest run, in whichever stage it is

The first stage learns the autoencoder; its figure is the mean squared error divided by the variance of the images
(1 is no better than painting their mean), or with --output categorical bits per dimension given the codes. The bar
shows the perplexity of each batch beside it: how many codes are in use. The second stage learns a prior p(codes),
or with --classes p(codes | class). Images whose sides the strides don't divide get a margin of level 0. The
README's table says what such runs came to. Writes to runs/vqvae-<data>/: autoencoder/ and prior/ (weights, history,
curves), codes.npz, reconstructions.png (originals over reconstructions), usage.png, codes.png and samples.png (the
prior's draws beside independent ones), or outputs.png with --flat. draw.py draws more.
"""

import argparse
import dataclasses
import math
import sys

import numpy as np
from arguments import (add_data_arguments, classes_of, fill_in, folder_for, load_data, natural, options_of_a_run,
                       positive, take_up, whole)
from drawing import A_ROW, rows_of_classes

from tinyar import backend, checkpoint, codes, models, plotting, training
from tinyar.layers.quantizer import perplexity, share_in_use
from tinyar.optim import cosine

DEFAULTS = dict(epochs=6, prior_epochs=8, batch_size=64, codes=128, widths=[64, 128])
DEFAULTS_FOR_DIGITS = dict(epochs=60, prior_epochs=8, batch_size=32, codes=64, widths=[64])


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--codes", type=whole, help="K, how many codes (128; 64 for digits)")
    parser.add_argument("--code-channels", type=whole, default=16, help="d, numbers in a code (16)")
    parser.add_argument("--widths", type=whole, nargs="+",
                        help="of the convolutions of stride 2 (64 128; 64 for digits)")
    parser.add_argument("--learning", default="ema", help="of the codebook: ema or gradient (ema)")
    parser.add_argument("--output", default="mse", help="mse or categorical (mse)")
    parser.add_argument("--flat", action="store_true", help="one code an image, instead of a grid; no prior")
    parser.add_argument("--prior", default="pixelcnn", choices=["pixelcnn", "gated"],
                        help="network that learns the codes (pixelcnn)")
    parser.add_argument("--classes", action="store_true", help="tell the prior the class of each image")
    parser.add_argument("--epochs", type=whole, help="of the autoencoder (6; 60 for digits)")
    parser.add_argument("--prior-epochs", type=whole, help="of the prior (8)")
    parser.add_argument("--batch-size", type=whole, help="64; 32 for digits")
    parser.add_argument("--lr", type=positive, default=2e-3,
                        help="learning rate at its height, from which it falls by a cosine (0.002)")
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--threads", type=whole, help="cores to use (default: TINYAR_THREADS, or all)")
    parser.add_argument("--out", help="folder to write to (default: runs/vqvae-<data>, a new one each time)")
    parser.add_argument("--resume", action="store_true", help="go on with the latest run, or the one in --out")
    parser.add_argument("--samples", type=whole, default=64,
                        help="images to draw at the end (64); with --classes 10 of each class")
    parser.add_argument("--temperature", type=positive, default=1.0, help="below 1 draws likelier, less varied images")
    args = parser.parse_args()
    if args.resume:
        take_up(parser, args, "vqvae", "autoencoder/training.npz")
    if args.codes == 1:
        parser.error("--codes: one code can say nothing; expected at least 2")
    if args.flat and args.classes:
        parser.error("--classes: it is the prior that is told the class, and --flat trains none")
    return args


def padded(dataset, stride):
    """The dataset with a margin of level 0 around its images, as even as can be,
    so that the stride divides their sides.
    """
    down, right = (-side % stride for side in dataset.image_shape[:2])
    if not down and not right:
        return dataset
    margin = (0, 0), (down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)

    def pad(split):
        redraw = None if split.redraw is None else lambda epoch: np.pad(split.redraw(epoch), margin)
        return dataclasses.replace(split, images=np.pad(split.images, margin), redraw=redraw)

    splits = {name: pad(getattr(dataset, name)) for name in ("train", "validation", "test")}
    height, width = splits["train"].images.shape[1:3]
    return dataclasses.replace(dataset, **splits,
                               description=f"{dataset.description}, with a margin of level 0 to {height}x{width}")


def fit(args, model, dataset, epochs, folder, about, average):
    """Train one stage in its folder, or go on with it; a stage that has come to its end is just taken up."""
    updates = epochs * -(-len(dataset.train) // args.batch_size)
    history = training.fit(model, dataset.train, dataset.validation, epochs=epochs, batch_size=args.batch_size,
                           lr=cosine(args.lr, updates, warmup=min(100, updates // 10), minimum=args.lr / 50),
                           average=average, threads=args.threads, seed=args.seed, out=folder, resume=args.resume,
                           progress=True, about=about)
    if history.interrupted:
        sys.exit(f"stopped and saved; go on with the same command and --resume --out {folder.parent}")


def main():
    args = parse_arguments()
    dataset = load_data(args)
    fill_in(args, DEFAULTS_FOR_DIGITS if dataset.name == "digits" else DEFAULTS)
    folder = folder_for(args, f"vqvae-{dataset.name}", "autoencoder/training.npz")
    classes = classes_of(dataset) if args.classes else 0
    stride, (height, width, _) = 2 ** len(args.widths), dataset.image_shape
    if stride <= min(height, width):  # where not even one code fits in, the training refuses the images
        dataset = padded(dataset, stride)
    if dataset.image_shape[:2] != (height, width):
        print(f"A stride of {stride} doesn't divide {height}x{width}, so the images get a margin, "
              "which counts in all figures.")
    height, width, channels = dataset.image_shape
    autoencoder = models.VQVAE(dataset.levels, channels, widths=args.widths, codes=args.codes,
                               code_channels=args.code_channels, learning=args.learning, output=args.output,
                               flat=(height, width) if args.flat else None, seed=args.seed)
    print(f"data:  {dataset.description}")
    print(f"model: VQVAE, {autoencoder.count_parameters():,} parameters "
          f"and {args.codes} codes of {args.code_channels} numbers, computed by {backend.name}")

    # Stage one. The running codebook belongs to the latest encoder, so the weights aren't averaged.
    about = {"data": dataset.name, "levels": args.levels, "binarize": args.binarize, "seed": args.seed,
             "image_shape": dataset.image_shape, "options": options_of_a_run(args)}
    fit(args, autoencoder, dataset, args.epochs, folder / "autoencoder", about, average=None)
    test = training.evaluate(autoencoder, dataset.test.images, args.threads)
    print(f"test:  {test:.4f} {autoencoder.unit} on {len(dataset.test):,} images that training never saw")

    code_data = codes.cached_dataset(folder / "codes.npz", autoencoder, dataset)
    counts = np.bincount(code_data.train.images.reshape(-1), minlength=args.codes)
    print(f"codes: {100 * share_in_use(counts):.0f} % of {args.codes} in use, perplexity {perplexity(counts):.1f}; "
          f"{autoencoder.quantizer.revived} revived in training")
    some = dataset.test.images[np.arange(16) % len(dataset.test)]
    pairs = np.stack([some, autoencoder.images_of(codes.extract(autoencoder, some))]).reshape(
        2, 2, 8, height, width, channels)
    pairs = pairs.swapaxes(0, 1).reshape(-1, height, width, channels)  # each row of originals over its reconstructions
    plotting.save_image(folder / "reconstructions.png", plotting.grid(pairs, dataset.levels, columns=8))
    plotting.save_usage(folder / "usage.png", counts)
    if args.flat:
        every = np.arange(args.codes, dtype=np.uint16)[np.argsort(-counts), None, None, None]
        outputs = plotting.grid(autoencoder.images_of(every), dataset.levels)
        plotting.save_image(folder / "outputs.png", outputs)  # the most used first
    else:
        train_prior(args, autoencoder, dataset, code_data, classes, test, folder)
    pictures = "outputs.png" if args.flat else "codes.png, samples.png; prior/ with the same files as autoencoder/"
    print(f"wrote to {folder}: autoencoder/ (model.npz, training.npz, history.csv, curve.png), codes.npz, "
          f"reconstructions.png, usage.png, {pictures}")


def new_prior(args, levels, grid, classes):
    """A network for grids of codes, deep enough to reach from end to end of 8x8 (PixelCNN but for its blind spot)."""
    if args.prior == "gated":
        return models.GatedPixelCNN(levels, one_hot=True, classes=classes, first="plain", first_kernel=3,
                                    dilations=(1, 2, 1, 2, 1), seed=args.seed)
    return models.PixelCNN(levels, one_hot=True, classes=classes, channels=64, blocks=5,
                           first_kernel=max(3, min(7, 2 * max(grid) - 1)), kernel_size=3, seed=args.seed)


def train_prior(args, autoencoder, dataset, code_data, classes, test, folder):
    """Stage two: the prior, measured and looked at beside codes that are drawn independently of each other."""
    grid = code_data.image_shape[:2]
    prior = new_prior(args, code_data.levels, grid, classes)
    about = {"autoencoder": codes.checksum(autoencoder)}
    print(f"prior: {type(prior).__name__} on {grid[0]}x{grid[1]} codes, {prior.count_parameters():,} parameters")
    fit(args, prior, code_data, args.prior_epochs, folder / "prior", about, average=0.999)
    _, state = checkpoint.load(folder / "prior" / "model.npz")
    nats = training.evaluate(prior, code_data.test, args.threads) * math.log(2)
    alone = codes.independent_nats(code_data.train.images, code_data.test.images, args.codes)
    print(f"prior: {nats:.4f} nats per code on test images{', given the class' if classes else ''}; "
          f"independent codes cost {alone:.4f}, knowing nothing {math.log(args.codes):.4f}")
    if args.output == "categorical":
        bits = codes.bound(test, nats, dataset.image_shape, grid)
        print(f"bound: {bits:.4f} bits/dim, {test:.4f} given the codes and the codes' {bits - test:.4f}")

    n, labels, real, columns = args.samples, None, code_data.test.images[:args.samples], None
    if classes:  # a row of images for each
        n, labels, columns = classes * A_ROW, np.repeat(np.arange(classes), A_ROW), A_ROW
        real = rows_of_classes(code_data, classes)
    drawn, drawn_codes = codes.generate(autoencoder, prior, state["about"], n, grid, labels=labels,
                                        temperature=args.temperature, seed=args.seed, progress=True)
    independent = autoencoder.images_of(codes.independent_draws(code_data.train.images, n, args.codes, args.seed))
    plotting.save_samples(folder / "samples.png", drawn, independent, dataset.levels,
                          ("drawn by the prior", "codes drawn independently"), columns)
    plotting.save_samples(folder / "codes.png", drawn_codes, real, args.codes,
                          ("codes drawn by the prior", "codes of real images"), columns)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; --resume goes on with the latest run saved, --resume --out FOLDER with the one there")
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"train_vqvae.py: {error}")
