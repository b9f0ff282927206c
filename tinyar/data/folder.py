"""A folder of your own images: which files count, how each becomes a square of RGB pixels, and what its label is.

    find     .png, .jpg, .jpeg, .bmp, .gif and .webp in the folder and below it, by their names in alphabetical order;
             names that begin with a dot don't count
    turn     as a camera's EXIF note says
    crop     the largest square in the middle
    flatten  what is transparent lies on white; grey, palettes and 16 bits become RGB with 8 bits
    resize   with Lanczos' filter, which averages when it makes images smaller, so that fine patterns don't turn into
             coarse ones (aliasing). An image of the right size keeps its pixels

Of an animation the first frame is taken. A file that can't be read is an error: nothing is left out silently.
"""

import os
import pathlib

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def find_images(folder):
    """The paths of all images in a folder and below it, in an order that is the same on every system.

    Raises OSError for a subfolder that can't be read. Links to folders aren't followed.
    """
    def refuse(error):
        raise error

    found = [pathlib.Path(parent, name).relative_to(folder)
             for parent, _, names in os.walk(folder, onerror=refuse)
             for name in names if name.lower().endswith(SUFFIXES)]
    return [folder / path for path in sorted(found, key=pathlib.Path.as_posix)
            if not any(part.startswith(".") for part in path.parts)]


def classes_of(paths, folder):
    """The label of each image, (N,) whole numbers, or None where the images aren't sorted into classes.

    They are when every image lies directly in a subfolder of `folder`, and there are two such subfolders or more. The
    subfolders, in alphabetical order, are classes 0, 1, ...
    """
    names = [path.relative_to(folder).parts[:-1] for path in paths]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    if len(numbers) < 2 or any(len(name) != 1 for name in numbers):
        return None
    return np.array([numbers[name] for name in names], np.min_scalar_type(len(numbers) - 1))


def read_image(path, size):
    """Read an image as (size, size, 3) uint8, R, G, B. Raises ValueError with the file's name where that fails."""
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = _flatten(image.crop((left, top, left + side, top + side)))
            return np.asarray(image.resize((size, size), Image.Resampling.LANCZOS))
    except Exception as error:  # the decoders raise whatever a damaged file provokes: SyntaxError, IndexError, ...
        raise ValueError(f"{path}: can't be read as an image ({error})") from error


def _flatten(image):
    """An image of any kind as RGB, on white where it is transparent."""
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would cut off at 255 instead of dividing
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
