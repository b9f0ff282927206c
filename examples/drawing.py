"""What the training examples do at the end: draw from the model, and show it beside real images."""

import numpy as np

from tinyar import plotting, sampling

A_ROW = 10  # images of a class in a row of the picture


def add_drawing_arguments(parser, whole, positive):
    parser.add_argument("--samples", type=whole, default=64, help="images to draw at the end (64); with --classes 10 of each class")
    parser.add_argument("--temperature", type=positive, default=1.0, help="below 1 draws likelier, less varied images")
    parser.add_argument("--gif", action="store_true", help="film the drawing")


def save_drawings(folder, model, dataset, args):
    """Draw from the model: samples.png, and drawing.gif with --gif; returns the names of the files written.

    A model of classes draws a row of images for each of them.
    """
    labels, real, columns = None, dataset.test.images[:args.samples], None
    if model.classes:
        labels, columns = np.repeat(np.arange(model.classes), A_ROW), A_ROW
        real = dataset.test.images[[row[i % len(row)] for row in places_of_classes(dataset.test, model.classes) for i in range(A_ROW)]]
    film = plotting.Film(dataset.levels) if args.gif else None
    samples = sampling.sample(model, len(real), dataset.image_shape, labels=labels, temperature=args.temperature, seed=args.seed,
                              progress=True, watch=film.watch if film else None)
    plotting.save_samples(folder / "samples.png", samples, real, dataset.levels, columns=columns)
    if film:
        film.save(folder / "drawing.gif")
    return ["samples.png"] + ["drawing.gif"] * args.gif


def places_of_classes(split, classes):
    """For each class the places of its images in a split. Raises ValueError for a class without any."""
    places = [np.flatnonzero(split.labels == label) for label in range(classes)]
    missing = [label for label in range(classes) if not len(places[label])]
    if missing:
        raise ValueError(f"no test image is of class {missing[0]}, so there is nothing to show beside its drawings")
    return places
