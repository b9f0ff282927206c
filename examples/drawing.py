"""What the training examples do at the end: draw from the model, and show it beside real images."""

import numpy as np
from arguments import positive, whole

from tinyar import plotting, sampling

A_ROW = 10  # images of a class in a row of the picture


def add_drawing_arguments(parser):
    parser.add_argument("--samples", type=whole, default=64,
                        help="images to draw at the end (64); with --classes 10 of each class")
    parser.add_argument("--temperature", type=positive, default=1.0, help="below 1 draws likelier, less varied images")
    parser.add_argument("--gif", action="store_true", help="film the drawing")


def save_drawings(folder, model, dataset, args):
    """Draw from the model: samples.png, and drawing.gif with --gif; returns the names of the files written.

    A model of classes draws a row of images for each of them.
    """
    n, labels, real, columns = args.samples, None, dataset.test.images[:args.samples], None
    if model.classes:
        n, labels, columns = model.classes * A_ROW, np.repeat(np.arange(model.classes), A_ROW), A_ROW
        real = rows_of_classes(dataset, model.classes)
    film = plotting.Film(dataset.levels) if args.gif else None
    samples = sampling.sample(model, n, dataset.image_shape, labels=labels, temperature=args.temperature,
                              seed=args.seed, progress=True, watch=film.watch if film else None)
    plotting.save_samples(folder / "samples.png", samples, real, dataset.levels, columns=columns)
    if film:
        film.save(folder / "drawing.gif")
    return ["samples.png"] + ["drawing.gif"] * args.gif


def rows_of_classes(dataset, classes):
    """A row of real images for each class:
    of the test images, or where a small dataset has none there, of the others.
    """
    rows = []
    for label in range(classes):
        of_class = [split.images[split.labels == label] for split in (dataset.test, dataset.validation, dataset.train)]
        images = next((images for images in of_class if len(images)), np.zeros((1, *dataset.image_shape), np.uint8))
        rows.append(images[np.arange(A_ROW) % len(images)])
    return np.concatenate(rows)
