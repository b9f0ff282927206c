"""Lesson: train a VQ-VAE, then a prior on its codes, and let the two together draw.

    python examples/train_vqvae.py --data digits    8x8 digits that come with tinyar: error 0.033 in 44 s
    without --data                                  MNIST in 256 levels (or digits, if it can't be had)
    ... --data mnist --prior gated --classes        a prior told the class: a row of drawings for each
    ... --data mnist --widths 64 128 128 --code-channels 64 --codes 256    4x4 codes of 32x32
    ... --data mnist --flat                         one code an image: clustering; all K outputs in one picture
    ... --resume                                    go on with the latest run, in whichever stage it is

The first stage learns the autoencoder. Its figure is the mean squared error divided by the variance of the images (1 is
no better than one grey for all), or with --output categorical bits per dimension given the codes. The bar shows the
parts of the loss, and the perplexity of each batch: how many codes are in use. The second stage learns a prior
p(codes), or with --classes p(codes | class). Images whose sides the strides don't divide get a margin of level 0.

The README says what such runs came to. A run writes to a new folder in runs/: autoencoder/ and prior/ (weights,
history, curves), codes.npz, and pictures: see drawing.py. draw.py draws more.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import math

import arguments
import drawing
import numpy as np
import splits
from kinds import MOST_CHANNELS, ByData, positive, share_below_1, up_to, whole

from tinyar import codes, models, training
from tinyar.layers.usage import perplexity, share_in_use
from tinyar.optim import cosine

NAME, FIRST_FILE = "vqvae", "autoencoder/training.npz"
DEFAULTS = dict(epochs=ByData(6, digits=60), batch_size=ByData(16, digits=32), lr=2e-3)


def parse_arguments():
    parser = arguments.new_parser(__doc__)
    add = parser.add_argument
    add("--codes", type=up_to(2 ** 16), default=ByData(128, digits=64), help="K, how many codes (128; 64 for digits)")
    add("--code-channels", type=up_to(MOST_CHANNELS), default=16, help="d, numbers in a code (16)")
    add("--widths", type=up_to(MOST_CHANNELS), nargs="+", default=ByData([32, 64], digits=[64]),
        help="of the convolutions of stride 2 (32 64; 64 for digits)")
    add("--residual-channels", type=up_to(MOST_CHANNELS), default=32, help="inside the residual units (32)")
    add("--learning", default="ema", choices=["ema", "gradient"],
        help="of the codebook: by running means, or by gradient (ema)")
    add("--beta", type=positive, default=0.25, help="weight of what keeps vectors near their codes (0.25)")
    add("--output", default="mse", choices=["mse", "categorical"],
        help="what the decoder paints: levels, judged by squared error, or a softmax over them (mse)")
    add("--flat", action="store_true", help="one code an image, instead of a grid; no prior")
    add("--prior", default="pixelcnn", choices=["pixelcnn", "gated", "pixelcnnpp", "pixelsnail"],
        help="network that learns the codes (pixelcnn)")
    add("--prior-channels", type=up_to(MOST_CHANNELS, least=2), help="features a code in the prior (64; pixelcnnpp 32)")
    add("--prior-dropout", type=share_below_1, default=0.0,
        help="share of features that blocks of a prior drop in training, below 1 (0)")
    add("--classes", action="store_true", help="tell the prior the class of each image")
    add("--prior-epochs", type=whole, default=8, help="how often the prior sees every training image (8)")
    arguments.add_training_arguments(parser, NAME, **DEFAULTS)
    drawing.add_drawing_arguments(parser)
    args = arguments.parse(parser, NAME, FIRST_FILE)
    if args.codes == 1:
        parser.error("--codes: one code can say nothing; expected at least 2")
    return args


def main():
    args = parse_arguments()
    dataset = arguments.load_data(args)
    classes = arguments.classes_told(args, dataset)
    dataset = splits.padded(dataset, stride=2 ** len(args.widths))
    height, width, channels = dataset.image_shape
    autoencoder = models.VQVAE(dataset.levels, channels, widths=args.widths,
                               residual_channels=args.residual_channels, codes=args.codes,
                               code_channels=args.code_channels, beta=args.beta, learning=args.learning,
                               output=args.output, flat=(height, width) if args.flat else None, seed=args.seed)
    autoencoder.check_size(height, width)
    arguments.print_start(dataset, autoencoder, f" and {args.codes} codes of {args.code_channels} numbers")

    # Stage one. The running codebook belongs to the latest encoder, so the weights aren't averaged.
    folder = arguments.folder_for(args, NAME, FIRST_FILE)
    about = arguments.about_run(args, dataset)
    fit(args, autoencoder, dataset, args.epochs, folder / "autoencoder", about, average=None)
    cost = training.evaluate(autoencoder, dataset.test.images, args.threads)
    print(f"test:  {cost:.4f} {autoencoder.unit} on {len(dataset.test):,} images that training never saw")

    grids = codes.cached_dataset(folder / "codes.npz", autoencoder, dataset)  # each image as a grid of codes
    counts = np.bincount(grids.train.images.reshape(-1), minlength=args.codes)
    print(f"codes: {100 * share_in_use(counts):.0f} % of {args.codes} in use, perplexity {perplexity(counts):.1f}; "
          f"{autoencoder.quantizer.revived} revived in training")
    pictures = drawing.save_reconstructions(folder, autoencoder, dataset) + drawing.save_usage(folder, counts)
    if args.flat:
        pictures += drawing.save_outputs(folder, autoencoder, counts)
    else:
        pictures += learn_codes(args, autoencoder, dataset, grids, classes, cost, folder)
    print(f"wrote to {folder}: autoencoder/ (model.npz, training.npz, history.csv, curve.png), codes.npz, "
          f"{', '.join(pictures)}{'' if args.flat else '; prior/ with the same files as autoencoder/'}")


def fit(args, model, dataset, epochs, folder, about, average):
    """Train one stage in its folder, or go on with it; a stage that has come to its end is just taken up."""
    updates = epochs * -(-len(dataset.train) // args.batch_size)
    history = training.fit(model, dataset.train, dataset.validation, epochs=epochs, batch_size=args.batch_size,
                           lr=cosine(args.lr, updates, warmup=min(100, updates // 10), minimum=args.lr / 50),
                           average=average, threads=args.threads, seed=args.seed, out=folder, resume=args.resume,
                           progress=True, about=about)
    arguments.print_end(history, folder.parent)


def learn_codes(args, autoencoder, dataset, grids, classes, cost, folder):
    """Stage two: train a prior on the grids of codes, measure it, and draw from it; the names of the pictures."""
    grid = grids.image_shape[:2]
    width = {"channels": args.prior_channels} if args.prior_channels else {}
    common = dict(one_hot=True, classes=classes, dropout=args.prior_dropout, seed=args.seed, **width)
    if args.prior == "gated":
        prior = models.GatedPixelCNN(args.codes, first="plain", first_kernel=3, dilations=(1, 2, 1, 2, 1), **common)
    elif args.prior == "pixelcnnpp":
        prior = models.PixelCNNpp(args.codes, likelihood="softmax", **common)
    elif args.prior == "pixelsnail":
        prior = models.PixelSNAIL(args.codes, likelihood="softmax", blocks=2, **common)
    else:  # deep enough to reach from end to end of 8x8, but for its blind spot
        prior = models.PixelCNN(args.codes, blocks=5, kernel_size=3, first_kernel=max(3, min(7, 2 * max(grid) - 1)),
                                **common)
    print(f"prior: {type(prior).__name__} on {grid[0]}x{grid[1]} codes, {prior.count_parameters():,} parameters")
    fit(args, prior, grids, args.prior_epochs, folder / "prior", codes.about_prior(autoencoder), average=0.999)

    bits = training.evaluate(prior, grids.test, args.threads)
    nats, alone = bits * math.log(2), codes.independent_nats(grids.train.images, grids.test.images, args.codes)
    print(f"prior: {bits:.4f} bits, that is {nats:.4f} nats per code on test images"
          f"{', given the class' if classes else ''}; "
          f"independent codes cost {alone:.4f} nats, knowing nothing {math.log(args.codes):.4f}")
    if args.output == "categorical":
        bits = codes.bound(cost, nats, dataset.image_shape, grid)
        print(f"bound: {bits:.4f} bits/dim, {cost:.4f} given the codes and the codes' {bits - cost:.4f}")
    return drawing.save_draws_of_codes(folder, autoencoder, prior, dataset, grids, args)


if __name__ == "__main__":
    endings.run(main, stopped=arguments.GO_ON, ranks=True)
