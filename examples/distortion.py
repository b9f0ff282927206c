"""Data augmentation: a share of the training images is turned, sheared and stretched a little, anew in every epoch.

A network that has seen a handwritten seven ten times begins to learn it by heart. A seven that leans a little more is
another image, and a likely one, so more data can be made that way. But not every likely image is as likely as a real
one: these have softer strokes, and lean in more directions. So the share falls from epoch to epoch, evenly to none in
the last (a single epoch has it whole), and the network ends on what it will be judged by.
"""

import dataclasses
import functools

import numpy as np
import scipy.ndimage

from tinyar import data

ANGLE, SHEAR, STRETCH = 0.12, 0.15, 0.06  # at most: 7 degrees, 0.15 columns sideways a row, six percent


def distorted(dataset, originals, share, epochs, seed):
    """The dataset, whose training images are drawn anew for each epoch.

    originals    the Dataset with all its levels. It is distorted first and brought to dataset.levels then, so that
                 strokes in black and white stay smooth
    share        of the training images that are distorted in the first of `epochs`
    """
    whole, train = originals.train.images, dataset.train

    @functools.lru_cache(maxsize=1)  # fit asks for the first epoch's images several times
    def redraw(epoch):
        rng = np.random.default_rng([seed, epoch, 2])
        chosen = np.flatnonzero(rng.random(len(whole)) < share * (1 - epoch / max(epochs - 1, 1)))
        images = train.images.copy()
        if len(chosen):
            turned = np.stack([distort(whole[i], random_matrix(rng)) for i in chosen])
            images[chosen] = data.quantize(turned, dataset.levels, originals.levels - 1)
        return images

    return dataclasses.replace(dataset, train=dataclasses.replace(train, redraw=redraw))


def random_matrix(rng):
    """A linear map of (row, column) near the identity, (2, 2): it stretches, then shears sideways, then turns."""
    angle, shear = rng.uniform(-ANGLE, ANGLE), rng.uniform(-SHEAR, SHEAR)
    rows, columns = np.exp(rng.uniform(-STRETCH, STRETCH, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return turn @ np.array([[rows, 0], [shear, columns]])


def distort(image, matrix):
    """An image (height, width, channels) read through a linear map around its centre: uint8.

    Each pixel is read at the place where the matrix sends it, between pixels by bilinear interpolation. So the image
    itself moves by the inverse.
    """
    centre = (np.array(image.shape[:2]) - 1) / 2
    channels = [scipy.ndimage.affine_transform(channel.astype(np.float32), matrix, centre - matrix @ centre, order=1,
                                               mode="nearest") for channel in np.moveaxis(image, -1, 0)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)
