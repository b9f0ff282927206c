"""Pictures: right pixels, exact receptive fields, no half-written files, and clear refusals.

Arrays for plotting live on the host whatever the backend; only `receptive_field` and the masks touch a model.
"""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from tinyar.backend import to_host, xp
from tinyar.layers import Chain, Linear, MaskedConv2d, ReLU
from tinyar.models import VQVAE, PixelCNN
from tinyar.pictures import Film, plotting, receptive_fields
from tinyar.sampling import sample

RNG = np.random.default_rng(0)
DIGITS = RNG.integers(0, 17, (5, 8, 6, 1), dtype=np.uint8)
ROWS = [dict(epoch=epoch, train=0.3 / epoch, validation=0.1 + abs(epoch - 3))
        for epoch in range(1, 6)]


def read(path):
    """The picture in a file: (height, width, 3), uint8."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


# ---- grids and pictures ----------------------------------------------------------------------------------------------

def test_grid_puts_every_image_in_its_place():
    picture = plotting.grid(DIGITS, 17)
    assert picture.shape == (2 * 8 + 1, 3 * 6 + 2, 3) and picture.dtype == np.uint8
    shades = np.rint(DIGITS * (255 / 16)).astype(np.uint8)
    for i, image in enumerate(shades):
        top, left = i // 3 * 9, i % 3 * 7
        np.testing.assert_array_equal(picture[top:top + 8, left:left + 6], np.repeat(image, 3, axis=2))
    gaps = np.concatenate([picture[8].ravel(), picture[:, 6].ravel(), picture[:, 13].ravel()])
    assert set(gaps) == {plotting.GAP} == set(picture[9:, 14:].ravel())  # and the place of the sixth image is empty


def test_grid_keeps_colours_and_takes_columns_and_gap():
    images = RNG.integers(0, 4, (3, 2, 5, 3))
    picture = plotting.grid(images, 4, columns=1, gap=0)
    np.testing.assert_array_equal(picture, 85 * images.reshape(6, 5, 3))
    assert plotting.grid(images, 4, columns=2, gap=3).shape == (2 * 2 + 3, 2 * 5 + 3, 3)
    assert plotting.grid(images, 4, columns=7).shape == (2, 7 * 5 + 6, 3)  # more columns than images: a short row


def test_grid_of_two_levels_is_black_and_white():
    images = np.array([0, 1], np.uint8).reshape(1, 1, 2, 1)
    np.testing.assert_array_equal(plotting.grid(images, 2)[0, :, 0], [0, 255])


@pytest.mark.parametrize("images, levels, message", [
    (DIGITS[..., 0], 17, r"expected shape \(N, height, width, 1 or 3\).*got \(5, 8, 6\)"),
    (DIGITS.repeat(2, axis=3), 17, r"got \(5, 8, 6, 2\)"),
    (DIGITS[:0], 17, r"got \(0, 8, 6, 1\)"),
    (DIGITS / 16, 17, "expected integer levels, got float64"),
    (np.full((1, 2, 2, 1), 16), 16, r"expected levels 0 \.\. 15, got 16 \.\. 16"),
    (np.full((1, 2, 2, 1), -1), 16, r"expected levels 0 \.\. 15, got -1 \.\. -1"),
    (DIGITS, 1, "levels: expected a whole number of at least 2, got 1"),
    (DIGITS, 17.0, "levels: expected a whole number of at least 2, got 17.0"),
])
def test_bad_images_are_refused_by_name(tmp_path, images, levels, message):
    with pytest.raises(ValueError, match=message):
        plotting.grid(images, levels)
    with pytest.raises(ValueError, match=message):
        plotting.save_samples(tmp_path / "samples.png", images, images, levels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", [dict(columns=0), dict(columns=1.5), dict(gap=-1), dict(gap=True)])
def test_bad_columns_and_gaps_are_refused(option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}: expected a whole number"):
        plotting.grid(DIGITS, 17, **option)


@pytest.mark.parametrize("channels", [1, 3])
def test_saved_pictures_are_pixel_exact(tmp_path, channels):
    picture = RNG.integers(0, 256, (5, 7, channels), dtype=np.uint8)
    plotting.save_image(tmp_path / "one.png", picture, scale=1)
    np.testing.assert_array_equal(read(tmp_path / "one.png"), np.broadcast_to(picture, (5, 7, 3)))
    plotting.save_image(tmp_path / "new" / "folder" / "big.png", picture)
    big = read(tmp_path / "new" / "folder" / "big.png")
    assert big.shape == (40, 56, 3)  # small: 8 times as large
    for i, j in np.ndindex(8, 8):
        np.testing.assert_array_equal(big[i::8, j::8], np.broadcast_to(picture, (5, 7, 3)))


@pytest.mark.parametrize("side, expected", [(399, 798), (400, 400), (117, 468), (900, 900), (20, 160)])
def test_default_scale_reaches_400_pixels_but_not_more_than_8_times(tmp_path, side, expected):
    plotting.save_image(tmp_path / "picture.png", np.zeros((side, side + 1, 1), np.uint8))
    assert len(read(tmp_path / "picture.png")) == expected


@pytest.mark.parametrize("array", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8),
                                   np.zeros((4, 0, 3), np.uint8), np.zeros((4, 4, 3))])
def test_bad_pictures_are_refused(tmp_path, array):
    with pytest.raises(ValueError, match=r"expected a picture \(height, width, 1 or 3\) of uint8, got"):
        plotting.save_image(tmp_path / "picture.png", array)
    with pytest.raises(ValueError, match="scale: expected a whole number of at least 1, got 0"):
        plotting.save_image(tmp_path / "picture.png", np.zeros((4, 4, 3), np.uint8), scale=0)


def test_samples_stand_left_of_real_images_undistorted(tmp_path):
    samples, real = np.zeros((4, 8, 8, 1), np.uint8), np.ones((9, 8, 8, 1), np.uint8)
    samples[:, 3, 5] = 1
    plotting.save_samples(tmp_path / "samples.png", samples, real, 2)
    picture = read(tmp_path / "samples.png")
    left, right = (np.repeat(np.repeat(plotting.grid(images, 2), 8, axis=0), 8, axis=1) for images in (samples, real))
    np.testing.assert_array_equal(picture[40:40 + len(left), 15:15 + len(left)], left)
    start = 15 + len(left) + 15
    np.testing.assert_array_equal(picture[40:40 + len(right), start:start + len(right)], right)
    assert (picture[:40, :start] < 100).any() and (picture[:40, start:] < 100).any()  # both have a title


# ---- films -----------------------------------------------------------------------------------------------------------

def draw(film, finished):
    """Have the film watch the finished images appear pixel by pixel."""
    images = np.zeros_like(finished)
    for row, col in np.ndindex(finished.shape[1:3]):
        images[:, row, col] = finished[:, row, col]
        film.watch(row, col, images)


def frames_of(path):
    """(frames as RGB arrays, their durations in ms)"""
    with Image.open(path) as gif:
        frames, durations = [], []
        for i in range(gif.n_frames):
            gif.seek(i)
            frames.append(np.asarray(gif.convert("RGB")))
            durations.append(gif.info["duration"])
        assert gif.info["loop"] == 0
        return frames, durations


@pytest.mark.parametrize("channels", [1, 3])
def test_film_has_a_frame_for_every_so_many_pixels_and_the_last(tmp_path, channels):
    finished = RNG.integers(1, 3, (4, 5, 6, channels), dtype=np.uint8)  # no 0, so that no two frames are alike
    film = Film(levels=3, every=7)
    draw(film, finished)
    film.save(tmp_path / "film.gif", seconds=1)
    frames, durations = frames_of(tmp_path / "film.gif")
    assert len(frames) == 5  # after 7, 14, 21, 28 and all 30 pixels
    assert durations == [200, 200, 200, 200, 2000]
    for frame, done in zip(frames, (7, 14, 21, 28, 30)):
        images = np.where(np.arange(30).reshape(5, 6, 1) < done, finished, 0)
        np.testing.assert_array_equal(frame, plotting.grid(images, 3).repeat(8, axis=0).repeat(8, axis=1))


def test_film_of_a_drawing_ends_with_the_samples(tmp_path):
    film = Film(levels=4)
    model = PixelCNN(levels=4, channels=8, blocks=1, first_kernel=3, kernel_size=3)
    sample(model, 3, (4, 4), seed=1, watch=film.watch)
    images = sample(model, 3, (10, 9), watch=film.watch)  # a new drawing is a new film
    assert len(film.frames) == 45  # 90 pixels, two a frame: near 80 of them, never more
    film.save(tmp_path / "film.gif")
    frames, _ = frames_of(tmp_path / "film.gif")
    np.testing.assert_array_equal(frames[-1], plotting.grid(images, 4).repeat(8, axis=0).repeat(8, axis=1))


def test_film_of_16_large_digits_is_small(tmp_path):
    blobs = np.hypot(*(np.indices((28, 28)) - 14)) + RNG.random((16, 28, 28)) * 4
    film = Film(levels=256)
    draw(film, np.uint8(255 * (blobs < 9))[..., None])
    film.save(tmp_path / "film.gif")
    assert (tmp_path / "film.gif").stat().st_size < 300_000
    frames, durations = frames_of(tmp_path / "film.gif")
    assert frames[0].shape == (460, 460, 3) and 5800 <= sum(durations) <= 6200


def test_bad_films_are_refused(tmp_path):
    film = Film(levels=2)
    with pytest.raises(ValueError, match="the film is empty"):
        film.save(tmp_path / "film.gif")
    film.watch(0, 0, np.zeros((1, 1, 1, 1), np.uint8))
    for seconds in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="seconds: expected a number above 0"):
            film.save(tmp_path / "film.gif", seconds)
    with pytest.raises(ValueError, match=r"film.png': expected a file name that ends in \.gif"):
        film.save(tmp_path / "film.png")
    with pytest.raises(ValueError, match="every: expected a whole number of at least 1, got 0"):
        Film(levels=2, every=0)
    with pytest.raises(ValueError, match=r"expected levels 0 \.\. 1, got 2 \.\. 2"):
        film.watch(0, 0, np.full((1, 1, 1, 1), 2, np.uint8))
    assert not list(tmp_path.iterdir())


# ---- curves ----------------------------------------------------------------------------------------------------------

def drawn_figure(monkeypatch, save, *args):
    """The Figure that a save_... function makes."""
    figures = []
    monkeypatch.setattr(plotting, "save_figure", lambda path, figure: figures.append(figure))
    save("unused.png", *args)
    return figures[0]


def test_curve_shows_both_losses_and_the_best(monkeypatch):
    figure = drawn_figure(monkeypatch, plotting.save_curve, ROWS)
    axes = figure.axes[0]
    train, validation, best = axes.lines
    for line, key in ((train, "train"), (validation, "validation")):
        np.testing.assert_allclose(line.get_xydata(), [(row["epoch"], row[key]) for row in ROWS])
    np.testing.assert_allclose(best.get_xydata(), [(3, 0.1)])
    assert best.get_label() == "best validation: 0.1000 in epoch 3"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "bits/dim")


def test_curve_leaves_out_what_was_not_measured(monkeypatch):
    rows = [{**ROWS[0], "validation": None}, {**ROWS[1], "train": float("nan")}, ROWS[4]]
    lines = drawn_figure(monkeypatch, plotting.save_curve, rows).axes[0].lines  # train, validation, best
    assert [list(line.get_xdata()) for line in lines] == [[1, 5], [2, 5], [2]]
    without_validation = drawn_figure(monkeypatch, plotting.save_curve, rows[:1])
    assert len(without_validation.axes[0].lines) == 1


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1], [{**ROWS[0], "validation": None}]])
def test_curves_are_written(tmp_path, rows):
    plotting.save_curve(tmp_path / "curve.png", rows)
    assert read(tmp_path / "curve.png").shape == (450, 700, 3)


def test_bad_rows_are_refused(tmp_path):
    with pytest.raises(ValueError, match="rows: expected at least one epoch"):
        plotting.save_curve(tmp_path / "curve.png", [])
    with pytest.raises(ValueError, match="expected a key 'validation' in every row, got epoch, "):
        plotting.save_curve(tmp_path / "curve.png", [dict(epoch=1, train=0.5)])


# ---- masks -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mask_type, centre", [("A", 0), ("B", 1)])
def test_live_taps_are_those_before_the_centre(mask_type, centre):
    layer = MaskedConv2d(2, 3, 5, mask_type, rng=np.random.default_rng(0))
    layer.params["w"][1] = 0  # lives all the same
    before = to_host(layer.params["w"]).copy()
    expected = np.zeros(25)
    expected[:12], expected[12] = 1, centre
    expected = np.broadcast_to(expected.reshape(5, 5, 1, 1), (5, 5, 2, 3))
    np.testing.assert_array_equal(receptive_fields.live_pairs(layer), expected)
    np.testing.assert_array_equal(to_host(layer.params["w"]), before)


@pytest.mark.parametrize("mask_type, count", [("A", 63), ("B", 22 + 2 * 21 + 3 * 21)])
def test_live_pairs_of_a_colour_layer(mask_type, count):
    pairs = receptive_fields.live_pairs(MaskedConv2d(3, 64, 3, mask_type, colors=3))
    assert pairs[1, 1].sum() == count
    assert not pairs[1, 1, 2, :22].any()  # red never sees blue


def test_mask_picture_says_what_lives(monkeypatch):
    layers = {"first": MaskedConv2d(1, 4, 3, "A"), "colours": MaskedConv2d(3, 3, 3, "B", colors=3)}
    figure = drawn_figure(monkeypatch, receptive_fields.save_masks, layers)
    grey, colour = figure.axes
    assert [text.get_text() for text in grey.texts] == list("111100000") and grey.get_title() == "first"
    assert [text.get_text() for text in colour.texts] == list("11110000")
    assert colour.get_xlabel().startswith("0.67 of the channel pairs live at the centre")


def test_mask_pictures_are_written_or_refused(tmp_path):
    layers = {f"{k}{kind}": MaskedConv2d(6, 6, k, kind, colors=3) for k in (1, 7) for kind in "AB"}
    receptive_fields.save_masks(tmp_path / "masks.png", layers)
    assert 1000 < (tmp_path / "masks.png").stat().st_size < 300_000
    with pytest.raises(ValueError, match="'linear' is a Linear, expected a MaskedConv2d"):
        receptive_fields.save_masks(tmp_path / "other.png", {"linear": Linear(2, 3)})
    with pytest.raises(ValueError, match="layers: expected at least one"):
        receptive_fields.save_masks(tmp_path / "other.png", {})
    assert not (tmp_path / "other.png").exists()


# ---- receptive fields ------------------------------------------------------------------------------------------------

def reach(first_half, half, blocks, height, width, at):
    """By brute force, which pixels the output at `at` can depend on: all live taps followed back, layer by layer."""
    def back(seen, m, centre):
        before = np.zeros_like(seen)
        for row, col in zip(*np.nonzero(seen)):
            for i in range(max(0, row - m), row + 1):
                for j in range(max(0, col - m), min(width, col + m + 1)):
                    before[i, j] |= i < row or j < col or (j == col and centre)
        return before

    seen = np.zeros((height, width), bool)
    seen[at] = True
    for _ in range(blocks):
        seen = back(seen, half, centre=True)
    return back(seen, first_half, centre=False)


@pytest.mark.parametrize("first, kernel, blocks", [(3, 3, 3), (3, 3, 12), (7, 3, 4), (5, 5, 2), (7, 7, 3), (3, 3, 0)])
@pytest.mark.parametrize("at", [(7, 4), (0, 0), (10, 8), (5, 0)])
def test_field_is_zero_exactly_where_no_path_leads(first, kernel, blocks, at):
    model = PixelCNN(channels=16, blocks=blocks, first_kernel=first, kernel_size=kernel, seed=1)
    field = receptive_fields.receptive_field(model, 11, 9, at)
    assert field.shape == (11, 9) and field.dtype == np.float64
    np.testing.assert_array_equal(field > 0, reach(first // 2, kernel // 2, blocks, 11, 9, at))
    assert not field[~receptive_fields.earlier_pixels(11, 9, at)].any()


def test_blind_spot_of_a_deep_3x3_stack_is_the_published_wedge():
    at, size = (9, 3), 12
    field = receptive_fields.receptive_field(
        PixelCNN(channels=16, blocks=12, first_kernel=3, kernel_size=3), size, size, at)
    above, right = at[0] - np.arange(size)[:, None], np.arange(size) - at[1]
    wedge = (above > 0) & (right > above)
    assert wedge.sum() == 7 + 6 + 5 + 4 + 3 + 2 + 1 and not field[wedge].any()
    assert (field[receptive_fields.earlier_pixels(size, size, at) & ~wedge] > 0).all()


def test_field_leaves_the_model_alone():
    model = PixelCNN(levels=3, image_channels=3, channels=6, blocks=1, first_kernel=3, kernel_size=3)
    before = {name: to_host(param).copy() for name, param, _ in model.parameters()}
    field = receptive_fields.receptive_field(model, 5, 6, (3, 2))
    assert field[3, 2] > 0  # colours in order: green sees the red of its own pixel
    assert model.dtype == xp.float32 and all(layer.cache is None for _, layer in model.layers())
    for name, param, grad in model.parameters():
        np.testing.assert_array_equal(to_host(param), before[name])
        assert not to_host(grad).any()


def test_a_number_that_training_drops_cuts_no_path():
    options = dict(channels=8, blocks=2, first_kernel=3, kernel_size=3)
    fields = [receptive_fields.receptive_field(PixelCNN(**options, dropout=dropout), 6, 6, (4, 2))
              for dropout in (0.0, 0.9)]
    np.testing.assert_array_equal(*fields)


def test_a_model_of_several_outputs_has_no_field():
    with pytest.raises(ValueError, match="VQVAE: expected an output for every pixel .*, got several arrays"):
        receptive_fields.receptive_field(VQVAE(4, 1, widths=(4,), codes=4, code_channels=2), 4, 4, (2, 2))


def test_field_leaves_alone_what_forward_moves():
    class Averaging(MaskedConv2d):
        def forward(self, x):
            self.average += x.mean()
            return super().forward(x)

    layer = Averaging(1, 2, 3, "B")
    layer.average = xp.zeros(1)
    assert receptive_fields.receptive_field(layer, 4, 4, (2, 2))[2, 2] > 0
    assert float(layer.average[0]) == 0


def test_field_of_any_layer():
    rng = np.random.default_rng(0)
    layer = Chain(MaskedConv2d(2, 5, 3, "A", rng=rng), ReLU(), Linear(5, 4, rng))
    field = receptive_fields.receptive_field(layer, 4, 5, (2, 2), channels=2)
    assert [tuple(pixel) for pixel in np.argwhere(field)] == [(1, 1), (1, 2), (1, 3), (2, 1)]


def test_bad_pixels_and_models_are_refused():
    model = PixelCNN(channels=4, blocks=0, first_kernel=3)
    for at in [(5, 0), (0, 6), (-1, 0), (2,)]:
        with pytest.raises(ValueError, match=r"at: expected \(row, col\) within 5 x 6 pixels"):
            receptive_fields.receptive_field(model, 5, 6, at)
    with pytest.raises(ValueError, match="height: expected a whole number of at least 1, got 0"):
        receptive_fields.receptive_field(model, 0, 6, (0, 0))

    class Pooled(Linear):
        def forward(self, x):
            return super().forward(x)[:, ::2]

    with pytest.raises(ValueError, match=r"Pooled: expected an output for every pixel of images \(8, 4, 4, 1\), got"):
        receptive_fields.receptive_field(Pooled(1, 2), 4, 4, (0, 0))


def test_field_pictures_tell_seen_blind_and_later_apart(monkeypatch):
    at = (2, 1)
    field = np.array([[0.5, 1, 1e-9, 0], [0.1, 0.2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    blind = np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]], bool)
    for given, unreached in ((None, plotting.VERMILLION), ({"one": blind}, plotting.SAND)):
        figure = drawn_figure(monkeypatch, receptive_fields.save_receptive_field, {"one": field}, at, given)
        background, seen = (image.get_array() for image in figure.axes[0].images)
        np.testing.assert_array_equal(np.ma.getmaskarray(seen), field == 0)
        np.testing.assert_allclose(background[0, 3], to_rgb(unreached))
        np.testing.assert_allclose(background[1, 3], to_rgb(plotting.VERMILLION))
        np.testing.assert_allclose(background[2, 1], to_rgb(plotting.PALE))
        np.testing.assert_allclose(background[3, 0], to_rgb(plotting.PALE))


@pytest.mark.parametrize("panels", [1, 2, 4])
def test_field_pictures_are_written(tmp_path, panels):
    fields = {f"field {i}": RNG.random((9, 14)) * (RNG.random((9, 14)) < 0.5) for i in range(panels)}
    fields["field 0"] = np.zeros((9, 14))  # a network that sees nothing
    receptive_fields.save_receptive_field(tmp_path / "fields.png", fields, (5, 5))
    assert 600 <= read(tmp_path / "fields.png").shape[1] <= 1000


def test_bad_fields_are_refused(tmp_path):
    path, good = tmp_path / "fields.png", np.ones((3, 4))
    for fields, message in [({}, "at least one"), ({"a": good, "b": good.T}, r"of one size, got \(4, 3\) for 'b'"),
                            ({"a": good[None]}, r"got \(1, 3, 4\) for 'a'"), ({"a": -good}, "'a' has others"),
                            ({"a": good * np.nan}, "'a' has others"), ({"a": good * np.inf}, "'a' has others")]:
        with pytest.raises(ValueError, match=f"fields: expected .*{message}"):
            receptive_fields.save_receptive_field(path, fields, (0, 0))
    with pytest.raises(ValueError, match="at: expected"):
        receptive_fields.save_receptive_field(path, {"a": good}, (3, 0))
    with pytest.raises(ValueError, match="blind: expected an array for every title"):
        receptive_fields.save_receptive_field(path, {"a": good}, (0, 0), {"a": good.T > 0})
    assert not path.exists()


# ---- files -----------------------------------------------------------------------------------------------------------

def save_film(path):
    film = Film(levels=17)
    draw(film, DIGITS)
    film.save(path)


SAVERS = {
    "image": (".png", lambda path: plotting.save_image(path, np.zeros((4, 4, 3), np.uint8))),
    "samples": (".png", lambda path: plotting.save_samples(path, DIGITS, DIGITS, 17)),
    "curve": (".png", lambda path: plotting.save_curve(path, ROWS)),
    "masks": (".png", lambda path: receptive_fields.save_masks(path, {"A": MaskedConv2d(1, 1, 3, "A")})),
    "field": (".png", lambda path: receptive_fields.save_receptive_field(path, {"one": np.ones((2, 2))}, (1, 1))),
    "film": (".gif", save_film),
}


@pytest.mark.parametrize("name", SAVERS)
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    suffix, save = SAVERS[name]
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(b"old")

    def fail(*args, **kwargs):
        raise OSError("disk full")

    if name == "image":
        monkeypatch.setattr(Image.Image, "save", fail)
    elif name == "film":
        monkeypatch.setattr(Image.Image, "save", fail)
    else:
        monkeypatch.setattr(plotting.Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save(path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    save(path)
    assert list(tmp_path.iterdir()) == [path]
    with Image.open(path) as picture:
        assert picture.format == suffix[1:].upper()


@pytest.mark.parametrize("name", SAVERS)
def test_a_place_that_cannot_be_written_to_is_named(tmp_path, name):
    suffix, save = SAVERS[name]
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match=str(tmp_path / "file")):
        save(tmp_path / "file" / f"picture{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(OSError, match=f"folder{suffix}"):
        save(tmp_path / f"folder{suffix}")
    with pytest.raises(ValueError, match=rf"picture.jpg': expected a file name that ends in \{suffix}"):
        save(tmp_path / "picture.jpg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", f"folder{suffix}"]


def test_no_display_and_no_pyplot_is_needed(tmp_path):
    code = ("import sys; from tinyar import pictures as plotting\n"
            "plotting.save_curve(sys.argv[1], [dict(epoch=1, train=1., validation=1.)])\n"
            "assert 'matplotlib.pyplot' not in sys.modules")
    environment = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY")}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "curve.png")], check=True,
                   env={**environment, "MPLBACKEND": "tkagg"})


@pytest.mark.parametrize("name", SAVERS)
def test_files_do_not_depend_on_the_users_matplotlib_settings(tmp_path, name):
    suffix, save = SAVERS[name]
    save(tmp_path / f"plain{suffix}")
    strange = {"image.origin": "lower", "savefig.bbox": "tight", "savefig.transparent": True, "font.size": 30,
               "axes.facecolor": "red", "lines.linewidth": 9, "image.interpolation": "bilinear"}
    with matplotlib.rc_context(strange):
        save(tmp_path / f"strange{suffix}")
    assert (tmp_path / f"plain{suffix}").read_bytes() == (tmp_path / f"strange{suffix}").read_bytes()


def test_bytes_that_are_no_letters_stand_as_question_marks(tmp_path):
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    plotting.save_grids(tmp_path / "grid.png", [(image, {name: 1})], [name])
    plotting.save_curves(tmp_path / "curves.png", {name: ([1], [2.0])}, name, "y")
    assert sorted(os.listdir(tmp_path)) == ["curves.png", "grid.png"]
