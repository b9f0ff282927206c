"""Lesson: where do the pixels of an image look? The weights of attention in a trained PixelSNAIL.

    python examples/attention.py runs/pixelsnail-digits
    python examples/attention.py runs/pixelsnail-mnist --pixels 6

Each row shows one pixel of a test image: of the pixels below its first row, the one of which the model is least
certain. It is predicted from the pixels before it. A column for each block (and head) shows how much weight attention
gives to each of them. What it reads there, and what it makes of it, is learned. In the first block the features of a
pixel know what is near; in the last block they know what all blocks before found far away.

Takes seconds. Writes attention.png beside the checkpoint, or --out.
"""

import endings  # first, so that Ctrl-C ends the imports too in one line
import pathlib

import numpy as np
from arguments import ArgumentParser, load_again
from kinds import path
from pixel_levels import least_certain, load_runs, parse_with_picture, tables_of
from weights import beside

from tinyar import backend, models
from tinyar.pictures.attention import save_attention


def parse_arguments():
    parser = ArgumentParser(__doc__)
    parser.add_argument("run", type=path, metavar="RUN", help="a model.npz, or the folder of a run of PixelSNAIL")
    return parse_with_picture(parser)


def looks(model, image, label, at):
    """Where the pixel at looks, in every block and head: a list of arrays (height, width)."""
    x = backend.to_device(image[None])
    with model.told(given_condition(model, label), 1, *image.shape[:2]):
        maps = model.net.links[0].looks(model.scale(x), at)
    return [weights for block in maps for weights in backend.to_host(block)[0]]


def given_condition(model, label):
    """The condition of one image of this class, None for a model without classes."""
    return backend.to_device(model.condition(1, label)) if model.classes else None


def main():
    args = parse_arguments()
    [(_, model, about)] = load_runs([args.run])
    if not isinstance(model, models.PixelSNAIL):
        raise ValueError(f"{args.run}: expected a PixelSNAIL, which has attention, got a {type(model).__name__}")
    dataset = load_again(about, args.data_dir)
    print(f"data:  {dataset.description}")
    some = np.arange(args.pixels) * len(dataset.test) // args.pixels  # spread evenly: some files are sorted
    images = dataset.test.images[some]
    labels = [None] * len(images) if dataset.test.labels is None else dataset.test.labels[some]
    below = tables_of(model, images, labels)[:, min(1, len(images[0]) - 1):]  # the first row has little to look at
    pixels = [(row + min(1, len(images[0]) - 1), col) for row, col in least_certain(below)]
    rows = [(image / (dataset.levels - 1), at, looks(model, image, label, at))
            for image, label, at in zip(images, labels, pixels)]
    heads = model.config["heads"]
    titles = [f"block {block + 1}" + f", head {head + 1}" * (heads > 1)
              for block in range(model.config["blocks"]) for head in range(heads)]
    file = pathlib.Path(args.out) if args.out else beside(args.run, "attention.png")
    save_attention(file, rows, titles)
    print(f"wrote: {file}")


if __name__ == "__main__":
    endings.run(main)
