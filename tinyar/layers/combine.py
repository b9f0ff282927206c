"""Layers made of layers: one after the other, around a detour, side by side. Their gradients are the chain rule itself.

    Chain       y = last(... second(first(x)))      dx = first's backward of ... of last's backward of dy
    Residual    y = x + body(x)                     dx = dy + body's backward of dy
    Sum         y = first(x) + second(x) + ...      dx = first's backward of dy + second's backward of dy + ...
"""

from tinyar.layer import Layer, Pointwise


class Chain(Layer):
    """y = last(... second(first(x)))."""

    def __init__(self, *links):
        super().__init__()
        self.links = list(links)

    def __call__(self, x):
        for link in self.links:
            x = link(x)
        return x

    def forward(self, x):
        for link in self.links:
            x = link.forward(x)
        return x

    def backward(self, dy, need_dx=True):
        for link in reversed(self.links[1:]):
            dy = link.backward(dy)
        if self.links:
            return self.links[0].backward(dy, need_dx)
        return dy if need_dx else None

    def step(self, x, at):
        for link in self.links:
            x = link.step(x, at)
        return x

    def see(self, x, at):
        """To the first link that looks at other pixels. Those before it pass the pixel on."""
        for link in self.links:
            link.see(x, at)
            if not stays_at_its_pixel(link):
                break
            x = link.step(x, at)

    def step_row(self, x, row):
        for link in self.links:
            x = link.step_row(x, row)
        return x


class Residual(Layer):
    """y = x + body(x), so dx = dy + (the body's backward of dy): the gradient has a way around the body."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def __call__(self, x):
        return x + self.body(x)

    def forward(self, x):
        return x + self.body.forward(x)

    def backward(self, dy, need_dx=True):
        dx_body = self.body.backward(dy, need_dx)
        return dy + dx_body if need_dx else None

    def step(self, x, at):
        return x + self.body.step(x, at)

    def see(self, x, at):
        self.body.see(x, at)


class Sum(Layer):
    """y = first(x) + second(x) + ...: layers side by side, so dx is the sum of their gradients."""

    def __init__(self, *terms):
        super().__init__()
        self.terms = list(terms)

    def __call__(self, x):
        return sum(term(x) for term in self.terms)

    def forward(self, x):
        return sum(term.forward(x) for term in self.terms)

    def backward(self, dy, need_dx=True):
        gradients = [term.backward(dy, need_dx) for term in self.terms]
        return sum(gradients) if need_dx else None

    def step(self, x, at):
        return sum(term.step(x, at) for term in self.terms)

    def see(self, x, at):
        for term in self.terms:
            term.see(x, at)


def stays_at_its_pixel(layer):
    """Whether each output depends on the input at its own pixel alone: it is Pointwise, or made of such layers.

    A layer that remembers pixels isn't; it has a `start` of its own.
    """
    if isinstance(layer, Pointwise):
        return True
    children = [child for _, child in layer.children()]
    if type(layer).start is not Layer.start or not (children or isinstance(layer, Chain)):  # an empty Chain stays too
        return False
    return all(map(stays_at_its_pixel, children))
