"""One batch on all cores: data parallelism over threads.

NumPy lets go of Python's lock inside its kernels, so threads do run side by side. Each has a replica of the model:
the same parameters, gradients of its own. The batch is cut into micro-batches, and thread t takes micro-batches t,
t + threads, ...; at the end the gradients are added up, always in the same order. So results depend on the number
of threads only through rounding, and are equal bit for bit when it is the same. (One exception: a quantizer revives
dead codes by vectors that the first thread saw.)

Why micro-batches? Layers pass over their feature maps many times (multiply, add a bias, compare with 0, ...), and a
pass over a map that lies in the core's cache is several times faster than one over main memory. The maps of a whole
batch never fit: 128 images of 28x28 with 64 channels are 26 MB a map, and a core's cache (L2) is about 1 MB. So a
micro-batch has as many images as let two maps lie in the cache, the one read and the one written: here two images. Not
fewer, though, than LEAST_IMAGES, unless a thread would be idle: where the maps are small, or the work is a loop of many
steps, calling NumPy for each image costs more.

Ranks, further processes on this machine or on others, share a batch as further threads would: see ranks.py.

A GPU takes the whole batch in one piece, as far as its memory goes: see GPU_BYTES. Nothing needs to be fetched ahead of
a step there: CuPy copies host arrays by way of pinned memory of its own, without waiting, and as the loss is looked at
only now and then, the host is many updates ahead of the GPU.
"""

import contextlib
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyar.backend import default_threads, keep_freed_memory, on_gpu, one_blas_thread, to_device, use_device, xp
from tinyar.layers.attention import CausalAttention
from tinyar.layers.dropout import noise_told
from tinyar.layers.halving import HalvingConv2d
from tinyar.layers.recurrent import Recurrence
from tinyar.layers.strided import Conv2d
from tinyar.layers.weights import kernels_made_once
from tinyar.training.world import world

MOST_THREADS = 1024
CACHE_BYTES = 2 ** 20  # what a core's own cache holds on most machines of today
# On a GPU, of one feature map, and of a map with all taps of a kernel side by side: large enough to keep it busy, small
# enough for any card.
GPU_BYTES, GPU_BYTES_OF_TAPS = 2 ** 28, 2 ** 31
# A step of a recurrence costs as much for one image as for several; a strided convolution puts out small maps.
LEAST_IMAGES = {Recurrence: 8, Conv2d: 4}  # others: 2
# Networks on several grids, or with attention, have many layers with little to do. Threads wait for Python's lock then.
# So a micro-batch has at least this many pixels, even if a thread stays idle.
LEAST_PIXELS, MANY_SMALL_LAYERS = 4 * 28 * 28, (HalvingConv2d, CausalAttention)


class Workers:
    """A model and its replicas, one for each thread; use it as a context:
    `with Workers(model, threads) as workers:`.
    """

    def __init__(self, model, threads=None):
        self.threads = checked_threads(threads)
        self.model = model
        self.replicas = [model] + [model.replica() for _ in range(self.threads - 1)]

    def __enter__(self):
        keep_freed_memory()
        self.pool = ThreadPoolExecutor(self.threads, initializer=use_device)
        self.blas = one_blas_thread()
        self.blas.__enter__()
        return self

    def __exit__(self, *error):
        self.blas.__exit__(*error)
        self.pool.shutdown()

    def gradient(self, images, condition=None, inputs=None, noise=None):
        """Set model.grads to the gradient of the mean loss of the batch; returns that mean in float64, not fetched yet.

        images (batch, height, width, channels), integers on the host; condition as `model.condition` makes it, None
        for none; inputs, if given, are what the network sees in the images' place (scheduled_sampling.py); noise is
        (seed, update), of which dropout makes its masks; without it dropout refuses.
        """
        def work(replica, micro_batches):
            replica.zero_grads()
            total = 0.0
            told = noise_told(replica, *noise) if noise else contextlib.nullcontext(lambda place: None)
            with told as move_to, kernels_made_once(replica):
                for place, x, given, seen in micro_batches:
                    move_to(place)
                    outputs = replica.forward(x if seen is None else seen, *given)
                    loss, doutputs = replica.loss(outputs, x, weight=len(x) / len(images))
                    replica.backward(doutputs, need_dx=False)
                    total = total + loss
            return total

        totals = self.each(work, images, condition, inputs)
        for replica in self.replicas[1:len(totals)]:
            self.model.add_from(replica)
        loss = xp.zeros(1, dtype=xp.float64)
        for total in totals:
            loss += total
        world().sum([*self.model.addends(), loss])
        return loss[0]

    def measure(self, images, condition=None):
        """The mean of model.score over the images' sub-pixels, without gradients: a Python float,
        the sum taken in float64.
        """
        def work(replica, micro_batches):
            return [replica.score(x, *given) for _, x, given, _ in micro_batches]

        mine = float(sum(sum(sums) for sums in self.each(work, images, condition)))
        return sum(world().of_all(mine)) / images.size

    def each(self, work, images, condition, inputs=None):
        """The results of work(replica, its micro-batches), in the order of the threads; of those that have any.

        Micro-batches are dealt out to the ranks, then to the threads of each.

        A micro-batch is (place of its first image in the batch, images, [condition] or [], inputs or None), the arrays
        on the device.
        """
        ranks = world()
        size = micro_batch_size(self.model, images, ranks.size * self.threads)
        cuts = range(0, len(images), size)[ranks.rank::ranks.size]

        def micro_batches(thread):
            for i in cuts[thread::self.threads]:
                part, given, seen = (None if array is None else to_device(array[i:i + size])
                                     for array in (images, condition, inputs))
                yield i, part, [] if given is None else [given], seen

        threads = min(self.threads, len(cuts))
        if threads <= 1:  # 0 where there are more ranks than micro-batches
            return [work(self.model, micro_batches(0))]
        return list(self.pool.map(work, self.replicas[:threads], map(micro_batches, range(threads))))


def micro_batch_size(model, images, threads):
    """How many images at a time: two feature maps of the widest layer should fit into a core's cache,
    and no thread be idle. With MANY_SMALL_LAYERS they have at least LEAST_PIXELS, even if a thread stays idle.

    The scores of an attention's chunk count as a map. A GPU has other limits: as many as its memory holds, for small
    networks a training batch in one piece. There a convolution with weights (taps, in, out) makes taps * in numbers of
    each pixel, and taps * out in backward.
    """
    pixels = images.shape[1] * images.shape[2]
    widest = max((param.shape[-1] for _, param, _ in model.parameters() if param.ndim), default=1)
    scores = max((layer.scores_of_an_image(pixels) for _, layer in model.layers()
                  if isinstance(layer, CausalAttention)), default=0)
    map_bytes = 4 * max(pixels * widest, scores)
    taps = max((param.size // min(param.shape[-2:]) for _, param, _ in model.parameters() if param.ndim > 1), default=1)
    most = CACHE_BYTES // (2 * map_bytes)
    if on_gpu:
        most = min(GPU_BYTES // map_bytes, GPU_BYTES_OF_TAPS // (4 * pixels * taps))
    least = max((LEAST_IMAGES[kind] for _, layer in model.layers() for kind in LEAST_IMAGES if isinstance(layer, kind)),
                default=2)
    size = min(-(-len(images) // threads), max(least, most))
    if not on_gpu and any(isinstance(layer, MANY_SMALL_LAYERS) for _, layer in model.layers()):
        size = max(size, min(len(images), -(-LEAST_PIXELS // pixels)))
    return size


def checked_threads(threads):
    """The number of threads to use: for None this rank's share of the machine. Raises ValueError for less than 1."""
    if threads is None:
        threads = default_threads()
        if not os.environ.get("TINYAR_THREADS"):  # which says how many are for each rank
            threads = min(MOST_THREADS, world().share_of(threads))
    if not isinstance(threads, (int, np.integer)) or not 1 <= threads <= MOST_THREADS:
        raise ValueError(f"threads: expected a whole number of at least 1 (and at most {MOST_THREADS:,}), "
                         f"got {threads!r}")
    return int(threads)
