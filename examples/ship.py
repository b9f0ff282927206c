"""Make the weights of a run a file to give away, which says itself what they are.

    python examples/ship.py runs/pixelcnn-digits digits.npz --minutes 0.4 --machine "two cores of an AMD EPYC" \\
        --command "python examples/train_pixelcnn.py --data digits"
    python examples/ship.py runs/vqvae-mnist mnist-vqvae ...             the folder of a VQ-VAE, with all its stages

The file holds the model, its options, the data it has seen, and a statement: the figure on all test images and on 200
of them, the command, minutes and machine, and checksums of ten images that it draws (see statements.py). draw.py and
evaluate.py print the statement, so that whoever has the file can compare. A model of classes is told the class of each
image. If it was trained with --hide-labels, it is also measured told no class.

The files in examples/pretrained/ were made by it. Takes as long as evaluate.py.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import argparse
import datetime
import pathlib
import types
import zlib

import arguments
import draw
import numpy as np
import scores
from arguments import ArgumentParser, add_data_dir
from fitting import own_data
from kinds import path, positive, some_name, up_to
from splits import spread_evenly
from statements import print_statements
from subjects import load_subject
from weights import stages

from tinyar.training import checkpoint, parallel

DRAWN, FEW = 10, 200  # images whose checksums are kept; test images


def parse_arguments():
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("run", type=path, help="a model.npz or training.npz, or the folder of a run")
    add("target", type=path, help="what to write: a file, .npz, or of a VQ-VAE a folder; must not be there yet")
    add("--command", type=some_name, required=True, help="that trained the weights")
    add("--minutes", type=positive, required=True, help="that it took")
    add("--machine", type=some_name, required=True, help="on which it ran")
    add("--date", type=date, default=datetime.date.today().isoformat(), help="of the training (today)")
    add_data_dir(parser)
    add("--threads", type=up_to(parallel.MOST_THREADS), help="cores to use (default: TINYAR_THREADS, or all)")
    args = parser.parse_args()
    arguments.check_threads(args)
    return args


def date(text):
    """2026-11-26, say."""
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a date such as 2026-11-26, got {text!r:.60}") from None


def main():
    args = parse_arguments()
    target, parts = pathlib.Path(args.target), stages(args.run)
    check_target(target, is_folder=bool(parts))
    subjects, loaded = [load_subject(part) for part in parts or [args.run]], draw.load(asked_of_draw(args.run))
    datasets, checksums = [own_data(subject, args.data_dir) for subject in subjects], drawn_checksums(loaded)
    common = dict(command=args.command, minutes=args.minutes, machine=args.machine, date=args.date)
    statements = [{**common, "data": dataset.name, "figures": figures(args, subject, dataset.test), "drawn": []}
                  for subject, dataset in zip(subjects, datasets)]
    statements[-1]["drawn"] = checksums
    for subject, statement in zip(subjects, statements):
        file = target / subject.file.parent.name / "model.npz" if parts else target
        model, state = checkpoint.load(subject.file)
        checkpoint.save(file, model, {"about": {**state["about"], "trained": statement}, "rows": state.get("rows", [])})
        print(f"wrote: {file}")
    print_statements(statements)


def check_target(target, is_folder):
    """Raise ValueError or OSError for a target that is there already, or can't be written."""
    if target.exists():
        raise FileExistsError(f"{target} is there already: expected a new file or folder")
    if is_folder == (target.suffix == ".npz"):
        raise ValueError(f"{target}: expected the name of a folder, since a VQ-VAE has several files" if is_folder else
                         f"{target}: expected a name that ends in .npz")
    draw.check_writable(target.with_name(f"{target.name}.npz") if is_folder else target)


def asked_of_draw(run):
    """The arguments that draw.load looks at."""
    return types.SimpleNamespace(checkpoint=run, prior=None)


def drawn_checksums(loaded):
    """A checksum of each of DRAWN images, of levels, drawn by the weights that draw.load gives."""
    (model, about), *priors = loaded
    if not about.get("image_shape"):
        raise ValueError(f"{about['file']} doesn't say how large its images were")
    classes = (priors[0][0] if priors else model).classes
    images = draw.drawer(model, *priors)(DRAWN, draw.grid_of(model, priors, about["image_shape"]),
                                         labels=np.arange(DRAWN) % classes if classes else None)
    return [f"{zlib.crc32(image.tobytes()):08x}" for image in images]


def figures(args, subject, test):
    """What the model costs, on all test images and on FEW of them: told the class, and none."""
    numbers, found = spread_evenly(len(test), FEW), []
    for words, labels in tellings(subject, test.labels).items():
        every = subject.scores(subject.split_of(test.images, labels), args.threads, subject.name)
        for values in (every.figures, every.figures[numbers])[:1 + (len(test) > FEW)]:
            mean, _ = scores.mean_and_error(values)
            found.append({"of": words, "unit": every.unit, "images": len(values), "value": mean})
    return found


def tellings(subject, labels):
    """{words: labels} for each way in which the model may be told of the classes."""
    if not subject.classes or labels is None:
        return {"": None}
    told = {"told the class": labels}
    return told | {"told no class": None} if subject.about["options"].get("hide_labels") else told


if __name__ == "__main__":
    endings.run(main, stopped="every file that is there is whole")
