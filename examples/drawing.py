"""The pictures that the training examples leave in the folder of a run: draws beside real images, masks, codes.

Every save_... returns the names of the files that it wrote, a list. Of several ranks, rank 0 draws and writes alone.
"""

import functools

import numpy as np
from kinds import MOST_DRAWN, temperature, up_to
from matplotlib.colors import hsv_to_rgb
from splits import some_of

from tinyar import codes, layers, sampling
from tinyar.pictures import Film, plotting, receptive_fields
from tinyar.training import checkpoint
from tinyar.training.world import world

A_ROW = 10  # images of a class in a row of the picture
LONGEST_NAME = 20  # letters of a class's name beside its row
VARIANTS = 6  # drawings of the bottom codes for the same top codes


def add_drawing_arguments(parser):
    parser.add_argument("--samples", type=up_to(MOST_DRAWN), default=64,
                        help="images to draw at the end (64); with --classes 10 of each class")
    parser.add_argument("--temperature", type=temperature, default=1.0,
                        help="divides the logits in drawing: below 1 come likelier, less varied images (1)")


def by_first(save):
    """Decorator: rank 0 draws and writes, the others do nothing; the files have no names for them."""
    @functools.wraps(save)
    def saved(*arguments):
        return save(*arguments) if world().first else []
    return saved


# -- of a model of pixels ----------------------------------------------------------------------------------------------

@by_first
def save_drawings(folder, model, dataset, args):
    """Draw from the model: samples.png, and drawing.gif with --gif."""
    n, labels, real, layout = what_to_draw(dataset, model.classes, args.samples, dataset.class_names)
    film = Film(dataset.levels) if args.gif else None
    samples = sampling.sample(model, n, dataset.image_shape, labels=labels, temperature=args.temperature,
                              seed=args.seed, progress=True, watch=film.watch if film else None)
    plotting.save_samples(folder / "samples.png", samples, real, dataset.levels, **layout)
    if film:
        film.save(folder / "drawing.gif")
    return ["samples.png"] + ["drawing.gif"] * args.gif


@by_first
def save_masks(folder, model):
    """masks.png: the taps that are alive in the first masked convolution of a PixelCNN, and in the later ones."""
    convolutions = [layer for _, layer in model.layers()
                    if isinstance(layer, layers.MaskedConv2d) and layer.kernel_size > 1]
    titles = "first layer, mask A", "later layers, mask B"
    receptive_fields.save_masks(folder / "masks.png", dict(zip(titles, convolutions)))
    return ["masks.png"]


def what_to_draw(dataset, classes, n, names=None):
    """(how many images, their labels, real ones to show beside them, how they stand in the picture).

    n images, or with classes a row of A_ROW images for each class, with its name.
    """
    if not classes:
        return n, None, some_of(dataset.test, n).images, {}
    layout = {"columns": A_ROW, "rows": names_of(range(classes), names)}
    return classes * A_ROW, np.repeat(np.arange(classes), A_ROW), rows_of_classes(dataset, classes), layout


def names_of(labels, names):
    """What stands beside the rows of these labels: the names of the classes, or their numbers if they have none."""
    every = ["no class" if label == -1 else names[label] if 0 <= label < len(names or []) else f"class {label}"
             for label in labels]
    return [name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME - 3]}..." for name in every]


def rows_of_classes(dataset, classes):
    """A row of real images for each class:
    of the test images, or where a small dataset has none there, of the others. A class without any is masked.
    """
    rows, none = [], np.ma.masked_array(np.zeros((1, *dataset.image_shape), np.uint8), mask=True)
    for label in range(classes):
        of_class = [split.images[split.labels == label] for split in (dataset.test, dataset.validation, dataset.train)]
        images = next((images for images in of_class if len(images)), none)
        rows.append(images[np.arange(A_ROW) % len(images)])
    return np.ma.concatenate(rows)


@by_first
def save_rows(folder, images, shown, drawn, levels):
    """samples.png: a row for each image: itself, what was shown of it, and what was drawn; all of the same size."""
    n, shape = len(images), images.shape[1:]
    rows = np.concatenate([images[:, None], shown[:, None], drawn.reshape(n, -1, *shape)], axis=1)
    shades = np.rint(rows * (255 / (levels - 1))).astype(np.uint8)  # what is shown may lie between the levels
    picture = plotting.grid(shades.reshape(-1, *shape), 256, columns=rows.shape[1])
    headings = {"image": 1, "shown": 1, "drawn, given what is shown": rows.shape[1] - 2}
    plotting.save_grids(folder / "samples.png", [(picture, headings)], [f"test {i}" for i in range(1, n + 1)])
    return ["samples.png"]


# -- of a VQ-VAE -------------------------------------------------------------------------------------------------------

@by_first
def save_reconstructions(folder, autoencoder, dataset):
    """reconstructions.png: two rows of 8 test images, each over its reconstructions."""
    some = dataset.test.images[np.arange(16) * len(dataset.test) // 16]
    pairs = np.stack([some, autoencoder.images_of(codes.extract(autoencoder, some))])
    rows = pairs.reshape(2, 2, 8, *dataset.image_shape).swapaxes(0, 1).reshape(-1, *dataset.image_shape)
    picture = plotting.grid(rows, dataset.levels, columns=8)
    plotting.save_grids(folder / "reconstructions.png", [(picture, {"test images over their reconstructions": 1})],
                        ["image", "decoded"] * 2)
    return ["reconstructions.png"]


@by_first
def save_usage(folder, counts):
    """usage.png: how often each code was chosen."""
    plotting.save_usage(folder / "usage.png", counts)
    return ["usage.png"]


@by_first
def save_outputs(folder, autoencoder, counts):
    """outputs.png: all images that a VQ-VAE with a single code can make, that of the most used code first."""
    every = np.arange(len(counts), dtype=np.uint16)[np.argsort(-counts), None, None, None]
    picture = plotting.grid(autoencoder.images_of(every), autoencoder.levels)
    plotting.save_grids(folder / "outputs.png", [(picture, {"all possible outputs, the most used first": 1})])
    return ["outputs.png"]


@by_first
def save_draws_of_codes(folder, autoencoder, prior, dataset, grids, args):
    """Draw grids of codes, and let the decoder paint them: codes.png and samples.png.

    Beside the grids stand those of real images; beside the images those of codes drawn independently of each other.
    """
    n, labels, real, layout = what_to_draw(grids, prior.classes, args.samples, dataset.class_names)
    _, state = checkpoint.load(folder / "prior" / "model.npz")  # it says whose codes the prior has learned
    drawn, drawn_codes = codes.generate(autoencoder, prior, state["about"], n, grids.image_shape[:2], labels=labels,
                                        temperature=args.temperature, seed=args.seed, progress=True)
    independent = autoencoder.images_of(codes.independent_draws(grids.train.images, n, args.codes, args.seed))
    plotting.save_samples(folder / "samples.png", drawn, independent, dataset.levels,
                          ("drawn by the prior", "codes drawn independently"), **layout)
    plotting.save_samples(folder / "codes.png", *(colored(grid, args.codes) for grid in (drawn_codes, real)), 256,
                          ("codes drawn by the prior, a colour for each", "codes of real images"), **layout)
    return ["codes.png", "samples.png"]


def colored(grids, levels):
    """Grids of codes (N, rows, columns, 1) with a colour for each code (N, rows, columns, 3), uint8; masks stay.

    A code is a number without an order. So neighbours in number get colours that are far apart, none of them grey.
    """
    number = np.arange(levels)
    hue, strength, light = number * 0.618 % 1, 1 - 0.3 * (number % 2), 1 - 0.2 * (number % 3)
    palette = np.rint(255 * hsv_to_rgb(np.stack([hue, strength, light], axis=1))).astype(np.uint8)
    colors = palette[np.ma.getdata(grids)[..., 0]]
    return np.ma.masked_array(colors, np.ma.getmaskarray(grids).repeat(3, axis=3))


# -- of a VQ-VAE-2 -----------------------------------------------------------------------------------------------------

@by_first
def save_two_levels(folder, autoencoder, priors, dataset, top, args):
    """Draw through both priors: samples.png; then save_details."""
    loaded = {level: checkpoint.load(folder / level / "model.npz") for level in priors}
    top_prior, bottom_prior = ((prior, loaded[level][1]["about"]) for level, prior in priors.items())
    n, labels, real, layout = what_to_draw(dataset, priors["top"].classes, args.samples, dataset.class_names)
    options = dict(temperature=args.temperature, seed=args.seed, progress=True)
    drawn, _, _ = codes.generate_levels(autoencoder, top_prior, bottom_prior, n, top.image_shape[:2], labels, **options)
    plotting.save_samples(folder / "samples.png", drawn, real, dataset.levels,
                          ("drawn by both priors", "real images"), **layout)
    return ["samples.png", *save_details(folder, autoencoder, bottom_prior, dataset, options)]


@by_first
def save_details(folder, autoencoder, bottom_prior, dataset, options):
    """details.png: test images; decoded from their codes of both levels; and several times from their top codes alone,
    the bottom codes drawn given them.
    """
    test = some_of(dataset.test, 8)
    some = test.images
    top, bottom = codes.extract(autoencoder, some)
    labels = test.labels.repeat(VARIANTS) if bottom_prior[0].classes else None
    variants, _, _ = codes.generate_details(autoencoder, bottom_prior, top.repeat(VARIANTS, axis=0), labels, **options)
    rows = np.concatenate([some[:, None], autoencoder.images_of(top, bottom)[:, None],
                           variants.reshape(len(some), VARIANTS, *dataset.image_shape)], axis=1)
    picture = plotting.grid(rows.reshape(-1, *dataset.image_shape), dataset.levels, columns=2 + VARIANTS)
    headings = {"image": 1, "both": 1, "top codes of the image, bottom codes drawn": VARIANTS}
    plotting.save_grids(folder / "details.png", [(picture, headings)], [f"test {i}" for i in range(1, len(some) + 1)])
    return ["details.png"]
