"""What evaluate.py measures with: a model, and all that it needs to look at images.

    a model of pixels     costs an image in nats; its maps, if it is told any, are made as in super_resolution.py
    an autoencoder        costs an image by how far off its reconstruction is
    a prior of codes      costs the codes of an image, made by the autoencoder that lies beside it, in nats
"""

import dataclasses
import math
import pathlib

import numpy as np
import splits
from arguments import checked_about
from draw import AUTOENCODER, PIXELS, TWO_LEVELS, kind_of
from scores import Scores
from statements import checked_statement
from weights import AUTOENCODER_FOLDER, PRIOR_FOLDERS, is_vqvae, located, name_of, weights_file

from tinyar import codes, data, training
from tinyar.training import checkpoint

AUTOENCODERS = AUTOENCODER, TWO_LEVELS
LARGEST_FACTOR = 1000  # of a small image that is told, in super_resolution.py


@dataclasses.dataclass
class Subject:
    """A model to evaluate.

    about           says of which data and shape its images were; of a prior, what its autoencoder says
    trained         what the weights say of themselves (statements.py), if they say anything
    autoencoder     of a prior: makes codes of images; level: "top" or "bottom" where there are two
    """

    name: str
    file: pathlib.Path
    model: object
    about: dict
    trained: dict = None
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
        return [run / stage for stage in PRIOR_FOLDERS if kind_of(self.model) in AUTOENCODERS
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
        """The Scores of what split_of made. Raises NonFiniteError for costs that aren't finite."""
        costs = training.image_costs(self.model, split, threads, progress)
        strange = len(costs) - int(np.isfinite(costs).sum())
        if strange:
            raise training.NonFiniteError(f"{self.file}: what {strange:,} of {len(costs):,} images cost isn't finite, "
                                          "so there is no mean")
        return self.scores_from(costs, split)

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
    run = located(given)
    file = weights_file(run / AUTOENCODER_FOLDER if is_vqvae(run) else given)
    model, state = checkpoint.load(file)
    about = checked_about(file, state)
    subject = Subject(name_of(file), file, model, about, checked_statement(file, about))
    if kind_of(model) not in (PIXELS, *AUTOENCODERS):
        take_autoencoder(subject)
    elif getattr(model, "map_channels", 0) and about["options"].get("factor") not in range(2, LARGEST_FACTOR):
        raise ValueError(f"{file} needs a map for every image, and doesn't say how to make it; expected a run of "
                         "super_resolution.py")
    return subject


def take_autoencoder(prior):
    """Find the autoencoder of a prior, which lies in the folder beside the prior's."""
    try:
        file = weights_file(prior.file.resolve().parent.parent / AUTOENCODER_FOLDER)
    except FileNotFoundError as error:
        raise ValueError(f"{prior.file} is a prior of codes, and images become codes by its autoencoder: expected "
                         "the prior's folder beside the folder autoencoder/ of its run") from error
    prior.autoencoder, state = checkpoint.load(file)
    if kind_of(prior.autoencoder) not in AUTOENCODERS:
        raise ValueError(f"{file}: expected an autoencoder, got a {type(prior.autoencoder).__name__}")
    prior.level = prior.about.get("level")
    if prior.level not in (("top", "bottom") if kind_of(prior.autoencoder) == TWO_LEVELS else (None,)):
        raise ValueError(f"{prior.file}: its autoencoder has no level of codes {prior.level!r:.60}")
    codes.check_learned(prior.about, prior.autoencoder, prior.level)
    prior.about = checked_about(file, state)


# -- two models --------------------------------------------------------------------------------------------------------

def check_comparable(first, second):
    """Raise ValueError for models that measure different things."""
    if first.model.unit != second.model.unit:
        raise ValueError(f"{second.file} measures {second.model.unit}, {first.file} {first.model.unit}: expected two "
                         "models with the same unit")
    if first.autoencoder is not None and (
            (codes.checksum(first.autoencoder), first.level) != (codes.checksum(second.autoencoder), second.level)):
        raise ValueError(f"{second.file} has learned other codes than {first.file}, so their costs can't be compared")


def titles(subjects):
    """The names of all subjects; where two have the same, their files."""
    names = [subject.name for subject in subjects]
    return names if len(set(names)) == len(names) else [str(subject.file) for subject in subjects]
