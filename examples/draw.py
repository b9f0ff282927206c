"""Lesson: draw from a trained model, complete images, choose the class, lean to the likelier: all with one sampler.

    python examples/draw.py pretrained/mnist-classes --label 3               threes, by weights that come with tinyar
    python examples/draw.py runs/pixelcnn-digits                             64 images, from a run's folder
    python examples/draw.py runs/pixelcnn-digits/model.npz --temperature 0.8 --out calm.png     likelier, less varied
    python examples/draw.py runs/gated-digits --label 3 8 --out film.gif     a row of 3s, one of 8s
                                                                             (trained with --classes)
    python examples/draw.py runs/pixelcnn-digits --complete                  lower halves of test images
    python examples/draw.py runs/vqvae-digits                                codes from the prior (of vqvae2: priors),
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

import endings  # first, so that Ctrl-C ends the imports too in one line
import contextlib
import dataclasses
import functools
import pathlib

import numpy as np
from arguments import ArgumentParser, add_data_dir, checked_about, load_again, print_classes
from drawing import A_ROW, names_of
from kinds import MOST_DRAWN, natural, path, temperature, up_to, whole
from splits import some_of
from statements import checked_statement, print_statements
from weights import beside, stages, weights_file

from tinyar import backend, codes, models, sampling
from tinyar.data.atomic import atomic_write
from tinyar.pictures import Film, plotting
from tinyar.training import checkpoint

FRAMES = 80  # of a film, about
PIXELS, AUTOENCODER, PRIOR = "a model of pixels", "the autoencoder of a VQ-VAE", "the prior of its codes"
TWO_LEVELS = "the autoencoder of a VQ-VAE-2"


def parse_arguments():
    parser = ArgumentParser(__doc__)
    parser.add_argument("checkpoint", type=path,
                        help="a model.npz or training.npz, the folder of a run, or pretrained/NAME")
    parser.add_argument("prior", type=path, nargs="?",
                        help="if the first is the checkpoint of a VQ-VAE: that of its prior")
    parser.add_argument("--n", type=up_to(MOST_DRAWN),
                        help="images to draw (64); of a model of classes, of each label (10)")
    parser.add_argument("--size", type=up_to(1024), nargs=2, metavar=("HEIGHT", "WIDTH"),
                        help="of the images (those of the training data)")
    parser.add_argument("--temperature", type=temperature, default=1.0,
                        help="divides the logits: below 1 come likelier, less varied images (1)")
    parser.add_argument("--seed", type=natural, default=0, help="another number, other draws (0)")
    parser.add_argument("--label", nargs="+", metavar="CLASS",
                        help="classes to draw, by name or number, a row of images for each (default: every class); "
                             "-1 for no class, of a network trained with --hide-labels")
    parser.add_argument("--complete", action="store_true", help="draw what is missing of test images")
    parser.add_argument("--known-rows", type=whole, help="with --complete: rows that the model is shown (half of them)")
    parser.add_argument("--images", type=up_to(MOST_DRAWN), help="with --complete: test images (8)")
    parser.add_argument("--completions", type=up_to(MOST_DRAWN), help="with --complete: completions of each (6)")
    parser.add_argument("--columns", type=whole,
                        help="images in a row of the picture (default: about as many as there are rows; "
                             "of a class, all of them)")
    add_data_dir(parser)
    parser.add_argument("--out", type=path,
                        help="file to write, .png or .gif "
                             "(default: drawn.png or completions.png, beside the checkpoint)")
    args = parser.parse_args()
    if args.out and pathlib.Path(args.out).suffix.lower() not in (".png", ".gif"):
        parser.error(f"--out: expected a file name that ends in .png or .gif, got {args.out!r}")
    if not args.complete and (args.known_rows or args.images or args.completions):
        parser.error("--known-rows, --images and --completions go with --complete")
    args.images, args.completions = args.images or 8, args.completions or 6
    if args.images * args.completions > MOST_DRAWN:
        parser.error(f"--images times --completions: expected at most {MOST_DRAWN:,}, "
                     f"got {args.images * args.completions:,}")
    if args.complete and (args.n or args.size or args.columns):
        parser.error("--complete takes --images and --completions, and no --n, --size or --columns")
    return args


def main():
    args = parse_arguments()
    (model, about), *prior = load(args)  # of a VQ-VAE: model is the autoencoder, and the prior draws
    print(f"model: {', '.join(type(part).__name__ for part, _ in ((model, about), *prior))}, "
          f"computed by {backend.name}")
    print_statements([said["trained"] for _, said in ((model, about), *prior)])
    print_classes(about["class_names"])
    plan = completions(args, model, about) if args.complete else drawings(args, model, about, *prior[:1])
    draw, paint = drawer(model, *prior), model.images_of if prior else lambda drawn: drawn
    file = pathlib.Path(args.out) if args.out else beside(args.checkpoint, plan.file)
    if len(prior) == 2 and file.suffix.lower() == ".gif":
        raise ValueError("--out: a VQ-VAE-2 draws its codes twice over the image, which no film shows; "
                         "expected a file name that ends in .png")
    check_writable(file)
    film = Film(levels=256, every=1) if file.suffix.lower() == ".gif" else None
    pixels = plan.shape[0] * plan.shape[1]

    def watch(row, col, drawn):
        done = row * plan.shape[1] + col
        if film and (done % -(-pixels // FRAMES) == 0 or done == pixels - 1):
            frame = plan.picture(paint(drawn), (row, col))[None]  # the whole picture is one image of the film
            film.watch(row, col, frame[..., :1] if model.image_channels == 1 and not args.complete else frame)

    options = {**plan.options, "watch": watch} if film else plan.options
    images = draw(plan.n, plan.shape, temperature=args.temperature, seed=args.seed, progress=True, **options)
    picture = plan.picture(images)
    if film:
        film.save(file)
    elif plan.headings:
        plotting.save_grids(file, [(picture, plan.headings)], plan.rows)
    else:
        plotting.save_image(file, picture)
    print(f"wrote: {file}" + (f" (each row: a test image, what was shown of it, {args.completions} completions)"
                              if args.complete else f" (rows: {', '.join(plan.rows)})" if plan.rows else ""))


# -- which model -------------------------------------------------------------------------------------------------------

def load(args):
    """[(model, its checkpoint's about)]; of a VQ-VAE autoencoder and prior, of a VQ-VAE-2 autoencoder and two priors.

    Raises ValueError for what can't draw.
    """
    given = [args.checkpoint, args.prior] if args.prior else stages(args.checkpoint) or [args.checkpoint]
    paths = [weights_file(one) for one in given]
    loaded = [(model, {**about, "file": str(file), "trained": checked_statement(file, about)})
              for file in paths for model, state in [checkpoint.load(file)] for about in [checked_about(file, state)]]
    kinds = [kind_of(model) for model, _ in loaded]
    if kinds == [TWO_LEVELS]:
        raise ValueError(f"{paths[0]}: a VQ-VAE-2 draws by two priors; expected the folder of a run of train_vqvae2.py")
    if kinds not in ([PIXELS], [AUTOENCODER, PRIOR], [TWO_LEVELS, PRIOR, PRIOR]):
        raise ValueError(f"{', '.join(map(str, paths))}: expected either {PIXELS}, or {AUTOENCODER} and then {PRIOR}, "
                         f"got {' and '.join(kinds)}")
    levels = (None,) if len(loaded) < 3 else ("top", "bottom")
    for file, level, (_, about) in zip(paths[1:], levels, loaded[1:]):
        try:
            codes.check_learned(about, loaded[0][0], level)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from None
    if loaded[-1][0].map_channels and len(loaded) < 3:
        raise ValueError(f"{paths[-1]} needs a map for every image, which draw.py can't make; "
                         "super_resolution.py --resume --out FOLDER draws again")
    return loaded


def kind_of(model):
    """What a model may be good for here."""
    if isinstance(model, models.VQVAE2):
        return TWO_LEVELS
    return AUTOENCODER if isinstance(model, models.VQVAE) else PRIOR if model.one_hot else PIXELS


class NotYet(Exception):
    """Nothing is written yet."""


def check_writable(file):
    """Raise OSError if the file can't be written: better now than after the drawing."""
    with contextlib.suppress(NotYet), atomic_write(file):
        raise NotYet


def drawer(model, *priors):
    """A function draw(n, grid, **options) -> images; options are those of sampling.sample.

    Without priors the model draws pixels. Otherwise it is an autoencoder, and the priors are those that `load` gives.
    grid is (rows, columns) of what is drawn first: `grid_of`.
    """
    if not priors:
        return functools.partial(sampling.sample, model)
    generate, needed = (codes.generate_levels, priors) if len(priors) == 2 else (codes.generate, priors[0])
    return lambda *arguments, **options: generate(model, *needed, *arguments, **options)[0]


def grid_of(model, priors, image_shape):
    """(rows, columns) of what is drawn first: of the image's pixels, or with priors of the coarsest codes."""
    stride = model.stride if priors else 1
    return image_shape[0] // stride, image_shape[1] // stride


# -- what to draw ------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Plan:
    """How many images to draw, their shape, options of sampling.sample, and how they stand in the picture.

    picture     a function of the images, and of the pixel (row, col) drawn last if the drawing isn't over
    headings    {heading: how many columns it stands over}, and rows, the names of the rows; empty for none
    """

    n: int
    shape: tuple
    options: dict
    picture: object
    headings: dict = dataclasses.field(default_factory=dict)
    rows: list = dataclasses.field(default_factory=list)
    file: str = "drawn.png"


def drawings(args, model, about, prior=None):
    """Images of no class in particular, or a row for each label."""
    shape, network = image_size(args, about), model
    if prior:
        network = prior[0]
        model.check_size(*shape)
        shape = grid_of(model, prior, shape)
    if args.label is None and not network.classes:
        return Plan(args.n or 64, shape, {}, lambda images, at=None: plotting.grid(images, model.levels, args.columns))
    labels, each = labels_of(args, about, network) or list(range(network.classes)), args.n or A_ROW
    columns = args.columns or each
    rows = names_of(labels, about["class_names"]) if network.classes and columns == each else []
    return Plan(len(labels) * each, shape, {"labels": np.repeat(labels, each)},
                lambda images, at=None: plotting.grid(images, model.levels, columns),
                {"drawn by the model": 1}, rows)


def labels_of(args, about, network):
    """The numbers of the classes in --label, which gives names or numbers; None without it.

    Raises ValueError for classes that the network doesn't know.
    """
    if args.label is None:
        return None
    if not network.classes:
        raise ValueError("--label: this model is told no classes; expected one that was trained with --classes")
    labels = [label_of(text, about["class_names"]) for text in args.label]
    for label in labels:
        if not -1 <= label < network.classes:
            raise ValueError(f"--label: expected 0 to {network.classes - 1}, or -1 for no class, got {label}")
    return labels


def label_of(text, names):
    """The number of a class. Where names are numbers themselves, the names count, and -1."""
    if names and text in names:
        return names.index(text)
    numbers = not (names and any(name.isdecimal() for name in names))
    if text == "-1" or numbers and text.removeprefix("-").isdecimal() and len(text) < 10:
        return int(text)
    known = f"the name of a class, {', '.join(names[:20])}{', ...' * (len(names) > 20)}" if names else "a number"
    raise ValueError(f"--label: expected {known}, or -1 for no class, got {text!r:.60}")


def image_size(args, about):
    """(height, width): those asked for, or those of the training images."""
    if args.size:
        return tuple(args.size)
    if about.get("image_shape"):
        return tuple(about["image_shape"][:2])
    if not about["options"]:
        raise ValueError(f"{about['file']} doesn't say how large its images were: give --size HEIGHT WIDTH")
    return load_again(about, args.data_dir).image_shape[:2]


def completions(args, model, about):
    """Several completions of each of the first test images, which are of their own class unless a label is given."""
    if isinstance(model, (models.VQVAE, models.VQVAE2)):
        raise ValueError("--complete: a code of the upper rows has seen some of the lower ones, so what a VQ-VAE draws "
                         "below them is no completion of what is shown; expected a model of pixels")
    if args.label and len(args.label) > 1:
        raise ValueError(f"--label: expected one label for all completions, got {len(args.label)}")
    dataset = load_again(about, args.data_dir)
    height, width, channels = dataset.image_shape
    rows = args.known_rows or height // 2
    if not rows < height:
        raise ValueError(f"--known-rows: expected less than the images' {height} rows, got {rows}")
    test = some_of(dataset.test, args.images)
    images = test.images
    mask = (np.arange(height) < rows)[:, None, None]
    options = {"known": images.repeat(args.completions, axis=0), "mask": mask}
    names = [f"test {i}" for i in range(1, len(images) + 1)]
    if args.label or model.classes:
        if args.label is None and test.labels is None:
            raise ValueError(f"{dataset.name} says no classes of its images: give the one of all completions by "
                             "--label, or -1 for none")
        labels = test.labels if args.label is None else np.repeat(labels_of(args, about, model), len(images))
        options["labels"] = labels.repeat(args.completions)
        names = names_of(labels, about["class_names"]) if model.classes else names
    raster = np.arange(height * width).reshape(height, width, 1)

    def picture(completed, at=None):
        unknown = ~mask & (raster > (at[0] * width + at[1] if at else raster.size))
        completed = completed.reshape(len(images), args.completions, height, width, channels)
        parts = images[:, None], hidden(images[:, None], ~mask), hidden(completed, unknown)
        shown = np.ma.concatenate(parts, axis=1)
        return plotting.grid(shown.reshape(-1, height, width, channels), dataset.levels, columns=shown.shape[1])

    headings = {"image": 1, "shown": 1, "completed": args.completions}
    return Plan(len(options["known"]), (height, width), options, picture, headings, names, "completions.png")


def hidden(images, unknown):
    """The images, masked where pixels are unknown."""
    return np.ma.masked_array(images, np.broadcast_to(unknown, images.shape))


if __name__ == "__main__":
    endings.run(main)
