"""Which images evaluate.py measures, and whether they fit the model."""

import numpy as np
import splits
from arguments import check_folder, load, load_again, options_of_data
from draw import kind_of
from subjects import AUTOENCODERS

from tinyar.data.readers import READERS

ONE_LEVEL = "images of one level"


def own_data(subject, data_dir=None):
    """The dataset that the model was trained on, as it saw it."""
    if not subject.about["options"].get("data"):
        raise ValueError(f"{subject.file} doesn't say which data it was trained on: expected a run of examples/; "
                         "evaluate.py takes --data NAME")
    return fitted(subject, load_again(subject.about, data_dir))


def other_data(subject, args):
    """The dataset --data, brought to what the model was trained on where nothing else is asked for."""
    check_folder(args.data, args.data_dir)
    network, trained_on = subject.pixel_network, subject.about["options"]
    maximum, channels, _ = READERS[args.data]
    options = options_of_data({**vars(args), "seed": trained_on.get("seed", 0)})
    if options["binarize"] is None and options["levels"] is None:
        options["binarize"] = trained_on.get("binarize") if maximum > 1 else None
        options["levels"] = None if options["binarize"] else min(maximum + 1, network.levels)
    if options["size"] is None and args.data == "folder" and subject.about.get("image_shape"):
        was_folder = trained_on.get("data") == "folder"  # its images may have got a margin since
        options["size"] = trained_on.get("size") if was_folder else subject.about["image_shape"][0]
    options["color"] = options["color"] and not (channels == 3 and network.image_channels == 1)
    return fitted(subject, load(args.data, args.data_dir, options))


def fitted(subject, dataset):
    """The dataset, with a margin where an autoencoder needs it; ValueError for images that the model isn't made for."""
    network = subject.pixel_network
    if kind_of(network) in AUTOENCODERS:
        dataset = splits.padded(dataset, network.stride)
    check_fits(subject, dataset)
    return dataset


def check_fits(subject, dataset):
    """Raise ValueError for images of another size, or with more or fewer levels, than the model's."""
    network, shape = subject.pixel_network, dataset.image_shape
    if dataset.levels != network.levels:
        raise ValueError(f"{subject.file} was made for {network.levels} levels, but {dataset.name} has "
                         f"{dataset.levels} here")
    expected = tuple(subject.about.get("image_shape") or (*shape[:2], network.image_channels))
    if shape != expected:
        raise ValueError(f"{subject.file} was made for images of {words_of(expected)}, but those of {dataset.name} "
                         f"are {words_of(shape)}")


def words_of(shape):
    """28x28x1, say."""
    return "x".join(map(str, shape))


def same_classes(subject, dataset):
    """Whether the labels of a dataset mean what the model has learned: they are those of its own data."""
    about = subject.about
    return (dataset.name == about["options"].get("data") and dataset.classes <= subject.classes
            and list(dataset.class_names or []) == list(about["class_names"] or []))


def strange_images(shape, levels, n, seed=0):
    """{title: images} that nobody drew: n of uniform noise, and one of each level all over."""
    noise = np.random.default_rng(seed).integers(0, levels, (n, *shape), dtype=np.uint8)
    constant = np.broadcast_to(np.arange(levels, dtype=np.uint8)[:, None, None, None], (levels, *shape))
    return {"uniform noise": noise, ONE_LEVEL: constant}
