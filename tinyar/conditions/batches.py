"""The conditions of a set of images, batch by batch."""

import copy
import zlib

import numpy as np

from tinyar.conditions.encode import NO_LABEL, checked_labels


class Conditions:
    """The labels (N,) and maps (N, height, width, channels) of a set of N images, for a model conditioned on them.

    images is an array, or a Split of tinyar.data with labels and maps. A model without conditions ignores both.
    An array has no labels: then all classes count as unknown; with `required` that is an error. Missing maps always
    are. Raises ValueError, with `name` in the message, for labels or maps that are missing or don't fit.
    """

    def __init__(self, model, images, name, required=False):
        self.model, self.labels, self.maps = model, None, None
        classes, map_channels = getattr(model, "classes", 0), getattr(model, "map_channels", 0)
        n = len(images) if classes or map_channels else 0
        if classes:
            self.labels = getattr(images, "labels", None)
            if self.labels is None and required:
                raise ValueError(f"{name}: the model is conditioned on {model.classes} classes, "
                                 "but the images have no labels: expected a Split with labels, "
                                 "tinyar.data.Split(images, labels)")
            self.labels = checked_labels(n, NO_LABEL if self.labels is None else self.labels,
                                         model.classes, f"{name}: labels")
        if map_channels:
            maps, sides = getattr(images, "maps", None), getattr(images, "images", images).shape[1:3]
            if getattr(model, "map_codes", 0):
                sides = tuple(side // model.map_factor for side in sides)
            self.maps = None if maps is None else np.asarray(maps)
            if maps is None or self.maps.shape not in ((n, *sides, map_channels), (n, 1, 1, map_channels)):
                raise ValueError(f"{name}: the model is conditioned on maps: expected a Split with maps "
                                 f"({n}, {sides[0]}, {sides[1]}, {map_channels}), "
                                 f"got {'none' if maps is None else self.maps.shape}: "
                                 "tinyar.data.Split(images, labels, maps=maps)")

    def batch(self, index):
        """The condition of the images at these places; None for a model without conditions."""
        if self.labels is None and self.maps is None:
            return None
        return self.model.condition(len(index), *(None if array is None else array[index]
                                                  for array in (self.labels, self.maps)))

    def hiding(self, share, seed, epoch):
        """The same with the labels of this share of the images hidden, others in every epoch.

        So the model learns to do without a class.
        """
        if self.labels is None or not share:
            return self
        hidden = np.random.default_rng([seed, epoch, 1]).random(len(self.labels)) < share
        twin = copy.copy(self)
        twin.labels = np.where(hidden, NO_LABEL, self.labels)
        return twin

    def fingerprint(self):
        """Checksums, by which a resumed run knows that it has the same labels and maps."""
        return [None if array is None else zlib.crc32(np.ascontiguousarray(array))
                for array in (self.labels, self.maps)]
