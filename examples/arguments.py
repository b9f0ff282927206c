"""What the examples share: options, the data, resuming a run, and what is printed around a training."""

import argparse
import math
import pathlib
import sys

from tinyar import backend, data
from tinyar.training import checkpoint
from tinyar.training.folders import holds_files, latest_run_folder, new_run_folder

# Options that may differ when a run is resumed.
NOT_OF_A_RUN = "data_dir", "threads", "out", "resume", "samples", "draws", "temperature", "gif"


# -- what an option may be ---------------------------------------------------------------------------------------------

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
    value = number(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def share(text):
    """A number from 0 to 1."""
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value


def number(text):
    """A number; NaN for any other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan


class ByData:
    """A default that is another one for digits: few images need many updates, and overfit soon.

    `load_data` puts the one that fits in its place.
    """

    def __init__(self, default, digits):
        self.default, self.digits = default, digits

    def __repr__(self):
        return f"{self.default}; {self.digits} for digits"


# -- options that scripts share ----------------------------------------------------------------------------------------

def new_parser(doc):
    """A parser with the options of every script that trains: data, seed and threads. Its --help begins with doc."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data_arguments(parser)
    parser.add_argument("--seed", type=natural, default=0)
    parser.add_argument("--threads", type=whole, help="cores to use (default: TINYAR_THREADS, or all)")
    return parser


def add_data_arguments(parser):
    parser.add_argument("--data", help="digits, mnist, fashion-mnist, binarized-mnist, cifar10, or folder: your images "
                                       "in --data-dir (default: mnist, or digits)")
    parser.add_argument("--data-dir", help="folder with the data's files (default: TINYAR_DATA, the cache, a download)")
    parser.add_argument("--size", type=whole, help="height and width to which the images of folder are resized (32)")
    parser.add_argument("--grey", action="store_true", help="colour images as grey")
    parser.add_argument("--levels", type=int, help="2 to 256 levels a pixel (default: the data's own)")
    parser.add_argument("--binarize", help="threshold, fixed or fresh: black and white")


def add_pixel_arguments(parser):
    """Options of a model that draws images pixel by pixel."""
    parser.add_argument("--independent-colors", action="store_true",
                        help="colours of a pixel know nothing of each other")
    parser.add_argument("--classes", action="store_true", help="tell the network the class of each image")
    parser.add_argument("--hide-labels", type=share, default=0.0,
                        help="with --classes: share of images whose class isn't told (0)")
    parser.add_argument("--patience", type=whole, help="stop after so many epochs without a better validation figure")
    parser.add_argument("--gif", action="store_true", help="film the drawing")


def add_training_arguments(parser, name, epochs=None, batch_size=None, lr=None):
    """Options of a run, with their defaults. The name of the run: see run_name."""
    parser.add_argument("--epochs", type=whole, default=epochs,
                        help=f"how often every training image is seen ({epochs or 'see below'})")
    parser.add_argument("--batch-size", type=whole, default=batch_size,
                        help=f"images an update ({batch_size or 'see below'})")
    parser.add_argument("--lr", type=positive, default=lr,
                        help=f"learning rate at its height, from which it falls by a cosine ({lr or 'see below'})")
    folder = name.replace("{", "<").replace("}", ">")
    parser.add_argument("--out", help=f"folder to write to (default: runs/{folder}-<data>, a new one each time)")
    parser.add_argument("--resume", action="store_true", help="go on with the latest run, or the one in --out")


# -- from the command line to a run ------------------------------------------------------------------------------------

def parse(parser, name, file="training.npz"):
    """The options on the command line; with --resume those that the run was started with.

    name, file    what the run is called, and the file in its folder by which it is known
    """
    args = parser.parse_args()
    if getattr(args, "hide_labels", 0) and not args.classes and not args.resume:
        parser.error("--hide-labels goes with --classes")
    if args.resume:
        take_up(parser, args, name, file)
    return args


def take_up(parser, args, name, file):
    """Give args the options that the run in --out, or the latest, was started with; sets args.out.

    Raises FileNotFoundError if there is none, ValueError if an option is given now that was different then.
    """
    if not args.out:
        args.out = latest_run_folder(run_name(args, name), file)
    folder = pathlib.Path(args.out)
    if not folder.is_dir():
        raise FileNotFoundError(f"nothing to resume: no folder {folder}")
    if not (folder / file).exists():
        if holds_files(folder):
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


def run_name(args, name):
    """pixelcnn-mnist, say. In `name`, an option in braces stands for its value: "{model}"."""
    return f"{name.format(**vars(args))}-{args.data or ''}"


def folder_for(args, name, file="training.npz"):
    """Where to write: --out, or a new folder in runs/, which is made. So ask for it right before training."""
    return pathlib.Path(args.out) if args.out else new_run_folder(run_name(args, name), file)


def fill_in(args, defaults):
    """Set the options that weren't given to those of `defaults`."""
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def about_run(args, dataset):
    """What is saved with a run: its data and the options that make it what it is."""
    return {"data": dataset.name, "levels": args.levels, "binarize": args.binarize, "seed": args.seed,
            "image_shape": dataset.image_shape, "options": options_of_a_run(args)}


def options_of_a_run(args):
    """The options that make a run what it is."""
    return {name: value for name, value in vars(args).items() if name not in NOT_OF_A_RUN}


# -- data --------------------------------------------------------------------------------------------------------------

def load_data(args):
    """The dataset asked for; if none was, MNIST, or digits where MNIST can't be had.

    Sets args.data to its name, and defaults that go by the data.
    """
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
    for name, value in vars(args).items():
        if isinstance(value, ByData):
            setattr(args, name, value.digits if dataset.name == "digits" else value.default)
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


def classes_told(args, dataset):
    """How many classes the network is told of: 0 without --classes. Raises ValueError for data without labels."""
    if args.classes and not dataset.classes:
        raise ValueError(f"--classes: {dataset.name} has no labels")
    return dataset.classes if args.classes else 0


# -- what is printed ---------------------------------------------------------------------------------------------------

def print_start(dataset, model, more=""):
    print(f"data:  {dataset.description}")
    print(f"model: {type(model).__name__}, {model.count_parameters():,} parameters{more}, computed by {backend.name}")


def stop_if_interrupted(history, folder):
    """End the script if Ctrl-C ended the training."""
    if history.interrupted:
        sys.exit(f"stopped and saved; go on with the same command and --resume --out {folder}")


def print_test(bits, dataset, given=""):
    print(f"test:  {bits:.4f} bits/dim{given} on {len(dataset.test):,} images that training never saw, "
          f"{dataset.levels} levels (knowing nothing costs {math.log2(dataset.levels):.2f})")


def run(main, stopped="--resume goes on with the latest run saved, --resume --out FOLDER with the one there"):
    """Run a script: errors that its user can do something about are one line each, and so is Ctrl-C."""
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(f"stopped; {stopped}")
    except (ValueError, OSError, ArithmeticError) as error:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {error}")
