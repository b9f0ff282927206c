"""Adam and RMSProp: steps from gradients to better parameters.

An optimizer walks over `model.parameters()` and keeps its state under the same dotted names; every update is in
place, so that replicas, which share the parameters, see it.
"""

from tinyar.backend import fuse, xp
from tinyar.optim.arrays import check_arrays, check_count_of_updates, copy_arrays


class Optimizer:
    """What all optimizers have in common: a learning rate, the number t of updates, a running mean for each parameter.

    lr is a number, or a schedule: a function of t. means: the names of the means. A subclass writes `step`, and begins
    it with self.t += 1.
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
        """Everything that the next step depends on: {"t": int, mean: {name: array}, ...}.

        The arrays are the optimizer's own, which its steps move: save them, or copy them.
        """
        return {"t": self.t, **self.means}

    def check_state(self, state):
        """Raise ValueError for the state of another kind of optimizer, or of another model's."""
        if state.keys() != self.state().keys():
            raise ValueError(f"{type(self).__name__}: expected a state of {', '.join(self.state())}, "
                             f"got one of {', '.join(state)}")
        check_count_of_updates(state["t"])
        for mean, arrays in self.means.items():
            check_arrays(state[mean], arrays)

    def load_state(self, state):
        """Go on from what `state` returned, on the device and in the number type of this optimizer."""
        self.check_state(state)
        for mean, arrays in self.means.items():
            copy_arrays(state[mean], arrays)
        self.t = state["t"]


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, arXiv 1412.6980): steps of about the learning rate, whatever the scale of the gradients.

        m <- b1 m + (1 - b1) g             v <- b2 v + (1 - b2) g^2
        m_hat = m / (1 - b1^t)             v_hat = v / (1 - b2^t)
        param <- param - lr m_hat / (sqrt(v_hat + eps_root) + eps)

    lr is a number, or a schedule: a function of t. eps stands outside the square root, after the bias correction,
    as in the paper. eps_root, inside the root, is usually 0. PixelCNN++ has 1e-8 there and no eps. That damps the steps
    of gradients far below sqrt(eps_root) = 1e-4. Its loss is the sum over a batch; with the mean over N sub-pixels, as
    here, the same steps have eps_root = 1e-8 / N^2. One of the two must be above 0 where a gradient may be exactly 0:
    else it is 0 / 0. Raises ValueError for betas outside [0, 1) or a negative lr or eps.
    """

    def __init__(self, model, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, eps_root=0.0):
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas: expected two numbers in [0, 1), got {betas}")
        if eps_root < 0:
            raise ValueError(f"eps_root can't be negative, got {eps_root}")
        super().__init__(model, lr, eps, means=("m", "v"))
        self.betas, self.eps_root = betas, eps_root

    def step(self):
        """One update of every parameter by its gradient."""
        self.t += 1
        (b1, b2), m, v = self.betas, self.means["m"], self.means["v"]
        m_rate, v_scale = self.learning_rate() / (1 - b1 ** self.t), 1 / (1 - b2 ** self.t)
        for name, param, grad in self.model.parameters():
            adam_update(param, grad, m[name], v[name], b1, 1 - b1, b2, 1 - b2, m_rate, v_scale, self.eps, self.eps_root)


@fuse
def adam_update(param, grad, m, v, b1, new_m, b2, new_v, m_rate, v_scale, eps, eps_root):
    """Adam's formula for one parameter: m_hat times lr is m_rate m, v_hat is v_scale v."""
    m *= b1
    m += new_m * grad
    v *= b2
    v += new_v * grad * grad
    param -= m_rate * m / (xp.sqrt(v_scale * v + eps_root) + eps)


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
