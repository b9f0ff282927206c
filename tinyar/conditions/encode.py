"""Labels and maps as one array, and the checks of them."""

import numpy as np

from tinyar.backend import NonFiniteError

NO_LABEL = -1  # the label of an image whose class isn't told


def check_condition(name, shape, images, channels, factor=None):
    """Raise ValueError, which begins with `name`, unless a condition of this shape fits images (batch, height, width).

    channels   the possible numbers of its channels
    factor     of grids of codes: how much finer the images are; None for conditions as fine as they, or 1x1
    """
    batch, height, width = images
    if not any(channels):
        raise ValueError(f"{name}: a condition was given, but this model is told none (classes=0, map_channels=0)")
    if len(shape) != 4 or shape[3] not in channels or not shape[3]:
        sides = "1 or height, 1 or width" if factor is None else f"height / {factor}, width / {factor}"
        raise ValueError(f"{name}: expected a condition (batch, {sides}, "
                         f"{' or '.join(map(str, sorted(channels)))}), got shape {shape}")
    fits = (shape[1] in (1, height) and shape[2] in (1, width) if factor is None
            else (factor * shape[1], factor * shape[2]) == (height, width))
    if shape[0] != batch or not fits:
        raise ValueError(f"{name}: the condition of {shape[0]} images, shape {shape}, "
                         f"doesn't fit {batch} images of {height} x {width}")


def encode(name, n, labels, maps, classes, map_channels, map_codes=0):
    """The condition of n images: float32 (n, 1 or height, 1 or width, classes + map_channels), on the host.

    labels   one class for all, or (n,): whole numbers 0 .. classes - 1, or NO_LABEL; None if none is known
    maps     (n, height, width, map_channels), or (n, 1, 1, map_channels) for a vector; with map_codes whole numbers
             0 .. map_codes - 1
    Returns None for a model without conditions. Raises ValueError, which begins with `name`, for what doesn't fit.
    """
    if labels is not None and not classes:
        raise ValueError(f"{name}: labels were given, but this model is not conditioned on classes (classes=0)")
    if maps is not None and not map_channels:
        raise ValueError(f"{name}: maps were given, but this model is not conditioned on maps (map_channels=0)")
    if maps is None and map_channels:
        raise ValueError(f"{name}: this model is conditioned on maps of {map_channels} channels, got none")
    parts, sides = [], (1, 1)
    if classes:
        labels = checked_labels(n, NO_LABEL if labels is None else labels, classes)
        parts.append((labels[:, None] == np.arange(classes)).astype(np.float32).reshape(n, 1, 1, classes))
    if map_channels:
        maps = checked_codes(name, maps, map_codes) if map_codes else np.asarray(maps, dtype=np.float32)
        if maps.ndim != 4 or maps.shape[0] != n or maps.shape[3] != map_channels:
            raise ValueError(f"{name}: maps: expected shape ({n}, height, width, {map_channels}), got {maps.shape}")
        if not np.isfinite(maps).all():
            raise NonFiniteError(f"{name}: maps: expected finite numbers, got infinities or NaN")
        parts.append(maps)
        sides = maps.shape[1:3]
    if not parts:
        return None
    return np.concatenate([np.broadcast_to(part, (n, *sides, part.shape[3])) for part in parts], axis=3)


def checked_codes(name, maps, codes):
    """Maps of codes as float32, which holds the numbers exactly; ValueError for what isn't one of the codes."""
    maps = np.asarray(maps)
    if maps.dtype.kind not in "iu" or (maps.size and not 0 <= maps.min() <= maps.max() < codes):
        found = f"{maps.min()} .. {maps.max()}" if maps.dtype.kind in "iu" and maps.size else maps.dtype
        raise ValueError(f"{name}: maps: expected codes, whole numbers 0 .. {codes - 1}, got {found}")
    return maps.astype(np.float32)


def checked_labels(n, labels, classes, name="labels"):
    """Labels as an array (n,), one label serving for all; or a ValueError that says what doesn't fit."""
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.shape not in ((), (n,)):
        raise ValueError(f"{name}: expected one whole number, or {n} of them, "
                         f"got shape {labels.shape} of {labels.dtype}")
    labels = np.broadcast_to(labels.astype(np.int64), (n,))
    wrong = labels[(labels < NO_LABEL) | (labels >= classes)]
    if wrong.size:
        raise ValueError(f"{name}: expected 0 .. {classes - 1}, or {NO_LABEL} for none, got {wrong[0]}")
    return labels
