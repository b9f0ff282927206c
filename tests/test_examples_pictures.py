"""The pictures of the examples: what their headings, names of rows and colours say."""

import runpy
import sys

import numpy as np
import pytest
from PIL import Image

from test_examples import EXAMPLES
from tinyar import data
from tinyar.pictures import plotting

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def drawing():
    """The names in drawing.py."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
        return runpy.run_path(str(EXAMPLES / "drawing.py"))


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_unknown_has_a_colour_of_its_own(channels):
    images = RNG.integers(0, 5, (2, 3, 4, channels))
    mask = np.zeros((2, 3, 4, 1), bool)
    mask[0, 1, 2], mask[1, 2] = True, True
    picture = plotting.grid(np.ma.masked_array(images, np.broadcast_to(mask, images.shape)), 5, columns=1, gap=0)
    unknown = mask.reshape(6, 4)
    assert (picture[unknown] == plotting.UNKNOWN).all()
    np.testing.assert_array_equal(picture[~unknown], plotting.grid(images, 5, columns=1, gap=0)[~unknown])
    assert len(set(plotting.UNKNOWN)) == 3  # no grey


def test_rows_have_names_and_columns_headings_and_the_images_their_pixels(tmp_path):
    picture = plotting.grid(RNG.integers(0, 5, (6, 8, 8, 1)), 5, columns=3)
    grids = [(picture, {"image": 1, "drawn": 2})]
    plotting.save_grids(tmp_path / "bare.png", grids)
    plotting.save_grids(tmp_path / "named.png", grids, ["cat", "a longer name"])
    bare, named = read(tmp_path / "bare.png"), read(tmp_path / "named.png")
    tall, wide = 8 * len(picture), 8 * picture.shape[1]
    side = named.shape[1] - bare.shape[1]
    assert bare.shape == (40 + tall + 15, 15 + wide + 15, 3) and side > 60
    for found in (bare, named):
        np.testing.assert_array_equal(found[40:-15, -15 - wide:-15], plotting.enlarge(picture))
    dark = (named < 100).all(axis=2)
    above, left = dark[:40, 15 + side:], dark[40:, :15 + side]
    assert above[:, :wide // 3].any() and above[:, wide // 3:].any()  # over the first column, and the others
    assert left[:tall // 2].any() and left[tall // 2:-15].any() and not dark[:40, :15 + side].any()
    assert left[tall // 2:].sum() > 1.5 * left[:tall // 2].sum()  # the longer name stands in the second row


def test_names_may_have_any_letters(tmp_path):
    pictures = [(plotting.grid(np.zeros((2, 8, 8, 1), int), 2, columns=1), {"$x$ \N{GREEK SMALL LETTER PI}": 1})]
    names = "$\\frac{", "\u4e2d\u6587"  # no formula, and letters that the font lacks: neither an error nor a warning
    plotting.save_grids(tmp_path / "picture.png", pictures, names)
    assert len(read(tmp_path / "picture.png"))


def test_rows_of_classes_are_named(drawing):
    digits = data.load("digits")
    n, labels, real, layout = drawing["what_to_draw"](digits, 10, 64)
    assert (n, layout) == (100, {"columns": 10, "rows": [f"class {i}" for i in range(10)]})
    assert labels.tolist() == np.arange(10).repeat(10).tolist() and real.shape == (100, 8, 8, 1)
    layout = drawing["what_to_draw"](digits, 3, 64, ("cat", "dog", "a name of more than twenty letters"))[3]
    assert layout["rows"] == ["cat", "dog", "a name of more th..."]
    assert drawing["names_of"]([1, -1], None) == ["class 1", "no class"]


def test_a_class_without_images_is_unknown(drawing):
    digits = data.load("digits")
    real = drawing["rows_of_classes"](digits, 11)  # there is no eleventh
    assert np.ma.getmaskarray(real)[100:].all() and not np.ma.getmaskarray(real)[:100].any()
    picture = plotting.grid(real, 17, columns=10, gap=0)
    assert (picture[80:] == plotting.UNKNOWN).all()


def test_every_code_has_a_colour_of_its_own(drawing):
    codes = np.arange(512, dtype=np.uint16).reshape(2, 16, 16, 1)
    colors = drawing["colored"](codes, 512)
    assert colors.shape == (2, 16, 16, 3) and len(np.unique(colors.reshape(-1, 3), axis=0)) == 512
    assert (np.ptp(colors.reshape(-1, 3).astype(int), axis=1) > 50).all()  # none of them grey
    masked = drawing["colored"](np.ma.masked_array(codes, codes < 3), 512)
    assert np.ma.getmaskarray(masked).sum() == 9
