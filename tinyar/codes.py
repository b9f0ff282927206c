"""The second stage of a VQ-VAE: images as grids of codes, learned by an autoregressive prior, drawn, and decoded.

    autoencoder    image -> codes -> image          tinyar.models.VQVAE
    prior          p(codes), pixel by pixel         tinyar.models.PixelCNN(levels=K, one_hot=True)
    generation     codes drawn from the prior, painted by the decoder

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

IMAGES_AT_ONCE = 100
SPLITS = "train", "validation", "test"


def checksum(model):
    """SHA-256 of all parameters and states of a model, with their names."""
    found = hashlib.sha256()
    for name, array in model.arrays():
        found.update(name.encode())
        found.update(np.ascontiguousarray(to_host(array)))
    return found.hexdigest()


def extract(autoencoder, images):
    """The codes of images (N, height, width, channels): uint16 (N, rows, columns, 1)."""
    return np.concatenate([autoencoder.codes_of(images[i:i + IMAGES_AT_ONCE])
                           for i in range(0, len(images), IMAGES_AT_ONCE)])


def cached_dataset(path, autoencoder, dataset):
    """A Dataset of codes with the splits of `dataset`, read from `path` if that file is of this autoencoder and data.

    Both are known by their content. Otherwise the codes are extracted and written there. Labels are kept.
    """
    splits = dataset.train, dataset.validation, dataset.test
    made_by = json.dumps([checksum(autoencoder), *(digest({"images": split.images}) for split in splits)])
    codes = read(path, made_by, autoencoder.quantizer.codes, [len(split) for split in splits])
    if codes is None:
        codes = [extract(autoencoder, split.images) for split in splits]
        write(path, made_by, codes)
    levels = autoencoder.quantizer.codes
    grid = f"{codes[0].shape[1]}x{codes[0].shape[2]}"
    return Dataset(f"{dataset.name}-codes", *(Split(part, split.labels) for part, split in zip(codes, splits)), levels,
                   f"{grid} codes of {levels} of {dataset.description}", dataset.class_names)


def write(path, made_by, codes):
    """Write the three arrays of codes to a file, with what they were made by and their SHA-256."""
    arrays = dict(zip(SPLITS, codes))
    texts = {"made_by": made_by, "digest": digest(arrays)}
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays, **{name: np.frombuffer(text.encode(), np.uint8) for name, text in texts.items()})


def read(path, made_by, levels, counts):
    """The three arrays of codes in a file; None if there is no such file, or one that isn't of these images and codes.

    It is only a cache: whatever is wrong with it, it is made anew.
    """
    try:
        with Archive(path, "file of codes") as archive:
            if archive.read("made_by").tobytes() != made_by.encode():
                return None
            codes = [archive.read(name) for name in SPLITS]
            written = archive.read("digest").tobytes()
    except (CheckpointError, OSError):
        return None
    fits = all(part.dtype == np.uint16 and part.ndim == 4 and part.shape[1:] == codes[0].shape[1:] and part.size
               and len(part) == count and part.max() < levels for part, count in zip(codes, counts))
    return codes if fits and written == digest(dict(zip(SPLITS, codes))).encode() else None


def check_learned(prior_about, autoencoder):
    """Raise ValueError unless the prior, by what its checkpoint says, has learned this autoencoder's codes."""
    learned, given = prior_about.get("autoencoder"), checksum(autoencoder)
    if learned != given:
        raise ValueError("this prior has learned the codes of another autoencoder: expected one with checksum "
                         f"{given[:12]}..., got {str(learned)[:12]}...")


def generate(autoencoder, prior, prior_about, n, grid, **options):
    """Draw n images: codes (grid = (rows, columns)) from the prior, decoded. Returns (images, codes), on the host.

    prior_about is what the prior's checkpoint says of itself; options go to tinyar.sampling.sample (temperature,
    seed, ...). Raises ValueError when the prior was trained on the codes of another autoencoder.
    """
    check_learned(prior_about, autoencoder)
    codes = sample(prior, n, grid, **options)
    return autoencoder.images_of(codes), codes


def frequencies(codes, levels):
    """How often each code is chosen, as probabilities, each counted once more than it was,
    so that none is 0: (levels).
    """
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

    bits_given_codes in bits per dimension, of a VQVAE with output="categorical"; nats_per_code by a prior, or
    log(K) for none.
    """
    return bits_given_codes + nats_per_code / math.log(2) * math.prod(grid) / math.prod(image_shape)
