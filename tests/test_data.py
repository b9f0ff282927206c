"""The data room: hostile files are refused by name, pixels quantized as stated, downloads leave nothing half-written.

No test touches the network. Those that need the real files look into TINYAR_DATA and are skipped where it holds none.
"""

import argparse
import gzip
import hashlib
import importlib.util
import io
import os
import pathlib
import pickle
import random
import struct
import tarfile
import tracemalloc
import urllib.error
import urllib.request

import numpy as np
import pytest
from PIL import Image

from tinyar import data
from tinyar.data import download, files, folder, formats, readers, sources

REAL = os.environ.get("TINYAR_DATA")
COLUMNS = 784


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch, tmp_path):
    """No data folder, an empty cache, and no network, whatever the machine has."""
    monkeypatch.delenv("TINYAR_DATA", raising=False)
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))

    def refuse(url):
        raise AssertionError(f"a test tried to open {url}")

    monkeypatch.setattr(download, "open_url", refuse)


# ---- tiny files ------------------------------------------------------------------------------------------------------

def idx_images(images):
    return struct.pack(">4I", 2051, *images.shape) + images.tobytes()


def idx_labels(labels):
    return struct.pack(">2I", 2049, len(labels)) + bytes(labels)


def amat(pixels):
    return b"".join(b" ".join(b"%d" % pixel for pixel in row) + b"\n" for row in pixels)


def some_images(count, height=3, width=2, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width), np.uint8)


def tiny_mnist(count=12, tests=3, seed=0):
    """The contents of the four files, by name."""
    return {"train-images-idx3-ubyte": idx_images(some_images(count, seed=seed)),
            "train-labels-idx1-ubyte": idx_labels([place % 10 for place in range(count)]),
            "t10k-images-idx3-ubyte": idx_images(some_images(tests, seed=seed + 1)),
            "t10k-labels-idx1-ubyte": idx_labels([7] * tests)}


def write_files(folder, contents, gzipped=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if gzipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder


def cifar(images, labels):
    """Records as the CIFAR-10 page describes them, put together value by value."""
    content = bytearray()
    for image, label in zip(images, labels, strict=True):
        content.append(label)
        for channel in range(3):
            content += bytes(int(image[row, col, channel]) for row in range(32) for col in range(32))
    return bytes(content)


def some_colours(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)


def tiny_cifar(batches=(1,), count=6, tests=2):
    """The contents of the files by name; image i of all has label i % 10, the test images are those of seed 9."""
    contents = {f"data_batch_{batch}.bin": cifar(some_colours(count, seed=batch), [i % 10 for i in range(count)])
                for batch in batches}
    return {**contents, "test_batch.bin": cifar(some_colours(tests, seed=9), [3] * tests)}


# ---- IDX -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_is_read_back_and_gzip_is_told_by_its_bytes(tmp_path, pack, suffix):
    images, labels = some_images(5, 4, 3), [0, 9, 3, 3, 1]
    images_path, labels_path = tmp_path / f"images{suffix}", tmp_path / f"labels{suffix}"
    images_path.write_bytes(pack(idx_images(images)))
    labels_path.write_bytes(pack(idx_labels(labels)))
    read_images, read_labels = formats.read_idx(images_path, labels_path)
    assert read_images.dtype == read_labels.dtype == np.uint8
    np.testing.assert_array_equal(read_images, images)
    np.testing.assert_array_equal(read_labels, labels)


GOOD = idx_images(some_images(5, 4, 3))
BAD_IMAGES = {
    "empty": (b"", "truncated IDX file: 0 bytes, expected a header of 16"),
    "header cut": (GOOD[:9], "truncated IDX file: 9 bytes, expected a header of 16"),
    "labels instead": (idx_labels([1, 2]), r"magic number 2049 \(labels\), expected 2051 \(images\)"),
    "little endian": (struct.pack("<4I", 2051, 5, 4, 3) + GOOD[16:], "magic number 50855936, expected 2051"),
    "error page": (b"<html><body>403 Forbidden</body></html>", "magic number .*expected 2051"),
    "no images": (struct.pack(">4I", 2051, 0, 4, 3), "promises 0 entries of 12 bytes"),
    "no height": (struct.pack(">4I", 2051, 5, 0, 3), "images of 0 x 3 pixels, expected 1 to 4096"),
    "absurd width": (struct.pack(">4I", 2051, 5, 4, 2 ** 31), "images of 4 x 2147483648 pixels"),
    "absurd count": (struct.pack(">4I", 2051, 2 ** 32 - 1, 4, 3) + GOOD[16:], "promises 4,294,967,295 entries"),
    "truncated": (GOOD[:-1], r"truncated: 59 bytes, expected 5 x 12 = 60 bytes"),
    "trailing": (GOOD + b"!", r"longer than 60 bytes, expected 5 x 12 = 60 bytes"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_bad_image_files_are_refused_by_name(tmp_path, case, pack):
    content, message = BAD_IMAGES[case]
    path = tmp_path / "pictures"
    path.write_bytes(pack(content))
    with pytest.raises(ValueError, match=rf"pictures: .*{message}"):
        formats.read_idx_images(path)


@pytest.mark.parametrize("content, message", [
    (idx_labels([0, 9, 10, 3]), "label 10 at position 2, expected 0 to 9"),
    (idx_labels([]), "promises 0 entries"),
    (idx_labels([1, 2, 3])[:-1], "truncated: 2 bytes"),
    (idx_labels([1, 2, 3]) + b"\0", "longer than 3 bytes"),
    (GOOD, r"magic number 2051 \(images\), expected 2049 \(labels\)"),
], ids=["label 10", "no labels", "truncated", "trailing", "images instead"])
def test_bad_label_files_are_refused_by_name(tmp_path, content, message):
    path = tmp_path / "names"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"names: .*{message}"):
        formats.read_idx_labels(path)


def test_images_and_labels_of_different_number_are_refused(tmp_path):
    (tmp_path / "images").write_bytes(GOOD)
    (tmp_path / "labels").write_bytes(idx_labels([1, 2, 3, 4]))
    with pytest.raises(ValueError, match="images holds 5 images, but .*labels holds 4 labels"):
        formats.read_idx(tmp_path / "images", tmp_path / "labels")


@pytest.mark.parametrize("damage", [
    lambda packed: packed[:-1], lambda packed: packed[:-8], lambda packed: packed[:25], lambda packed: packed[:5],
    lambda packed: packed[:-6] + b"\0\0" + packed[-4:], lambda packed: packed + b"more",
    lambda packed: packed[:12] + b"\xff\xff\xff" + packed[15:]])
def test_damaged_gzip_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "pictures.gz"
    path.write_bytes(damage(gzip.compress(GOOD)))
    with pytest.raises(ValueError, match="pictures.gz: damaged or truncated gzip"):
        formats.read_idx_images(path)


@pytest.mark.parametrize("read", [formats.read_idx_images, lambda path: formats.read_amat(path, 3)])
def test_a_decompression_bomb_is_not_unpacked(tmp_path, read):
    path = tmp_path / "bomb.gz"
    start = GOOD if read is formats.read_idx_images else amat(np.zeros((3, COLUMNS), int))
    path.write_bytes(gzip.compress(start + bytes(2 ** 26), compresslevel=1))
    tracemalloc.start()
    with pytest.raises(ValueError, match="bomb.gz: .*(longer than 60 bytes|more than 3 rows)"):
        read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 ** 20  # the bomb unpacks to 64 of these


def test_any_damage_gives_a_value_error_or_nothing_worse_than_other_pixels(tmp_path):
    chance, path = random.Random(1), tmp_path / "pictures"
    for content in (GOOD, gzip.compress(GOOD)):
        for _ in range(300):
            damaged = bytearray(content)
            for _ in range(chance.randrange(1, 4)):
                damaged[chance.randrange(len(damaged))] = chance.randrange(256)
            path.write_bytes(damaged[:chance.randrange(len(damaged) + 1)] if chance.random() < 0.3 else damaged)
            try:
                assert formats.read_idx_images(path).size == 60
            except ValueError as error:
                assert str(path) in str(error)


# ---- .amat -----------------------------------------------------------------------------------------------------------

def binary_rows(rows):
    return np.random.default_rng(2).integers(0, 2, (rows, COLUMNS))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_amat_is_read_back(tmp_path, pack):
    pixels, path = binary_rows(4), tmp_path / "rows"
    path.write_bytes(pack(amat(pixels)))
    read = formats.read_amat(path, 4)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, pixels)


ROW = amat(binary_rows(1))
BAD_ROWS = {
    "empty": (b"", "empty, expected rows of 784 digits"),
    "another digit": (2 * ROW + b"0 2" + ROW[3:] + ROW, "row 3 has b'2' in column 2, expected 0 or 1"),
    "a fraction": (ROW + b"0.5 " + ROW[2:], "row 2 has b'0.5' in column 1"),
    "a column less": (ROW + ROW[2:] + ROW, "row 2 has 783 columns, expected 784"),
    "a column more": (ROW + b"0 " + ROW + ROW, "row 2 has 785 columns, expected 784"),
    "truncated row": (ROW + ROW[:600], "row 2 has 300 columns, expected 784"),
    "first row truncated": (b"0 1 0", "row 1 has 3 columns"),
    "one endless row": (b"0 " * 2 * COLUMNS + ROW, "row 1 has at least 1568 columns"),
    "no last newline": (ROW + ROW[:-1], "row 2 is not laid out .* newline at its end"),
    "two spaces": (ROW + b"0 " + b" " + ROW[2:], "row 2 is not laid out as digits with single spaces"),
    "windows newlines": ((ROW[:-1] + b"\r\n") * 3, "row 1 is not laid out"),
    "tabs": (ROW.replace(b" ", b"\t"), "row 1 is not laid out"),
    "blank line": (ROW + b"\n" + ROW, "row 2 has 0 columns"),
    "too many rows": (9 * ROW, "more than 8 rows"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_amat_files_are_refused_by_row(tmp_path, case):
    content, message = BAD_ROWS[case]
    path = tmp_path / "rows.amat"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"rows.amat: {message}"):
        formats.read_amat(path, 8)


# ---- CIFAR-10 --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_cifar_is_read_back_with_colours_and_rows_in_their_places(tmp_path, pack):
    image = np.empty((32, 32, 3), np.uint8)
    image[..., 0], image[..., 1] = np.mgrid[:32, 100:132]  # red says the row, green the column
    image[..., 2] = 200
    path = tmp_path / "batch"
    path.write_bytes(pack(bytes([7]) + bytes(row for row in range(32) for _ in range(32))
                          + bytes(range(100, 132)) * 32 + bytes([200]) * 1024))
    images, labels = formats.read_cifar(path)
    assert images.shape == (1, 32, 32, 3) and images.dtype == labels.dtype == np.uint8 and labels.tolist() == [7]
    np.testing.assert_array_equal(images[0], image)
    path.write_bytes(pack(cifar(some_colours(3), [9, 0, 4])))
    images, labels = formats.read_cifar(path)
    np.testing.assert_array_equal(images, some_colours(3))
    assert labels.tolist() == [9, 0, 4]


RECORDS = cifar(some_colours(2), [1, 2])


@pytest.mark.parametrize("content, message", [
    (b"", "0 bytes, expected a multiple of 3,073"),
    (RECORDS[:-1], "6,145 bytes, expected a multiple of 3,073"),
    (RECORDS + b"!", "6,147 bytes, expected a multiple of 3,073"),
    (RECORDS[1:] + b"\0", "label .* at position 0, expected 0 to 9"),
    (RECORDS + cifar(some_colours(1), [10]), "label 10 at position 2, expected 0 to 9"),
    (RECORDS * 3, "more than 15,365 bytes, expected .* 1 to 5 records"),
    (gzip.compress(RECORDS)[:-9], "damaged or truncated gzip"),
    (gzip.compress(RECORDS + bytes(2 ** 26)), "more than 15,365 bytes"),
], ids=["empty", "a byte less", "a byte more", "shifted", "label 10", "too many", "truncated gzip", "bomb"])
def test_bad_cifar_files_are_refused_by_name(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(formats, "MOST_RECORDS", 5)
    path = tmp_path / "batch"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"batch: .*{message}"):
        formats.read_cifar(path)


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("folder", ["", "cifar-10-batches-bin"])
def test_cifar_is_made_of_the_batches_that_are_there(tmp_path, monkeypatch, folder, gzipped):
    write_files(tmp_path / folder, tiny_cifar(batches=(2, 4), count=9), gzipped)
    monkeypatch.setenv("TINYAR_DATA", str(tmp_path))
    loaded = data.load("cifar10")
    assert (loaded.image_shape, loaded.levels, loaded.classes) == ((32, 32, 3), 256, 9)
    assert "cifar10, 32x32x3, 256 levels" in loaded.description and "15 / 3 / 2 images" in loaded.description
    order = readers.fixed_permutation(18)
    every = np.concatenate([some_colours(9, seed=2), some_colours(9, seed=4)])
    np.testing.assert_array_equal(loaded.train.images, every[order[:15]])
    np.testing.assert_array_equal(loaded.validation.images, every[order[15:]])
    np.testing.assert_array_equal(loaded.validation.labels, order[15:] % 9)
    np.testing.assert_array_equal(loaded.test.images, some_colours(2, seed=9))
    assert loaded.test.labels.tolist() == [3, 3]


@pytest.mark.parametrize("kept, message", [
    ("test", r"only a part of cifar10: data_batch_1.bin or .*data_batch_5.bin \("),
    ("data", r"only a part of cifar10: test_batch.bin \("),
])
def test_cifar_needs_a_training_batch_and_the_test_batch(tmp_path, kept, message):
    contents = {name: content for name, content in tiny_cifar().items() if name.startswith(kept)}
    with pytest.raises(data.DataNotFoundError, match=message):
        data.load("cifar10", data_dir=write_files(tmp_path, contents))


def test_a_bad_batch_of_cifar_is_named(tmp_path):
    contents = {**tiny_cifar(batches=(1, 2)), "data_batch_2.bin": RECORDS[:-1]}
    with pytest.raises(ValueError, match="data_batch_2.bin: 6,145 bytes"):
        data.load("cifar10", data_dir=write_files(tmp_path, contents))
    with pytest.raises(ValueError, match="5 images, expected at least 6"):
        data.load("cifar10", data_dir=write_files(tmp_path / "few", tiny_cifar(count=5)))


def test_colour_images_in_few_levels_and_in_grey(tmp_path):
    write_files(tmp_path, tiny_cifar())
    colours = some_colours(2, seed=9)
    eight = data.load("cifar10", levels=8, data_dir=tmp_path)
    np.testing.assert_array_equal(eight.test.images, colours // 32)
    assert eight.levels == 8 and "32x32x3, 8 levels (equal bins of 0..255)" in eight.description
    grey = data.load("cifar10", color=False, data_dir=tmp_path)
    by_pillow = [np.asarray(Image.fromarray(image).convert("L")) for image in colours]
    np.testing.assert_array_equal(grey.test.images[..., 0], by_pillow)
    assert grey.image_shape == (32, 32, 1) and "cifar10, in grey, 32x32x1" in grey.description
    np.testing.assert_array_equal(data.load("cifar10", color=False, levels=4, data_dir=tmp_path).test.images[..., 0],
                                  np.array(by_pillow) // 64)


def test_each_channel_of_a_colour_image_is_binarized_for_itself(tmp_path):
    write_files(tmp_path, tiny_cifar())
    colours = some_colours(2, seed=9)
    threshold = data.load("cifar10", binarize="threshold", data_dir=tmp_path)
    np.testing.assert_array_equal(threshold.test.images, colours >= 128)
    fresh = data.load("cifar10", binarize="fresh", data_dir=tmp_path)
    assert fresh.train.for_epoch(1).shape == (5, 32, 32, 3)
    reds, greens = (fresh.test.images[..., channel][colours[..., channel] > 250] for channel in (0, 1))
    assert len(reds) != len(greens) and reds.mean() > 0.95 and greens.mean() > 0.95


def test_luma_is_pillows_for_every_kind_of_colour():
    steps = np.array([0, 1, 37, 127, 128, 200, 254, 255], np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, 8, 64, 3)
    by_pillow = np.asarray(Image.fromarray(colours[0]).convert("L"))
    np.testing.assert_array_equal(data.to_grey(colours)[0, ..., 0], by_pillow)
    greys = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    np.testing.assert_array_equal(data.to_grey(greys.repeat(3, axis=3)), greys)


# ---- a folder of images ----------------------------------------------------------------------------------------------

def save_pictures(folder, names, size=(8, 8)):
    """Save a picture of a single colour under each name; the colours differ."""
    for place, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (10 * place, 255 - 10 * place, 77)).save(folder / name)


def test_a_folder_is_split_and_its_subfolders_are_the_classes(tmp_path):
    names = [f"{kind}/{number}.png" for kind in ("cat", "bee", "ant") for number in range(4)]
    save_pictures(tmp_path / "zoo", names)
    zoo = data.load("folder", data_dir=tmp_path / "zoo", size=4)
    assert (zoo.name, zoo.image_shape, zoo.levels, zoo.classes) == ("folder", (4, 4, 3), 256, 3)
    assert "folder 'zoo'" in zoo.description and "4x4x3" in zoo.description and "8 / 2 / 2 images" in zoo.description
    order = sorted(range(12), key=lambda place: names[place])  # ant/0, ant/1, ...
    order = [order[place] for place in readers.fixed_permutation(12)]
    splits = (zoo.train, zoo.validation, zoo.test)
    images, labels = (np.concatenate([getattr(split, part) for split in splits]) for part in ("images", "labels"))
    for image, label, place in zip(images, labels, order, strict=True):
        assert (image == [10 * place, 255 - 10 * place, 77]).all()
        assert "abc"[label] == names[place][0]
    assert len(zoo.train) == 8 and labels.dtype == np.uint8


@pytest.mark.parametrize("names", [
    ["a.png", "b.jpg", "c.jpeg", "d.bmp", "e.gif", "f.webp", "G.PNG"],
    ["cat/a.png", "cat/b.png", "cat/c.png", "dog/a.png", "dog/b.png", "dog/c.png", "a.png"],
    ["cat/a.png", "cat/b.png", "cat/c.png", "dog/a.png", "dog/b.png", "dog/c.png", "dog/small/a.png"],
    [f"all/{number}.png" for number in range(7)],
], ids=["all suffixes", "one outside", "one deeper", "a single subfolder"])
def test_all_images_are_found_and_have_no_labels_unless_each_lies_in_a_class(tmp_path, names):
    save_pictures(tmp_path, names)
    for other in ("notes.txt", ".hidden.png", ".thumbnails/a.png"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text("no image")
    found = data.load("folder", data_dir=tmp_path, size=8)
    assert [len(found.train), len(found.validation), len(found.test)] == [5, 1, 1]
    assert found.train.labels is None and found.test.labels is None and found.classes == 0


def test_images_are_found_in_alphabetical_order_by_their_whole_names(tmp_path):
    names = ["b/a.png", "a.png", "a/z.png", "a/b/c.png", "B.png"]
    save_pictures(tmp_path, names)
    found = [path.relative_to(tmp_path).as_posix() for path in folder.find_images(tmp_path)]
    assert found == ["B.png", "a.png", "a/b/c.png", "a/z.png", "b/a.png"]


def test_more_classes_than_a_byte_counts(tmp_path):
    paths = [tmp_path / f"{number:03}" / "a.png" for number in range(300)]
    labels = folder.classes_of(paths, tmp_path)
    assert labels.tolist() == list(range(300)) and labels.dtype == np.uint16


def test_the_middle_square_is_taken(tmp_path):
    middle = np.random.default_rng(1).integers(0, 256, (6, 6, 3), np.uint8)
    for name, before, after in (("wide", 5, 6), ("even", 4, 4), ("square", 0, 0)):
        wide = np.pad(middle, [(0, 0), (before, after), (0, 0)])
        for turned, picture in ((False, wide), (True, wide.swapaxes(0, 1))):
            Image.fromarray(picture).save(tmp_path / f"{name}.png")
            expected = middle.swapaxes(0, 1) if turned else middle
            np.testing.assert_array_equal(folder.read_image(tmp_path / f"{name}.png", 6), expected)


def test_shrinking_averages_and_growing_smooths(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than 8 pixels can show: taking every eighth would leave only white
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    assert np.abs(folder.read_image(tmp_path / "stripes.png", 8).astype(int) - 127.5).max() < 6
    Image.fromarray(np.array([[[0] * 3, [200] * 3]] * 2, np.uint8)).save(tmp_path / "edge.png")
    row = folder.read_image(tmp_path / "edge.png", 8)[4, :, 0].astype(int)
    assert row[0] < 10 and row[-1] > 190 and (np.diff(row[1:-1]) >= 0).all() and len(set(row)) > 4


def pictures_of_every_kind():
    """Name: (picture, the colour that its upper left quarter must have, its lower right quarter)."""
    red, blue, white = (200, 30, 40), (20, 60, 180), (255, 255, 255)
    colours = np.empty((8, 8, 3), np.uint8)
    colours[:], colours[4:, 4:] = red, blue
    picture = Image.fromarray(colours)
    seen = np.full((8, 8), 255, np.uint8)
    seen[4:, 4:] = 0
    transparent = picture.copy()
    transparent.putalpha(Image.fromarray(seen))
    grey_alpha = Image.new("L", (8, 8), 90)
    grey_alpha.putalpha(Image.fromarray(seen))
    sixteen = np.full((8, 8), 0x40FF, np.uint16)
    sixteen[4:, 4:] = 0xC000
    grey = np.asarray(picture.convert("L"))[::7, ::7].diagonal()
    return {"rgb": (picture, red, blue), "grey": (picture.convert("L"), (grey[0],) * 3, (grey[1],) * 3),
            "palette": (picture.quantize(4), red, blue), "alpha": (transparent, red, white),
            "grey and alpha": (grey_alpha, (90,) * 3, white),
            "palette and alpha": (transparent.quantize(4), red, white),
            "one bit": (Image.fromarray(seen).convert("1"), white, (0, 0, 0)),
            "16 bits": (Image.fromarray(sixteen), (0x40,) * 3, (0xC0,) * 3)}


@pytest.mark.parametrize("kind", pictures_of_every_kind())
def test_every_kind_of_picture_becomes_rgb_on_white(tmp_path, kind):
    picture, first, last = pictures_of_every_kind()[kind]
    picture.save(tmp_path / "picture.png")
    image = folder.read_image(tmp_path / "picture.png", 8)
    assert image.dtype == np.uint8 and image.shape == (8, 8, 3)
    assert (image[:4, :4] == first).all() and (image[4:, 4:] == last).all()


def test_photographs_are_turned_as_the_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    upright = np.zeros((16, 16), np.uint8)
    upright[:8] = 255  # the upper half comes to lie on the right
    Image.fromarray(upright).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    image = folder.read_image(tmp_path / "photo.jpg", 16)
    assert image[:, 8:].min() > 240 and image[:, :8].max() < 15


def test_a_folder_in_grey_and_few_levels(tmp_path):
    save_pictures(tmp_path, [f"{number}.png" for number in range(6)])
    grey = data.load("folder", data_dir=str(tmp_path), size=4, color=False, levels=16)
    assert grey.image_shape == (4, 4, 1) and grey.levels == 16 and "in grey, 4x4x1, 16 levels" in grey.description
    shades = sorted(int(Image.new("RGB", (1, 1), (10 * i, 255 - 10 * i, 77)).convert("L").getpixel((0, 0))) // 16
                    for i in range(6))
    splits = (grey.train, grey.validation, grey.test)
    assert sorted(int(image.max()) for split in splits for image in split.images) == shades
    assert data.load("folder", data_dir=tmp_path).image_shape == (32, 32, 3)


@pytest.mark.parametrize("name", ["a/broken.png", "broken.jpg", "broken.gif", "broken.webp", "broken.bmp"])
@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: b"<html>403</html>",
                                    lambda content: content[:len(content) // 2], lambda content: content[:20]])
def test_a_broken_image_is_an_error_that_names_it(tmp_path, name, damage):
    save_pictures(tmp_path, [f"{number}.png" for number in range(6)])
    save_pictures(tmp_path, [name], size=(99, 99))
    (tmp_path / name).write_bytes(damage((tmp_path / name).read_bytes()))
    with pytest.raises(ValueError, match=f"{name}: can't be read as an image"):
        data.load("folder", data_dir=tmp_path)


def test_damaged_images_give_a_value_error_or_other_pixels(tmp_path):
    chance = random.Random(2)
    for suffix in ("png", "gif", "bmp", "webp", "jpg"):
        path = tmp_path / f"picture.{suffix}"
        Image.fromarray(some_colours(1)[0]).save(path)
        content = path.read_bytes()
        for _ in range(40):
            damaged = bytearray(content)
            for _ in range(chance.randrange(1, 4)):
                damaged[chance.randrange(min(len(damaged), 200))] = chance.randrange(256)
            path.write_bytes(damaged)
            try:
                assert folder.read_image(path, 8).shape == (8, 8, 3)
            except ValueError as error:
                assert str(path) in str(error)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is closed to this user")
def test_a_subfolder_that_is_closed_is_an_error(tmp_path):
    save_pictures(tmp_path, [f"a/{number}.png" for number in range(6)])
    (tmp_path / "a").chmod(0)
    try:
        with pytest.raises(PermissionError):
            data.load("folder", data_dir=tmp_path)
    finally:
        (tmp_path / "a").chmod(0o700)


def test_a_folder_must_be_named_exist_and_hold_six_images(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYAR_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="data_dir=None: .*expected the folder of your images"):
        data.load("folder")
    with pytest.raises(data.DataNotFoundError, match="'.*nowhere' is not an existing folder"):
        data.load("folder", data_dir=tmp_path / "nowhere")
    save_pictures(tmp_path, [f"{number}.png" for number in range(5)])
    with pytest.raises(ValueError, match=f"{tmp_path.name}: 5 images, expected at least 6"):
        data.load("folder", data_dir=tmp_path)


# ---- levels ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("maximum", [255, 16])
def test_quantize_is_the_formula(maximum):
    pixels = np.arange(maximum + 1, dtype=np.uint8)
    for levels in range(2, min(maximum + 1, 256) + 1):
        quantized = data.quantize(pixels, levels, maximum)
        assert quantized.dtype == np.uint8
        assert quantized.tolist() == [int(x) * levels // (maximum + 1) for x in pixels]
        assert set(quantized.tolist()) == set(range(levels))
    np.testing.assert_array_equal(data.quantize(pixels, maximum + 1, maximum), pixels)


def test_two_levels_are_the_threshold_and_bins_are_equal():
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1)
    np.testing.assert_array_equal(data.quantize(pixels, 2), pixels >= 128)
    assert np.bincount(data.quantize(pixels, 16).ravel()).tolist() == [16] * 16


@pytest.mark.parametrize("levels", [1, 0, -2, 257, 2.0, "2", True, None])
def test_quantize_refuses_other_levels(levels):
    with pytest.raises(ValueError, match="expected an integer in 2..256"):
        data.quantize(np.zeros((1, 2, 2, 1), np.uint8), levels)


def test_quantize_refuses_other_pixels():
    with pytest.raises(ValueError, match="up to 17, expected uint8 up to 16"):
        data.quantize(np.array([3, 17], np.uint8), 4, maximum=16)
    with pytest.raises(ValueError, match="float64"):
        data.quantize(np.array([0.5]), 2)
    with pytest.raises(ValueError, match="only 17 levels"):
        data.quantize(np.array([3], np.uint8), 18, maximum=16)


@pytest.mark.parametrize("maximum", [255, 16])
def test_pixels_are_drawn_with_their_own_probability(maximum):
    draws = 20_000
    pixels = np.tile(np.arange(maximum + 1, dtype=np.uint8), (draws, 1))
    drawn = data.draw_binary(pixels, maximum, seed=3, stream=1, epoch=0)
    assert drawn.dtype == np.uint8
    rate, wanted = drawn.mean(axis=0), np.arange(maximum + 1) / maximum
    assert rate[0] == 0 and rate[-1] == 1
    assert np.all(np.abs(rate - wanted) <= 4.5 * np.sqrt(wanted * (1 - wanted) / draws))


def test_draws_differ_by_seed_split_and_epoch_and_by_nothing_else():
    grey = np.full((4, 8, 8, 1), 128, np.uint8)
    arguments = [(seed, stream, epoch) for seed in (0, 1) for stream in (1, 2) for epoch in (0, 1)]
    drawn = [data.draw_binary(grey, 255, *each).tobytes() for each in arguments]
    assert len(set(drawn)) == len(arguments)
    assert drawn == [data.draw_binary(grey, 255, *each).tobytes() for each in arguments]


# ---- load: digits ----------------------------------------------------------------------------------------------------

def test_digits_are_bundled_with_their_attribution():
    digits = data.load("digits", download=False)
    assert [len(digits.train), len(digits.validation), len(digits.test)] == [1297, 200, 300]
    assert (digits.name, digits.levels, digits.image_shape) == ("digits", 17, (8, 8, 1))
    assert digits.train.images.dtype == digits.train.labels.dtype == np.uint8
    together = np.concatenate([digits.train.images, digits.validation.images, digits.test.images])
    labels = np.concatenate([digits.train.labels, digits.validation.labels, digits.test.labels])
    assert together.min() == 0 and together.max() == 16 and digits.classes == 10
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # as UCI counts them
    with np.load(pathlib.Path(data.__file__).with_name("digits.npz"), allow_pickle=False) as arrays:
        every = arrays["images"]
        attribution = " ".join(arrays["attribution"])
    assert sorted(map(bytes, together)) == sorted(map(bytes, every))  # each image is in one split, once
    for part in ("Alpaydin", "Kaynak", "1998", "Creative Commons Attribution 4.0"):
        assert part in attribution


def test_the_split_never_changes():
    """Figures on validation and test images compare only as long as these are the same images."""
    assert readers.fixed_permutation(1797)[:5].tolist() == [1224, 1584, 282, 991, 78]
    assert readers.fixed_permutation(60_000)[:5].tolist() == [27510, 12785, 59358, 29052, 14951]
    for seed in (0, 1):
        assert data.load("digits", seed=seed).test.labels[:5].tolist() == [6, 2, 6, 7, 9]


def test_fresh_binarization_redraws_the_training_images_alone():
    fresh = data.load("digits", binarize="fresh", seed=5)
    again = data.load("digits", binarize="fresh", seed=5)
    assert fresh.levels == 2 and set(np.unique(fresh.train.images)) == {0, 1}
    first, second = fresh.train.for_epoch(0), fresh.train.for_epoch(1)
    assert first.shape == second.shape == fresh.train.images.shape and first.dtype == np.uint8
    assert np.mean(first != second) > 0.05
    np.testing.assert_array_equal(second, again.train.for_epoch(1))
    np.testing.assert_array_equal(first, data.load("digits", binarize="fixed", seed=5).train.for_epoch(3))
    for split in (fresh.validation, fresh.test):
        assert split.for_epoch(0) is split.images and split.for_epoch(7) is split.images
    other = data.load("digits", binarize="fresh", seed=6)
    assert np.any(other.test.images != fresh.test.images)
    np.testing.assert_array_equal(other.test.labels, fresh.test.labels)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fresh)).train.for_epoch(1), second)


def test_threshold_is_two_levels():
    for keywords in ({"levels": 2}, {"binarize": "threshold"}, {"binarize": "threshold", "levels": 2}):
        digits = data.load("digits", **keywords)
        np.testing.assert_array_equal(digits.test.images, data.load("digits").test.images >= 9)
        assert digits.levels == 2 and digits.train.for_epoch(4) is digits.train.images


@pytest.mark.parametrize("keywords, words", [
    ({}, ["17 levels", "as many as in the files"]),
    ({"levels": 4}, ["4 levels", "equal bins of 0..16"]),
    ({"levels": 2}, ["2 levels", "threshold, 1 where x >= 9"]),
    ({"binarize": "threshold"}, ["2 levels", "threshold, 1 where x >= 9"]),
    ({"binarize": "fixed", "seed": 8}, ["2 levels", "drawn once with P(1) = x/16, seed 8"]),
    ({"binarize": "fresh", "seed": 8}, ["2 levels", "anew in every epoch", "seed 8"]),
])
def test_the_description_says_what_a_figure_depends_on(keywords, words):
    description = data.load("digits", **keywords).description
    assert "\n" not in description
    for word in ["digits", "8x8x1", "1,297 / 200 / 300", *words]:
        assert word in description


@pytest.mark.parametrize("name, keywords, message", [
    ("minst", {}, "unknown dataset 'minst': expected one of digits, mnist, fashion-mnist, binarized-mnist"),
    ("digits", {"levels": 256}, "digits has only 17 levels of its own"),
    ("digits", {"levels": 1}, "levels=1: expected an integer in 2..256"),
    ("mnist", {"levels": 257}, "levels=257: expected an integer in 2..256"),
    ("mnist", {"levels": 16, "binarize": "fixed"}, "binarize='fixed' gives 2 levels, which contradicts levels=16"),
    ("mnist", {"binarize": "random"}, "binarize='random': expected None, 'threshold', 'fixed' or 'fresh'"),
    ("binarized-mnist", {"binarize": "threshold"}, "binarized-mnist is binary already"),
    ("binarized-mnist", {"levels": 4}, "binarized-mnist has only 2 levels"),
    ("cifar10", {"size": 16}, "size=16: the images of cifar10 have a size of their own"),
    ("folder", {"size": 1}, "size=1: expected an integer in 2..4096"),
    ("folder", {"size": 8.0}, "size=8.0: expected an integer"),
    ("folder", {"color": "grey"}, "color='grey': expected True or False"),
    ("mnist", {"color": False}, "color=False: mnist is grey already"),
])
def test_contradictory_wishes_are_refused_before_any_file_is_looked_for(name, keywords, message):
    with pytest.raises(ValueError, match=message):
        data.load(name, **keywords)


# ---- load: files of your own -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("name, folder", [
    ("mnist", ""), ("mnist", "mnist"), ("mnist", "MNIST/raw"), ("fashion-mnist", ""),
    ("fashion-mnist", "fashion_mnist"), ("fashion-mnist", "fashion-mnist"), ("fashion-mnist", "FashionMNIST/raw")])
@pytest.mark.parametrize("by_environment", [False, True])
def test_files_are_found_in_every_layout(tmp_path, monkeypatch, name, folder, gzipped, by_environment):
    write_files(tmp_path / "own" / folder, tiny_mnist(), gzipped)
    if by_environment:
        monkeypatch.setenv("TINYAR_DATA", str(tmp_path / "own"))
    mnist = data.load(name, data_dir=None if by_environment else tmp_path / "own")
    assert [len(mnist.train), len(mnist.validation), len(mnist.test)] == [10, 2, 3]
    assert (mnist.image_shape, mnist.levels) == ((3, 2, 1), 256)
    order = readers.fixed_permutation(12)
    np.testing.assert_array_equal(mnist.train.images[..., 0], some_images(12)[order[:10]])
    np.testing.assert_array_equal(mnist.validation.labels, order[10:] % 10)
    np.testing.assert_array_equal(mnist.test.images[..., 0], some_images(3, seed=1))
    assert mnist.test.labels.tolist() == [7, 7, 7]


def test_data_dir_goes_before_the_environment_and_a_subfolder_before_the_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TINYAR_DATA", str(write_files(tmp_path / "environment", tiny_mnist(seed=1))))
    write_files(tmp_path / "own", tiny_mnist(seed=2))
    write_files(tmp_path / "own" / "mnist", tiny_mnist(seed=3))
    images = data.load("mnist", data_dir=str(tmp_path / "own")).test.images
    np.testing.assert_array_equal(images[..., 0], some_images(3, seed=4))


def test_binarized_mnist_is_read_from_its_three_files(tmp_path):
    contents = {f"binarized_mnist_{part}.amat": amat(binary_rows(rows))
                for part, rows in (("train", 3), ("valid", 2), ("test", 1))}
    write_files(tmp_path / "binarized_mnist", contents)
    binarized = data.load("binarized-mnist", data_dir=tmp_path)
    assert [len(binarized.train), len(binarized.validation), len(binarized.test)] == [3, 2, 1]
    assert (binarized.levels, binarized.image_shape, binarized.train.labels) == (2, (28, 28, 1), None)
    assert binarized.classes == 0
    np.testing.assert_array_equal(binarized.train.images.reshape(3, COLUMNS), binary_rows(3))


def test_a_missing_data_dir_is_an_error(tmp_path):
    with pytest.raises(data.DataNotFoundError, match="data_dir '.*nowhere' is not an existing folder"):
        data.load("mnist", data_dir=tmp_path / "nowhere")


def test_a_folder_with_only_some_files_is_an_error(tmp_path):
    contents = tiny_mnist()
    del contents["train-labels-idx1-ubyte"], contents["t10k-labels-idx1-ubyte"]
    write_files(tmp_path / "mnist", contents)
    with pytest.raises(data.DataNotFoundError, match="only a part of mnist: train-labels-idx1-ubyte, t10k-labels"):
        data.load("mnist", data_dir=tmp_path)


def test_without_download_the_error_says_where_it_looked_and_what_to_do(tmp_path):
    (tmp_path / "own").mkdir()
    with pytest.raises(FileNotFoundError) as caught:
        data.load("mnist", data_dir=tmp_path / "own", download=False)
    for part in ("train-images-idx3-ubyte", str(tmp_path / "own" / "mnist"), str(tmp_path / "cache"), "download=False",
                 "TINYAR_DATA", "data_dir", *sources.SOURCES["mnist"].mirrors):
        assert part in str(caught.value)


def test_training_and_test_images_must_be_of_one_size(tmp_path):
    contents = tiny_mnist()
    contents["t10k-images-idx3-ubyte"] = idx_images(some_images(3, height=5))
    with pytest.raises(ValueError, match="t10k-images.*images of 5 x 2 pixels, expected 3 x 2"):
        data.load("mnist", data_dir=write_files(tmp_path, contents))


def test_too_few_images_to_split_are_refused(tmp_path):
    with pytest.raises(ValueError, match="5 images, expected at least 6"):
        data.load("mnist", data_dir=write_files(tmp_path, tiny_mnist(count=5)))


def tiny_source(contents, mirrors=("https://one/", "https://two/")):
    known = tuple(sources.File(name, len(content), hashlib.sha256(content).hexdigest())
                  for name, content in contents.items())
    return sources.Source(known, ("mnist",), mirrors, ".gz")


def test_files_of_the_other_mnist_are_noticed(tmp_path, monkeypatch):
    contents = tiny_mnist()
    monkeypatch.setitem(sources.SOURCES, "mnist", tiny_source(contents))
    own = write_files(tmp_path / "own", contents)
    assert len(data.load("mnist", data_dir=own).train) == 10
    with pytest.raises(data.DataNotFoundError, match="passed over .*own: these are the files of mnist"):
        data.load("fashion-mnist", data_dir=own, download=False)


# ---- download and cache ----------------------------------------------------------------------------------------------

class Response(io.BytesIO):
    """What a mirror answers; `breaks` is raised instead of its second half."""

    def __init__(self, content, breaks=None):
        super().__init__(content)
        self.headers, self.breaks, self.half = {"Content-Length": str(len(content))}, breaks, len(content) // 2

    def read(self, size=-1):
        if self.breaks and self.tell() == self.half:
            raise self.breaks
        return super().read(min(size, self.half - self.tell()) if self.breaks else size)


class Web:
    """A fake of the network: serves the tiny MNIST, gzipped, unless an answer is set for an address."""

    def __init__(self, contents):
        self.contents, self.answers, self.opened = contents, {}, []

    def __call__(self, url):
        self.opened.append(url)
        if url not in self.answers:
            return Response(gzip.compress(self.contents[url.rpartition("/")[2].removesuffix(".gz")]))
        answer = self.answers[url]
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def web(monkeypatch):
    contents = tiny_mnist()
    fake = Web(contents)
    monkeypatch.setattr(download, "open_url", fake)
    monkeypatch.setitem(sources.SOURCES, "mnist", tiny_source(contents))
    return fake


def cached(tmp_path):
    folder = tmp_path / "cache" / "tinyar" / "mnist"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


ALL_FILES = sorted(name + ".gz" for name in tiny_mnist())


def test_a_download_is_cached_and_not_repeated(tmp_path, web):
    first = data.load("mnist")
    assert cached(tmp_path) == ALL_FILES
    assert len(web.opened) == 4 and all(url.startswith("https://one/") for url in web.opened)
    np.testing.assert_array_equal(data.load("mnist", download=False).train.images, first.train.images)
    assert len(web.opened) == 4


@pytest.mark.parametrize("answer", [
    urllib.error.URLError("no route"), TimeoutError("timed out"), Response(b"<html>403</html>"), Response(b""),
    Response(gzip.compress(idx_images(some_images(12, seed=9)))), Response(gzip.compress(bytes(200))[:-9]),
    Response(gzip.compress(bytes(2 ** 22))), Response(bytes(2 ** 21)),
    Response(gzip.compress(bytes(99)), breaks=ConnectionResetError("reset by peer"))],
    ids=["no route", "timeout", "error page", "nothing", "other bytes", "truncated", "bomb", "too long", "reset"])
def test_when_a_mirror_fails_the_next_is_asked(tmp_path, web, answer):
    web.answers["https://one/train-images-idx3-ubyte.gz"] = answer
    images = data.load("mnist").train.images
    np.testing.assert_array_equal(images[..., 0], some_images(12)[readers.fixed_permutation(12)[:10]])
    assert web.opened[:2] == ["https://one/train-images-idx3-ubyte.gz", "https://two/train-images-idx3-ubyte.gz"]
    assert cached(tmp_path) == ALL_FILES


def test_when_all_mirrors_fail_the_error_names_each_and_nothing_is_left(tmp_path, web):
    wrong = gzip.compress(idx_images(some_images(12, seed=9)))
    web.answers = {"https://one/train-images-idx3-ubyte.gz": urllib.error.URLError("no route"),
                   "https://two/train-images-idx3-ubyte.gz": Response(wrong)}
    with pytest.raises(data.DataNotFoundError) as caught:
        data.load("mnist")
    expected = sources.SOURCES["mnist"].files[0].sha256
    for part in ("https://one/train-images-idx3-ubyte.gz: ", "no route", "https://two/train-images-idx3-ubyte.gz: ",
                 f"expected {expected}", str(tmp_path / "cache"), "TINYAR_DATA", "data_dir"):
        assert part in str(caught.value)
    assert cached(tmp_path) == []


def test_an_endless_answer_is_cut_off(web):
    class Endless(Response):
        sent = 0

        def read(self, size=-1):
            self.sent += size
            assert self.sent < 2 ** 23, "read on and on"
            return bytes(size)

    web.answers["https://one/train-images-idx3-ubyte.gz"] = Endless(b"")
    web.answers["https://two/train-images-idx3-ubyte.gz"] = Endless(b"")
    with pytest.raises(data.DataNotFoundError, match="https://one/.*: sent more than the 1,048,664 bytes expected"):
        data.load("mnist")


def test_an_interrupted_download_leaves_nothing(tmp_path, web):
    whole = gzip.compress(web.contents["train-images-idx3-ubyte"])
    web.answers["https://one/train-images-idx3-ubyte.gz"] = Response(whole, breaks=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist")
    assert cached(tmp_path) == []


@pytest.mark.parametrize("damage", [lambda packed: packed[:20], lambda packed: gzip.compress(b"other"), lambda _: b""])
def test_a_damaged_file_in_the_cache_is_deleted_and_downloaded_again(tmp_path, web, damage):
    whole = data.load("mnist").train.images
    path = tmp_path / "cache" / "tinyar" / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match="deleted a damaged file from the cache: .*train-images-idx3-ubyte.gz: "):
        np.testing.assert_array_equal(data.load("mnist").train.images, whole)
    assert cached(tmp_path) == ALL_FILES and len(web.opened) == 5


def test_a_damaged_file_in_the_cache_is_never_used(tmp_path, web):
    data.load("mnist")
    (tmp_path / "cache" / "tinyar" / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="SHA-256"), pytest.raises(data.DataNotFoundError, match="t10k-labels"):
        data.load("mnist", download=False)
    assert cached(tmp_path) == [name for name in ALL_FILES if "t10k-labels" not in name]


def test_your_own_folder_is_not_compared_with_the_digests(tmp_path, web):
    own = write_files(tmp_path / "own", tiny_mnist(count=6, seed=4))
    assert len(data.load("mnist", data_dir=own).train) == 5
    assert web.opened == []


# ---- a download in one archive ---------------------------------------------------------------------------------------

ARCHIVE = "https://one/batches.tar.gz"


def tar_gz(contents, kind=tarfile.REGTYPE):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, "/etc/hosts"
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def in_folder(contents, folder="cifar-10-batches-bin/"):
    return {folder + name: content for name, content in contents.items()}


@pytest.fixture
def archive(monkeypatch):
    """A tiny CIFAR-10 whose files come in one archive; returns their contents and the fake web that serves it."""
    contents = tiny_cifar()
    fake = Web({})
    fake.answers[ARCHIVE] = Response(tar_gz({**in_folder(contents), "cifar-10-batches-bin/readme.html": b"read me"}))
    known = tuple(sources.File(name, len(content), hashlib.sha256(content).hexdigest())
                  for name, content in contents.items())
    source = sources.Source(known, ("cifar-10-batches-bin",), ("https://one/",), archive="batches.tar.gz", batches=True)
    monkeypatch.setitem(sources.SOURCES, "cifar10", source)
    monkeypatch.setattr(download, "open_url", fake)
    return contents, fake


def all_below(tmp_path):
    return sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())


CIFAR_CACHE = [f"cache/tinyar/cifar10/{name}" for name in ("data_batch_1.bin", "test_batch.bin")]


def test_an_archive_is_unpacked_into_the_cache_and_not_loaded_again(tmp_path, archive):
    contents, web = archive
    first = data.load("cifar10")
    np.testing.assert_array_equal(first.test.images, some_colours(2, seed=9))
    assert all_below(tmp_path) == CIFAR_CACHE and web.opened == [ARCHIVE]
    data.load("cifar10", download=False)
    (tmp_path / CIFAR_CACHE[0]).write_bytes(b"damaged")
    web.answers[ARCHIVE] = Response(tar_gz(in_folder(contents)))
    with pytest.warns(UserWarning, match="deleted a damaged file from the cache: .*data_batch_1.bin"):
        np.testing.assert_array_equal(data.load("cifar10").train.images, first.train.images)
    assert all_below(tmp_path) == CIFAR_CACHE and len(web.opened) == 2


@pytest.mark.parametrize("place", ["../../../", "/tmp/../", "C:/", "cifar-10-batches-bin/../../"])
def test_no_path_in_an_archive_leads_anywhere(tmp_path, archive, place):
    contents, web = archive
    web.answers[ARCHIVE] = Response(tar_gz({**in_folder(contents, place), place + "evil.txt": b"evil"}))
    data.load("cifar10")
    assert all_below(tmp_path) == CIFAR_CACHE


def bad_archives():
    contents = tiny_cifar()
    good, other = tar_gz(in_folder(contents)), tiny_cifar(batches=(2,))
    return {
        "error page": (b"<html>403</html>", "Not a gzipped file"),
        "no tar": (gzip.compress(b"<html>403</html>" * 99), "damaged or truncated archive"),
        "nothing": (b"", "not in the archive|truncated archive"),
        "truncated": (good[:len(good) // 2], "damaged or truncated archive"),
        "damaged": (good[:5000] + b"\xff" * 9 + good[5009:], "damaged or truncated|SHA-256"),
        "other files": (tar_gz(in_folder(other)), "data_batch_1.bin not in the archive"),
        "other bytes": (tar_gz(in_folder({**contents, "data_batch_1.bin": other["data_batch_2.bin"]})), "SHA-256"),
        "links": (tar_gz(in_folder(contents), tarfile.SYMTYPE), "not in the archive"),
        "bomb": (tar_gz({"zeros": bytes(2 ** 22), **contents}), "sent more than the 1,073,160 bytes expected"),
        "long file": (tar_gz({"test_batch.bin": bytes(2 ** 22)}), "sent more than"),
    }


@pytest.mark.parametrize("case", bad_archives())
def test_a_bad_archive_leaves_no_bad_file(tmp_path, archive, case):
    content, message = bad_archives()[case]
    archive[1].answers[ARCHIVE] = Response(content)
    with pytest.raises(data.DataNotFoundError, match=f"{ARCHIVE}: .*({message})") as caught:
        data.load("cifar10")
    assert f"unpack {ARCHIVE} into a folder" in str(caught.value) and "TINYAR_DATA" in str(caught.value)
    for name in all_below(tmp_path):  # a file that had come whole before the damage may stay
        assert name in CIFAR_CACHE and (tmp_path / name).read_bytes() == archive[0][name.rpartition("/")[2]]


def test_an_interrupted_archive_leaves_nothing(tmp_path, archive):
    archive[1].answers[ARCHIVE] = Response(tar_gz(in_folder(archive[0])), breaks=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        data.load("cifar10")
    assert all_below(tmp_path) == []


@pytest.mark.parametrize("url", ["http://one/x.gz", "ftp://one/x.gz", "file:///etc/hosts"])
def test_only_https_is_opened_and_followed(monkeypatch, url):
    monkeypatch.undo()
    with pytest.raises(urllib.error.URLError, match="not an https address"):
        download.open_url(url)
    request = urllib.request.Request("https://one/x.gz")
    follow = download.HttpsRedirects().redirect_request
    with pytest.raises(urllib.error.URLError, match="not an https address"):
        follow(request, io.BytesIO(), 302, "Found", {}, url)
    assert follow(request, io.BytesIO(), 302, "Found", {}, "https://two/x.gz").full_url == "https://two/x.gz"


def test_every_known_mirror_is_https_and_every_digest_whole():
    for source in sources.SOURCES.values():
        assert source.mirrors and all(url.startswith("https://") and url.endswith("/") for url in source.mirrors)
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in source.files)


# ---- the examples' options -------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def arguments():
    path = pathlib.Path(__file__).parent.parent / "examples" / "arguments.py"
    spec = importlib.util.spec_from_file_location("arguments", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parsed(arguments, *line):
    parser = argparse.ArgumentParser()
    arguments.add_data_arguments(parser)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(line)


@pytest.mark.parametrize("line, shape, levels", [
    (["--data", "folder"], (32, 32, 3), 256), (["--data", "folder", "--size", "8"], (8, 8, 3), 256),
    (["--data", "folder", "--size", "6", "--grey", "--levels", "4"], (6, 6, 1), 4),
    (["--data", "digits", "--binarize", "fixed", "--seed", "3"], (8, 8, 1), 2)])
def test_the_examples_load_the_data_asked_for_and_load_it_again(tmp_path, arguments, line, shape, levels):
    save_pictures(tmp_path, [f"{number}.png" for number in range(6)])
    args = parsed(arguments, *line, "--data-dir", str(tmp_path))
    first = arguments.load_data(args)
    assert (first.image_shape, first.levels) == (shape, levels)
    about = {"options": arguments.options_of_a_run(args)}
    assert "data_dir" not in about["options"]
    again = arguments.load_again(about, tmp_path)
    assert again.description == first.description
    np.testing.assert_array_equal(again.test.images, first.test.images)


def test_the_examples_load_again_what_an_older_run_describes(arguments):
    assert arguments.load_again({"options": {"data": "digits", "levels": 4}}).levels == 4
    assert arguments.load_again({"options": {"data": "digits"}}).description == data.load("digits").description
    for about in ({}, {"options": {}}, {"options": {"levels": 2}}, {"autoencoder": "5"}):
        with pytest.raises(ValueError, match="doesn't say which data it was trained on"):
            arguments.load_again(about)


def test_the_examples_refuse_sizes_that_are_none(arguments, capsys):
    with pytest.raises(SystemExit):
        parsed(arguments, "--size", "0")
    assert "--size: expected a whole number of at least 1" in capsys.readouterr().err
    with pytest.raises(ValueError, match="expected the folder of your images"):
        arguments.load_data(parsed(arguments, "--data", "folder"))


# ---- the real files --------------------------------------------------------------------------------------------------

def load_real(name, **keywords):
    """The dataset from the folder TINYAR_DATA names, or a skip that says why not."""
    if not REAL:
        pytest.skip("TINYAR_DATA is not set")
    try:
        return data.load(name, data_dir=REAL, download=False, **keywords)
    except data.DataNotFoundError:
        pytest.skip(f"TINYAR_DATA={REAL} holds no files of {name}")


def test_real_mnist():
    mnist = load_real("mnist")
    assert mnist.image_shape == (28, 28, 1)
    assert "50,000 / 10,000 / 10,000" in mnist.description and "256 levels" in mnist.description
    assert mnist.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    counts = np.bincount(mnist.train.labels) + np.bincount(mnist.validation.labels)
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    total = mnist.train.images.sum(dtype=np.int64) + mnist.validation.images.sum(dtype=np.int64)
    assert total / (60_000 * 784) == pytest.approx(33.3184, abs=1e-4)  # the mean pixel of the 60,000


def test_real_files_have_the_known_digests():
    load_real("mnist")
    for path, file in zip(files.find_files("mnist", REAL, download=False), sources.SOURCES["mnist"].files):
        download.check(path, file)


def test_real_binarized_mnist():
    binarized = load_real("binarized-mnist")
    assert "2 levels (as many as in the files), 50,000 / 10,000 / 10,000" in binarized.description
    assert binarized.train.images.mean() == pytest.approx(0.1306, abs=1e-4)
    paths = files.find_files("binarized-mnist", REAL, download=False)
    for path, file in zip(paths, sources.SOURCES["binarized-mnist"].files):
        download.check(path, file)


def test_real_cifar10():
    """All of CIFAR-10, or some of its batches, and the first test images."""
    loaded = load_real("cifar10")
    assert loaded.image_shape == (32, 32, 3) and loaded.classes == 10
    assert len(loaded.validation) == (len(loaded.train) + len(loaded.validation)) // 6
    assert loaded.test.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    mean = loaded.train.images.mean(axis=(0, 1, 2))
    assert mean / 255 == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.01)  # of the 50,000: the order is R, G, B
    ship = loaded.test.images[1].astype(int)  # the second test image: a ship under a pale sky
    assert ship[:8].mean() > 200
    first, *_ = sources.SOURCES["cifar10"].files
    for path in files.find_files("cifar10", REAL, download=False):
        if path.name == first.name:
            download.check(path, first)
