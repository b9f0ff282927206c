"""A mixture of logistics for each pixel: the likelihood of PixelCNN++ (Salimans et al. 2017, arXiv 1701.05517).

A softmax has to learn that neighbouring levels are alike. Here a sub-pixel is a real number, rounded to the nearest of
L levels, whose density is a sum of few bells, the logistics of `logistic.py`. M components share their weights among
the colours of a pixel. The means of later colours are moved by earlier ones (G by R, B by R and G), linearly, with
coefficients c = tanh(raw):

    m_R = mu_R      m_G = mu_G + c_0 x_R      m_B = mu_B + c_1 x_R + c_2 x_G
    p(pixel) = sum over components i of  softmax(logits)_i  product over colours of p_i(colour)

So the colours of a pixel depend on each other within one step of the network.

Outputs of a pixel, in this order: M logits; then for each colour M means mu, M log-scales s, and in colour M raw
coefficients (those stored with R are c_0, with G c_1, with B c_2). s is cut off at -7. mode="exact" computes bins
without loss of digits; mode="paper" is the published form, for 256 levels.
"""

import numpy as np

from tinyar.backend import NonFiniteError, to_device, to_host, xp
from tinyar.likelihoods.contract import ALL_COLORS, Likelihood
from tinyar.likelihoods.logistic import exact_log_probability, log_softmax, log_sum_exp, paper_log_probability
from tinyar.losses import checked_targets

LEAST_LOG_SCALE = -7.0


class LogisticMixture(Likelihood):
    """A mixture of `components` logistics, rounded to `levels` levels, over images of 1 or 3 channels.

    outputs (..., 3 M) for grey, (..., 10 M) for colour; pixels (..., image_channels), integers. nats are those of whole
    pixels, (...), since the colours share the component. They depend on each other here, not through the network, so
    one step serves them all. Raises ValueError for levels outside 2 .. 256, other numbers
    of channels, fewer than one component, and for mode="paper" with other than 256 levels.
    """

    def __init__(self, levels, image_channels, components=10, mode="exact"):
        whole = (int, np.integer)
        if not isinstance(levels, whole) or not 2 <= levels <= 256:
            raise ValueError(f"levels: expected a whole number from 2 to 256, got {levels!r}")
        if image_channels not in (1, 3):
            raise ValueError(f"LogisticMixture: image_channels is 1 or 3, got {image_channels!r}")
        if not isinstance(components, whole) or not 1 <= components <= 1000:
            raise ValueError(f"components: expected a whole number from 1 to 1000, got {components!r}")
        if mode not in ("exact", "paper") or (mode == "paper" and levels != 256):
            raise ValueError(f"LogisticMixture: mode is 'exact', or for 256 levels 'paper', got {mode!r} "
                             f"with {levels} levels")
        self.levels, self.image_channels, self.components = int(levels), image_channels, int(components)
        self.log_probability = exact_log_probability if mode == "exact" else paper_log_probability

    def outputs(self, image_channels):
        if image_channels != self.image_channels:
            raise ValueError(f"LogisticMixture: made for {self.image_channels} channels, got {image_channels}")
        return self.components * (10 if image_channels == 3 else 3)

    # -- what pixels cost ----------------------------------------------------------------------------------------------

    def nats(self, outputs, pixels):
        """The nats that each pixel costs, all its colours together: (...)."""
        logits, s, coefficients, mu = self.split(outputs)
        x, k = self.on_grid(outputs, pixels)
        means, log_scales = self.means(mu, coefficients, x), xp.maximum(s, LEAST_LOG_SCALE)
        log_p, _, _ = self.log_probability(x, k, means, log_scales, self.levels)
        return -log_sum_exp(log_softmax(logits) + log_p.sum(axis=-2))

    def loss(self, outputs, pixels):
        """The mean nats per sub-pixel, and the gradient by the outputs.

        With J_i = log softmax(logits)_i + sum over colours of log p_i and r_i = softmax(J)_i, the share of component i
        in the pixel's probability, and N sub-pixels:

            forward     loss = -sum over pixels of log sum_i e^J_i / N
            backward    dlogit_i = (softmax(logits)_i - r_i) / N
                        dm = -r_i (d log p / d m) / N,  dmu = dm
                        ds = -r_i (d log p / d s) / N where s >= -7, else 0
                        d raw_0 = (1 - c_0^2) x_R dm_G;  d raw_1 = (1 - c_1^2) x_R dm_B;  d raw_2 = (1 - c_2^2) x_G dm_B
        """
        logits, s, coefficients, mu = self.split(outputs)
        x, k = self.on_grid(outputs, pixels)
        means = self.means(mu, coefficients, x)
        log_p, by_mean, by_scale = self.log_probability(x, k, means, xp.maximum(s, LEAST_LOG_SCALE), self.levels)
        log_weights = log_softmax(logits)
        joint = log_weights + log_p.sum(axis=-2)  # J (..., M)
        log_pixel = log_sum_exp(joint)
        shares = xp.exp(joint - log_pixel[..., None])  # r
        scale = 1 / x.size
        dmeans = -scale * shares[..., None, :] * by_mean  # (..., channels, M)
        dscales = -scale * shares[..., None, :] * by_scale * (s >= LEAST_LOG_SCALE)
        doutputs = xp.empty_like(outputs)
        dlogits, ds, dcoefficients, dmu = self.split(doutputs)
        dlogits[...] = scale * (xp.exp(log_weights) - shares)
        dmu[...], ds[...] = dmeans, dscales
        if coefficients is not None:
            slopes = 1 - xp.tanh(coefficients) ** 2
            dcoefficients[..., 0, :] = slopes[..., 0, :] * x[..., 0, None] * dmeans[..., 1, :]
            dcoefficients[..., 1, :] = slopes[..., 1, :] * x[..., 0, None] * dmeans[..., 2, :]
            dcoefficients[..., 2, :] = slopes[..., 2, :] * x[..., 1, None] * dmeans[..., 2, :]
        return -log_pixel.sum() * scale, doutputs

    def table(self, outputs, pixels, color):
        """p(level of this colour | the earlier colours of pixels), for every level: (..., levels)."""
        logits, s, coefficients, mu = self.split(outputs)
        x, k = self.on_grid(outputs, pixels)
        log_scales = xp.maximum(s, LEAST_LOG_SCALE)
        means = self.means(mu, coefficients, x)
        log_p, _, _ = self.log_probability(x, k, means, log_scales, self.levels)
        log_weights = log_softmax(logits + log_p[..., :color, :].sum(axis=-2))  # (..., M)
        every = xp.arange(self.levels)
        each, _, _ = self.log_probability((2 / (self.levels - 1) * every - 1).astype(outputs.dtype), every,
                                          means[..., color, None, :], log_scales[..., color, None, :], self.levels)
        return xp.exp(log_sum_exp(log_weights[..., None, :] + each))

    def guess(self, outputs):
        """The mean of the component with the largest weight, rounded to a level: colour after colour."""
        logits, _, coefficients, mu = self.split(outputs)
        chosen, x = logits.argmax(axis=-1)[..., None], xp.zeros((*outputs.shape[:-1], self.image_channels))
        levels = xp.empty(x.shape, dtype=xp.int64)
        for color in range(self.image_channels):
            means = self.means(mu, coefficients, x)[..., color, :]
            levels[..., color] = self.nearest_level(xp.take_along_axis(means, chosen, axis=-1)[..., 0])
            x[..., color] = levels[..., color] * (2 / (self.levels - 1)) - 1
        return levels

    def nearest_level(self, y):
        """Numbers from -1 to 1, and what lies beyond, as levels."""
        return xp.rint((xp.clip(y, -1, 1) + 1) * ((self.levels - 1) / 2)).astype(xp.int64)

    # -- drawing -------------------------------------------------------------------------------------------------------

    def draw(self, outputs, pixel, keep, uniforms, temperature=1.0, colors=ALL_COLORS):
        """Colour after colour, exactly, each given those before it, known or drawn.

        The component of a colour is drawn by softmax(logits + sum over earlier colours of log p), from the uniform
        number u: the first whose cumulative weight exceeds it. What is left of u within that weight, v, goes through
        the logistic's inverse, m + e^s log(v / (1 - v)), and is rounded to a level. Temperature: logits are divided by
        it, scales multiplied; this isn't the same as p^(1 / temperature).
        """
        outputs = outputs.astype(xp.float64)
        logits, s, coefficients, mu = self.split(outputs)
        log_weights, log_scales = logits / temperature, xp.maximum(s, LEAST_LOG_SCALE) + float(np.log(temperature))
        x = xp.zeros((*outputs.shape[:-1], self.image_channels))
        for color in range(self.image_channels):
            means = self.means(mu, coefficients, x)[..., color, :]
            scales_now, uniforms_now = log_scales[..., color, :], to_device(uniforms[..., color])
            drawn = to_host(self.draw_color(log_weights, means, scales_now, uniforms_now))
            pixel[..., color] = np.where(keep[..., color], pixel[..., color], drawn)
            x_now, k = self.on_grid(outputs, to_device(pixel[..., color:color + 1].astype(np.int64)), 1)
            x[..., color] = x_now[..., 0]
            log_p, _, _ = self.log_probability(x_now, k, means[..., None, :], scales_now[..., None, :], self.levels)
            log_weights = log_weights + log_p[..., 0, :]

    def draw_color(self, log_weights, means, log_scales, uniforms):
        """One level for each uniform number (...).

        log_weights (up to a constant), means and log_scales are (..., M)."""
        weights = xp.exp(log_softmax(log_weights))
        cumulative = xp.cumsum(weights, axis=-1)
        chosen = xp.minimum((cumulative <= uniforms[..., None]).sum(axis=-1), self.components - 1)[..., None]
        weight, above, mean, scale = (xp.take_along_axis(array, chosen, axis=-1)[..., 0]
                                      for array in (weights, cumulative, means, log_scales))
        v = xp.clip((uniforms - (above - weight)) / weight, 1e-300, 1 - 2.0 ** -53)
        y = mean + xp.exp(scale) * (xp.log(v) - xp.log1p(-v))
        if not bool(xp.isfinite(y).all()):
            raise NonFiniteError("the network's outputs for a pixel aren't finite, so it can't be drawn")
        return self.nearest_level(y)

    # -- the parts of the outputs --------------------------------------------------------------------------------------

    def split(self, outputs):
        """Views of outputs: logits (..., M); and (..., channels, M): log-scales s, raw coefficients or None, means."""
        if outputs.shape[-1] != self.outputs(self.image_channels):
            raise ValueError(f"LogisticMixture: expected {self.outputs(self.image_channels)} outputs a pixel, "
                             f"got shape {outputs.shape}")
        m, channels = self.components, self.image_channels
        parts = outputs[..., m:].reshape(*outputs.shape[:-1], channels, -1, m)
        coefficients = parts[..., 2, :] if channels == 3 else None
        return outputs[..., :m], parts[..., 1, :], coefficients, parts[..., 0, :]

    def means(self, mu, coefficients, x):
        """m (..., channels, M): the means, moved by the earlier colours of x (..., channels)."""
        if coefficients is None:
            return mu
        c, red, green = xp.tanh(coefficients), x[..., 0, None], x[..., 1, None]
        return mu + xp.stack([xp.zeros_like(mu[..., 0, :]), c[..., 0, :] * red,
                              c[..., 1, :] * red + c[..., 2, :] * green], axis=-2)

    def on_grid(self, outputs, pixels, channels=None):
        """Pixels of all colours, or of so many channels, as numbers x from -1 to 1 of the outputs' number type, and as
        levels k on the device.
        """
        k = checked_targets(pixels, (*outputs.shape[:-1], channels or self.image_channels), self.levels)
        return k.astype(outputs.dtype) * (2 / (self.levels - 1)) - 1, k
