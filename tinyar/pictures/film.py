"""Films of images being drawn: animated GIFs."""

import math

import numpy as np
from PIL import Image

from tinyar.data.atomic import atomic_write
from tinyar.pictures.plotting import check_whole, checked_images, checked_name, enlarge, grid


class Film:
    """Watches images being drawn and makes an animated GIF of it.

        film = Film(levels=2)
        sample(model, 16, (28, 28), watch=film.watch)
        film.save("drawing.gif")

    levels    of the images, as for `grid`
    every     a frame for every so many pixels, and one for the last; None for about 80 frames

    A drawing that starts anew starts the film anew. Raises ValueError for bad levels, every, images or seconds.
    """

    def __init__(self, levels, every=None):
        self.levels = check_whole("levels", levels, least=2)
        self.every = None if every is None else check_whole("every", every, least=1)
        self.frames = []

    def watch(self, row, col, images):
        """The hook for `tinyar.sampling.sample`: images (N, height, width, channels), drawn up to pixel (row, col)."""
        _, height, width, _ = images.shape
        done, total = row * width + col + 1, height * width
        if done == 1:
            self.frames = []
        if done % (self.every or -(-total // 80)) == 0 or done == total:
            self.frames.append(checked_images(images, self.levels).copy())

    def save(self, path, seconds=4):
        """Write the GIF: the drawing takes about `seconds`, the finished images stay for 2 more, and again."""
        if not self.frames:
            raise ValueError("the film is empty: pass film.watch to sample(..., watch=film.watch) first")
        if not 0 < seconds < math.inf:
            raise ValueError(f"seconds: expected a number above 0, got {seconds!r}")
        pictures = [Image.fromarray(enlarge(grid(frame, self.levels))) for frame in self.frames]
        if self.frames[0].shape[3] == 1:
            pictures = [picture.convert("L") for picture in pictures]
        else:  # a GIF holds 256 colours: those of the finished images, and of what isn't drawn yet
            palette = Image.fromarray(np.concatenate([grid(self.frames[i], self.levels) for i in (0, -1)])).quantize()
            pictures = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
        pause = max(20, round(1000 * seconds / len(pictures), -1))  # in ms; GIF counts tens, viewers want two
        with atomic_write(checked_name(path, ".gif")) as temporary:
            pictures[0].save(temporary, format="GIF", save_all=True, append_images=pictures[1:], loop=0,
                             duration=[pause] * (len(pictures) - 1) + [2000])
