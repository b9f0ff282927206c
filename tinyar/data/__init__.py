"""Datasets: images as small integers, the only thing an autoregressive model ever sees.

`load("mnist", binarize="threshold")` gives three splits of images (N, height, width, channels), uint8, each pixel one
of the levels 0..levels-1. How many levels, and how they came about, decides what a figure in bits per dimension means:

    quantize             level = floor(x * levels / (maximum + 1)): equal bins. With 2 levels and 8-bit pixels: x >= 128
    binarize="fixed"     a pixel is 1 with probability x / maximum, drawn once (Salakhutdinov & Murray 2008)
    binarize="fresh"     the same, but the training images are drawn anew in every epoch (as in Burda et al. 2015)

An MNIST image costs about 55 to 62 nats under the threshold and about 80 when drawn, because noise can't be predicted;
so the figures can't be compared, and `Dataset.description` says which one it is. In a colour image each channel is a
pixel of its own here: quantized, or drawn, without a look at the other two.

The rest of this room: readers.py (what each dataset is, and its splits), sources.py, files.py, download.py (where its
files come from), formats.py (how they are read), folder.py, picture.py, metadata.py (images of your own), errors.py.
"""

import dataclasses
import functools
import numbers

import numpy as np

from tinyar.data.errors import DataNotFoundError, OptionError
from tinyar.data.files import own_folder
from tinyar.data.folder import passed_over
from tinyar.data.formats import LONGEST_SIDE
from tinyar.data.readers import READERS

__all__ = ["load", "quantize", "to_grey", "draw_binary", "Dataset", "Split", "DataNotFoundError", "OptionError"]


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Images (N, height, width, channels), uint8 levels, and their labels (N,), whole numbers from 0, or None.

    `redraw`, where there is one, is a function of the epoch's number that draws the images anew. `maps`, where there
    are any, (N, height, width, channels), are what a model conditioned on maps is told of each image; they are not
    drawn anew.
    """

    images: np.ndarray
    labels: np.ndarray = None
    redraw: object = dataclasses.field(default=None, repr=False)
    maps: np.ndarray = dataclasses.field(default=None, repr=False)

    def __len__(self):
        return len(self.images)

    def for_epoch(self, epoch):
        """The images to train on in epoch 0, 1, ...: always `images`, except in the training split of "fresh"."""
        return self.images if self.redraw is None else self.redraw(epoch)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits with `levels` levels, and a description: one line that belongs beside every figure.

    `class_names` are texts, that of class 0 first: the subfolders of "folder". It is None for data without such names.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    levels: int
    description: str
    class_names: tuple = None

    @property
    def image_shape(self):
        """(height, width, channels)"""
        return self.train.images.shape[1:]

    @property
    def classes(self):
        """How many classes there are: the largest label of all splits and one more, or 0 without labels."""
        splits = (self.train, self.validation, self.test)
        return max(0 if split.labels is None else int(split.labels.max(initial=0)) + 1 for split in splits)


def load(name, levels=None, binarize=None, data_dir=None, seed=0, download=True, size=None, color=True):
    """Load a dataset.

    name      "digits" (in the package), "mnist", "fashion-mnist", "binarized-mnist", "cifar10", or "folder": all images
              in the folder `data_dir` and below it, cropped to squares; subfolders are classes (see folder.py)
    levels    2..256, at most as many as the data has; None for its own: 17 (digits), 2 (binarized-mnist), else 256
    binarize  None, "threshold" (the same as levels=2), "fixed" or "fresh"; implies 2 levels
    data_dir  where your own copy of the files is; None for the environment variable TINYAR_DATA. See files.py. For
              "folder" it is the folder of the images itself, and must be given
    seed      of the draws of "fixed" and "fresh"; the splits don't depend on it
    download  False never touches the network
    size      height and width in pixels of the images of "folder", None for 32; no other dataset has a choice
    color     False turns colour images ("cifar10" and "folder") into grey, with one channel: see to_grey

    Raises ValueError for an unknown name, and for a file that isn't what it should be; OptionError (a ValueError) for
    options that don't fit the data or each other; DataNotFoundError (a FileNotFoundError) when the files can't be had.
    """
    if name not in READERS:
        raise ValueError(f"unknown dataset {name!r}: expected one of {', '.join(READERS)}")
    maximum, channels, read = READERS[name]
    levels = _choose_levels(name, levels, binarize, own=maximum + 1)
    _check_size_and_color(name, size, color, channels)
    drawn = binarize in ("fixed", "fresh")
    if drawn and (not isinstance(seed, numbers.Integral) or seed < 0):
        raise OptionError("{seed}: expected a whole number of at least 0", seed=seed)
    parts, class_names = read(name, data_dir, download, **({} if size is None else {"size": size}))
    splits = []
    for stream, (images, labels) in enumerate(parts, start=1):
        images = images if color else to_grey(images)
        if drawn:
            draw = functools.partial(draw_binary, images, maximum, seed, stream)
            splits.append(Split(draw(epoch=0), labels, draw if binarize == "fresh" and stream == 1 else None))
        else:
            splits.append(Split(quantize(images, levels, maximum), labels))
    origin = name if name != "folder" else _origin(own_folder(data_dir))
    origin += "" if color else ", in grey"
    return Dataset(name, *splits, levels, _describe(origin, splits, levels, maximum, binarize, seed), class_names)


def quantize(images, levels, maximum=255):
    """Map uint8 pixels 0..maximum to levels 0..levels-1 by equal bins: floor(x * levels / (maximum + 1)), uint8.

    With levels=2 and maximum=255 that is 1 where x >= 128; with levels = maximum + 1 it changes nothing. Raises
    ValueError when levels is not an integer in 2..256, when the data has fewer levels, or when a pixel is above
    `maximum`.
    """
    _check_levels("data", levels, own=maximum + 1)
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.max(initial=0) > maximum:
        raise ValueError(f"pixels of type {images.dtype} up to {images.max(initial=0)}, expected uint8 up to {maximum}")
    bins = (np.arange(maximum + 1) * levels // (maximum + 1)).astype(np.uint8)  # the level of every possible pixel
    return bins[images]


def to_grey(images):
    """Turn RGB images (N, height, width, 3) uint8 into grey ones (N, height, width, 1): their luma by ITU-R BT.601.

    luma = 0.299 R + 0.587 G + 0.114 B, rounded: how bright the eye finds the three. As Pillow does, the weights are
    taken in parts of 65,536 (they sum to just that, so grey stays the grey it is), and all numbers stay whole.
    """
    luma = np.einsum("nhwc,c->nhw", images, np.array([19595, 38470, 7471], np.uint32), dtype=np.uint32)
    return (luma + 2 ** 15 >> 16).astype(np.uint8)[..., None]


def draw_binary(images, maximum, seed, stream, epoch):
    """Draw each pixel: 1 with probability x / maximum, else 0. The same (seed, stream, epoch) gives the same images.

    `stream` is 1, 2, 3 for training, validation and test, so that no two splits share their random numbers. A whole
    number drawn from 0..maximum-1 is below x with exactly that probability, in a byte a pixel where a float takes
    eight.
    """
    random = np.random.default_rng([seed, stream, epoch])
    return (random.integers(0, maximum, images.shape, np.uint8) < images).view(np.uint8)


def _choose_levels(name, levels, binarize, own):
    """The number of levels that `levels` and `binarize` ask for, checked against the `own` levels of the data."""
    if binarize not in (None, "threshold", "fixed", "fresh"):
        raise OptionError("{binarize}: expected None, 'threshold', 'fixed' or 'fresh'", binarize=binarize)
    if binarize is not None and own == 2:
        raise OptionError(f"{{binarize}}: {name} is binary already", binarize=binarize)
    if binarize is not None and levels not in (None, 2):
        raise OptionError("{binarize} gives 2 levels, which contradicts {levels}", binarize=binarize, levels=levels)
    if levels is None:
        return own if binarize is None else 2
    return _check_levels(name, levels, own)


def _check_levels(name, levels, own):
    if not isinstance(levels, numbers.Integral) or not 2 <= levels <= 256:
        raise OptionError("{levels}: expected an integer in 2..256", levels=levels)
    if levels > own:
        raise OptionError(f"{{levels}}: {name} has only {own} levels of its own, expected at most that many",
                          levels=levels)
    return int(levels)


def _check_size_and_color(name, size, color, channels):
    if size is not None:
        if name != "folder":
            raise OptionError(f"{{size}}: the images of {name} have a size of their own, which stays", size=size)
        if not isinstance(size, numbers.Integral) or not 2 <= size <= LONGEST_SIDE:
            raise OptionError(f"{{size}}: expected an integer in 2..{LONGEST_SIDE}", size=size)
    if color not in (True, False):
        raise OptionError("{color}: expected True or False", color=color)
    if not color and channels == 1:
        raise OptionError(f"{{color}}: {name} is grey already", color=color)


def _origin(folder):
    """What is said of a folder of one's own images, with what was passed over in it."""
    words = passed_over(folder)
    return f"folder {folder.resolve().name!r}, images resized" + f" ({words})" * bool(words)


def _describe(origin, splits, levels, maximum, binarize, seed):
    """One line: size, levels, how they came about, and the sizes of the splits."""
    height, width, channels = splits[0].images.shape[1:]
    if binarize == "fixed":
        how = f"drawn once with P(1) = x/{maximum}, seed {seed}"
    elif binarize == "fresh":
        how = (f"drawn with P(1) = x/{maximum}, seed {seed}: training images anew in every epoch, "
               "validation and test once")
    elif levels == maximum + 1:
        how = "as many as in the files"
    elif levels == 2:
        how = f"threshold, 1 where x >= {maximum // 2 + 1} of {maximum}"
    else:
        how = f"equal bins of 0..{maximum}"
    sizes = " / ".join(f"{len(split):,}" for split in splits)
    return f"{origin}, {height}x{width}x{channels}, {levels} levels ({how}), {sizes} images to train / validate / test"
