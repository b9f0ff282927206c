"""What the examples' command lines have in common:
types that check, which data to train on, which run to go on with.
"""

import argparse
import math
import pathlib

from tinyar import checkpoint, data
from tinyar.files import latest_run_folder, new_run_folder

# Options that may differ when a run is resumed.
NOT_OF_A_RUN = "data_dir", "threads", "out", "resume", "samples", "draws", "temperature", "gif"


def whole(text):
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def natural(text):
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
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


def share(text):
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


def add_data_arguments(parser):
    parser.add_argument("--data", help="digits, mnist, fashion-mnist, binarized-mnist, cifar10, or folder: your images "
                                       "in --data-dir (default: mnist, or digits)")
    parser.add_argument("--data-dir", help="folder with the data's files (default: TINYAR_DATA, the cache, a download)")
    parser.add_argument("--size", type=whole, help="height and width to which the images of folder are resized (32)")
    parser.add_argument("--grey", action="store_true", help="colour images as grey")
    parser.add_argument("--levels", type=int, help="2 to 256 levels a pixel (default: the data's own)")
    parser.add_argument("--binarize", help="threshold, fixed or fresh: black and white")


def load_data(args):
    """The dataset asked for; if none was, MNIST, or digits where MNIST can't be had. Sets args.data to its name."""
    check_folder(args.data, args.data_dir)
    options = options_of_data(vars(args))
    try:
        dataset = data.load(args.data or "mnist", data_dir=args.data_dir, **options)
    except data.DataNotFoundError:
        if args.data or args.data_dir:
            raise
        print("MNIST is neither here nor to be had (no network?), so this trains on the digits that come with tinyar.")
        dataset = data.load("digits", **options)
    args.data = dataset.name
    return dataset


def load_again(about, data_dir=None):
    """The dataset of a run, from the `about` in its checkpoint. Raises ValueError if that doesn't say which it was."""
    options = about.get("options", {})
    if not options.get("data"):
        raise ValueError("the checkpoint doesn't say which data it was trained on: expected one written by an example")
    check_folder(options["data"], data_dir)
    return data.load(options["data"], data_dir=data_dir, **options_of_data(options))


def check_folder(name, data_dir):
    """Raise ValueError if it isn't said where one's own images are; a run doesn't remember it."""
    if name == "folder" and not data_dir:
        raise ValueError("--data-dir: expected the folder of your images")


def options_of_data(options):
    """The keywords for data.load in a dict of command line options, of which an older run may lack some."""
    return {"levels": options.get("levels"), "binarize": options.get("binarize"), "seed": options.get("seed", 0),
            "size": options.get("size"), "color": not options.get("grey", False)}


def classes_of(dataset):
    """How many classes the images have. Raises ValueError for data without labels."""
    if not dataset.classes:
        raise ValueError(f"--classes: {dataset.name} has no labels")
    return dataset.classes


def fill_in(args, defaults):
    """Set the options that weren't given to those of `defaults`, which depend on the data."""
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def options_of_a_run(args):
    """The options that make a run what it is, to be saved with it."""
    return {name: value for name, value in vars(args).items() if name not in NOT_OF_A_RUN}


def take_up(parser, args, name, file):
    """With --resume: give args the options that the run in --out, or the latest, was started with; sets args.out.

    Raises FileNotFoundError if there is none, ValueError if an option is given now that was different then.
    """
    if not args.out:
        args.out = latest_run_folder(f"{name}-{args.data or ''}", file)
    folder = pathlib.Path(args.out)
    if not folder.is_dir():
        raise FileNotFoundError(f"nothing to resume: no folder {folder}")
    if not (folder / file).exists():
        if any(path.is_file() and path.name != "history.csv" for path in folder.rglob("*")):
            raise FileNotFoundError(f"nothing to resume: no {file} in {folder}, which holds other files")
        return  # broken off before anything was saved: begin
    _, state = checkpoint.load(folder / file)
    given = options_given(parser, args)
    for option, then in state.get("about", {}).get("options", {}).items():
        now = getattr(args, option, None)
        if option in given and now != then:
            raise ValueError(f"--{option.replace('_', '-')} was {then} in the run in {args.out}, now {now}: "
                             "a run is resumed with the options it was started with")
        setattr(args, option, then)


def options_given(parser, args):
    """The names of the options that stand on the command line, those at their defaults too."""
    nothing = object()
    again = parser.parse_args(namespace=argparse.Namespace(**dict.fromkeys(vars(args), nothing)))
    return {name for name, value in vars(again).items() if value is not nothing}


def folder_for(args, name, file):
    """Where to write: --out, or a new folder in runs/."""
    return pathlib.Path(args.out) if args.out else new_run_folder(name, file)
