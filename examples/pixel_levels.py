"""Lesson: what does a model say of one pixel? A probability for each level, by softmax and by mixture of logistics.

    python examples/pixel_levels.py runs/pixelcnnpp-digits runs/pixelcnnpp-digits-2       a column for each run
    python examples/pixel_levels.py runs/pixelcnnpp-mnist --pixels 6

A softmax has a number of its own for each level, and nothing tells it that neighbours are alike. A mixture of logistics
is a sum of few bells, rounded to levels, whose ends take what lies beyond: so 0 and the highest level can be likely
without the levels beside them. The first diagram of a row is neither: how often each level stands at this place in the
training images, whatever the pixels before it.

Looks at test images, in each at the pixel of which the first run is least certain; of colours at red. Takes seconds.
Writes levels.png beside the first run's checkpoint, or --out.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import pathlib

import numpy as np
from arguments import ArgumentParser, add_data_dir, checked_about, load_again
from kinds import path, up_to
from splits import some_of
from weights import beside, name_of, weights_file

from tinyar import backend
from tinyar.models.autoregressive import AutoregressiveModel
from tinyar.pictures.levels import save_level_tables
from tinyar.training import checkpoint


def parse_arguments():
    parser = ArgumentParser(__doc__)
    parser.add_argument("runs", type=path, nargs="+", metavar="RUN",
                        help="a model.npz, the folder of a run, or pretrained/NAME")
    return parse_with_picture(parser)


def parse_with_picture(parser):
    """The options on the command line, with those of a script that looks at single pixels and writes one picture."""
    parser.add_argument("--pixels", type=up_to(20), default=4, help="how many, each of another test image (4)")
    add_data_dir(parser)
    parser.add_argument("--out", type=path, help="file to write, .png")
    args = parser.parse_args()
    if args.out and pathlib.Path(args.out).suffix.lower() != ".png":
        parser.error(f"--out: expected a file name that ends in .png, got {args.out!r}")
    return args


def load_runs(names):
    """(title, model, about) of each run. Raises ValueError for models of other images than the first one's."""
    runs = []
    for name in names:
        file = weights_file(name)
        model, state = checkpoint.load(file)
        if not isinstance(model, AutoregressiveModel) or model.one_hot or model.map_channels:
            raise ValueError(f"{file}: expected a model that draws pixels, without maps, got {type(model).__name__}"
                             + " of codes" * getattr(model, "one_hot", False))
        about = checked_about(file, state)
        if runs and (model.levels, model.image_channels) != (runs[0][1].levels, runs[0][1].image_channels):
            raise ValueError(f"{file}: expected {runs[0][1].levels} levels and {runs[0][1].image_channels} channels, "
                             f"as in {names[0]}, got {model.levels} and {model.image_channels}")
        runs.append((f"{type(model.likelihood).__name__} of {name_of(file)}", model, about))
    return runs


def tables_of(model, images, labels):
    """p(level of the first colour | earlier pixels, class), for each pixel: (images, height, width, levels)."""
    images = backend.to_device(images)
    condition = model.condition(len(images), labels if model.classes else None)
    given = [] if condition is None else [backend.to_device(condition)]
    return backend.to_host(model.likelihood.table(model(images, *given), images, 0))


def least_certain(tables):
    """(row, col) of the pixel of each image whose table has the largest entropy."""
    entropy = -(tables * np.log(tables + 1e-30)).sum(axis=-1)  # (images, height, width)
    return [np.unravel_index(one.argmax(), one.shape) for one in entropy]


def main():
    args = parse_arguments()
    runs = load_runs(args.runs)
    dataset = load_again(runs[0][2], args.data_dir)
    print(f"data:  {dataset.description}")
    test = some_of(dataset.test, args.pixels)
    every = [tables_of(model, test.images, test.labels) for _, model, _ in runs]
    rows = []
    for i, (image, at) in enumerate(zip(test.images, least_certain(every[0]))):
        counts = np.bincount(dataset.train.images[:, at[0], at[1], 0], minlength=dataset.levels)
        tables = [counts / counts.sum(), *(tables[i][at] for tables in every)]
        rows.append((image / (dataset.levels - 1), at, int(image[at][0]), tables))
    file = pathlib.Path(args.out) if args.out else beside(args.runs[0], "levels.png")
    save_level_tables(file, rows, ["training images", *(title for title, _, _ in runs)])
    print(f"wrote: {file}")


if __name__ == "__main__":
    endings.run(main)
