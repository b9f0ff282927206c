"""What each dataset is: its files turned into images and labels, and split into training, validation and test.

A reader returns three pairs (images, labels) for training, validation and test: images (N, height, width, channels)
uint8 as they lie in the files, labels (N,) uint8 or None. A new dataset is one more reader and one more line in
READERS.

The splits depend on nothing but the files, so that figures compare: where a dataset brings no validation images, they
are taken from its training images by a permutation that never changes, whatever the user's seed is.

    digits            1,797 images -> 1,297 / 200 / 300
    mnist             60,000 + 10,000 -> 50,000 / 10,000 / 10,000; a sixth of another number of training images
    fashion-mnist     the same
    binarized-mnist   its own three files, 50,000 / 10,000 / 10,000, no labels
"""

import importlib.resources

import numpy as np

from tinyar.data.files import SOURCES, find_files
from tinyar.data.formats import read_amat, read_idx

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
    return [(images[part], labels[part]) for part in parts]


def read_mnist(name, data_dir, download):
    """MNIST (LeCun, Cortes, Burges) or Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747), by `name`."""
    train_images, train_labels, test_images, test_labels = find_files(name, data_dir, download)
    images, labels = read_idx(train_images, train_labels)
    tests, test_classes = read_idx(test_images, test_labels)
    if images.shape[1:] != tests.shape[1:]:
        raise ValueError(f"{test_images}: images of {tests.shape[1]} x {tests.shape[2]} pixels, expected "
                         f"{images.shape[1]} x {images.shape[2]} as in {train_images}")
    held_out = len(images) // 6
    if held_out == 0:
        raise ValueError(f"{train_images}: {len(images)} images, expected at least 6 to hold out some for validation")
    train, validation = np.split(fixed_permutation(len(images)), [len(images) - held_out])
    images = images[..., None]  # one channel
    return [(images[train], labels[train]), (images[validation], labels[validation]), (tests[..., None], test_classes)]


def read_binarized_mnist(name, data_dir, download):
    """MNIST binarized once by sampling, pixels 0 and 1 (Salakhutdinov & Murray 2008; the files are H. Larochelle's)."""
    paths = find_files(name, data_dir, download)
    columns = MNIST_SIDE * MNIST_SIDE
    rows = [file.size // (2 * columns) for file in SOURCES[name].files]
    images = [read_amat(path, most_rows, columns) for path, most_rows in zip(paths, rows)]
    return [(part.reshape(-1, MNIST_SIDE, MNIST_SIDE, 1), None) for part in images]


READERS = {  # name: (largest value of a pixel, reader)
    "digits": (16, read_digits),
    "mnist": (255, read_mnist),
    "fashion-mnist": (255, read_mnist),
    "binarized-mnist": (1, read_binarized_mnist),
}
