"""A folder of images: found in order, cut, resized and turned as stated, whatever kind of picture they are."""

import os
import random
import shutil

import numpy as np
import pytest
from PIL import Image

from data_files import NO_FILES, link, save_pictures, some_colours
from tinyar import data
from tinyar.data import folder, readers
from tinyar.data.picture import read_image

pytestmark = pytest.mark.usefixtures("no_surroundings")


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
    assert "1 file of other kinds passed over" in found.description
    assert ("no classes, since not every image lies in" in found.description) == any("/" in name for name in names)


def test_nothing_is_said_where_nothing_is_passed_over(tmp_path):
    save_pictures(tmp_path, [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(4)])
    found = data.load("folder", data_dir=tmp_path, size=8)
    assert found.description.startswith(f"folder {tmp_path.name!r}, images resized, 8x8x3")
    (tmp_path / "a.txt").touch()
    (tmp_path / "cat" / "b.csv").touch()
    assert "images resized (2 files of other kinds passed over), 8x8x3" in data.load(
        "folder", data_dir=tmp_path, size=8).description


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
            np.testing.assert_array_equal(read_image(tmp_path / f"{name}.png", 6), expected)


def test_shrinking_averages_and_growing_smooths(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255  # finer than 8 pixels can show: taking every eighth would leave only white
    Image.fromarray(stripes).save(tmp_path / "stripes.png")
    assert np.abs(read_image(tmp_path / "stripes.png", 8).astype(int) - 127.5).max() < 6
    Image.fromarray(np.array([[[0] * 3, [200] * 3]] * 2, np.uint8)).save(tmp_path / "edge.png")
    row = read_image(tmp_path / "edge.png", 8)[4, :, 0].astype(int)
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
    image = read_image(tmp_path / "picture.png", 8)
    assert image.dtype == np.uint8 and image.shape == (8, 8, 3)
    assert (image[:4, :4] == first).all() and (image[4:, 4:] == last).all()


def test_photographs_are_turned_as_the_camera_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    upright = np.zeros((16, 16), np.uint8)
    upright[:8] = 255  # the upper half comes to lie on the right
    Image.fromarray(upright).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    image = read_image(tmp_path / "photo.jpg", 16)
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
                assert read_image(path, 8).shape == (8, 8, 3)
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


# ---- classes and links -----------------------------------------------------------------------------------------------

def splits_of(dataset):
    return dataset.train, dataset.validation, dataset.test


def test_the_names_of_the_classes_are_kept_in_the_order_of_the_labels(tmp_path):
    names = [f"{number}/{place}.png" for number in range(12) for place in range(2)]
    save_pictures(tmp_path, names)
    numbers = data.load("folder", data_dir=tmp_path, size=4)
    assert numbers.class_names == ("0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9")
    assert numbers.classes == 12
    for split in splits_of(numbers):
        for image, label in zip(split.images, split.labels, strict=True):
            place = int(image[0, 0, 0]) // 10  # of the picture in `names`, as save_pictures colours it
            assert names[place].split("/")[0] == numbers.class_names[label]


def test_without_classes_there_are_no_names(tmp_path):
    save_pictures(tmp_path, [f"{number}.png" for number in range(6)])
    assert data.load("folder", data_dir=tmp_path).class_names is None


def test_linked_class_folders_and_pictures_are_followed(tmp_path):
    save_pictures(tmp_path / "elsewhere", [f"{number}.png" for number in range(4)])
    save_pictures(tmp_path / "zoo", [f"bee/{number}.png" for number in range(3)])
    link(tmp_path / "zoo" / "ant", tmp_path / "elsewhere")
    link(tmp_path / "zoo" / "bee" / "linked.png", tmp_path / "elsewhere" / "0.png")
    zoo = data.load("folder", data_dir=tmp_path / "zoo", size=4)
    assert zoo.class_names == ("ant", "bee")
    assert sum(len(split) for split in splits_of(zoo)) == 8
    shutil.rmtree(tmp_path / "zoo" / "bee")
    link(tmp_path / "zoo" / "bee", "ant")
    assert data.load("folder", data_dir=tmp_path / "zoo", size=4).class_names == ("ant", "bee")


@pytest.mark.parametrize("target", [".", "..", "../bee", "../.."])
def test_links_that_lead_round_in_a_circle_end(tmp_path, target):
    names = [f"{kind}/{number}.png" for kind in ("ant", "bee") for number in range(3)]
    save_pictures(tmp_path / "zoo", names)
    link(tmp_path / "zoo" / "ant" / "round", target)
    link(tmp_path / "zoo" / "bee" / "round", "../ant")
    found = {path.relative_to(tmp_path / "zoo").as_posix() for path in folder.find_images(tmp_path / "zoo")}
    assert found >= set(names) and len(found) < 60


@pytest.mark.parametrize("name, target", [("cat", "gone"), ("cat.png", "gone"), ("cat", "cat"), ("cat.png", "cat.png")])
def test_a_link_that_leads_nowhere_is_named(tmp_path, name, target):
    save_pictures(tmp_path, [f"{number}.png" for number in range(6)])
    link(tmp_path / name, tmp_path / target)
    with pytest.raises(data.DataNotFoundError, match=f"{name} is a link that leads nowhere"):
        data.load("folder", data_dir=tmp_path)


@pytest.mark.parametrize("kind", NO_FILES)
def test_only_files_are_opened(tmp_path, kind):
    save_pictures(tmp_path, [f"{number}.png" for number in range(6)])
    NO_FILES[kind](tmp_path / "x.png")
    with pytest.raises(ValueError, match=rf"x.png: can't be read as an image \({kind}, expected a regular file\)"):
        data.load("folder", data_dir=tmp_path)
