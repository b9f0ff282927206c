"""What the examples share: options, the data, resuming a run, and what is printed around a training."""

import argparse
import math
import os
import pathlib
import re
import sys

import distortion
from kinds import ByData, natural, path, rate, share, up_to, whole
from weights import weights_file

from tinyar import backend, data
from tinyar.data.readers import READERS
from tinyar.optim import copy_arrays
from tinyar.training import checkpoint, parallel
from tinyar.training.folders import claim, holds_files, latest_run_folder, new_run_folder
from tinyar.training.packing import plain_json
from tinyar.training.world import world

# Options that may differ when a run is resumed.
NOT_OF_A_RUN = "data_dir", "threads", "out", "resume", "samples", "draws", "temperature", "gif"
# Options of a model that its weights don't depend on.
NOT_OF_A_NETWORK = "seed", "dropout", "mode"
MOST_NAMES = 20  # of classes in a line

# Options that mean something only beside others: (option, why not, {another option: the value it must have}).
UNUSED = [
    ("hide_labels", "it goes with --classes", {"classes": True}),
    ("components", "it goes with --likelihood mixture", {"likelihood": "mixture"}),
    *((option, "--flat trains no prior", {"flat": False})
      for option in ("prior", "prior_channels", "prior_dropout", "prior_epochs", "classes")),
]

GO_ON = "--resume goes on with the latest run saved, --resume --out FOLDER with the one there"


# -- options that scripts share ----------------------------------------------------------------------------------------

class ArgumentParser(argparse.ArgumentParser):
    """A parser whose --help begins with `doc`, as it is written, and which says in one line what is wrong."""

    def __init__(self, doc):
        super().__init__(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}; --help explains all options\n")


def new_parser(doc):
    """A parser with the options of every script that trains: data, seed and threads."""
    parser = ArgumentParser(doc)
    add_data_arguments(parser)
    parser.add_argument("--seed", type=natural, default=0,
                        help="of the first weights, the order of the images, and what is drawn: "
                             "with the same one everything comes out the same (0)")
    parser.add_argument("--threads", type=up_to(parallel.MOST_THREADS),
                        help="cores to use (default: TINYAR_THREADS, or all)")
    return parser


def add_data_arguments(parser):
    parser.add_argument("--data", choices=READERS, metavar="NAME",
                        help="digits, mnist, fashion-mnist, binarized-mnist, cifar10, or folder: your images "
                             "in --data-dir (default: mnist, or digits)")
    add_data_dir(parser)
    parser.add_argument("--size", type=whole, help="height and width to which the images of folder are resized (32)")
    parser.add_argument("--grey", action="store_true", help="colour images as grey")
    parser.add_argument("--levels", type=up_to(256, least=2), help="2 to 256 levels a pixel (default: the data's own)")
    parser.add_argument("--binarize", choices=("threshold", "fixed", "fresh"),
                        help="black and white: 1 from the middle level on (threshold), or drawn with the pixel as "
                             "probability, once (fixed) or anew in every epoch (fresh)")


def add_data_dir(parser):
    parser.add_argument("--data-dir", type=path, metavar="FOLDER",
                        help="folder with the data's files (default: TINYAR_DATA, the cache, a download)")


def add_pixel_arguments(parser, colors=True):
    """Options of a model that draws images pixel by pixel; colors, if its network may keep the order of the colours."""
    if colors:
        parser.add_argument("--independent-colors", action="store_true",
                            help="colours of a pixel know nothing of each other")
    parser.add_argument("--classes", action="store_true", help="tell the network the class of each image")
    parser.add_argument("--hide-labels", type=share, default=0.0,
                        help="with --classes: share of images whose class isn't told (0)")
    parser.add_argument("--distort", type=share, default=0.0,
                        help="share of the training images that are turned, sheared and stretched a little in the "
                             "first epoch; it falls to none in the last (0)")
    parser.add_argument("--patience", type=whole, help="stop after so many epochs without a better validation figure")
    parser.add_argument("--gif", action="store_true", help="film the drawing")
    parser.add_argument("--start", type=path, metavar="WEIGHTS",
                        help="begin with the weights of another training of the same network: a model.npz, a run, or "
                             "pretrained/NAME")


def add_training_arguments(parser, name, epochs=None, batch_size=None, lr=None):
    """Options of a run, with their defaults. The name of the run: see run_name."""
    parser.add_argument("--epochs", type=whole, default=epochs,
                        help=f"how often every training image is seen ({epochs or 'see below'})")
    parser.add_argument("--batch-size", type=whole, default=batch_size,
                        help=f"images an update ({batch_size or 'see below'})")
    parser.add_argument("--lr", type=rate, default=lr,
                        help=f"learning rate at its height, from which it falls by a cosine ({lr or 'see below'})")
    folder = name.replace("{", "<").replace("}", ">")
    parser.add_argument("--out", type=path,
                        help=f"folder to write to (default: runs/{folder}-<data>, a new one each time)")
    parser.add_argument("--resume", action="store_true", help="go on with the latest run, or the one in --out")


# -- from the command line to a run ------------------------------------------------------------------------------------

def parse(parser, name=None, file="training.npz"):
    """The options on the command line; with --resume those that the run was started with.

    name, file    what the run is called, and the file in its folder by which it is known
    """
    args = parser.parse_args()
    if not getattr(args, "resume", False):
        refuse_unused(parser, args)
    check_threads(args)
    if getattr(args, "resume", False):
        take_up(parser, args, name, file)
    return args


def refuse_unused(parser, args):
    """End the script for an option that would do nothing beside the others."""
    given = options_given(parser, args)
    for option, reason, others in UNUSED:
        if option in given and any(getattr(args, name, value) != value for name, value in others.items()):
            parser.error(f"--{option.replace('_', '-')} would do nothing: {reason}")


def check_threads(args):
    """Raise ValueError for a TINYAR_THREADS that is no number of threads, before it costs anybody time."""
    text = os.environ.get("TINYAR_THREADS")
    if text and args.threads is None:
        try:
            up_to(parallel.MOST_THREADS)(text)
        except argparse.ArgumentTypeError as error:
            raise ValueError(f"TINYAR_THREADS: {error}") from error


def take_up(parser, args, name, file):
    """Give args the options that the run in --out, or the latest, was started with; sets args.out, claims the folder.

    Raises FileNotFoundError if there is none, FolderInUseError if it is going on, ValueError if an option is given now
    that was different then.
    """
    args.out, about = world().of_first(lambda: run_to_resume(args, name, file))
    given = options_given(parser, args)
    for option, then in about["options"].items():
        now = getattr(args, option, None)
        if option in given and now != then:
            raise ValueError(f"--{option.replace('_', '-')} was {then} in the run in {args.out}, now {now}: "
                             "a run is resumed with the options it was started with, so leave it out, or begin a new "
                             "run without --resume")
        if option not in NOT_OF_A_RUN:
            setattr(args, option, then)


def run_to_resume(args, name, file):
    """(folder, what its checkpoint says about the run; no options if it was broken off before anything was saved)."""
    folder = pathlib.Path(args.out or latest_run_folder(run_name(args, name), file))
    if not folder.is_dir():
        raise FileNotFoundError(f"nothing to resume: no folder {folder}")
    if not (folder / file).exists():
        if holds_files(folder):
            raise FileNotFoundError(f"nothing to resume: no {file} in {folder}, which holds other files")
        return str(folder), {"options": {}}
    claim(folder, taken=False)
    _, state = checkpoint.load(folder / file)
    return str(folder), checked_about(folder / file, state)


def options_given(parser, args):
    """The names of the options that stand on the command line, those at their defaults too."""
    nothing = object()
    again = parser.parse_args(namespace=argparse.Namespace(**dict.fromkeys(vars(args), nothing)))
    return {name for name, value in vars(again).items() if value is not nothing}


def run_name(args, name):
    """pixelcnn-mnist, say. In `name`, an option in braces stands for its value: "{model}"."""
    return f"{name.format(**vars(args))}-{args.data or ''}"


def folder_for(args, name, file="training.npz"):
    """Where to write: --out, or a new folder in runs/. It is made, and belongs to this process from now on.

    So ask for it right before training. Raises FolderInUseError if another process has it.
    """
    def claimed():
        folder = pathlib.Path(args.out) if args.out else new_run_folder(run_name(args, name), file)
        claim(folder, taken=False)
        return folder

    return world().of_first(claimed)


def fill_in(args, defaults):
    """Set the options that weren't given to those of `defaults`."""
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)


def about_run(args, dataset):
    """What is saved with a run: the options that make it what it is, and what its images are."""
    return {"options": options_of_a_run(args), "image_shape": dataset.image_shape, "class_names": dataset.class_names}


def checked_about(file, state):
    """What a checkpoint says about its run, from its state; nothing is said of "options" in an empty one.

    Raises ValueError where it isn't what about_run writes.
    """
    about = {"options": {}, "class_names": None, **dict_of(file, "about", state.get("about", {}))}
    dict_of(file, "options", about["options"])
    for key, kind, length in (("image_shape", int, 3), ("class_names", str, None)):
        value = about.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, kind) for item in value)
                                      and length in (None, len(value))):
            raise ValueError(f"{file}: {key}: expected a list of {length or 'some'} {kind.__name__}, got {value!r:.60}")
    return about


def dict_of(file, key, value):
    """value, or a ValueError unless it is a dict."""
    if not isinstance(value, dict):
        raise ValueError(f"{file}: {key}: expected a dict, got {value!r:.60}")
    return value


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
        dataset = load(args.data or "mnist", args.data_dir, options)
    except data.DataNotFoundError as error:
        if args.data or args.data_dir:
            raise
        *found, how_to_get_it = str(error).splitlines()
        print("MNIST is neither here nor to be had, so this trains on the digits that come with tinyar. Why:",
              *(found or [how_to_get_it]), sep="\n    ")
        dataset = load("digits", None, options)
    alone = getattr(args, "independent_colors", False) and not args.resume
    if alone and dataset.image_shape[2] == 1:
        raise ValueError(f"--independent-colors: the images of {dataset.name} are grey")
    args.data = dataset.name
    for name, value in vars(args).items():
        if isinstance(value, ByData):
            setattr(args, name, value.digits if dataset.name == "digits" else value.default)
    return distorted_by(args, dataset, options) if getattr(args, "distort", 0) else dataset


def distorted_by(args, dataset, options):
    """The dataset with distorted training images, as --distort asks for. Raises ValueError where that doesn't fit."""
    if options.get("binarize") in ("fixed", "fresh") or dataset.name == "binarized-mnist":
        raise ValueError("--distort: these pixels are drawn by chance, and interpolation would smooth that away; "
                         "expected images of levels, or --binarize threshold")
    originals = load(dataset.name, args.data_dir, {**options, "levels": None, "binarize": None})
    return distortion.distorted(dataset, originals, args.distort, args.epochs, args.seed)


def load_again(about, data_dir=None):
    """The dataset of a run, from the `about` in its checkpoint. Raises ValueError if that doesn't say which it was."""
    options = about.get("options", {})
    if not options.get("data"):
        raise ValueError("the checkpoint doesn't say which data it was trained on: expected one written by an example, "
                         "or by training.fit(..., about={'options': {'data': ..., 'levels': ...}})")
    check_folder(options["data"], data_dir)
    return load(options["data"], data_dir, options_of_data(options))


def load(name, data_dir, options):
    """data.load, whose errors speak of the options on the command line: of --grey, not of color=False."""
    try:
        return world().of_first(lambda: data.load(name, data_dir=data_dir, **options))
    except data.OptionError as error:
        raise ValueError(error.worded({option: "--grey" if option == "color" else f"--{option} {value}"
                                       for option, value in error.options.items()})) from error
    except data.DataNotFoundError as error:
        text = re.sub(r"(?<![\w./\\-])data_dir(?![\w./\\-])", "--data-dir", str(error))
        raise data.DataNotFoundError(text) from error


def check_folder(name, data_dir):
    """Raise ValueError if it isn't said where one's own images are; a run doesn't remember it."""
    if name == "folder" and not data_dir:
        raise ValueError("--data-dir: expected the folder of your images")
    if name == "digits" and data_dir:
        raise ValueError("--data-dir: digits come with tinyar, so no folder is looked at; leave it out")


def options_of_data(options):
    """The keywords for data.load in a dict of command line options, of which an older run may lack some."""
    return {"levels": options.get("levels"), "binarize": options.get("binarize"), "seed": options.get("seed", 0),
            "size": options.get("size"), "color": not options.get("grey", False)}


def classes_told(args, dataset):
    """How many classes the network is told of: 0 without --classes. Raises ValueError for data without labels."""
    if args.classes and not dataset.classes:
        raise ValueError(f"--classes: {dataset.name} has no labels")
    return dataset.classes if args.classes else 0


def start_from(args, model):
    """Give a model the weights of --start, if that is given; a run that goes on has its own.

    Raises ValueError for those of another network.
    """
    found = world().of_first(lambda: weights_to_start_from(args, model))
    if found:
        file, arrays = found
        copy_arrays(arrays, dict(model.arrays()))
        print(f"start: the weights in {file}")


def weights_to_start_from(args, model):
    """(file, arrays on the host by name), None if there is nothing to be done."""
    if not args.start or args.resume and (pathlib.Path(args.out) / "training.npz").exists():
        return None
    file = weights_file(args.start)
    other, _ = checkpoint.load(file)
    mine, theirs = ({name: value for name, value in plain_json(one.config).items() if name not in NOT_OF_A_NETWORK}
                    for one in (model, other))
    if type(other) is not type(model) or mine != theirs:
        named = ", ".join(f"{name} {value}" for name, value in theirs.items() if mine.get(name) != value)
        raise ValueError(f"--start: {file} has the weights of another network, {type(other).__name__} with {named}")
    return str(file), {name: backend.to_host(array) for name, array in other.arrays()}


# -- what is printed ---------------------------------------------------------------------------------------------------

def print_start(dataset, model, more=""):
    print(f"data:  {dataset.description}")
    print_classes(dataset.class_names)
    print(f"model: {type(model).__name__}, {model.count_parameters():,} parameters{more}, computed by {backend.name}")


def print_classes(names):
    """A line on what the numbers of the classes mean, if they have names."""
    if names:
        more = f", ... ({len(names)} in all)" if len(names) > MOST_NAMES else ""
        print("class: " + ", ".join(f"{number} is {name}" for number, name in enumerate(names[:MOST_NAMES])) + more)


def print_end(history, folder):
    """Say which epoch's weights a training has kept. Ends the script if Ctrl-C ended the training."""
    if history.interrupted:
        sys.exit(f"stopped and saved; go on with the same command and --resume --out {folder}")
    if history.best_epoch:
        print(f"kept the weights of epoch {history.best_epoch}, the best: held out {history.best:.4f} {history.unit}")


def print_test(bits, dataset, given=""):
    nats = bits * math.log(2) * math.prod(dataset.image_shape)
    an_image = f" ({nats:.1f} nats an image)" if dataset.levels == 2 else ""
    print(f"test:  {bits:.4f} bits/dim{an_image}{given} on {len(dataset.test):,} images that training never saw, "
          f"{dataset.levels} levels (knowing nothing costs {math.log2(dataset.levels):.2f})")
