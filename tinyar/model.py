"""The contract of a model: all that training, evaluation, checkpoints and drawing may ask of it.

A model is a layer from images to outputs, with a loss. Training makes each update like this:

    model.zero_grads()
    outputs = model.forward(x, condition)           x (batch, height, width, image_channels), integers 0 .. levels - 1
    loss, doutputs = model.loss(outputs, x)         a mean over the sub-pixels of the images, and its gradient
    model.backward(doutputs, need_dx=False)         model.grads now holds d loss / d param
    optimizer.step()
    model.update()

`outputs` is whatever the model's loss needs: an array of logits, or a tuple. `loss` is a pure function. What it returns
is what `backward` differentiates, and neither depends on a side effect of the other.

    loss(outputs, x, weight)    (loss, doutputs), both times weight, x's share of a batch that is cut up over threads;
                                loss is a scalar of xp, not fetched by float()

    config                      the options it was made with, so that type(model)(**model.config) builds it again
    levels, image_channels      what its images look like
    unit, figure(loss)          how a mean loss is reported: in which unit, and the number in that unit
    costs(x, condition)         what each image costs, summed over its sub-pixels, by inference alone
    score(x, condition)         the sum of the costs: evaluation divides it
    penalty()                   the part of the last batch's mean loss that costs leave out (a quantizer's own terms):
                                score / sub-pixels = loss - penalty(). forward keeps what it needs for that in sums
    note(loss)                  a few words for the progress bar about the last batch, while layers still hold its sums
    prepare(images)             a look at the training images, once, before training begins. It writes what it finds
                                into parameters or states, in place: replicas and the optimizer have these arrays
    published(name, **changes)  a configuration from a paper, with some options changed

Models that draw have more: see `tinyar.models.autoregressive`. Images come as small unsigned integers, in which 2 * x
may wrap around: a model casts them to its dtype first.

A condition (a class, a map) is told for one batch and gone after it: see `tinyar.conditions`. Models without one are
called without it. Those with one are also called without it (fit does so, to try the size of the images), and have

    classes, map_channels       how many classes and channels of maps they may be told of
    condition(n, labels, maps)  the array that they are told for n images, by `conditions.encode`
    condition_gradient()        d loss / d condition after a backward, for tinyar.gradcheck

Options are written once, in the signature of __init__. The base records them: each as it was given, or its default.
They must be numbers, texts, lists or None, since a checkpoint keeps them as JSON. A subclass may hand some on:
def __init__(self, reach=3, **options): super().__init__(**options). Of these, those that were given are recorded.
"""

import inspect

import numpy as np

from tinyar.backend import NonFiniteError, to_host
from tinyar.layer import Layer


class Model(Layer):
    """Base of all models. A subclass writes __init__, __call__, forward, backward, loss and costs.

    published_options   {name: options} for `published`
    """

    published_options = {}
    unit = "nats"

    def __new__(cls, *args, **options):
        """Record the options as `config`, before __init__ runs."""
        model = super().__new__(cls)
        try:
            bound = inspect.signature(cls.__init__).bind(model, *args, **options)
        except TypeError:  # __init__ says better what is wrong; and a copy, made without options, gets config later
            return model
        _, *names = bound.arguments
        given = {name: bound.arguments[name] for name in names}
        for parameter in inspect.signature(cls.__init__).parameters.values():
            if parameter.kind is parameter.VAR_POSITIONAL:
                raise TypeError(f"{cls.__name__}.__init__: options need names, so that they can be recorded; "
                                f"expected none of *{parameter.name}")
            if parameter.kind is parameter.VAR_KEYWORD:
                given |= given.pop(parameter.name, {})
        model.config = cls.options(**given)
        return model

    @classmethod
    def options(cls, **given):
        """All options by name: those given, and the defaults of the others. Sequences become new lists, as in files."""
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        defaults = {parameter.name: parameter.default for parameter in parameters
                    if parameter.default is not parameter.empty}
        return {name: list(value) if isinstance(value, (list, tuple, range, np.ndarray)) else value
                for name, value in {**defaults, **given}.items()}

    @classmethod
    def published(cls, name, **changes):
        """A published configuration of the model by its name, with some options changed.

        Raises ValueError for another name.
        """
        if name not in cls.published_options:
            raise ValueError(f"{cls.__name__}: no published configuration {name!r}; "
                             f"there are {', '.join(cls.published_options) or 'none'}")
        return cls(**{**cls.published_options[name], **changes})

    def loss(self, outputs, x, weight=1.0):
        """The mean loss of the images x, and its gradient by the outputs; both times weight, x's share of a batch."""
        raise TypeError(f"{type(self).__name__} has no loss, so it can't be trained")

    def costs(self, x, condition=None):
        """What each of the images x costs, summed over its sub-pixels, by inference alone: float64 (batch,)."""
        raise TypeError(f"{type(self).__name__} has no costs, so it can't be evaluated")

    def score(self, x, condition=None):
        """What the images x cost together: a scalar of xp."""
        return self.costs(x, condition).sum()

    def figure(self, loss):
        """A mean loss as it is reported, in self.unit."""
        return loss

    def penalty(self):
        """The part of the last batch's mean loss, whose sums are still there, that score leaves out."""
        return 0.0

    def note(self, loss):
        """What there is to tell of the last batch besides its mean loss: nothing, by default."""
        return ""

    def prepare(self, images):
        """Look at the training images (a host array) once, before training begins: nothing to do, by default."""


def spoilt_array(model):
    """The dotted name of the first parameter or state that isn't finite, None if all are. (A GPU is waited for.)"""
    return next((name for name, array in model.arrays() if not np.isfinite(to_host(array)).all()), None)


def check_levels(name, images, levels):
    """Raise ValueError, which begins with `name`, unless images are a host array of whole levels 0 .. levels - 1."""
    if not isinstance(images, np.ndarray) or images.dtype.kind not in "iu":
        raise ValueError(f"{name}: expected a NumPy array of integers, "
                         f"got {getattr(images, 'dtype', type(images).__name__)}")
    if images.size and not 0 <= images.min() <= images.max() < levels:
        raise ValueError(f"{name}: expected levels 0 .. {levels - 1}, got {images.min()} .. {images.max()}")


def check_finite(model):
    """Raise NonFiniteError unless all parameters and states are finite: NaN must not become a picture, or a figure."""
    name = spoilt_array(model)
    if name:
        raise NonFiniteError(f"{type(model).__name__}: {name} isn't finite, so nothing can be computed with this model")
