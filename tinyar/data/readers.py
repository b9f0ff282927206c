"""What each dataset is: its files turned into images and labels, and split into training, validation and test.

A reader returns three pairs (images, labels) for training, validation and test, and the names of the classes: images
(N, height, width, channels) uint8 as they lie in the files, labels (N,) whole numbers from 0 or None, names a tuple of
texts, or None where the files hold none. A new dataset is one more reader and one more line in READERS.

The splits depend on nothing but the files, so that figures compare: where a dataset brings no validation images, they
are taken from its training images by a permutation that never changes, whatever the user's seed is.

    digits            1,797 images -> 1,297 / 200 / 300
    mnist             60,000 + 10,000 -> 50,000 / 10,000 / 10,000; a sixth of another number of training images
    fashion-mnist     the same
    binarized-mnist   its own three files, 50,000 / 10,000 / 10,000, no labels
    cifar10           50,000 + 10,000 -> 41,667 / 8,333 / 10,000; a sixth of another number of training images
    folder            your own N images -> two thirds / N // 6 / N // 6
"""

import importlib.resources

import numpy as np
from tqdm import tqdm

from tinyar.data.errors import OptionError
from tinyar.data.files import find_files, own_folder
from tinyar.data.folder import class_names, classes_of, find_images
from tinyar.data.formats import MOST_RECORDS, read_amat, read_cifar, read_idx
from tinyar.data.picture import read_image
from tinyar.data.sources import SOURCES

SPLIT_SEED = 1798
MNIST_SIDE = 28


def fixed_permutation(count):
    """The order of `count` images from which the splits are cut.

    RandomState is NumPy's old generator, whose numbers are frozen for ever; those of default_rng may change one day.
    """
    return np.random.RandomState(SPLIT_SEED).permutation(count)


def read_digits(name, data_dir, download):
    """UCI "Optical Recognition of Handwritten Digits": the 1,797 images, 8x8, pixels 0..16, that scikit-learn ships.

    E. Alpaydin and C. Kaynak (1998), https://doi.org/10.24432/C50P49, Creative Commons Attribution 4.0. They are part
    of the package (digits.npz), so `data_dir` and `download` have nothing to do here.
    """
    with importlib.resources.files("tinyar.data").joinpath("digits.npz").open("rb") as file:
        with np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays["images"][..., None], arrays["labels"]
    parts = np.split(fixed_permutation(len(images)), [1297, 1497])
    return [(images[part], labels[part]) for part in parts], None


def read_mnist(name, data_dir, download):
    """MNIST (LeCun, Cortes, Burges) or Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747), by `name`."""
    train_images, train_labels, test_images, test_labels = find_files(name, data_dir, download)
    images, labels = read_idx(train_images, train_labels)
    tests, test_classes = read_idx(test_images, test_labels)
    if images.shape[1:] != tests.shape[1:]:
        raise ValueError(f"{test_images}: images of {tests.shape[1]} x {tests.shape[2]} pixels, expected "
                         f"{images.shape[1]} x {images.shape[2]} as in {train_images}")
    images, tests = images[..., None], tests[..., None]  # one channel
    return [*_hold_out(images, labels, train_images), (tests, test_classes)], None


def read_cifar10(name, data_dir, download):
    """CIFAR-10 (Krizhevsky 2009), RGB, from the batches that are there."""
    paths = find_files(name, data_dir, download)
    batches, count = [], 0
    for path in paths[:-1]:
        batches.append(read_cifar(path))
        count += len(batches[-1][0])
        if count > MOST_RECORDS:
            raise ValueError(f"{path}: with the batches before it {count:,} training images, expected at most "
                             f"{MOST_RECORDS:,}")
    images, labels = map(np.concatenate, zip(*batches))
    return [*_hold_out(images, labels, paths[0].parent), read_cifar(paths[-1])], None


def _hold_out(images, labels, origin):
    """Cut training images into those to train on and a sixth for validation: two pairs (images, labels)."""
    held_out = _sixth(len(images), origin)
    train, validation = np.split(fixed_permutation(len(images)), [len(images) - held_out])
    return [(images[train], labels[train]), (images[validation], labels[validation])]


def _sixth(count, origin):
    if count < 6:
        raise ValueError(f"{origin}: {count} images, expected at least 6 to hold out some for validation")
    return count // 6


def read_binarized_mnist(name, data_dir, download):
    """MNIST binarized once by sampling, pixels 0 and 1 (Salakhutdinov & Murray 2008; the files are H. Larochelle's)."""
    paths = find_files(name, data_dir, download)
    columns = MNIST_SIDE * MNIST_SIDE
    rows = [file.size // (2 * columns) for file in SOURCES[name].files]
    images = [read_amat(path, most_rows, columns) for path, most_rows in zip(paths, rows)]
    return [(part.reshape(-1, MNIST_SIDE, MNIST_SIDE, 1), None) for part in images], None


def read_folder(name, data_dir, download, size=32):
    """Your own images, all those in the folder `data_dir` and below it, RGB, size x size; see folder.py."""
    if data_dir is None:
        raise OptionError("{data_dir}: for dataset 'folder' expected the folder of your images", data_dir=None)
    folder = own_folder(data_dir)
    paths = find_images(folder)
    sixth = _sixth(len(paths), folder)
    images = np.empty((len(paths), size, size, 3), np.uint8)
    for image, path in zip(images, tqdm(paths, desc="images", disable=None)):
        image[:] = read_image(path, size)
    labels = classes_of(paths, folder)
    parts = np.split(fixed_permutation(len(paths)), [len(paths) - 2 * sixth, len(paths) - sixth])
    splits = [(images[part], None if labels is None else labels[part]) for part in parts]
    return splits, class_names(paths, folder)


READERS = {  # name: (largest value of a pixel, channels, reader)
    "digits": (16, 1, read_digits),
    "mnist": (255, 1, read_mnist),
    "fashion-mnist": (255, 1, read_mnist),
    "binarized-mnist": (1, 1, read_binarized_mnist),
    "cifar10": (255, 3, read_cifar10),
    "folder": (255, 3, read_folder),
}
