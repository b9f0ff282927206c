"""What `fit` is given, looked at before the first gradient: are the images what the model is made for, do the options
fit, and what must be equal when the run is resumed?
"""

import functools
import math
import numbers
import zlib

import numpy as np

from tinyar.backend import to_device
from tinyar.conditions import Conditions
from tinyar.model import Model, check_levels
from tinyar.optim.optimizers import Optimizer
from tinyar.training.scheduled_sampling import ScheduledSampling


class Sets:
    """The training and held-out images of a run, with what they are conditioned on.

    train and validation are arrays, or Splits of tinyar.data. Raises ValueError for what the model can't be trained on.
    """

    def __init__(self, model, train, validation):
        self.images_of_epoch = getattr(train, "for_epoch", lambda epoch: train)  # of epoch 0, 1, ...
        self.held_out = self.held_out_conditions = None
        check_images(model, "train", self.images_of_epoch(0))
        self.conditions = Conditions(model, train, "train", required=True)
        if validation is not None:
            check_measured(model)
            self.held_out = getattr(validation, "images", validation)
            check_images(model, "validation", self.held_out)
            self.held_out_conditions = Conditions(model, validation, "validation", required=True)

    def fingerprints(self):
        """{name: shape and checksums} of both sets: by these a resumed run knows that it has the same images."""
        held_out = None
        if self.held_out is not None:
            held_out = fingerprint(self.held_out) + self.held_out_conditions.fingerprint()
        return {"images": fingerprint(self.images_of_epoch(0)) + self.conditions.fingerprint(), "validation": held_out}


def checked_options(model, sets, epochs, batch_size, lr, optimizer, clip, average, patience, hide_labels,
                    scheduled_sampling, seed, save_every):
    """The options that a resumed run must have in common with the one before, a dict; or a ValueError for a bad one."""
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("save_every", save_every),
                        ("patience", 1 if patience is None else patience)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed: expected a whole number of at least 0, got {seed!r}")
    check_kinds(lr, hide_labels, clip, average, scheduled_sampling)
    if clip is not None and not clip > 0:
        raise ValueError(f"clip: expected a limit above 0, got {clip!r}")
    if not 0 <= hide_labels <= 1:
        raise ValueError(f"hide_labels: expected a share of the images from 0 to 1, got {hide_labels!r}")
    if hide_labels and not getattr(model, "classes", 0):
        raise ValueError(f"hide_labels={hide_labels!r}: the model isn't told any classes, expected 0")
    if patience and sets.held_out is None:
        raise ValueError("patience: stopping early needs validation images")
    if scheduled_sampling is not None and not hasattr(model, "color_passes"):
        raise ValueError(f"scheduled_sampling: {type(model).__name__} doesn't draw pixel by pixel, expected None")
    updates = epochs * -(-len(sets.images_of_epoch(0)) // batch_size)
    rates = [lr(t) if callable(lr) else lr for t in (1, 10, 100, 1000, 10000) if t <= updates]
    if not all(0 <= rate < math.inf for rate in rates):
        raise ValueError(f"lr: expected a learning rate of at least 0, got {rates}")
    return {"batch_size": batch_size, "clip": clip, "average": average, "seed": seed, **sets.fingerprints(),
            "hide_labels": hide_labels, "optimizer": name_of(optimizer), "lr": rates,
            "scheduled_sampling": None if scheduled_sampling is None else scheduled_sampling.fingerprint()}


def differing(mine, then):
    """The names of the options in which two runs differ. A longer run is asked for more learning rates, so those that
    both name are compared.
    """
    def differs(key):
        if key == "lr" and key in then:
            return any(one != other for one, other in zip(mine[key], then[key]))
        return key not in then or then[key] != mine[key]
    return [key for key in mine if differs(key)]


def check_kinds(lr, hide_labels, clip, average, scheduled_sampling):
    """Raise ValueError for options that aren't numbers, or not what they should be."""
    for name, value in (("lr", 0 if callable(lr) else lr), ("hide_labels", hide_labels),
                        ("clip", 1 if clip is None else clip), ("average", 0 if average is None else average)):
        if not isinstance(value, numbers.Real):
            raise ValueError(f"{name}: expected a number, got {value!r:.100}")
    if scheduled_sampling is not None and not isinstance(scheduled_sampling, ScheduledSampling):
        raise ValueError(f"scheduled_sampling: expected a ScheduledSampling, got {scheduled_sampling!r:.100}")


def name_of(optimizer):
    """The name of an optimizer's class; of a functools.partial, with the options that it fixes."""
    if isinstance(optimizer, functools.partial):
        fixed = ", ".join(f"{option}={value!r}" for option, value in sorted(optimizer.keywords.items()))
        return f"{name_of(optimizer.func)}({fixed})"
    if not isinstance(optimizer, type) or not issubclass(optimizer, Optimizer):
        raise ValueError(f"optimizer: expected a class of tinyar.optim.Optimizer, such as Adam, or a functools.partial "
                         f"of one, got {optimizer!r:.100}")
    return optimizer.__name__


def check_images(model, name, images):
    """Raise ValueError unless `images` are what the model is made for; named `name` in the message."""
    check_levels(name, images, model.levels)
    if images.ndim != 4 or images.size == 0 or images.shape[3] != model.image_channels:
        raise ValueError(f"{name}: expected images (N, height, width, {model.image_channels}), "
                         f"got shape {images.shape}")
    model(to_device(images[:1]))  # refuses a size that doesn't fit


def check_measured(model):
    """Raise TypeError for a model that can't be measured on held-out images: better now than after an epoch."""
    if type(model).costs is Model.costs and type(model).score is Model.score:
        raise TypeError(f"validation: {type(model).__name__} has no costs, so it can't be measured; expected None")


def fingerprint(images):
    """Shape and checksum: by these a resumed run knows that it has the same images."""
    return [*images.shape, zlib.crc32(np.ascontiguousarray(images))]
