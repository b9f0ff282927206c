"""The heart of a VQ-VAE: each vector becomes the nearest of K learned codes, an image a grid of whole numbers.

    k_i = the k with the smallest |z_i - E_k|^2        e_i = E[k_i]

z_i is the feature vector of one position, E (codes, channels) the codebook. An argmin has no useful derivative. So the
decoder's gradient passes straight through, from e to z, as if the quantizer were the identity, and two losses see to
it that this isn't far from true: one pulls the codes to the vectors, the other the vectors to their codes. With sg
("stop gradient") for what counts as a constant, and means over all N positions and all channels,

    loss = mean |sg[z] - e|^2 + beta mean |z - sg[e]|^2

Source: van den Oord, Vinyals, Kavukcuoglu 2017, "Neural Discrete Representation Learning", arXiv 1711.00937. The paper
sums over channels where this takes means, as all public code does.
"""

import numpy as np

from tinyar.backend import to_device, to_host, xp
from tinyar.layer import Layer
from tinyar.layers.pointwise import as_rows, check_channels, check_last_axis, sum_rows

SCORES_AT_ONCE = 2 ** 22  # how many distances are held in memory at a time
MOST_CODES = 2 ** 16  # grids of codes are kept as uint16


class VectorQuantizer(Layer):
    """The nearest codes of z (..., channels), in the shape of z.

    forward     e_i = E[k_i],  codebook_loss = commitment_loss = mean (z - e)^2: one number, but two gradients
    backward    dz_i = dy_i + dloss beta 2 (z_i - e_i) / (N channels)
                dE_k = sum of  dloss 2 (e_i - z_i) / (N channels)  over all i with k_i = k; nothing of dy

    The layer has a second result, its own loss: after forward it is in the attribute `loss`, a mean over the vectors of
    that forward. dloss is the gradient by it, 1 unless a model puts the loss into a larger one (`tinyar.models.VQVAE`).

    learning="gradient": the codebook is a parameter, moved by dE. learning="ema": it is a state, moved by `update` once
    a batch; there is no dE, and no codebook loss in `loss`. With n_k vectors at code k in the batch, s_k their sum, the
    codes chosen from the codebook as it was before the update, and gamma = decay:

        N_k <- gamma N_k + (1 - gamma) n_k,  m_k <- gamma m_k + (1 - gamma) s_k        N_k = 1, m_k = E_k at first
        E_k <- m_k / Nhat_k,  Nhat_k = (N_k + eps) / (N + K eps) * N                   N = sum of all N_k

    N_k and m_k of a code that nobody uses shrink alike, so it stays where it is at first. With gamma = 0.99 eps
    outweighs N_k after about 1,000 updates, and the code goes to 0. Where n_k = 0 for all k nothing moves.

    Codes start uniform, with mean square 1 / channels; it is better to begin with the encoder's vectors: `start_from`.
    With revive_below > 0 every update ends by moving the codes whose N_k is below that share of the mean N_k (0.1:
    used a tenth as much as if all were used alike) to vectors that this layer's forward saw last (not its replicas'):
    `revive`, which waits for a GPU. N_k, state["counts"], is kept in both ways of learning; sums["counts"] is n_k,
    sums["squares"] the sum of all (z - e)^2.

    Raises ValueError for arguments out of range, and for a z with other channels.
    """

    def __init__(self, codes, channels, beta=0.25, learning="gradient", decay=0.99, eps=1e-5, revive_below=0.0,
                 rng=None):
        super().__init__()
        check_channels(self, channels)
        for name, value, fits, wanted in (
                ("codes", codes, isinstance(codes, (int, np.integer)) and 1 <= codes <= MOST_CODES,
                 f"a whole number from 1 to {MOST_CODES:,}"),
                ("beta", beta, beta >= 0, "at least 0"), ("decay", decay, 0 <= decay < 1, "in [0, 1)"),
                ("learning", learning, learning in ("gradient", "ema"), "'gradient' or 'ema'"),
                ("eps", eps, eps > 0, "above 0"), ("revive_below", revive_below, revive_below >= 0, "at least 0")):
            if not fits:
                raise ValueError(f"VectorQuantizer: {name} is {wanted}, got {value!r}")
        check_channels(self, codes, channels)
        self.codes, self.channels, self.beta, self.learning = codes, channels, float(beta), learning
        self.decay, self.eps, self.revive_below = float(decay), float(eps), float(revive_below)
        self.codebook_loss = self.commitment_loss = self.seen = None
        rng = rng or np.random.default_rng()
        limit = (3 / channels) ** 0.5
        codebook = rng.uniform(-limit, limit, (codes, channels))
        self.seed = int(rng.integers(2 ** 32))  # of start_from and revive
        self.state = {"counts": xp.ones(codes, dtype=xp.float32), "revived": xp.zeros(1, dtype=xp.float32)}
        self.sums = {"counts": xp.zeros(codes, dtype=xp.float32), "squares": xp.zeros(1, dtype=xp.float32)}
        if learning == "gradient":
            self.add_param("codebook", codebook)
        else:
            self.state["codebook"] = to_device(codebook, dtype=xp.float32)
            self.state["means"] = self.state["codebook"].copy()
            self.sums["sums"] = xp.zeros_like(self.state["codebook"])

    @property
    def codebook(self):
        """E (codes, channels)."""
        return self.params["codebook"] if self.learning == "gradient" else self.state["codebook"]

    @property
    def loss(self):
        """The layer's own loss at its last forward: codebook loss, if a gradient moves the codes, + beta commitment."""
        pull = self.beta * self.commitment_loss
        return self.codebook_loss + pull if self.learning == "gradient" else pull

    def mean_loss(self):
        """The layer's own loss over the whole batch, all of its micro-batches together, from the sums."""
        squares = self.sums["squares"][0] / (self.sums["counts"].sum() * self.channels)
        return squares * (self.beta + (self.learning == "gradient"))

    @property
    def revived(self):
        """How many codes were revived so far."""
        return int(self.state["revived"][0])

    # -- looking up ----------------------------------------------------------------------------------------------------

    def indices(self, z):
        """The numbers k (...) of the codes nearest to z (..., channels); of equally near ones, one of them."""
        check_last_axis(self, z, self.channels)
        return self.nearest(as_rows(z)).reshape(z.shape[:-1])

    def lookup(self, indices):
        """The codes (..., channels) of these numbers, whole ones from 0 to codes - 1; ValueError for any others."""
        indices = to_host(indices)
        if indices.dtype.kind not in "iu" or not ((indices >= 0) & (indices < self.codes)).all():
            raise ValueError(f"VectorQuantizer: expected whole numbers from 0 to {self.codes - 1}, got {indices}")
        return xp.take(self.codebook, to_device(indices), axis=0)

    def nearest(self, rows):
        """k (N) of rows (N, channels).

        |z - E_k|^2 = |z|^2 - 2 z E_k + |E_k|^2, and |z|^2 is the same for all k: one matrix product does it. In float32
        it goes wrong far from the origin, where the squares are large and their differences small. Distances stay when
        all is moved, so the mean of the codebook is moved to the origin first.
        """
        centre = self.codebook.mean(axis=0)
        centred = self.codebook - centre
        squares, slopes = (centred * centred).sum(axis=1), -2 * centred.T
        size = max(1, SCORES_AT_ONCE // self.codes)
        return xp.concatenate([(xp.matmul(rows[i:i + size] - centre, slopes) + squares).argmin(axis=1)
                               for i in range(0, len(rows), size)])

    def __call__(self, z):
        return xp.take(self.codebook, self.indices(z), axis=0)

    # -- learning ------------------------------------------------------------------------------------------------------

    def forward(self, z):
        k = self.indices(z).reshape(-1)
        rows = as_rows(z)  # (N, channels)
        e = xp.take(self.codebook, k, axis=0)
        difference = rows - e
        squares = (difference * difference).sum()
        self.codebook_loss = self.commitment_loss = squares / difference.size
        self.sums["squares"] += squares
        one_hot = (k[:, None] == xp.arange(self.codes)).astype(rows.dtype)  # (N, codes); its products add up by code
        self.sums["counts"] += sum_rows(one_hot)
        if self.learning == "gradient":  # the sums that dE needs are small; one_hot isn't
            self.cache = difference, xp.matmul(one_hot.T, difference)
        else:
            self.sums["sums"] += xp.matmul(one_hot.T, rows)
            self.cache = difference, None
        self.seen = rows if self.revive_below else None
        return e.reshape(z.shape)

    def backward(self, dy, need_dx=True, dloss=1.0):
        difference, difference_by_code = self.take_cache()  # z - e (N, channels); its sums (codes, channels)
        scale = float(dloss) * 2 / difference.size
        if self.learning == "gradient":
            # codebook loss = mean (sg[z] - e)^2
            self.grads["codebook"] -= scale * difference_by_code
        # y = e, taken for z; commitment loss = mean (z - sg[e])^2
        return dy + self.beta * scale * difference.reshape(dy.shape) if need_dx else None

    def update(self):
        """Move the running counts, and with them the codebook; not where no forward came before."""
        any_forward = self.sums["counts"].sum() > 0
        counts = self.decay * self.state["counts"] + (1 - self.decay) * self.sums["counts"]
        moved = {"counts": counts}
        if self.learning == "ema":
            means = self.decay * self.state["means"] + (1 - self.decay) * self.sums["sums"]
            total = xp.where(any_forward, counts.sum(), 1)
            smoothed = (counts + self.eps) / (total + self.codes * self.eps) * total  # Laplace's rule; the sum stays
            moved |= {"means": means, "codebook": means / smoothed[:, None]}
        for name, array in moved.items():  # in place, since replicas share the states
            self.state[name][...] = xp.where(any_forward, array, self.state[name])
        if self.seen is not None:
            self.revive(self.seen, self.revive_below * float(self.state["counts"].mean()))
            self.seen = None

    def start_from(self, z):
        """Make `codes` different vectors of z (..., channels), chosen at random, the codebook: once, before training.

        Vectors that agree to a thousandth of the spread count as one, or empty corners of images would take most codes.
        Where z has too few different ones they serve again, moved by noise of a hundredth of the spread.
        """
        check_last_axis(self, z, self.channels)
        rows, rng = to_host(as_rows(z)), np.random.default_rng(self.seed)
        if not rows.size or not np.isfinite(rows).all():
            raise ValueError(f"VectorQuantizer: can't start from vectors of shape {z.shape}: none, or not all finite")
        spread = float(rows.std(axis=0).mean()) or 1.0
        _, different = np.unique((rows / spread).round(3), axis=0, return_index=True)
        start = rows[np.resize(rng.permutation(different), self.codes)]
        start[len(different):] += 0.01 * spread * rng.standard_normal(start[len(different):].shape)
        self.codebook[...] = to_device(start, dtype=self.codebook.dtype)
        self.state["counts"][...] = 1
        if self.learning == "ema":
            self.state["means"][...] = self.codebook

    def revive(self, z, below):
        """Put each code whose running count N_k is under `below` on a random vector of z (..., channels), N_k = below.

        No more codes than there are vectors, those with the smallest counts first. N_k is in vectors a batch: N / codes
        if all are used alike. The moments of Adam belong to the optimizer and stay as they are.
        """
        check_last_axis(self, z, self.channels)
        rows, counts = as_rows(z), to_host(self.state["counts"])
        dead = np.argsort(counts, kind="stable")[:min(np.count_nonzero(counts < below), len(rows))]
        rng = np.random.default_rng([self.seed, self.revived])  # so no generator has to be saved
        chosen = rows[to_device(rng.choice(len(rows), len(dead), replace=False))]
        dead = to_device(dead)
        self.codebook[dead] = chosen
        self.state["counts"][dead] = below
        if self.learning == "ema":
            self.state["means"][dead] = below * chosen
        self.state["revived"] += len(dead)
