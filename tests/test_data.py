"""The data room: pixels quantized as stated, splits that never change, files found where they lie.

Some tests need the real files; they look into TINYAR_DATA and are skipped where it holds none.
"""

import argparse
import importlib
import os
import pathlib
import pickle

import numpy as np
import pytest

from data_files import (COLUMNS, amat, binary_rows, idx_images, save_pictures, some_images, tiny_mnist,
                        tiny_source, write_files)
from tinyar import data
from tinyar.data import download, files, readers, sources

pytestmark = pytest.mark.usefixtures("no_surroundings")
REAL = os.environ.get("TINYAR_DATA")


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
    assert digits.train.images.dtype == digits.train.labels.dtype == np.uint8 and digits.class_names is None
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


@pytest.mark.parametrize("name, keywords, message", [
    ("digits", {"color": False}, "--grey: digits is grey already"),
    ("digits", {"levels": 18}, "--levels 18: digits has only 17 levels of its own, expected at most that many"),
    ("digits", {"levels": 3, "binarize": "fixed"}, "binarize='fixed' gives 2 levels, which contradicts --levels 18"),
    ("folder", {}, "data_dir=None: for dataset 'folder' expected the folder of your images"),
])
def test_an_option_error_can_be_worded_anew(name, keywords, message):
    with pytest.raises(data.OptionError) as caught:
        data.load(name, **keywords)
    assert caught.value.worded({"color": "--grey", "levels": "--levels 18", "size": "--size 3"}) == message
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value) and again.options == caught.value.options


@pytest.mark.parametrize("seed", [-1, 1.5, None, "0"])
def test_seeds_are_whole_numbers(seed):
    with pytest.raises(ValueError, match="seed=.*: expected a whole number of at least 0"):
        data.load("digits", binarize="fresh", seed=seed)


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


def test_files_of_the_other_mnist_are_noticed(tmp_path, monkeypatch):
    contents = tiny_mnist()
    monkeypatch.setitem(sources.SOURCES, "mnist", tiny_source(contents))
    own = write_files(tmp_path / "own", contents)
    assert len(data.load("mnist", data_dir=own).train) == 10
    with pytest.raises(data.DataNotFoundError, match="passed over .*own: these are the files of mnist"):
        data.load("fashion-mnist", data_dir=own, download=False)


# ---- home folders ----------------------------------------------------------------------------------------------------

@pytest.fixture
def no_home(monkeypatch):
    """HOME isn't set, and the user has no line in passwd, as in many containers."""
    for variable in ("HOME", "USERPROFILE", "HOMEDRIVE", "HOMEPATH", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(variable, raising=False)
    try:
        import pwd
    except ImportError:
        return

    def unknown(_):
        raise KeyError("no such user")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


def test_without_a_home_folder_there_is_no_cache(tmp_path, no_home):
    """The fixtures' network fails the test if it is asked."""
    assert len(data.load("digits").train) == 1297
    write_files(tmp_path / "own", tiny_mnist())
    assert len(data.load("mnist", data_dir=tmp_path / "own").train) == 10
    for download_too in (True, False):
        with pytest.raises(data.DataNotFoundError, match="no cache, and so no download: the home folder isn't known"):
            data.load("mnist", download=download_too)
    with pytest.raises(data.DataNotFoundError, match="data_dir '~/own': there is no home folder '~' on this computer"):
        data.load("mnist", data_dir="~/own")


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch, by_environment):
    monkeypatch.setenv("USERPROFILE" if os.name == "nt" else "HOME", str(tmp_path))
    write_files(tmp_path / "own", tiny_mnist())
    if by_environment:
        monkeypatch.setenv("TINYAR_DATA", "~/own")
    assert len(data.load("mnist", data_dir=None if by_environment else "~/own").train) == 10
    save_pictures(tmp_path, [f"{number}.png" for number in range(6)])
    assert f"folder {tmp_path.name!r}" in data.load("folder", data_dir="~").description
    monkeypatch.setenv(files.CACHE_VARIABLE, "~/elsewhere")
    assert files.cache_folder("mnist") == tmp_path / "elsewhere" / "tinyar" / "mnist"


@pytest.mark.skipif(os.name == "nt", reason="Windows guesses where another user's home folder is")
def test_the_home_folder_of_a_user_who_is_not_there_is_an_error(monkeypatch):
    message = "'~nobody-here/own': there is no home folder '~nobody-here' on this computer"
    for name in ("mnist", "folder"):
        with pytest.raises(data.DataNotFoundError, match=f"data_dir {message}"):
            data.load(name, data_dir="~nobody-here/own")
    monkeypatch.setenv("TINYAR_DATA", "~nobody-here/own")
    with pytest.raises(data.DataNotFoundError, match=f"TINYAR_DATA {message}"):
        data.load("mnist")
    monkeypatch.setenv(files.CACHE_VARIABLE, "~nobody-here")
    assert files.cache_folder("mnist") is None


# ---- the examples' options -------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def arguments():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pathlib.Path(__file__).parent.parent / "examples")  # they import each other
        yield importlib.import_module("arguments")


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
    args = parsed(arguments, *line, *(["--data-dir", str(tmp_path)] if "folder" in line else []))
    first = arguments.load_data(args)
    assert (first.image_shape, first.levels) == (shape, levels)
    about = {"options": arguments.options_of_a_run(args)}
    assert "data_dir" not in about["options"]
    again = arguments.load_again(about, tmp_path if "folder" in line else None)
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
