"""What a model knows of an image besides its pixels: its class, a map. Told for one batch, and gone after it.

A condition enters a network as a bias that depends on it, added layer after layer (`Conditional`). This room has
all of it, from the labels of a data set to that layer:

    Conditions(model, images)     the labels and maps of a set of images; .batch(index) gives those of a batch
    encode(n, labels, maps)       labels and maps as one array (n, 1 or height, 1 or width, condition_channels)
    told(network, condition)      inside this context, and only there, the network's layers know the condition
    Conditional                   the layer that adds it
    condition_gradient(network)   d loss / d condition, after a backward

A class is a one-hot vector, the same at every pixel. A map lies beside it, other channels of the same array. No class,
or no condition at all, is all zeros, which adds nothing.
"""

from tinyar.conditions.batches import Conditions
from tinyar.conditions.conditional import Conditional, condition_gradient, told
from tinyar.conditions.encode import NO_LABEL, check_condition, checked_labels, encode

__all__ = ["NO_LABEL", "Conditional", "Conditions", "check_condition", "checked_labels", "condition_gradient", "encode",
           "told"]
