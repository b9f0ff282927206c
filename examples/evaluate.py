"""Lesson: what do images cost under a trained model? The mean and its error, the extremes, and what they don't say.

    python examples/evaluate.py runs/gated-digits                   every test image: bits/dim, nats, for each class
    python examples/evaluate.py runs/pixelcnn-digits runs/gated-digits      two models: on which images they differ
    python examples/evaluate.py runs/gated-digits --classify 300    the model as a classifier, by Bayes' rule
    python examples/evaluate.py runs/pixelcnn-mnist --data fashion-mnist --own --noise      images of another kind
    python examples/evaluate.py pretrained/mnist                    weights that come with tinyar: is their figure true?
    python examples/evaluate.py runs/vqvae-digits                   how far off an autoencoder's reconstructions are
    python examples/evaluate.py runs/vqvae-digits/prior             its prior, on the codes of the test images

A mean over test images has an error: other images of the same kind would have had another mean. Two models measure the
same images, so their difference is known far better than either mean. A model that is told the class says how likely an
image is for each class, and thereby how likely each class is for an image. And a likely image needn't look like those
that the model was trained on: --noise compares with noise and with images of one level.

A model of classes is told the class of each image, if the images are of its own data and have labels; otherwise none.
Weights are taken as they were saved, and nothing is dropped. What they say of themselves is printed too
(statements.py). Writes to evaluation/ beside the weights, or to --out: scores.csv (what each image costs),
histogram.png, extremes.png (the likeliest and the least likely images); of two models difference.png and deciding.png
(the images on which they differ most); with --classify confusion.csv.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import pathlib
import time

import arguments
import numpy as np
import score_pictures
import scores
from arguments import MOST_NAMES, ArgumentParser
from drawing import names_of
from fitting import ONE_LEVEL, check_fits, other_data, own_data, same_classes, strange_images
from kinds import path, up_to, whole
from splits import spread_evenly
from statements import print_statements
from subjects import check_comparable, load_subject, titles
from weights import beside

from tinyar import backend
from tinyar.training import parallel
from tinyar.training.folders import claim

MOST_STRANGE = 1000  # images of noise


def parse_arguments():
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("run", type=path, help="a model.npz or training.npz, the folder of a run, or pretrained/NAME")
    add("second", type=path, nargs="?", metavar="run2", help="another one, to compare with the first")
    arguments.add_data_arguments(parser)
    add("--split", choices=("test", "validation", "train"), default="test", help="which images of the data (test)")
    add("--images", type=whole, help="how many of them, spread evenly over the split (all)")
    add("--no-class", action="store_true", help="tell a model of classes none")
    add("--classify", type=whole, metavar="N", help="classify N of the images, with one pass for each class")
    add("--noise", action="store_true", help="measure noise and images of one level too")
    add("--own", action="store_true", help="with --data: measure test images of the model's own data too")
    add("--threads", type=up_to(parallel.MOST_THREADS), help="cores to use (default: TINYAR_THREADS, or all)")
    add("--out", type=path, help="folder to write to (default: evaluation, beside the weights, a new one each time)")
    args = parser.parse_args()
    for option in ("size", "grey", "levels", "binarize", "own"):
        if getattr(args, option) and not args.data:
            parser.error(f"--{option} would do nothing: it goes with --data")
    arguments.check_threads(args)
    return args


def main():
    args = parse_arguments()
    subjects = [load_subject(given) for given in (args.run, args.second) if given]
    dataset = other_data(subjects[0], args) if args.data else own_data(subjects[0], args.data_dir)
    numbers, images, labels = some_images(dataset, args.split, args.images)
    check(args, subjects, dataset, labels)
    others = other_images(args, subjects[0], dataset, len(images))
    folder = pathlib.Path(args.out) if args.out else beside(args.run, "evaluation")
    claim(folder, taken=False)  # fails now, not after the work, where nothing can be written

    start, names = time.perf_counter(), titles(subjects)
    print(f"data:  {dataset.description}\n       measured: {len(images):,} {args.split} images")
    every = [measure(args, subject, dataset, images, labels) for subject in subjects]
    shown = {title: measure_others(args, subjects[0], title, images).shown for title, images in others.items()}
    if args.second:
        print_difference(every, names)
    table = classify(args, subjects[0], dataset, images, labels) if args.classify else None
    print(f"time:  {time.perf_counter() - start:.1f} s")

    scores.save_scores(folder / "scores.csv", numbers, labels, every)
    written = ["scores.csv"]
    if args.classify:
        scores.save_confusion(folder / "confusion.csv", table, names_of(range(len(table)), dataset.class_names))
        written.append("confusion.csv")
    own = names if args.second else [f"{dataset.name}, {args.split} images"]
    shown = {title: found.shown for title, found in zip(own, every)} | shown
    written += score_pictures.save_histogram(folder, shown, every[0].shown_unit)
    written += score_pictures.save_extremes(folder, images, every[0], dataset.levels)
    if args.second:
        written += score_pictures.save_differences(folder, images, every, names, dataset.levels)
    print(f"wrote to {folder}: {', '.join(written)}")


# -- which images, and do they fit? ------------------------------------------------------------------------------------

def some_images(dataset, split, n=None):
    """The numbers (n,) of n images of a split, of all for None; the images (n, height, width, channels); and their
    labels (n,), None where there are none.
    """
    found = getattr(dataset, split)
    if not len(found):
        raise ValueError(f"{dataset.name} has no {split} images; another --split may have some")
    numbers = spread_evenly(len(found), n)
    return numbers, found.images[numbers], None if found.labels is None else found.labels[numbers]


def check(args, subjects, dataset, labels):
    """Raise ValueError for models that can't be compared, and for options that would do nothing with these models."""
    first = subjects[0]
    for second in subjects[1:]:
        check_fits(second, dataset)
        check_comparable(first, second)
    if args.no_class and not any(subject.classes for subject in subjects):
        raise ValueError(f"--no-class would do nothing: {first.file} is no model of classes")
    if args.classify and not first.classes:
        raise ValueError(f"--classify: {first.file} is no model of classes, so it can't tell them apart; expected one "
                         "trained with --classes")
    if args.classify and (labels is None or not same_classes(first, dataset)):
        raise ValueError(f"--classify: the model has learned other classes than those of {dataset.name}, which has "
                         f"{'no labels' if labels is None else 'labels of its own'}"
                         + ("" if first.about["options"].get("data") else "; its file doesn't say which it learned"))


def other_images(args, subject, dataset, n):
    """{title: images} of what is measured beside the images, at most n of each kind."""
    found = {}
    if args.own and subject.about["options"].get("data") == "folder":
        raise ValueError("--own: the model's own data are a folder of images, and nothing says where that is; evaluate "
                         "them by themselves, with --data-dir")
    if args.own:
        found["test images of its own data"] = some_images(own_data(subject), "test", n)[1]
    if args.noise:
        found |= strange_images(dataset.image_shape, dataset.levels, min(n, MOST_STRANGE))
    return found


# -- what is measured, and printed -------------------------------------------------------------------------------------

def measure(args, subject, dataset, images, labels):
    """The Scores of the images under one model."""
    tells = bool(subject.classes) and not args.no_class and labels is not None and same_classes(subject, dataset)
    split = subject.split_of(images, labels if tells else None)
    found, model, told = subject.scores(split, args.threads, subject.name), subject.model, list(subject.told)
    if subject.classes:
        reason = f" ({dataset.name} has {'no labels' if labels is None else 'other classes'})"
        told.append("the class" if tells else "no class" + reason * (not args.no_class))
    print(f"model: {subject.name}, {type(model).__name__}, {model.count_parameters():,} parameters, computed by "
          f"{backend.name}" + f"; told {' and '.join(told)}" * bool(told) + f"\nmean:  {found}")
    print_statements([subject.trained])
    if subject.priors:
        print("       of its reconstructions; what the codes cost by the prior is told by evaluate.py "
              + " and ".join(map(str, subject.priors)))
    if labels is not None and dataset.classes <= MOST_NAMES:
        for line in scores.lines_of_classes(found, labels, names_of(range(dataset.classes), dataset.class_names)):
            print(f"       {line}")
    return found


def measure_others(args, subject, title, images):
    """The Scores of other images, which are of no class."""
    found = subject.scores(subject.split_of(images), args.threads, title)
    print(f"other: {title}, {len(images):,}: {found}" + ", told no class" * bool(subject.classes))
    if title == ONE_LEVEL:
        print(f"       level 0 all over {found.shown[0]:.{found.digits}f}, the highest level "
              f"{found.shown[-1]:.{found.digits}f} {found.shown_unit}")
    return found


def print_difference(every, names):
    """Say how much more an image costs under the second model than under the first."""
    difference, words = every[1].shown - every[0].shown, f"{names[1]} minus {names[0]}"
    print(f"difference, {words}: {scores.words_of_mean(difference, every[0].digits)} {every[0].shown_unit}; "
          f"{names[1]} is better on {100 * np.mean(difference < 0):.0f} % of the images")


def classify(args, subject, dataset, images, labels):
    """The confusion table (classes, classes) of the model as a classifier of some of the images, by Bayes' rule."""
    some = spread_evenly(len(images), args.classify)
    labels, split = labels[some], subject.split_of(images[some])
    every = [subject.scores(subject.with_label(split, label), args.threads, f"told class {label}")
             for label in range(subject.classes)]
    nats = np.stack([found.costs for found in every])  # (classes, images)
    guesses = scores.posterior(nats).argmax(axis=0)
    table = scores.confusion(labels, guesses, subject.classes)
    print(f"class: {scores.words_of_mean(100.0 * (guesses == labels), 1)} % of {len(labels):,} images classified "
          "right, by Bayes' rule")
    nats = -scores.log_evidence(nats)  # (images,), not told the class
    print(f"       averaged over the classes an image costs {subject.scores_from(nats, split)}")
    if subject.classes <= MOST_NAMES:
        for line in scores.lines_of_confusion(table, names_of(range(subject.classes), dataset.class_names)):
            print(f"       {line}")
    return table


if __name__ == "__main__":
    endings.run(main, stopped="every file that is there is whole")
