"""A picture file as a square of RGB pixels, in bounded memory.

    open     a PNG, JPEG, BMP, GIF, WebP, or AVIF, whatever its name says; of an animation the first frame
    bound    a picture that would take more than MOST_BYTES while it is decoded is refused: a PNG, GIF or BMP of more
             than 54 million pixels, a WebP or AVIF of 13.5 million, a progressive JPEG of 26 to 105 million. A JPEG of
             more than REDUCED_PIXELS is made smaller by 2, 4, or 8 while it is decoded, to no less than twice the size
             wanted, so another JPEG may have far more
    turn     as the orientation in its EXIF notes says; other notes don't matter (metadata.py)
    crop     the largest square in the middle
    flatten  what is transparent lies on white; grey, palettes and 16 bits become RGB with 8 bits. A BMP whose pixels
             are all transparent is opaque: its programs left the alpha byte unused
    resize   with Lanczos' filter, which averages when it makes images smaller, so that fine patterns don't turn into
             coarse ones (aliasing). An image of the right size keeps its pixels

The square is cut, flattened and narrowed in bands of some rows, since each of these makes a copy.
"""

import os
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from tinyar.data.formats import open_file
from tinyar.data.metadata import orientation, parts_of, pixels_of

MOST_BYTES = 216_000_000  # while a picture is decoded: 54 million pixels of 4 bytes
MOST_FILE_BYTES = 2 ** 28  # a longer file isn't opened: some decoders read it whole
REDUCED_PIXELS = 2 ** 24  # a JPEG with more is reduced while it is decoded
BAND = 2 ** 20  # pixels
BYTES_A_PIXEL = {"PNG": 4, "GIF": 4, "BMP": 4, "JPEG": 4, "WEBP": 16, "AVIF": 16}  # what Pillow takes, measured

# The turn for each orientation of EXIF, and which axes of the file it mirrors.
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}
MIRRORS_COLUMNS, MIRRORS_ROWS = (2, 3, 7, 8), (3, 4, 6, 7)


def read_image(path, size):
    """Read an image as (size, size, 3) uint8, R, G, B. Raises ValueError with the file's name where that fails."""
    try:
        with warnings.catch_warnings(), open_file(path) as file:
            warnings.simplefilter("ignore")  # Pillow's, of notes and large pictures: what matters is checked here
            length = os.fstat(file.fileno()).st_size
            if length > MOST_FILE_BYTES:
                raise ValueError(f"{length:,} bytes, expected at most {MOST_FILE_BYTES:,}")
            parts = parts_of(file)
            Image.init()  # has Pillow find out what it can open: AVIF isn't always there
            known = [kind for kind in BYTES_A_PIXEL if kind in Image.OPEN]
            with pixels_of(file, parts) as pixels, Image.open(pixels, formats=known) as picture:
                turn = orientation(parts.exif or picture.info.get("exif", b""),
                                   parts.xmp or picture.info.get("xmp", b""))
                _bound(picture, parts.held, size)
                return np.asarray(_square(picture, turn, size))
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: can't be read as an image (none of {', '.join(BYTES_A_PIXEL)})") from error
    except Exception as error:  # the decoders raise whatever a damaged file provokes: SyntaxError, IndexError, ...
        reason = str(error).removeprefix(f"{path}: ") or type(error).__name__
        raise ValueError(f"{path}: can't be read as an image ({reason})") from error


def _bound(picture, held, size):
    """Raise ValueError for a picture that takes too much memory; have a large JPEG reduced while it is decoded.

    held: bytes a pixel that the decoder needs beside the pixels.
    """
    kind, (width, height) = picture.format.replace("MPO", "JPEG"), picture.size  # MPO: a JPEG with more behind it
    if kind == "JPEG" and width * height > REDUCED_PIXELS:
        picture.draft(None, (2 * size, 2 * size))
    taken = int(BYTES_A_PIXEL[kind] * picture.width * picture.height + held * width * height)
    if taken > MOST_BYTES:
        raise ValueError(f"{width} x {height} = {width * height:,} pixels, which take {taken:,} bytes to decode; "
                         f"expected at most {width * height * MOST_BYTES // taken:,} in this kind of {kind} file")


def _square(picture, turn, size):
    """The largest square in the middle of the turned picture, (size, size), RGB.

    The filter works on columns and rows one after the other, so that the columns can be done band by band.
    """
    width, height = picture.size if turn < 5 else picture.size[::-1]
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    picture.load()
    opaque = picture.format == "BMP" and picture.mode == "RGBA" and picture.getbbox() is None
    narrow = Image.new("RGB", (size, side))
    step = max(1, BAND // side)
    for row in range(0, side, step):
        rows = min(step, side - row)
        band = _turned_crop(picture, turn, left, top + row, left + side, top + row + rows)
        narrow.paste(_flatten(band, opaque).resize((size, rows), Image.Resampling.LANCZOS), (0, row))
    return narrow.resize((size, size), Image.Resampling.LANCZOS)


def _turned_crop(picture, turn, left, top, right, bottom):
    """The part of the turned picture between these edges: the right part of the picture as it lies, turned."""
    if turn >= 5:
        left, top, right, bottom = top, left, bottom, right
    if turn in MIRRORS_COLUMNS:
        left, right = picture.width - right, picture.width - left
    if turn in MIRRORS_ROWS:
        top, bottom = picture.height - bottom, picture.height - top
    part = picture.crop((left, top, right, bottom))
    return part if turn == 1 else part.transpose(TURNS[turn])


def _flatten(image, opaque):
    """An image of any kind as RGB, on white where it is transparent; `opaque`: it isn't, whatever its alpha says."""
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would cut off at 255 instead of dividing
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if opaque or (image.mode in ("L", "RGB") and "transparency" not in image.info):
        return image.convert("RGB")
    image = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")
