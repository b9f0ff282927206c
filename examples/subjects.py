"""What evaluate.py measures: a model with all that it needs, and images that fit it.

    a model of pixels     costs an image in nats; its maps, if it is told any, are made as in super_resolution.py
    an autoencoder        costs an image by how far off its reconstruction is
    a prior of codes      costs the codes of an image, made by the autoencoder that lies beside it, in nats
"""

import dataclasses
import math
import pathlib

import numpy as np
import splits
from arguments import check_folder, checked_about, load, load_again, options_of_data
from draw import AUTOENCODER, PIXELS, TWO_LEVELS, kind_of, weights_file
from scores import Scores

from tinyar import codes, data, training
from tinyar.data.readers import READERS
from tinyar.training import checkpoint

ONE_LEVEL = "images of one level"
AUTOENCODERS = AUTOENCODER, TWO_LEVELS
STAGES = "prior", "top", "bottom"  # the folders of priors beside that of their autoencoder


@dataclasses.dataclass
class Subject:
    """A model to evaluate.

    about           says of which data and shape its images were; of a prior, what its autoencoder says
    autoencoder     of a prior: makes codes of images; level: "top" or "bottom" where there are two
    """

    name: str
    file: pathlib.Path
    model: object
    about: dict
    autoencoder: object = None
    level: str = None

    @property
    def pixel_network(self):
        """The network that the images must fit."""
        return self.model if self.autoencoder is None else self.autoencoder

    @property
    def classes(self):
        """How many classes the model may be told of."""
        return getattr(self.model, "classes", 0)

    @property
    def priors(self):
        """The folders of the priors that lie beside an autoencoder, which are subjects of their own."""
        run = self.file.resolve().parent.parent
        return [run / stage for stage in STAGES if kind_of(self.model) in AUTOENCODERS
                and (run / stage / "model.npz").exists()]

    @property
    def told(self):
        """What the model is told of each image beside its class."""
        if not getattr(self.model, "map_channels", 0):
            return []
        return ["the small image"] if self.autoencoder is None else ["the top codes"]

    def split_of(self, images, labels=None):
        """Images (N, height, width, channels) as the model takes them, with labels (N,), None to tell it no class."""
        if self.autoencoder is not None:
            found = codes.extract(self.autoencoder, images)
            if self.level is None:
                return data.Split(found, labels)
            top, bottom = found
            return data.Split(top, labels) if self.level == "top" else data.Split(bottom, labels, maps=top)
        maps = None
        if getattr(self.model, "map_channels", 0):
            maps = splits.maps_of(images, self.about["options"]["factor"], self.model.levels)
        return data.Split(images, labels, maps=maps)

    def with_label(self, split, label):
        """The same images and maps, all of them told this class."""
        return dataclasses.replace(split, labels=np.full(len(split), label))

    def scores(self, split, threads=None, progress=""):
        """The Scores of what split_of made."""
        return self.scores_from(training.image_costs(self.model, split, threads, progress), split)

    def scores_from(self, costs, split):
        """Scores of the costs (N,) of the images in a split."""
        of = "an image"
        if self.autoencoder is not None:
            of = "for the codes of an image"
        elif kind_of(self.model) != PIXELS:
            of = "an image, given its codes"
        return Scores(costs, self.model.figure(costs / math.prod(split.images.shape[1:])), self.model.unit, of)


# -- which model -------------------------------------------------------------------------------------------------------

def load_subject(given):
    """The Subject in a checkpoint, or in the folder of a run; of a VQ-VAE's folder that is the autoencoder."""
    given = pathlib.Path(given)
    file = weights_file(given / "autoencoder" if (given / "autoencoder").is_dir() else given)
    model, state = checkpoint.load(file)
    about = checked_about(file, state)
    subject = Subject(name_of(file), file, model, about)
    if kind_of(model) not in (PIXELS, *AUTOENCODERS):
        take_autoencoder(subject)
    elif getattr(model, "map_channels", 0) and not isinstance(about["options"].get("factor"), int):
        raise ValueError(f"{file} needs a map for every image, and doesn't say how to make it; expected a run of "
                         "super_resolution.py")
    return subject


def name_of(file):
    """What a checkpoint is called in tables and pictures: its run's folder, or the name of another file."""
    folder = file.resolve().parent
    if file.name not in ("model.npz", "training.npz"):
        return file.stem
    return f"{folder.parent.name}/{folder.name}" if folder.name in ("autoencoder", *STAGES) else folder.name


def take_autoencoder(prior):
    """Find the autoencoder of a prior, which lies in the folder beside the prior's."""
    try:
        file = weights_file(prior.file.resolve().parent.parent / "autoencoder")
    except FileNotFoundError as error:
        raise ValueError(f"{prior.file} is a prior of codes, and images become codes by its autoencoder: expected it "
                         "in the folder of its run, beside autoencoder/") from error
    prior.autoencoder, state = checkpoint.load(file)
    if kind_of(prior.autoencoder) not in AUTOENCODERS:
        raise ValueError(f"{file}: expected an autoencoder, got a {type(prior.autoencoder).__name__}")
    prior.level = prior.about.get("level")
    codes.check_learned(prior.about, prior.autoencoder, prior.level)
    prior.about = checked_about(file, state)


# -- which images ------------------------------------------------------------------------------------------------------

def own_data(subject, data_dir=None):
    """The dataset that the model was trained on, as it saw it."""
    if not subject.about["options"].get("data"):
        raise ValueError(f"{subject.file} doesn't say which data it was trained on: give --data NAME")
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
        options["size"] = subject.about["image_shape"][0]
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


def check_comparable(first, second):
    """Raise ValueError for models that measure different things."""
    if first.model.unit != second.model.unit:
        raise ValueError(f"{second.file} measures {second.model.unit}, {first.file} {first.model.unit}: expected models "
                         "with the same unit")
    if first.autoencoder is not None and (
            (codes.checksum(first.autoencoder), first.level) != (codes.checksum(second.autoencoder), second.level)):
        raise ValueError(f"{second.file} has learned other codes than {first.file}, so their costs can't be compared")


def titles(subjects):
    """The names of all subjects; where two have the same, their files."""
    names = [subject.name for subject in subjects]
    return names if len(set(names)) == len(names) else [str(subject.file) for subject in subjects]


def same_classes(subject, dataset):
    """Whether the labels of a dataset mean what the model has learned: they are those of its own data."""
    about = subject.about
    return (dataset.name == about["options"].get("data")
            and list(dataset.class_names or []) == list(about["class_names"] or []))


def strange_images(shape, levels, n, seed=0):
    """{title: images} that nobody drew: n of uniform noise, and one of each level all over."""
    noise = np.random.default_rng(seed).integers(0, levels, (n, *shape), dtype=np.uint8)
    constant = np.broadcast_to(np.arange(levels, dtype=np.uint8)[:, None, None, None], (levels, *shape))
    return {"uniform noise": noise, ONE_LEVEL: constant}
