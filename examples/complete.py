"""Lesson: let a trained model finish images of which it is shown only the upper half.

    python examples/complete.py runs/pixelcnn-digits/model.npz

Takes the test images of the data that the model was trained on. Each row of the picture: the image, its upper half, and several
completions. They differ, as they are draws from p(lower half | upper half); the upper half comes first in the raster order, so
this conditional distribution is exact. Takes seconds on two cores. Writes completions.png beside the checkpoint.
"""

import argparse
import pathlib
import sys

import numpy as np
from arguments import positive, whole

from tinyar import checkpoint, data, plotting, sampling


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a model.npz or training.npz that an example has written")
    parser.add_argument("--data-dir", help="folder with the data's files (default: TINYAR_DATA, the cache, a download)")
    parser.add_argument("--images", type=whole, default=8, help="test images to complete (8)")
    parser.add_argument("--completions", type=whole, default=6, help="completions of each (6)")
    parser.add_argument("--temperature", type=positive, default=1.0, help="below 1 draws likelier, less varied images")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", help="folder to write to (default: the checkpoint's)")
    return parser.parse_args()


def main():
    args = parse_arguments()
    model, state = checkpoint.load(args.checkpoint)
    if "data" not in state.get("about", {}):
        raise ValueError(f"{args.checkpoint} doesn't say which data it was trained on; expected a file written by an example")
    about = state["about"]
    dataset = data.load(about["data"], levels=about["levels"], binarize=about["binarize"], seed=about["seed"], data_dir=args.data_dir)
    images = dataset.test.images[:args.images]
    height, width, channels = dataset.image_shape

    mask = np.zeros((height, 1, 1), dtype=bool)
    mask[:height // 2] = True
    known = images.repeat(args.completions, axis=0)
    completed = sampling.sample(model, len(known), (height, width), known=known, mask=mask, temperature=args.temperature,
                                seed=args.seed, progress=True)
    rows = completed.reshape(len(images), args.completions, height, width, channels)
    rows = np.concatenate([images[:, None], np.where(mask, images, 0)[:, None], rows], axis=1)
    path = pathlib.Path(args.out or pathlib.Path(args.checkpoint).parent) / "completions.png"
    plotting.save_image(path, plotting.grid(rows.reshape(-1, height, width, channels), dataset.levels, columns=rows.shape[1]))
    print(f"wrote: {path} (each row: a test image, its upper half, {args.completions} completions)")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"complete.py: {error}")
