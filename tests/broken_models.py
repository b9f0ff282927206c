"""Models as a user might write them by mistake: a wrong loss, wrong costs, no distribution, draws from another one."""

import numpy as np

from right_layers import CountsLevels

from tinyar.backend import xp
from tinyar.likelihoods import Categorical
from tinyar.likelihoods.contract import ALL_COLORS
from tinyar.models import PixelCNN


# -- models with a wrong loss or wrong costs ---------------------------------------------------------------------------


class TwiceTooSteep(PixelCNN):
    def loss(self, outputs, x, weight=1.0):
        loss, doutputs = super().loss(outputs, x, weight)
        return loss, 2 * doutputs


class WithoutWeight(PixelCNN):
    def loss(self, outputs, x, weight=1.0):
        return super().loss(outputs, x)


class WithoutGradient(PixelCNN):
    def loss(self, outputs, x, weight=1.0):
        return super().loss(outputs, x, weight)[0], None


class GradientOfSome(PixelCNN):
    def loss(self, outputs, x, weight=1.0):
        loss, doutputs = super().loss(outputs, x, weight)
        return loss, doutputs[:1]


class OldSignature(PixelCNN):
    def loss(self, outputs, x):
        return super().loss(outputs, x)


class CostsTheMean(PixelCNN):
    def costs(self, x, condition=None):
        return super().costs(x, condition) / x[0].size


class CostsOfTheBatch(PixelCNN):
    def costs(self, x, condition=None):
        return super().costs(x, condition).mean() * xp.ones(len(x))


class OneCost(PixelCNN):
    def costs(self, x, condition=None):
        return super().costs(x, condition).sum()


class CostsWithoutImages(PixelCNN):
    def costs(self):
        return xp.zeros(2)


class CostsOfNaN(PixelCNN):
    def costs(self, x, condition=None):
        return super().costs(x, condition) * xp.nan


class WithPenalty(PixelCNN):
    """The loss has a part that costs leave out, and penalty() doesn't tell of it."""

    def loss(self, outputs, x, weight=1.0):
        loss, doutputs = super().loss(outputs, x, weight)
        return loss + 0.1 * weight, doutputs


class WrapsAround(PixelCNN):
    """Levels are small integers here: 2 * 0 - 2 is 254."""

    def scale(self, x):
        return (2 * x - (self.levels - 1)).astype(self.dtype) / (self.levels - 1)


class ComputesInFloat64(PixelCNN):
    def scale(self, x):
        return x / (self.levels - 1) * 2 - 1


class WithoutLevels(CountsLevels):
    def __init__(self):
        super().__init__()
        del self.levels


class PenaltyFails(PixelCNN):
    def penalty(self):
        return self.sums["none"]


# -- models that are no distributions, or draw from another one --------------------------------------------------------


class TooCheap(PixelCNN):
    """Its loss and costs are those of a softmax, less a constant."""

    def loss(self, outputs, x, weight=1.0):
        loss, doutputs = super().loss(outputs, x, weight)
        return loss - 0.5 * weight, doutputs

    def costs(self, x, condition=None):
        return super().costs(x, condition) - 0.5 * x[0].size


class OneTooDark(Categorical):
    def draw(self, outputs, pixel, keep, uniforms, temperature=1.0, colors=ALL_COLORS):
        super().draw(outputs, pixel, keep, uniforms, temperature, colors)
        pixel[~keep] = np.maximum(pixel[~keep], 1) - 1


class ForgetsKeep(Categorical):
    def draw(self, outputs, pixel, keep, uniforms, temperature=1.0, colors=ALL_COLORS):
        super().draw(outputs, pixel, np.zeros_like(keep), uniforms, temperature, colors)


class LaterColorsAreDark(Categorical):
    def draw(self, outputs, pixel, keep, uniforms, temperature=1.0, colors=ALL_COLORS):
        super().draw(outputs, pixel, keep, uniforms, temperature, colors)
        pixel[:, 1:][~keep[:, 1:]] = 0


class KeepsAllOrNothing(Categorical):
    def draw(self, outputs, pixel, keep, uniforms, temperature=1.0, colors=ALL_COLORS):
        super().draw(outputs, pixel, keep if keep.all() else np.zeros_like(keep), uniforms, temperature, colors)


class DrawFails(Categorical):
    def draw(self, outputs, pixel, keep, uniforms, temperature=1.0, colors=ALL_COLORS):
        raise RuntimeError("not written yet")


def with_likelihood(likelihood, colors=1):
    """A PixelCNN of 3 levels with another likelihood, of as many outputs."""
    model = PixelCNN(3, colors, channels=6, blocks=0, first_kernel=3)
    model.likelihood = likelihood(3)
    return model


class CostsOfFew(PixelCNN):
    def costs(self, x, condition=None):
        if len(x) > 2:
            raise ValueError("a mistake for more than two images")
        return super().costs(x, condition)


class WritesIntoIntegers(PixelCNN):
    def scale(self, x):
        x = x.copy()
        x *= 1.0
        return super().scale(x)
