"""Kinds of options: each turns a text on the command line into a value, or says what was expected."""

import argparse
import math
import os
import pathlib

# Limits, beyond which nothing sensible lies: numbers a pixel in a layer (published networks have up to 256), images to
# draw in one picture.
MOST_CHANNELS, MOST_DRAWN = 1024, 4096


def up_to(most, least=1):
    """A kind of option: a whole number from `least` to `most`."""
    def whole_number(text):
        if not text.isdecimal() or len(text) > 20 or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least} (and at most {most:,}), "
                                             f"got {text!r:.60}")
        return int(text)
    return whole_number


whole, natural = up_to(1_000_000), up_to(2 ** 63 - 1, least=0)


def odd(text):
    """The size of a kernel that has a centre."""
    size = up_to(255, least=3)(text)
    if size % 2 == 0:
        raise argparse.ArgumentTypeError(f"expected an odd number, so that the kernel has a centre, got {size}")
    return size


def above_0(most, least=0):
    """A kind of option: a number above 0, from `least` to `most`."""
    def positive(text):
        value = number(text)
        if not (0 < value <= most and least <= value):
            limits = f"from {least:g} to {most:,}" if least else f"at most {most:,}"
            raise argparse.ArgumentTypeError(f"expected a number above 0 (and {limits}), got {text!r:.60}")
        return value
    return positive


positive, rate, temperature = above_0(1_000_000), above_0(10), above_0(1000, least=0.001)


def share(text):
    """A number from 0 to 1."""
    value = number(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r:.60}")
    return value


def share_below_1(text):
    """A number from 0 to below 1."""
    value = share(text)
    if value == 1:
        raise argparse.ArgumentTypeError("expected a number from 0 to below 1, got 1")
    return value


def number(text):
    """A number; NaN for any other text."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def some_name(text):
    """Any text but an empty one."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a name, got {text!r}")
    return text


def path(text):
    """The name of a file or folder. In it ~ is the home folder, even where the shell leaves it: in --out=~/x."""
    expanded = os.path.expanduser(some_name(text))
    if expanded.startswith("~"):
        raise argparse.ArgumentTypeError(f"there is no home folder {pathlib.PurePath(expanded).parts[0]!r}")
    return expanded


class ByData:
    """A default that is another one for digits: few images need many updates, and overfit soon.

    `arguments.load_data` puts the one that fits in its place.
    """

    def __init__(self, default, digits):
        self.default, self.digits = default, digits

    def __repr__(self):
        return f"{self.default}; {self.digits} for digits"
