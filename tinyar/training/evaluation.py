"""What held-out images cost under a model, without gradients."""

import numpy as np

from tinyar.conditions import Conditions
from tinyar.model import check_finite
from tinyar.training.options import check_images
from tinyar.training.parallel import Workers

MEASURED_AT_ONCE = 1000  # images


def evaluate(model, images, threads=None):
    """The mean cost of images (N, height, width, channels) in model.unit (bits/dim): a Python float.

    A conditional model is told the labels and maps of a Split; of an array of images, or of a Split without labels,
    tinyar.data.Split(images, maps=maps), it is told no class. Raises ValueError for images that don't fit,
    NonFiniteError for weights that aren't finite. Of several ranks (ranks.py) all have to call it; each measures a part.
    """
    pixels = getattr(images, "images", images)
    check_finite(model)
    check_images(model, "images", pixels)
    with Workers(model, threads) as workers:
        return measure(workers, pixels, Conditions(model, images, "images"))


def measure(workers, images, conditions):
    """What images cost on average, in model.unit; piece by piece, as maps are large in the network's float32."""
    total = 0.0
    for i in range(0, len(images), MEASURED_AT_ONCE):
        index = np.arange(i, min(i + MEASURED_AT_ONCE, len(images)))
        total += workers.measure(images[index], conditions.batch(index)) * len(index)
    return workers.model.figure(total / len(images))
