"""Make the weights of a run a file to give away, which says itself what they are.

    python examples/ship.py runs/pixelcnn-digits digits.npz --minutes 0.4 --machine "two cores of an AMD EPYC" \\
        --command "python examples/train_pixelcnn.py --data digits"
    python examples/ship.py runs/vqvae-mnist mnist-vqvae ...             the folder of a VQ-VAE, with all its stages

The file holds the model, its options, the data it has seen, and a statement: the figure on all test images and on 200
of them, the command, minutes and machine, and checksums of ten images that it draws (see statements.py). draw.py and
evaluate.py print the statement, so that whoever has the file can compare. A model that is told classes is measured told
them and told none, the latter if it was trained to do without.

The files in examples/pretrained/ were made by it. Takes as long as evaluate.py.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import argparse
import datetime
import pathlib
import types

import arguments
import draw
import scores
from arguments import ArgumentParser, path, positive, some_name, up_to
from fitting import own_data, spread_evenly
from statements import drawn_checksums, print_statement
from subjects import load_subject
from weights import stages

from tinyar.training import checkpoint, parallel

FEW = 200  # test images


def parse_arguments():
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("run", type=path, help="a model.npz or training.npz, or the folder of a run")
    add("target", type=path, help="what to write: a file, .npz, or of a VQ-VAE a folder; must not be there yet")
    add("--command", type=some_name, required=True, help="that trained the weights")
    add("--minutes", type=positive, required=True, help="that it took")
    add("--machine", type=some_name, required=True, help="on which it ran")
    add("--date", type=date, default=datetime.date.today().isoformat(), help="of the training (today)")
    add("--data-dir", type=path, metavar="FOLDER",
        help="folder with the data's files (default: TINYAR_DATA, the cache, a download)")
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
    if target.exists():
        raise FileExistsError(f"{target} is there already: expected a new file or folder")
    if not parts and target.suffix != ".npz":
        raise ValueError(f"{target}: expected a name that ends in .npz")
    draw.check_writable(target if target.suffix == ".npz" else target.with_name(f"{target.name}.npz"))  # before the work
    common = dict(command=args.command, minutes=args.minutes, machine=args.machine, date=args.date)
    subjects = [load_subject(part) for part in parts or [args.run]]
    trained = [{**common, "figures": figures(args, subject), "drawn": []} for subject in subjects]
    drawing = draw.load(types.SimpleNamespace(checkpoint=args.run, prior=None))
    trained[-1]["drawn"] = drawn_checksums(drawing)
    for subject, statement in zip(subjects, trained):
        file = target / subject.file.parent.name / "model.npz" if parts else target
        model, state = checkpoint.load(subject.file)
        about = {**state["about"], "trained": statement}
        checkpoint.save(file, model, {"about": about, "rows": state.get("rows", [])})
        print(f"wrote: {file}")
        print_statement(statement)


def figures(args, subject):
    """What the model costs, on all test images and on FEW of them: told the class, and none."""
    test = own_data(subject, args.data_dir).test
    few, found = spread_evenly(len(test), FEW), []
    for words, labels in tellings(subject, test.labels).items():
        every = subject.scores(subject.split_of(test.images, labels), args.threads, subject.name)
        for values in (every.figures, every.figures[few]):
            mean, _ = scores.mean_and_error(values)
            found.append({"of": words, "unit": every.unit, "images": len(values), "value": mean})
    return found


def tellings(subject, labels):
    """{words: labels} for each way in which the model may be told of the classes."""
    if not subject.classes or labels is None:
        return {"": None}
    told = {"told the class": labels}
    return told | {"told none": None} if subject.about["options"].get("hide_labels") else told


if __name__ == "__main__":
    endings.run(main)
