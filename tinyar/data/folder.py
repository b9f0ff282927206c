"""A folder of your own images: which files count, and what the label of each image is.

    find     .png, .jpg, .jpeg, .bmp, .gif and .webp in the folder and below it, by their names in alphabetical order;
             names that begin with a dot don't count
    label    where every image lies in a subfolder, the subfolders are the classes
    read     picture.py: turned upright, cropped to a square, resized

A file that can't be read is an error, and what is passed over is told: nothing is left out silently.
"""

import os
import pathlib

import numpy as np

from tinyar.data.errors import DataNotFoundError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def find_images(folder):
    """The paths of all images in a folder and below it, in an order that is the same on every system.

    Files with other suffixes and hidden ones are passed over. Errors: see files_below.
    """
    return [folder / path for path in files_below(folder) if path.name.lower().endswith(SUFFIXES)]


def passed_over(folder):
    """A few words on what find_images and class_names make no use of: an empty text if there is nothing."""
    files = files_below(folder)
    images = [path for path in files if path.name.lower().endswith(SUFFIXES)]
    other, nested = len(files) - len(images), any(len(path.parts) > 1 for path in images)
    words = [f"{other:,} file{'s' * (other > 1)} of other kinds passed over"] * (other > 0)
    if nested and class_names([folder / path for path in images], folder) is None:
        words.append("no classes, since not every image lies in one of several subfolders")
    return "; ".join(words)


def files_below(folder):
    """The paths of all files in a folder and below it, without hidden ones, relative to it, in alphabetical order.

    Links to folders are followed, with one exception: a link to a folder that it lies in itself would lead round in a
    circle, and all that is there is found without it.

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
                else:
                    found.append(pathlib.Path(entry.path).relative_to(folder))
    return sorted(found, key=pathlib.Path.as_posix)


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
