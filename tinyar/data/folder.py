"""A folder of your own images: which files count, and what the label of each image is.

    find     .png, .jpg, .jpeg, .bmp, .gif and .webp in the folder and below it, by their names in alphabetical order;
             names that begin with a dot don't count
    label    where every image lies in a subfolder, the subfolders are the classes
    read     picture.py: turned upright, cropped to a square, resized

A file that can't be read is an error: nothing is left out silently.
"""

import os
import pathlib

import numpy as np

from tinyar.data.errors import DataNotFoundError
from tinyar.data.picture import read_image

__all__ = ["find_images", "class_names", "classes_of", "read_image"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def find_images(folder):
    """The paths of all images in a folder and below it, in an order that is the same on every system.

    Links to folders are followed, with one exception: a link to a folder that it lies in itself would lead round in a
    circle, and all that is there is found without it. Files with other suffixes and hidden ones are passed over.

    Raises OSError for a subfolder that can't be read, and DataNotFoundError for a link that leads nowhere: it may have
    been a class.
    """
    found, waiting = [], [(folder, frozenset([_identity(folder)]))]
    while waiting:
        parent, above = waiting.pop()  # above: this folder, and those it was reached through
        with os.scandir(parent) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_symlink() and not os.path.exists(entry.path):  # also of a link to itself
                    raise DataNotFoundError(f"{entry.path} is a link that leads nowhere")
                if entry.is_dir():
                    if (identity := _identity(entry.path)) not in above:
                        waiting.append((entry.path, above | {identity}))
                elif entry.name.lower().endswith(SUFFIXES):
                    found.append(pathlib.Path(entry.path).relative_to(folder))
    return [folder / path for path in sorted(found, key=pathlib.Path.as_posix)]


def _identity(folder):
    """What two paths to the same folder have in common."""
    state = os.stat(folder)
    return state.st_dev, state.st_ino


def class_names(paths, folder):
    """The names of the classes, a tuple, or None where the images aren't sorted into classes.

    They are when every image lies directly in a subfolder of `folder`, and there are two such subfolders or more. The
    subfolders, in alphabetical order, are classes 0, 1, ... So "10" comes before "2".
    """
    parents = [path.relative_to(folder).parts[:-1] for path in paths]
    names = sorted(set(parents))
    if len(names) < 2 or any(len(name) != 1 for name in names):
        return None
    return tuple(name for name, in names)


def classes_of(paths, folder):
    """The label of each image, (N,) whole numbers, the place of its subfolder in `class_names`; or None."""
    names = class_names(paths, folder)
    if names is None:
        return None
    numbers = {name: number for number, name in enumerate(names)}
    return np.array([numbers[path.parent.name] for path in paths], np.min_scalar_type(len(names) - 1))
