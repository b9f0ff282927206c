"""The second stage of a VQ-VAE: images as grids of codes, learned by an autoregressive prior, drawn, and decoded.

    autoencoder    image -> codes -> image          tinyar.models.VQVAE
    prior          p(codes), pixel by pixel         tinyar.models.PixelCNN(levels=K, one_hot=True)
    generation     codes drawn from the prior, painted by the decoder

A VQ-VAE-2 has two grids, and so two priors: p(top, bottom | class) = p(top | class) p(bottom | top, class). The second
is told the whole top grid: a model with map_codes, GatedPixelCNN(levels=K, one_hot=True, map_codes=K).

Codes only mean something to the autoencoder that made them: K numbers without an order. So whatever holds codes, or
has learned them, remembers the checksum of its autoencoder, and is refused with any other.
"""

import hashlib
import json
import math

import numpy as np

from tinyar.backend import to_host
from tinyar.data import Dataset, Split
from tinyar.data.archive import Archive, CheckpointError, digest
from tinyar.data.atomic import atomic_write
from tinyar.sampling import sample
from tinyar.training.world import world

IMAGES_AT_ONCE = 100
OTHER_SEED = 2 ** 40  # between the seeds of top and bottom codes: equal ones would draw them by equal random numbers
SPLITS = "train", "validation", "test"


def checksum(model):
    """SHA-256 of all parameters and states of a model, with their names."""
    found = hashlib.sha256()
    for name, array in model.arrays():
        found.update(name.encode())
        found.update(np.ascontiguousarray(to_host(array)))
    return found.hexdigest()


def extract(autoencoder, images):
    """The codes of images (N, height, width, channels): uint16 (N, rows, columns, 1); of a VQ-VAE-2 (top, bottom)."""
    if not len(images):
        raise ValueError("extract: expected at least one image, got none")
    found = [autoencoder.codes_of(images[i:i + IMAGES_AT_ONCE]) for i in range(0, len(images), IMAGES_AT_ONCE)]
    return tuple(map(np.concatenate, zip(*found))) if isinstance(found[0], tuple) else np.concatenate(found)


# -- codes as datasets -------------------------------------------------------------------------------------------------

def cached_dataset(path, autoencoder, dataset):
    """A Dataset of codes with the splits of `dataset`, read from `path` if that file is of this autoencoder and data.

    Both are known by their content. Otherwise the codes are extracted and written there. Labels are kept. Raises
    ValueError for an autoencoder with several levels of codes.
    """
    found = cached_datasets(path, autoencoder, dataset)
    if len(found) > 1:
        raise ValueError(f"{type(autoencoder).__name__} has {len(found)} levels of codes: expected cached_datasets")
    return found[0]


def cached_datasets(path, autoencoder, dataset):
    """The same for every level of codes, a list, the coarsest first. The maps of a level are the coarser level's codes.

    One file holds them all. Maps are whole numbers, not one-hot vectors. Of several ranks, rank 0 does the work.
    """
    return world().of_first(lambda: read_or_extract(path, autoencoder, dataset))


def read_or_extract(path, autoencoder, dataset):
    """A Dataset of each level's codes, the coarsest first."""
    splits = dict(zip(SPLITS, (dataset.train, dataset.validation, dataset.test)))
    made_by = json.dumps([checksum(autoencoder), *(digest({"images": split.images}) for split in splits.values())])
    sizes = {level: quantizer.codes for level, quantizer in levels_of(autoencoder).items()}
    arrays = read(path, made_by, {level + name: (len(split), size) for level, size in sizes.items()
                                  for name, split in splits.items()})
    if arrays is None:
        arrays = {}
        for name, split in splits.items():
            found = extract(autoencoder, split.images)
            arrays |= {level + name: codes for level, codes in zip(sizes, found if len(sizes) > 1 else [found])}
        write(path, made_by, arrays)
    datasets, coarser = [], dict.fromkeys(SPLITS)
    for level, size in sizes.items():
        codes = {name: arrays[level + name] for name in SPLITS}
        rows, columns = codes["train"].shape[1:3]
        parts = [Split(codes[name], split.labels, maps=coarser[name]) for name, split in splits.items()]
        datasets.append(Dataset(f"{dataset.name}-{level.replace('_', '-')}codes", *parts, size,
                                f"{rows}x{columns} codes of {size} of {dataset.description}", dataset.class_names))
        coarser = codes
    return datasets


def levels_of(autoencoder):
    """{how the names of a level's arrays begin: its quantizer}, the coarsest first; "" where there is only one."""
    if not autoencoder.quantizers:
        raise ValueError(f"{type(autoencoder).__name__} has no codes: expected a tinyar.layers.VectorQuantizer in it")
    several = len(autoencoder.quantizers) > 1
    return {name.removeprefix("quantizer_") + "_" if several else "": quantizer
            for name, quantizer in autoencoder.quantizers.items()}


def write(path, made_by, arrays):
    """Write arrays of codes to a file, with what they were made by and their SHA-256."""
    texts = {"made_by": made_by, "digest": digest(arrays)}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, **{name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()})


def read(path, made_by, expected):
    """The arrays of codes in a file, {name: codes}; None if there is no such file, or one of other images or codes.

    expected is {name: (how many grids, how many codes there are)}. The file is only a cache: whatever is wrong with it,
    it is made anew.
    """
    try:
        with Archive(path, "file of codes") as archive:
            if archive.read("made_by").tobytes() != made_by.encode():
                return None
            arrays = {name: archive.read(name) for name in expected}
            written = archive.read("digest").tobytes()
    except (CheckpointError, OSError):
        return None
    fits = all(codes.dtype == np.uint16 and codes.ndim == 4 and codes.size and len(codes) == count
               and codes.max() < size for codes, (count, size) in zip(arrays.values(), expected.values()))
    grids = {(name.rpartition("_")[0], codes.shape[1:]) for name, codes in arrays.items()}  # of a level, all alike
    fits = fits and len(grids) == len(arrays) // len(SPLITS)
    return arrays if fits and written == digest(arrays).encode() else None


# -- drawing -----------------------------------------------------------------------------------------------------------

def about_prior(autoencoder, level=None):
    """What a prior's checkpoint must say of itself: whose codes it has learned, and of a VQ-VAE-2 at which level."""
    return {"autoencoder": checksum(autoencoder), "level": level}


def check_learned(prior_about, autoencoder, level=None):
    """Raise ValueError unless the prior, by what its checkpoint says, has learned this autoencoder's codes."""
    learned, given = prior_about.get("autoencoder"), checksum(autoencoder)
    if learned != given:
        raise ValueError("this prior has learned the codes of another autoencoder: expected one with checksum "
                         f"{given[:12]}..., got {str(learned)[:12]}...")
    if prior_about.get("level") != level:
        raise ValueError(f"expected the prior of the {level or 'only'} level, "
                         f"got that of the {prior_about.get('level') or 'only'} level")


def generate(autoencoder, prior, prior_about, n, grid, **options):
    """Draw n images: codes (grid = (rows, columns)) from the prior, decoded. Returns (images, codes), on the host.

    prior_about is what the prior's checkpoint says of itself; options go to tinyar.sampling.sample (temperature,
    seed, ...). Raises ValueError when the prior was trained on the codes of another autoencoder.
    """
    check_learned(prior_about, autoencoder)
    codes = sample(prior, n, grid, **options)
    return autoencoder.images_of(codes), codes


def generate_levels(autoencoder, top, bottom, n, grid, labels=None, **options):
    """Draw n images of a VQ-VAE-2: top codes (grid = (rows, columns)), then bottom codes told them, decoded.

    top and bottom are (prior, what its checkpoint says of itself). labels goes to both priors, where they take classes;
    options to both draws, as in `generate`. Returns (images, top codes, bottom codes), on the host.
    """
    check_learned(top[1], autoencoder, "top")
    top_codes = sample(top[0], n, grid, labels=labels if top[0].classes else None, **options)
    return generate_details(autoencoder, bottom, top_codes, labels, **options)


def generate_details(autoencoder, bottom, top_codes, labels=None, seed=0, **options):
    """The second half of generate_levels, for top codes (n, rows, columns, 1) that are known."""
    check_learned(bottom[1], autoencoder, "bottom")
    grid = 2 * top_codes.shape[1], 2 * top_codes.shape[2]
    bottom_codes = sample(bottom[0], len(top_codes), grid, maps=top_codes, seed=int(seed) + OTHER_SEED,
                          labels=labels if bottom[0].classes else None, **options)
    return autoencoder.images_of(top_codes, bottom_codes), top_codes, bottom_codes


# -- figures -----------------------------------------------------------------------------------------------------------

def frequencies(codes, levels):
    """How often each code is chosen, as probabilities, each counted once more than it was,
    so that none is 0: (levels). Raises ValueError for a code that isn't below levels.
    """
    if codes.size and codes.max() >= levels:
        raise ValueError(f"codes: expected 0 .. {levels - 1}, got {codes.max()}")
    counts = np.bincount(codes.reshape(-1), minlength=levels) + 1.0
    return counts / counts.sum()


def independent_nats(train_codes, codes, levels):
    """Nats per code when each is drawn by itself, by its frequency in the training codes: what a prior has to beat."""
    return float(-np.log(frequencies(train_codes, levels))[codes].mean())


def independent_draws(train_codes, n, levels, seed=0):
    """n grids of codes, each code drawn by itself from the frequencies of all training codes:
    uint16, as `extract` returns.
    """
    rng = np.random.default_rng(seed)
    p = frequencies(train_codes, levels)
    return rng.choice(levels, (n, *train_codes.shape[1:]), p=p).astype(np.uint16)


def bound(bits_given_codes, nats_per_code, image_shape, grid):
    """An upper bound of the bits per dimension of images: what they cost given the codes, and the codes themselves.

    bits_given_codes in bits per dimension, of an autoencoder with a likelihood; nats_per_code by a prior, or log(K) for
    none. With several levels of codes call it once for each, with the bound so far.
    """
    return bits_given_codes + nats_per_code / math.log(2) * math.prod(grid) / math.prod(image_shape)
