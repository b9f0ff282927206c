"""What weights that are given away say of themselves: their figures, how they were made, and what they draw.

    command, minutes, machine, date    how they were trained
    figures                            [{"of", "unit", "images", "value"}]: means over that many test images, spread
                                       evenly over all of them; "of" says what the model was told
    drawn                              a checksum of each of DRAWN images, by which the tests see whether the weights
                                       still draw the same; empty where nothing is drawn

Another processor rounds other sums. So it may draw another level where a random number falls between two roundings.
"""

import zlib

import numpy as np

from tinyar import codes, sampling

DRAWN = 10  # images
KINDS = {"command": str, "minutes": (int, float), "machine": str, "date": str, "figures": list, "drawn": list}
KINDS_OF_A_FIGURE = {"of": str, "unit": str, "images": int, "value": (int, float)}


def checked_statement(file, about):
    """What a checkpoint's `about` says was trained, None if it says nothing.

    Raises ValueError where it isn't what ship.py writes.
    """
    trained = about.get("trained")
    if trained is None:
        return None
    check_kinds(file, "trained", trained, KINDS)
    for figure in trained["figures"]:
        check_kinds(file, "figures", figure, KINDS_OF_A_FIGURE)
    return trained


def check_kinds(file, title, value, kinds):
    """Raise ValueError unless value is a dict with these keys, whose values are of these kinds."""
    if not isinstance(value, dict) or not all(isinstance(value.get(key), kind) for key, kind in kinds.items()):
        raise ValueError(f"{file}: {title}: expected a dict of {', '.join(kinds)}, got {value!r:.100}")


def print_statement(trained):
    """Print what is stated; nothing of None."""
    if trained:
        print("says:  " + "\n       ".join(words_of(figure) for figure in largest(trained["figures"])))
        print(f"       after {trained['minutes']:g} min on {trained['machine']}, {trained['date']}:\n"
              f"       {trained['command']}")


def largest(figures):
    """Those over the most images: the ones over a few are for tests."""
    most = max((figure["images"] for figure in figures), default=0)
    return [figure for figure in figures if figure["images"] == most]


def words_of(figure):
    """0.0985 bits/dim on 10,000 test images, told the class."""
    return (f"{figure['value']:.4f} {figure['unit']} on {figure['images']:,} test images"
            + f", {figure['of']}" * bool(figure["of"]))


def drawn_checksums(loaded):
    """A checksum of each of DRAWN images of levels, drawn by the weights that draw.load gives."""
    (model, about), *priors = loaded
    classes = (priors[0][0] if priors else model).classes
    labels = np.arange(DRAWN) % classes if classes else None
    if not about.get("image_shape"):
        raise ValueError(f"{about['file']} doesn't say how large its images were")
    height, width, _ = about["image_shape"]
    if priors:
        grid = height // model.stride, width // model.stride
        draw = codes.generate if len(priors) == 1 else codes.generate_levels
        images = draw(model, *(priors[0] if len(priors) == 1 else priors), DRAWN, grid, labels=labels)[0]
    else:
        images = sampling.sample(model, DRAWN, (height, width), labels=labels)
    return [f"{zlib.crc32(image.tobytes()):08x}" for image in images]
