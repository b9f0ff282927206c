"""Lesson: draw from a trained model, complete images, choose the class, lean to the likelier: all with one sampler.

    python examples/draw.py runs/pixelcnn-digits                             64 images, from a run's folder
    python examples/draw.py runs/pixelcnn-digits/model.npz --temperature 0.8 --out calm.png     likelier, less varied
    python examples/draw.py runs/gated-digits --label 3 8 --out film.gif     a row of 3s, one of 8s
                                                                             (trained with --classes)
    python examples/draw.py runs/pixelcnn-digits --complete                  lower halves of test images
    python examples/draw.py runs/vqvae-digits                                codes from the prior,
                                                                             painted by the decoder

Whatever the network, an autoregressive model draws pixel after pixel from p(pixel | earlier ones, class). Its logits
may be divided by a temperature first: below 1 likely levels become likelier still. The image may have any size
(--size), though the model knows just the one it has seen. A VQ-VAE draws its codes in the same way, from a prior, and
one pass of its decoder paints them.

--complete shows the model only the upper rows of test images and draws the rest. Each row of the picture: the image,
what was shown of it, and several completions. They differ, as they are draws from p(lower rows | upper rows); the
upper ones come first in the raster order, so this conditional distribution is exact. (Given the left half it wouldn't
be: a pixel is drawn before it could heed what is known of the rows below.)

Writes one file, as a film if its name ends in .gif. Takes seconds for images of 8x8 or 28x28 pixels on two CPU cores.
"""

import argparse
import functools
import pathlib

import arguments
import numpy as np
from arguments import load_again, natural, positive, whole
from drawing import A_ROW

from tinyar import backend, codes, models, sampling
from tinyar.pictures import Film, plotting
from tinyar.training import checkpoint

FRAMES = 80  # of a film, about
PIXELS, AUTOENCODER, PRIOR = "a model of pixels", "the autoencoder of a VQ-VAE", "the prior of its codes"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a model.npz or training.npz, or the folder of a run")
    parser.add_argument("prior", nargs="?", help="if the first is the checkpoint of a VQ-VAE: that of its prior")
    parser.add_argument("--n", type=whole, help="images to draw (64); of a model of classes, of each label (10)")
    parser.add_argument("--size", type=whole, nargs=2, metavar=("HEIGHT", "WIDTH"),
                        help="of the images (those of the training data)")
    parser.add_argument("--temperature", type=positive, default=1.0,
                        help="below 1 draws likelier, less varied images (1)")
    parser.add_argument("--seed", type=natural, default=0, help="another number, other draws (0)")
    parser.add_argument("--label", type=int, nargs="+",
                        help="classes to draw, a row of images for each (default: every class); -1 for no class, "
                             "of a network trained with --hide-labels")
    parser.add_argument("--complete", action="store_true", help="draw what is missing of test images")
    parser.add_argument("--known-rows", type=whole, help="with --complete: rows that the model is shown (half of them)")
    parser.add_argument("--images", type=whole, help="with --complete: test images (8)")
    parser.add_argument("--completions", type=whole, help="with --complete: completions of each (6)")
    parser.add_argument("--columns", type=whole,
                        help="images in a row of the picture (default: about as many as there are rows)")
    parser.add_argument("--data-dir", help="folder with the data's files (default: TINYAR_DATA, the cache, a download)")
    parser.add_argument("--out", type=pathlib.Path,
                        help="file to write, .png or .gif "
                             "(default: drawn.png or completions.png, beside the checkpoint)")
    args = parser.parse_args()
    if args.out and args.out.suffix.lower() not in (".png", ".gif"):
        parser.error(f"--out: expected a file name that ends in .png or .gif, got {str(args.out)!r}")
    if not args.complete and (args.known_rows or args.images or args.completions):
        parser.error("--known-rows, --images and --completions go with --complete")
    args.images, args.completions = args.images or 8, args.completions or 6
    if args.complete and (args.n or args.size or args.columns):
        parser.error("--complete takes --images and --completions, and no --n, --size or --columns")
    return args


def main():
    args = parse_arguments()
    (model, about), *prior = load(args)  # of a VQ-VAE: model is the autoencoder, and the prior draws
    print(f"model: {', '.join(type(part).__name__ for part, _ in ((model, about), *prior))}, "
          f"computed by {backend.name}")
    if args.complete:
        n, shape, options, picture = completions(args, model, about)
    else:
        n, shape, options, picture = drawings(args, model, about, *prior)
    draw, paint = functools.partial(sampling.sample, model), lambda drawn: drawn
    if prior:
        draw, paint = functools.partial(codes.generate, model, *prior[0]), model.images_of

    path = args.out or beside(args.checkpoint) / ("completions.png" if args.complete else "drawn.png")
    film = Film(levels=256, every=1) if path.suffix.lower() == ".gif" else None
    pixels = shape[0] * shape[1]

    def watch(row, col, drawn):
        done = row * shape[1] + col
        if film and (done % -(-pixels // FRAMES) == 0 or done == pixels - 1):
            shown = picture(paint(drawn))[None]  # the whole picture is one frame
            film.watch(row, col, shown[..., :1] if model.image_channels == 1 else shown)

    images = draw(n, shape, temperature=args.temperature, seed=args.seed, progress=True, watch=watch, **options)
    if film:
        film.save(path)
    else:
        plotting.save_image(path, picture(images[0] if prior else images))
    print(f"wrote: {path}" + (f" (each row: a test image, what was shown of it, {args.completions} completions)"
                              if args.complete else ""))


# -- which model -------------------------------------------------------------------------------------------------------

def load(args):
    """[(model, its checkpoint's about)]; of a VQ-VAE two, autoencoder and prior. ValueError for what can't draw."""
    paths = [pathlib.Path(path) for path in (args.checkpoint, args.prior) if path]
    if len(paths) == 1 and (paths[0] / "autoencoder").is_dir():
        paths = [paths[0] / "autoencoder", paths[0] / "prior"]
        if not paths[1].is_dir():
            raise ValueError(f"{args.checkpoint} holds the autoencoder of a VQ-VAE but no prior to draw codes from; "
                             "expected a run of train_vqvae.py that came to its end, without --flat")
    paths = [path / "model.npz" if path.is_dir() else path for path in paths]
    missing = [path for path in paths if not path.exists()]
    if missing and missing[0].name == "model.npz" and missing[0].with_name("training.npz").exists():
        raise FileNotFoundError(f"no file {missing[0]}: no epoch of this run has ended yet; training.npz there has its "
                                "latest weights")
    if missing:
        raise FileNotFoundError(f"no file {missing[0]}: expected a checkpoint, model.npz or training.npz, "
                                "or the folder of a run")
    loaded = [(model, state.get("about", {})) for model, state in map(checkpoint.load, paths)]
    kinds = [AUTOENCODER if isinstance(model, models.VQVAE) else PRIOR if model.one_hot else PIXELS
             for model, _ in loaded]
    if kinds not in ([PIXELS], [AUTOENCODER, PRIOR]):
        raise ValueError(f"{', '.join(map(str, paths))}: expected either {PIXELS}, or {AUTOENCODER} and then {PRIOR}, "
                         f"got {' and '.join(kinds)}")
    if loaded[-1][0].map_channels:
        raise ValueError(f"{paths[-1]} needs a map for every image, which draw.py can't make; "
                         "super_resolution.py --resume --out FOLDER draws again")
    return loaded


def beside(given):
    """The folder in which a checkpoint lies, or the folder given instead of one."""
    path = pathlib.Path(given)
    return path if path.is_dir() else path.parent


# -- what to draw: the number of images, their shape, options of sampling.sample, and how they stand in the picture ----

def drawings(args, model, about, prior=None):
    """Images of no class in particular, or a row for each label."""
    shape, network = image_size(args, about), model
    if prior:
        network = prior[0]
        model.check_size(*shape)
        shape = shape[0] // model.stride, shape[1] // model.stride  # of the grid of codes
    if args.label is None and not network.classes:
        return args.n or 64, shape, {}, lambda images: plotting.grid(images, model.levels, args.columns)
    labels, each = args.label or list(range(network.classes)), args.n or A_ROW
    columns = args.columns or (each if len(labels) > 1 else None)
    return (len(labels) * each, shape, {"labels": np.repeat(labels, each)},
            lambda images: plotting.grid(images, model.levels, columns))


def image_size(args, about):
    """(height, width): those asked for, or those of the training images."""
    if args.size:
        return tuple(args.size)
    if "image_shape" in about:
        return tuple(about["image_shape"][:2])
    if "options" not in about:
        raise ValueError(f"{args.checkpoint} doesn't say how large its images were: give --size HEIGHT WIDTH")
    return load_again(about, args.data_dir).image_shape[:2]


def completions(args, model, about):
    """Several completions of each of the first test images, which are of their own class unless a label is given."""
    if isinstance(model, models.VQVAE):
        raise ValueError("--complete: a code of the upper rows has seen some of the lower ones, so what a VQ-VAE draws "
                         "below them is no completion of what is shown; expected a model of pixels")
    if args.label and len(args.label) > 1:
        raise ValueError(f"--label: expected one label for all completions, got {len(args.label)}")
    dataset = load_again(about, args.data_dir)
    height, width, channels = dataset.image_shape
    rows = args.known_rows or height // 2
    if not rows < height:
        raise ValueError(f"--known-rows: expected less than the images' {height} rows, got {rows}")
    images = dataset.test.images[:args.images]
    mask = (np.arange(height) < rows)[:, None, None]
    options = {"known": images.repeat(args.completions, axis=0), "mask": mask}
    if args.label or model.classes:
        if args.label is None and dataset.test.labels is None:
            raise ValueError(f"{dataset.name} says no classes of its images: give the one of all completions by "
                             "--label, or -1 for none")
        labels = dataset.test.labels[:args.images] if args.label is None else np.repeat(args.label, len(images))
        options["labels"] = labels.repeat(args.completions)

    def picture(completed):
        completed = completed.reshape(len(images), args.completions, height, width, channels)
        shown = np.concatenate([images[:, None], np.where(mask, images, 0)[:, None], completed], axis=1)
        return plotting.grid(shown.reshape(-1, height, width, channels), dataset.levels, columns=shown.shape[1])

    return len(options["known"]), (height, width), options, picture


if __name__ == "__main__":
    arguments.run(main, stopped="nothing was written")
