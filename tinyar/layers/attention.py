"""Causal attention: each pixel looks at all earlier ones, and takes a weighted mean of what it finds there.

A convolution knows what is near. To know what is far away, many have to be stacked. Attention reaches any distance at
once. Each pixel asks a question, its query q_i. Each earlier pixel offers a key k_j and a value v_j. The better a key
fits the query, the more the value counts.

Pixels are numbered in raster order, 0 .. N - 1. q, k (N, key_channels), v and o (N, value_channels), for each image and
head (so here key_channels are those of one head):

    forward     s_ij = q_i . k_j / sqrt(key_channels)        the score of j < i: of strictly earlier pixels alone
                p_ij = exp(s_ij) / z_i                       z_i = sum over j < i of exp(s_ij)
                o_i  = sum over j < i of p_ij v_j            o_0 = 0, since nothing comes before the first pixel

    backward    dv_j  = sum over i > j of p_ij do_i
                dp_ij = do_i . v_j
                ds_ij = p_ij (dp_ij - do_i . o_i)            since d p_ij / d s_im = p_ij ((1 if j = m else 0) - p_im),
                                                             and sum over m of p_im dp_im = do_i . o_i
                dq_i  = sum over j < i of ds_ij k_j / sqrt(key_channels)
                dk_j  = sum over i > j of ds_ij q_i / sqrt(key_channels)

(Vaswani et al. 2017, "Attention is all you need", arXiv 1706.03762; for images Chen et al. 2018, "PixelSNAIL", arXiv
1712.09763. The code published with the latter divides by the sum of exp(s_ij - max) + 1e-6; here p is exact.)
"""

import numpy as np

from tinyar.backend import xp
from tinyar.layer import Layer
from tinyar.layers.pointwise import check_channels


class CausalAttention(Layer):
    """(q, k, v) -> o, all (batch, height, width, channels), with the forward and backward above.

        heads    the channels are cut into so many parts, and each of them attends for itself
        chunk    how many pixels i are treated at a time

    It has no parameters. As plain Python, for one image and one head:

        o = zeros((N, value_channels))
        for i in range(1, N):
            e = exp(k[:i] @ q[i] / sqrt(key_channels))
            o[i] = e / e.sum() @ v[:i]

    All p_ij are N^2 numbers an image, too many to keep. So pixels are treated in chunks: `chunk` rows of the matrix at
    a time, and of these only the columns of earlier pixels. forward keeps q, k, v, o and log z_i, and backward makes
    p_ij = exp(s_ij - log z_i) once more (Rabe & Staats 2021, arXiv 2112.05682). The greatest score of a row is taken
    off before exp, so that nothing overflows.

    Drawing. `step(q, at)` attends to the keys and values of the pixels before `at`, and `see(k, v, at)` sets those of a
    pixel. Raises ValueError for heads that don't divide both numbers of channels, and for counts below 1.
    """

    def __init__(self, key_channels, value_channels, heads=1, chunk=32):
        super().__init__()
        check_channels(self, key_channels, value_channels)
        for name, count in (("heads", heads), ("chunk", chunk)):
            if not isinstance(count, (int, np.integer)) or count < 1:
                raise ValueError(f"CausalAttention: {name} is a whole number of at least 1, got {count!r}")
        for name, channels in (("key_channels", key_channels), ("value_channels", value_channels)):
            if channels % heads:
                raise ValueError(f"CausalAttention: expected {name} that {heads} heads share evenly, got {channels}")
        self.key_channels, self.value_channels, self.heads, self.chunk = key_channels, value_channels, heads, chunk
        self.scale = float(heads / key_channels) ** 0.5  # 1 / sqrt(key channels of a head)

    # -- the whole image -----------------------------------------------------------------------------------------------

    def __call__(self, q, k, v):
        return self.attend(q, k, v)[0]

    def forward(self, q, k, v):
        o, log_z = self.attend(q, k, v)
        self.cache = q, k, v, o, log_z
        return o

    def attend(self, q, k, v):
        """o, and log z (batch, heads, pixels, 1)."""
        self.check(q, k, v)
        o = xp.zeros(v.shape, dtype=v.dtype)  # in C order, so that heads_of is a view into it
        q_heads, k_heads, v_heads, o_heads = map(self.heads_of, (q, k, v, o))
        log_z = xp.zeros((*q_heads.shape[:3], 1), dtype=q.dtype)
        for asking, earlier, mask in self.chunks(q):
            s = self.scores(q_heads[:, :, asking], k_heads[:, :, earlier], mask)
            most = s.max(axis=-1, keepdims=True)
            s -= most
            e = xp.exp(s, out=s)
            z = e.sum(axis=-1, keepdims=True)
            # o_i = sum_j e_ij v_j / z_i
            o_heads[:, :, asking] = xp.matmul(e, v_heads[:, :, earlier]) / z
            log_z[:, :, asking] = xp.log(z) + most
        return o, log_z

    def backward(self, do, need_dx=True):
        """(dq, dk, dv)."""
        q, k, v, o, log_z = self.take_cache()
        if not need_dx:
            return None
        dq, dk, dv = (xp.zeros(x.shape, dtype=x.dtype) for x in (q, k, v))
        q_heads, k_heads, v_heads, dq_heads, dk_heads, dv_heads, do_heads = map(
            self.heads_of, (q, k, v, dq, dk, dv, do))
        o_dot_do = self.heads_of(do * o).sum(axis=-1, keepdims=True)  # do_i . o_i
        for asking, earlier, mask in self.chunks(q):
            s = self.scores(q_heads[:, :, asking], k_heads[:, :, earlier], mask)
            s -= log_z[:, :, asking]
            p = xp.exp(s, out=s)
            # o_i = sum_j p_ij v_j
            dv_heads[:, :, earlier] += xp.matmul(p.swapaxes(2, 3), do_heads[:, :, asking])
            dp = xp.matmul(do_heads[:, :, asking], v_heads[:, :, earlier].swapaxes(2, 3))
            # p = softmax(s)
            ds = xp.subtract(dp, o_dot_do[:, :, asking], out=dp)
            ds *= p
            # s_ij = q_i . k_j scale
            dq_heads[:, :, asking] = xp.matmul(ds, k_heads[:, :, earlier])
            dk_heads[:, :, earlier] += xp.matmul(ds.swapaxes(2, 3), q_heads[:, :, asking])
        dq *= self.scale
        dk *= self.scale
        return dq, dk, dv

    def chunks(self, q):
        """Yield (asking, earlier, mask) for each chunk, from pixel 1 on.

        asking: a slice, the pixels i of the chunk; earlier: a slice, all j before its last one; mask: what is added to
        the scores of the last columns, the chunk's own pixels, -inf where j isn't before i.
        """
        pixels = q.shape[1] * q.shape[2]
        n = min(self.chunk, pixels)
        mask = xp.where(xp.arange(n - 1) < xp.arange(n)[:, None], 0, -float("inf")).astype(q.dtype)
        for start in range(1, pixels, n):
            stop = min(start + n, pixels)
            yield slice(start, stop), slice(0, stop - 1), mask[:stop - start, :stop - start - 1]

    def scores(self, q, k, mask):
        """s of some pixels i (batch, heads, i, j), -inf where j isn't earlier."""
        s = xp.matmul(q * self.scale, k.swapaxes(2, 3))
        s[..., s.shape[3] - mask.shape[1]:] += mask
        return s

    def heads_of(self, x):
        """x (batch, height, width, channels) as (batch, heads, pixels, channels of a head): of C order, a view."""
        return x.reshape(len(x), -1, self.heads, x.shape[-1] // self.heads).swapaxes(1, 2)

    def check(self, q, k, v):
        """Raise ValueError unless the three are images of one size, with the channels the layer was made for."""
        channels = self.key_channels, self.key_channels, self.value_channels
        if any(x.shape != (*q.shape[:3], count) for x, count in zip((q, k, v), channels)):
            raise ValueError(f"CausalAttention: expected images q, k, v of one size, with {channels} channels, "
                             f"got shapes {q.shape}, {k.shape}, {v.shape}")

    def scores_of_an_image(self, pixels):
        """How many scores a chunk has, for an image of so many pixels: what decides about memory."""
        return self.heads * min(self.chunk, pixels) * pixels

    # -- drawing, and looking ------------------------------------------------------------------------------------------

    def start(self, batch, height, width):
        """No pixel has a key yet."""
        self.width = width
        self.keys = self.heads_of(xp.zeros((batch, height, width, self.key_channels), dtype=self.dtype))
        self.values = self.heads_of(xp.zeros((batch, height, width, self.value_channels), dtype=self.dtype))

    def step(self, q, at):
        """o (batch, value_channels) at a pixel, from its query (batch, key_channels)."""
        i = at[0] * self.width + at[1]
        if i == 0:
            return xp.zeros((len(q), self.value_channels), dtype=q.dtype)
        p = self.weights(q.reshape(len(q), self.heads, -1), self.keys[:, :, :i])
        return xp.matmul(p[:, :, None], self.values[:, :, :i]).reshape(len(q), -1)

    def see(self, k, v, at):
        """Set key and value of a pixel, (batch, channels) each."""
        i = at[0] * self.width + at[1]
        self.keys[:, :, i], self.values[:, :, i] = (x.reshape(len(x), self.heads, -1) for x in (k, v))

    def weights(self, q, k):
        """p (batch, heads, j) of one pixel i > 0, from its query (batch, heads, channels) and the keys before it."""
        s = xp.matmul(k, q[..., None] * self.scale)[..., 0]
        p = xp.exp(s - s.max(axis=-1, keepdims=True))
        return p / p.sum(axis=-1, keepdims=True)

    def weights_at(self, q, k, at):
        """Where a pixel of images looks: p (batch, heads, height, width), 0 from the pixel itself on."""
        batch, height, width, _ = q.shape
        p, i = xp.zeros((batch, self.heads, height * width), dtype=q.dtype), at[0] * width + at[1]
        if i:
            p[..., :i] = self.weights(self.heads_of(q)[:, :, i], self.heads_of(k)[:, :, :i])
        return p.reshape(batch, self.heads, height, width)
