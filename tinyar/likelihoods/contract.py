"""What the numbers that a network puts out for a pixel mean: a distribution over the levels of its colours.

A likelihood owns its outputs. It says how many a pixel needs and how they are arranged, what they cost, and how a pixel
is drawn from them. Models, training and the sampler know nothing else of it, so another distribution is another class
with the same names.
"""

ALL_COLORS = slice(None)


class Likelihood:
    """The contract. Pixels are integers 0 .. levels - 1, (..., image_channels); outputs is what `arrange` returns.

        levels                        how many values a sub-pixel may have
        outputs(image_channels)       how many numbers the network gives for a pixel
        arrange(features)             features (..., outputs) in the shape that the rest uses
        loss(outputs, pixels)         mean nats per sub-pixel, and the gradient by the outputs
        nats(outputs, pixels)         costs in nats, (..., image_channels) or, where colours share them, (...)
        table(outputs, pixels, color) p(level of this colour | earlier colours of the pixels), (..., levels)
        guess(outputs)                one level for each sub-pixel, the one to show, (..., image_channels)
        passes(colors)                groups of colours; the network takes one step before each group
        draw(outputs, pixel, keep, uniforms, temperature, colors)

    passes: a list of slices of the colours, in order. `colors` says how many colours of a pixel depend on each other
    through the network (1: none do).

    draw fills in, in place, what isn't kept of `pixel`: colour after colour, each given those before it, known or
    drawn. pixel and keep (True where a sub-pixel is known) are (..., image_channels), and so are uniforms, numbers from
    [0, 1), one for each sub-pixel. All three lie on the host, so that equal seeds draw equal images on every backend.
    `colors` is one of the slices of `passes`. A temperature below 1 leans to what is likelier.
    """

    def outputs(self, image_channels):
        raise TypeError(f"{type(self).__name__} doesn't say how many outputs a pixel needs")

    def arrange(self, features):
        return features

    def loss(self, outputs, pixels):
        raise TypeError(f"{type(self).__name__} has no loss, so nothing can be trained by it")

    def nats(self, outputs, pixels):
        raise TypeError(f"{type(self).__name__} has no nats, so nothing can be evaluated by it")

    def table(self, outputs, pixels, color):
        raise TypeError(f"{type(self).__name__} has no table of probabilities")

    def guess(self, outputs):
        raise TypeError(f"{type(self).__name__} has no guess to show")

    def passes(self, colors):
        return [ALL_COLORS]

    def draw(self, outputs, pixel, keep, uniforms, temperature=1.0, colors=ALL_COLORS):
        raise TypeError(f"{type(self).__name__} has no draw, so nothing can be drawn from it")
