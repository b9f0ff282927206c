"""From gradients to better parameters: Adam, RMSProp, learning-rate schedules, gradient clipping, averaging of weights.

An optimizer walks over `model.parameters()` and keeps its state under the same dotted names; every update is in
place, so that replicas, which share the parameters, see it. A schedule is a pure function of the number
t = 1, 2, ... of the update, so there is nothing in it to save.
"""

import contextlib
import math

from tinyar.backend import fuse, xp


class Optimizer:
    """What all optimizers have in common: a learning rate, the number t of updates, a running mean for each parameter.

    lr is a number, or a schedule: a function of t. means: the names of the means. A subclass writes `step`.
    Raises ValueError for a negative lr or eps.
    """

    def __init__(self, model, lr, eps, means):
        if eps < 0 or (not callable(lr) and lr < 0):
            raise ValueError(f"lr and eps can't be negative, got lr={lr}, eps={eps}")
        self.model, self.lr, self.eps, self.t = model, lr, eps, 0
        self.means = {mean: {name: xp.zeros_like(param) for name, param, _ in model.parameters()} for mean in means}

    def learning_rate(self):
        """The learning rate of the latest update, or of the first while there was none."""
        return self.lr(max(self.t, 1)) if callable(self.lr) else self.lr

    def state(self):
        """Everything that the next step depends on: {"t": int, mean: {name: array}, ...}."""
        return {"t": self.t, **self.means}

    def load_state(self, state):
        """Go on from what `state` returned, on the device and in the number type of this optimizer.

        Raises ValueError for the state of another kind of optimizer, or of another model's.
        """
        if state.keys() != self.state().keys():
            raise ValueError(f"{type(self).__name__}: expected a state of {', '.join(self.state())}, "
                             f"got one of {', '.join(state)}")
        for mean, arrays in self.means.items():
            copy_arrays(state[mean], arrays)
        self.t = state["t"]


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980): steps of about the learning rate, whatever the scale of the gradients.

        m <- b1 m + (1 - b1) g             v <- b2 v + (1 - b2) g^2
        m_hat = m / (1 - b1^t)             v_hat = v / (1 - b2^t)
        param <- param - lr m_hat / (sqrt(v_hat) + eps)

    lr is a number, or a schedule: a function of t. eps stands outside the square root, after the bias correction,
    as in the paper. Raises ValueError for betas outside [0, 1) or a negative lr or eps.
    """

    def __init__(self, model, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas: expected two numbers in [0, 1), got {betas}")
        super().__init__(model, lr, eps, means=("m", "v"))
        self.betas = betas

    def step(self):
        """One update of every parameter by its gradient."""
        self.t += 1
        (b1, b2), m, v = self.betas, self.means["m"], self.means["v"]
        m_rate, v_scale = self.learning_rate() / (1 - b1 ** self.t), 1 / (1 - b2 ** self.t)
        for name, param, grad in self.model.parameters():
            adam_update(param, grad, m[name], v[name], b1, 1 - b1, b2, 1 - b2, m_rate, v_scale, self.eps)


@fuse
def adam_update(param, grad, m, v, b1, new_m, b2, new_v, m_rate, v_scale, eps):
    """Adam's formula for one parameter: m_hat times lr is m_rate m, v_hat is v_scale v."""
    m *= b1
    m += new_m * grad
    v *= b2
    v += new_v * grad * grad
    param -= m_rate * m / (xp.sqrt(v_scale * v) + eps)


class RMSProp(Optimizer):
    """RMSProp (Tieleman & Hinton 2012, Coursera "Neural networks for machine learning", lecture 6e):
    what the PixelRNN paper used.

        v <- decay v + (1 - decay) g^2     param <- param - lr g / (sqrt(v) + eps)

    Each gradient is divided by the root of the running mean of its square: Adam without m and without the bias
    correction, so that the first step is lr / sqrt(1 - decay) long, 3.2 lr, and later ones about lr. The lecture has
    no eps; it keeps a gradient of 0 from being divided by 0. lr is a number, or a schedule: a function of t. Raises
    ValueError for a decay outside [0, 1) or a negative lr or eps.
    """

    def __init__(self, model, lr=1e-3, decay=0.9, eps=1e-8):
        if not 0 <= decay < 1:
            raise ValueError(f"decay: expected a number in [0, 1), got {decay}")
        super().__init__(model, lr, eps, means=("v",))
        self.decay = decay

    def step(self):
        """One update of every parameter by its gradient."""
        self.t += 1
        v, decay, lr = self.means["v"], self.decay, self.learning_rate()
        for name, param, grad in self.model.parameters():
            rmsprop_update(param, grad, v[name], decay, 1 - decay, lr, self.eps)


@fuse
def rmsprop_update(param, grad, v, decay, new_v, lr, eps):
    """RMSProp's formula for one parameter."""
    v *= decay
    v += new_v * grad * grad
    param -= lr * grad / (xp.sqrt(v) + eps)


def constant(lr):
    """The same learning rate at every update."""
    return lambda t: lr


def exponential(lr, rate):
    """lr * rate^t: 0.999995 halves it every 138,629 updates."""
    return lambda t: lr * rate ** t


def cosine(lr, total, warmup=0, minimum=0.0):
    """A straight line up to lr over `warmup` updates, then half a cosine down to `minimum` at update `total`,
    and level from there.

    Raises ValueError unless 0 <= warmup < total.
    """
    if not 0 <= warmup < total:
        raise ValueError(f"cosine: expected 0 <= warmup < total, got warmup={warmup}, total={total}")

    def schedule(t):
        if t < warmup:
            return lr * t / warmup
        progress = min(1.0, (t - warmup) / (total - warmup))
        return minimum + (lr - minimum) * (1 + math.cos(math.pi * progress)) / 2
    return schedule


def global_norm(model):
    """sqrt(sum of g^2 over all gradients): a Python float, so a GPU is waited for."""
    return float(sum((grad * grad).sum(dtype=xp.float64) for _, _, grad in model.parameters())) ** 0.5


def clip_global_norm(model, limit):
    """Scale all gradients by min(1, limit / norm), so that their common norm is at most `limit`; returns the norm before.

    Where that isn't finite the gradients are left as they are. Raises ValueError unless limit > 0.
    """
    if not limit > 0:
        raise ValueError(f"clip_global_norm: expected a limit above 0, got {limit!r}")
    norm = global_norm(model)
    if math.isfinite(norm) and norm > limit:
        for _, _, grad in model.parameters():
            grad *= limit / norm
    return norm


class WeightAverage:
    """A running mean of the weights (Polyak averaging), which usually predicts better than the weights themselves.

        average <- d average + (1 - d) param        d = min(decay, (1 + t) / (10 + t))

    The average starts as the weights; d grows with t, so that an average over few updates isn't mostly the random
    start. Train with the weights, evaluate and draw inside `with average.applied():`.
    """

    def __init__(self, model, decay=0.999):
        if not 0 <= decay < 1:
            raise ValueError(f"WeightAverage: expected a decay in [0, 1), got {decay!r}")
        self.model, self.decay = model, decay
        self.restart()

    def restart(self):
        """Begin anew from the weights of this moment."""
        self.t = 0
        self.average = {name: param.copy() for name, param, _ in self.model.parameters()}

    def update(self):
        """Take the weights of this moment into the mean: once after every optimizer step."""
        self.t += 1
        d = min(self.decay, (1 + self.t) / (10 + self.t))
        for name, param, _ in self.model.parameters():
            average = self.average[name]
            average += (1 - d) * (param - average)

    @contextlib.contextmanager
    def applied(self):
        """Inside, the model's weights are the averages; afterwards they are as before."""
        weights = {name: param.copy() for name, param, _ in self.model.parameters()}
        try:
            self.copy_to_model()
            yield self.model
        finally:
            copy_arrays(weights, {name: param for name, param, _ in self.model.parameters()})

    def copy_to_model(self):
        """Make the averages the model's weights, for good."""
        copy_arrays(self.average, {name: param for name, param, _ in self.model.parameters()})

    def state(self):
        """{"t": int, "average": {name: array}}."""
        return {"t": self.t, "average": self.average}

    def load_state(self, state):
        """Go on from what `state` returned."""
        self.t = state["t"]
        copy_arrays(state["average"], self.average)


def copy_arrays(source, target):
    """Copy each array of the dict `source` into the array of that name in `target`, in place: the same names in both."""
    if source.keys() != target.keys():
        raise ValueError(f"names differ: {sorted(source.keys() ^ target.keys())[:5]}")
    for name, array in target.items():
        array[...] = xp.asarray(source[name])
