"""The files of the datasets: read back value by value, and refused by name when anything is wrong with them."""

import gzip
import random
import struct
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from data_files import (COLUMNS, NO_FILES, amat, binary_rows, cifar, idx_images, idx_labels, some_colours,
                        some_images, tiny_cifar, tiny_mnist, write_files)
from tinyar import data
from tinyar.data import formats, readers

pytestmark = pytest.mark.usefixtures("no_surroundings")


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
    "just too many": (struct.pack(">4I", 2051, 2 ** 28 // 12 + 1, 4, 3), "expected 1 to 268,435,456 bytes in all"),
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


# ---- what isn't a file -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("read", [
    formats.read_idx_images, formats.read_idx_labels, formats.read_cifar, lambda path: formats.read_amat(path, 3),
    lambda path: formats.sha256(path, 10)], ids=["images", "labels", "cifar", "amat", "sha256"])
def test_only_files_are_read(tmp_path, kind, read):
    """A pipe would wait for ever, and a device may never end."""
    NO_FILES[kind](tmp_path / "x")
    with pytest.raises(ValueError, match=f"x: {kind}, expected a regular file"):
        read(tmp_path / "x")
    with pytest.raises(ValueError, match="a folder, expected a regular file"):
        read(tmp_path)


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_a_pipe_in_your_folder_is_named(tmp_path, kind, name, dataset):
    write_files(tmp_path, tiny_mnist())
    (tmp_path / name).unlink()
    NO_FILES[kind](tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}: {kind}, expected a regular file"):
        data.load(dataset, data_dir=tmp_path)


def test_a_folder_with_the_name_of_a_file_is_passed_over(tmp_path):
    write_files(tmp_path, tiny_mnist(), gzipped=True)
    (tmp_path / "train-images-idx3-ubyte").mkdir()
    assert len(data.load("mnist", data_dir=tmp_path).train) == 10


# ---- .amat -----------------------------------------------------------------------------------------------------------

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


def test_all_batches_of_cifar_together_are_bounded(tmp_path, monkeypatch):
    """Ten images a batch, zeros that a few bytes unpack to, would else fill the memory five times."""
    monkeypatch.setattr(readers, "MOST_RECORDS", 15)
    write_files(tmp_path, tiny_cifar(batches=(1, 2), count=10))
    with pytest.raises(ValueError, match="data_batch_2.bin: with the batches before it 20 training images, .*most 15"):
        data.load("cifar10", data_dir=tmp_path)


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
