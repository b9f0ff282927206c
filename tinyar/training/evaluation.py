"""What held-out images cost under a model, without gradients."""

import numpy as np
from tqdm import tqdm

from tinyar.backend import to_host
from tinyar.conditions import Conditions
from tinyar.model import check_finite
from tinyar.training.options import check_images
from tinyar.training.parallel import Workers
from tinyar.training.world import world

MEASURED_AT_ONCE = 1000  # images
SHOWN_AT_ONCE = 200  # images between two looks of the progress bar


def evaluate(model, images, threads=None):
    """The mean cost of images (N, height, width, channels) in model.unit (bits/dim): a Python float.

    A conditional model is told the labels and maps of a Split; of an array of images, or of a Split without labels,
    tinyar.data.Split(images, maps=maps), it is told no class. Raises ValueError for images that don't fit,
    NonFiniteError for weights that aren't finite. Of several ranks all have to call it; each measures a part.
    """
    pixels = getattr(images, "images", images)
    check_finite(model)
    check_images(model, "images", pixels)
    with Workers(model, threads) as workers:
        return measure(workers, pixels, Conditions(model, images, "images"))


def image_costs(model, images, threads=None, progress=None):
    """What each of the images costs: float64 (N,) on the host.

    The costs are in nats, summed over the image's sub-pixels; of an autoencoder that is judged by squared error they
    are that error's sum, divided by the variance of its training images. model.figure(costs / sub-pixels of an image)
    is in model.unit, and its mean is what `evaluate` returns. Labels, maps and errors: as there.

    progress    a text in front of a progress bar, True for one without, None for no bar
    """
    pixels = getattr(images, "images", images)
    check_finite(model)
    check_images(model, "images", pixels)
    conditions, found = Conditions(model, images, "images"), []
    with Workers(model, threads) as workers, tqdm(total=len(pixels), unit=" images", disable=not progress,
                                                  desc=progress if isinstance(progress, str) else None) as bar:
        for i in range(0, len(pixels), SHOWN_AT_ONCE):
            index = np.arange(i, min(i + SHOWN_AT_ONCE, len(pixels)))
            found.append(costs_of(workers, pixels[index], conditions.batch(index)))
            bar.update(len(index))
    return np.concatenate(found)


def costs_of(workers, images, condition):
    """The costs of a few images, (N,): each rank and thread measures its micro-batches, which have their places."""
    def work(replica, micro_batches):
        return [(place, to_host(replica.costs(x, *given))) for place, x, given, _ in micro_batches]

    mine = [part for parts in workers.each(work, images, condition) for part in parts]
    parts = [part for parts in world().of_all(mine) for part in parts]
    return np.concatenate([costs for _, costs in sorted(parts, key=lambda part: part[0])])


def measure(workers, images, conditions):
    """What images cost on average, in model.unit; piece by piece, as maps are large in the network's float32."""
    total = 0.0
    for i in range(0, len(images), MEASURED_AT_ONCE):
        index = np.arange(i, min(i + MEASURED_AT_ONCE, len(images)))
        total += workers.measure(images[index], conditions.batch(index)) * len(index)
    return workers.model.figure(total / len(images))
