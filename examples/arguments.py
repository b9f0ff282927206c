"""What the examples' command lines have in common: types that check, and which data to train on."""

import argparse
import math

from tinyar import data


def whole(text):
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def positive(text):
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def add_data_arguments(parser):
    parser.add_argument("--data", help="digits, mnist, fashion-mnist, binarized-mnist (default: mnist, or digits)")
    parser.add_argument("--data-dir", help="folder with the data's files (default: TINYAR_DATA, the cache, a download)")
    parser.add_argument("--levels", type=int, help="2 to 256 levels a pixel (default: the data's own)")
    parser.add_argument("--binarize", help="threshold, fixed or fresh: black and white")


def load_data(args):
    """The dataset asked for; if none was, MNIST, or digits where MNIST can't be had."""
    options = dict(levels=args.levels, binarize=args.binarize, data_dir=args.data_dir, seed=args.seed)
    if args.data:
        return data.load(args.data, **options)
    try:
        return data.load("mnist", **options)
    except data.DataNotFoundError:
        print("MNIST is neither here nor to be had (no network?), so this trains on the digits that come with tinyar.")
        return data.load("digits", **options)


def fill_in(args, defaults):
    """Set the options that weren't given to those of `defaults`, which depend on the data."""
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
