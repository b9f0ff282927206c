"""Lesson: VQ-VAE-2: two grids of codes, the coarse one for what an image is, the fine one for how it looks.

    python examples/train_vqvae2.py --data digits    8x8 digits that come with tinyar: error 0.028 in 89 s
    without --data                                   MNIST in 256 levels: 7x7 and 14x14 codes (or digits)
    ... --data mnist --classes                       priors told the class: a row of drawings for each
    ... --data cifar10 --codes 256                   colour: 8x8 and 16x16 codes
    ... --resume                                     go on with the latest run, in whichever stage it is

Three stages. The first learns the autoencoder, as `train_vqvae.py` does. The second learns a prior of the top codes, a
PixelSNAIL. The third learns a prior of the bottom codes, a Gated PixelCNN that is told the whole grid of top codes.
Then top codes are drawn, bottom codes given them, and the decoder paints both. So that the top codes say what the image
is, --hide-bottom hides the bottom codes of some images in training. How much do the bottom codes add? In details.png
the top codes of test images stay, and the bottom codes are drawn anew.

The README says what such runs came to. A run writes to a new folder in runs/: autoencoder/, top/ and bottom/ (weights,
history, curves), codes.npz, and pictures: see drawing.py. draw.py draws more.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import math

import arguments
import drawing
import numpy as np
import splits
from kinds import MOST_CHANNELS, ByData, positive, share_below_1, up_to, whole
from train_vqvae import fit

from tinyar import codes, models, training
from tinyar.layers.usage import perplexity, share_in_use

NAME, FIRST_FILE = "vqvae2", "autoencoder/training.npz"
DEFAULTS = dict(epochs=ByData(6, digits=60), batch_size=ByData(64, digits=32), lr=2e-3)


def parse_arguments():
    parser = arguments.new_parser(__doc__)
    add = parser.add_argument
    add("--codes", type=up_to(2 ** 16), default=ByData(128, digits=64), help="K, how many codes (128; 64 for digits)")
    add("--code-channels", type=up_to(MOST_CHANNELS), default=ByData(32, digits=16),
        help="d, numbers in a code (32; 16 for digits)")
    add("--channels", type=up_to(MOST_CHANNELS, least=2), default=64, help="of the autoencoder's convolutions (64)")
    add("--learning", default="ema", choices=["ema", "gradient"],
        help="of the codebooks: by running means, or by gradient (ema)")
    add("--beta", type=positive, default=0.25, help="weight of what keeps vectors near their codes (0.25)")
    add("--hide-bottom", type=share_below_1, default=ByData(0.25, digits=0.1),
        help="share of the training images that the decoder paints from their top codes alone (0.25; 0.1 for digits)")
    add("--output", default="mse", choices=["mse", "categorical", "mixture"],
        help="what the decoder paints: levels, judged by squared error, or a softmax or a mixture over them (mse)")
    add("--prior-dropout", type=share_below_1, default=0.0,
        help="share of features that blocks of a prior drop in training, below 1 (0)")
    add("--classes", action="store_true", help="tell the priors the class of each image")
    add("--prior-epochs", type=whole, default=8, help="how often the priors see every training image (8)")
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
    dataset = splits.padded(dataset, stride=4)
    height, width, channels = dataset.image_shape
    autoencoder = models.VQVAE2(dataset.levels, channels, channels=args.channels, codes=args.codes,
                                code_channels=args.code_channels, beta=args.beta, learning=args.learning,
                                hide_bottom=args.hide_bottom, output=args.output, seed=args.seed)
    autoencoder.check_size(height, width)
    arguments.print_start(dataset, autoencoder, f" and twice {args.codes} codes of {args.code_channels} numbers")

    # Stage one. The running codebooks belong to the latest encoder, so the weights aren't averaged.
    folder = arguments.folder_for(args, NAME, FIRST_FILE)
    about = arguments.about_run(args, dataset)
    fit(args, autoencoder, dataset, args.epochs, folder / "autoencoder", about, average=None)
    cost = training.evaluate(autoencoder, dataset.test.images, args.threads)
    print(f"test:  {cost:.4f} {autoencoder.unit} on {len(dataset.test):,} images that training never saw")

    # Stages two and three.
    top, bottom = codes.cached_datasets(folder / "codes.npz", autoencoder, dataset)
    common = dict(one_hot=True, classes=classes, dropout=args.prior_dropout, seed=args.seed)
    priors = {"top": models.PixelSNAIL(args.codes, likelihood="softmax", blocks=2, **common),
              "bottom": models.GatedPixelCNN(args.codes, first="plain", first_kernel=3, dilations=(1, 2, 1, 2, 1),
                                             map_codes=args.codes, **common)}
    nats_an_image, bits = 0.0, cost
    for (level, prior), grids in zip(priors.items(), (top, bottom)):
        nats, grid = learn_codes(args, level, prior, autoencoder, grids, folder), grids.image_shape
        nats_an_image, bits = nats_an_image + nats * math.prod(grid), codes.bound(bits, nats, dataset.image_shape, grid)
    print(f"codes: {nats_an_image:.1f} nats an image, both levels together; knowing nothing "
          f"{sum(np.prod(grids.image_shape) for grids in (top, bottom)) * math.log(args.codes):.1f}")
    if args.output != "mse":
        print(f"bound: {bits:.4f} bits/dim, {cost:.4f} given the codes and the codes' {bits - cost:.4f}")
    pictures = drawing.save_two_levels(folder, autoencoder, priors, dataset, top, args)
    print(f"wrote to {folder}: autoencoder/, top/ and bottom/, each with model.npz, training.npz, history.csv and "
          f"curve.png; codes.npz, {', '.join(pictures)}")


def learn_codes(args, level, prior, autoencoder, grids, folder):
    """Train a prior on the grids of one level and measure it; returns its nats per code."""
    counts = np.bincount(grids.train.images.reshape(-1), minlength=args.codes)
    rows, columns, _ = grids.image_shape
    print(f"{level}: {100 * share_in_use(counts):.0f} % of {args.codes} codes in use, perplexity "
          f"{perplexity(counts):.1f}; {type(prior).__name__} on {rows}x{columns} codes, "
          f"{prior.count_parameters():,} parameters")
    fit(args, prior, grids, args.prior_epochs, folder / level, codes.about_prior(autoencoder, level), average=0.999)
    nats = training.evaluate(prior, grids.test, args.threads) * math.log(2)
    alone = codes.independent_nats(grids.train.images, grids.test.images, args.codes)
    given = [what for what, told in (("the top codes", prior.map_codes), ("the class", prior.classes)) if told]
    print(f"{level}: {nats:.4f} nats per code on test images{', given ' * bool(given)}{' and '.join(given)}; "
          f"independent codes cost {alone:.4f} nats, knowing nothing {math.log(args.codes):.4f}")
    return nats


if __name__ == "__main__":
    endings.run(main, stopped=arguments.GO_ON, ranks=True)
