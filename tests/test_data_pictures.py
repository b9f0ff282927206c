"""Pictures: whatever notes they hold, however large they are, and whatever is transparent in them."""

import os
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from data_files import bmp_with_alpha, chunk, encoded, jpeg_with, png_of_zeros, png_with, tag, tiff
from tinyar.data import metadata, picture
from tinyar.data.picture import read_image


# ---- notes -----------------------------------------------------------------------------------------------------------

PICTURE = Image.fromarray(np.random.default_rng(5).integers(0, 256, (9, 14, 3), np.uint8))
UPRIGHT, TURNED = tag(0x0112, 3, 1, 1), tag(0x0112, 3, 1, 6)  # short numbers
TEXT = tag(0x011A, 2, 3, b"72\0\0")
HEXADECIMAL = b"\nexif\n      26\n" + tiff(TURNED).hex().encode()
XMP = b'<x:xmpmeta tiff:Orientation="6">'
NOTES = {  # (what stands in the EXIF note, whether the picture is turned by a quarter)
    "sound": (tiff(TURNED), True),
    "header twice": (b"Exif\0\0" + tiff(TURNED), True),
    "resolution as text": (tiff(TURNED, TEXT), True),
    "resolution by zero": (tiff(TURNED, tag(0x011A, 5, 1, 38)) + b"\1" + bytes(7), True),
    "places as text": (tiff(TURNED, tag(0x8825, 2, 2, b"N\0\0\0")), True),
    "places beyond the end": (tiff(TURNED, tag(0x8825, 4, 1, 90_000)), True),
    "tags beyond the end": (tiff(TURNED, tag(0x8769, 4, 1, 2 ** 32 - 1)), True),
    "value beyond the end": (tiff(TURNED, tag(0x9286, 7, 1000, 60)), True),
    "cut": (tiff(TURNED, TEXT)[:30], True),
    "upright": (tiff(UPRIGHT), False),
    "orientation 9": (tiff(tag(0x0112, 3, 1, 9)), False),
    "orientation 0": (tiff(tag(0x0112, 3, 1, 0)), False),
    "orientation as text": (tiff(tag(0x0112, 2, 2, b"6\0\0\0")), False),
    "nothing": (b"", False),
    "no tags": (b"hello world, no tags", False),
    "first tag beyond the end": (tiff(TURNED, first=90_000), False),
    "other byte order": (b"MM" + tiff(TURNED)[2:], False),
}
OTHER_NOTES = [  # of a JPEG, malformed all of them: (kind of segment, content)
    (0xE0, b"JFIF\0\1"), (0xE0, b"JFIF"), (0xE1, b"http://ns.adobe.com/xap/1.0/\0<price 5\xa8>"),
    (0xE2, b"MPF\0MM\0*\0\0\0\x08\0\1\xb0\1\0\4\0\0\0\1\0\0\0\2"), (0xE2, b"MPF\0II*"),
    (0xE2, b"ICC_PROFILE\0"), (0xE2, b"ICC_PROFILE\0\2\1abc"), (0xED, b"Photoshop 3.0\0008BIM\3\xed"),
    (0xEE, b"Adobe"), (0xE1, b""), (0xFE, b""), (0xEC, bytes(9))]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("case", NOTES)
def test_of_all_notes_the_orientation_counts_and_no_other_harms(tmp_path, kind, case):
    """No warning escapes either: pytest would turn it into an error."""
    note, turned = NOTES[case]
    plain = encoded(PICTURE, kind, **({"lossless": True} if kind == "WEBP" else {}))
    if kind == "JPEG":
        content = jpeg_with(plain, *OTHER_NOTES[:3], (0xE1, b"Exif\0\0" + note), *OTHER_NOTES[3:])
    elif kind == "PNG":
        content = png_with(plain, chunk(b"eXIf", note))
    else:
        content = encoded(PICTURE, kind, lossless=True, exif=b"Exif\0\0" + note)
    (tmp_path / "noted").write_bytes(content)
    (tmp_path / "plain").write_bytes(plain)
    shown = read_image(tmp_path / "plain", 9)
    np.testing.assert_array_equal(read_image(tmp_path / "noted", 9), np.rot90(shown, -1) if turned else shown)


@pytest.mark.parametrize("note", OTHER_NOTES)
def test_a_malformed_note_alone_does_no_harm(tmp_path, note):
    plain = encoded(PICTURE, "JPEG")
    (tmp_path / "plain.jpg").write_bytes(plain)
    (tmp_path / "noted.jpg").write_bytes(jpeg_with(plain, note))
    np.testing.assert_array_equal(read_image(tmp_path / "noted.jpg", 9), read_image(tmp_path / "plain.jpg", 9))


@pytest.mark.parametrize("chunks", [
    [chunk(b"zTXt", b"workflow\0\0" + zlib.compress(bytes(3 * 2 ** 20)))],  # longer than Pillow allows
    [chunk(b"zTXt", b"text\0\7abc")], [chunk(b"iCCP", b"profile\0\7abc")], [chunk(b"iCCP", b"")],
    [chunk(b"pHYs", b"")], [chunk(b"gAMA", b"\0")], [chunk(b"cHRM", bytes(9))], [chunk(b"sRGB", b"")],
    [chunk(b"tIME", bytes(7), wrong=True)], [chunk(b"acTL", b"\0")], [chunk(b"fcTL", bytes(26))],
    [chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 4\nno hexadecimal")], [chunk(b"eXIf", b"II")],
    [chunk(b"iTXt", b"")]])
@pytest.mark.parametrize("at_end", [False, True])
def test_no_note_of_a_png_does_harm(tmp_path, chunks, at_end):
    (tmp_path / "noted.png").write_bytes(png_with(encoded(PICTURE, "PNG"), *chunks, at_end=at_end))
    np.testing.assert_array_equal(read_image(tmp_path / "noted.png", 9), np.asarray(PICTURE)[:, 2:11])


@pytest.mark.parametrize("kind, chunks", [
    ("JPEG", (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
    ("PNG", chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
    ("PNG", chunk(b"tEXt", b"Raw profile type exif\0" + HEXADECIMAL)),
    ("PNG", chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(HEXADECIMAL)))])
def test_the_orientation_may_stand_in_a_text(tmp_path, kind, chunks):
    plain = encoded(PICTURE, kind)
    (tmp_path / "noted").write_bytes(jpeg_with(plain, chunks) if kind == "JPEG" else png_with(plain, chunks))
    (tmp_path / "plain").write_bytes(plain)
    noted, upright = read_image(tmp_path / "noted", 9), read_image(tmp_path / "plain", 9)
    np.testing.assert_array_equal(noted, np.rot90(upright, -1))


def test_the_notes_that_say_how_colours_are_coded_are_kept(tmp_path):
    """A JPEG by Adobe may hold R, G, B as they are; without that note they would be taken for luma and chroma."""
    plain = encoded(PICTURE, "JPEG")
    assert plain[2:4] == b"\xff\xe0"  # JFIF, which means luma and chroma: 18 bytes
    content = jpeg_with(plain[:2] + plain[20:], (0xFE, b"a comment"), (0xEE, b"Adobe\0d\0\0\0\0\0"))
    (tmp_path / "photo.jpg").write_bytes(content)
    with Image.open(tmp_path / "photo.jpg") as opened:
        expected = np.asarray(opened)[:, 2:11]
    np.testing.assert_array_equal(read_image(tmp_path / "photo.jpg", 9), expected)
    (tmp_path / "photo.jpg").write_bytes(plain)
    assert np.any(read_image(tmp_path / "photo.jpg", 9) != expected)


def test_a_very_long_note_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "LONGEST_NOTE", 20)
    (tmp_path / "noted.png").write_bytes(png_with(encoded(PICTURE, "PNG"), chunk(b"eXIf", tiff(TURNED))))
    np.testing.assert_array_equal(read_image(tmp_path / "noted.png", 9), np.asarray(PICTURE)[:, 2:11])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(14, 9), (9, 14), (8, 13)])
def test_every_orientation_is_turned_before_the_square_is_cut(tmp_path, orientation, size):
    """As Pillow turns the whole picture; where a pixel is left over, it is on the same side."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(PICTURE.resize(size), "PNG", exif=exif)
    (tmp_path / "photo.png").write_bytes(content)
    with Image.open(tmp_path / "photo.png") as opened:
        ImageOps.exif_transpose(opened).save(tmp_path / "turned.png")
    for wanted in (min(size), 5):
        np.testing.assert_array_equal(read_image(tmp_path / "photo.png", wanted),
                                      read_image(tmp_path / "turned.png", wanted))


def test_a_picture_with_another_behind_it_is_the_first(tmp_path):
    both = encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE.convert("L").convert("RGB")])
    (tmp_path / "both.jpg").write_bytes(both)
    (tmp_path / "one.jpg").write_bytes(encoded(PICTURE, "JPEG"))
    np.testing.assert_array_equal(read_image(tmp_path / "both.jpg", 9), read_image(tmp_path / "one.jpg", 9))


def test_a_long_file_with_notes_is_read_from_a_temporary_one(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "IN_MEMORY", 10)
    (tmp_path / "noted.png").write_bytes(png_with(encoded(PICTURE, "PNG"), chunk(b"tEXt", b"Title\0x")))
    np.testing.assert_array_equal(read_image(tmp_path / "noted.png", 9), np.asarray(PICTURE)[:, 2:11])


# ---- large pictures --------------------------------------------------------------------------------------------------

def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    """144 million pixels. Pillow alone only warns, and the warning doesn't escape."""
    path = tmp_path / "bomb.png"
    path.write_bytes(png_of_zeros(12_000, 12_000, 0, 1))
    message = "bomb.png: .*12000 x 12000 = 144,000,000 pixels, .*expected at most 54,000,000 in this kind of PNG"
    with pytest.raises(ValueError, match=message), warnings.catch_warnings(record=True) as caught:
        read_image(path, 32)
    assert not caught


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="no count of the memory taken")
def test_the_largest_picture_stays_within_300_megabytes(tmp_path):
    """Counted by Linux for a process of its own, all libraries included."""
    (tmp_path / "large.png").write_bytes(png_of_zeros(7348, 7348, 6, 4))
    code = f"""
from tinyar.data.picture import read_image
image = read_image({str(tmp_path / "large.png")!r}, 32)
assert (image == 255).all()  # black, but transparent
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""
    run = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True,
                         env={**os.environ, "TINYAR_BACKEND": "numpy"})  # CuPy alone takes 150 MB
    assert int(run.stdout) < 300 * 1000


def jpeg_of(side, **options):
    rows, columns = np.mgrid[:side, :side]
    smooth = np.stack([rows * 200 // side, columns * 200 // side, (rows + columns) * 100 // side], axis=-1)
    return encoded(Image.fromarray(smooth.astype(np.uint8)), "JPEG", quality=95, **options)


def test_a_large_jpeg_is_reduced_while_it_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg_of(640))
    whole = read_image(path, 16).astype(int)
    monkeypatch.setattr(picture, "REDUCED_PIXELS", 10_000)
    monkeypatch.setattr(picture, "MOST_BYTES", 4 * 80 * 80)
    assert np.abs(read_image(path, 16) - whole).max() <= 3
    with pytest.raises(ValueError, match="640 x 640 = 409,600 pixels"):
        read_image(path, 320)  # no room for it, and at that size nothing can be left out


@pytest.mark.parametrize("subsampling, held", [(0, 6), (1, 4), (2, 3)])
def test_what_a_progressive_jpeg_holds_is_counted(tmp_path, monkeypatch, subsampling, held):
    """The coefficients of three colours, two bytes each, for two of them at a half or a quarter of the pixels."""
    path = tmp_path / "photo.jpg"
    monkeypatch.setattr(picture, "MOST_BYTES", (4 + held) * 64 * 64)
    path.write_bytes(jpeg_of(64, progressive=True, subsampling=subsampling))
    assert read_image(path, 16).shape == (16, 16, 3)
    monkeypatch.setattr(picture, "MOST_BYTES", (4 + held) * 64 * 64 - 1)
    with pytest.raises(ValueError, match="photo.jpg: .*64 x 64 = 4,096 pixels, .*expected at most 4,095"):
        read_image(path, 16)
    path.write_bytes(jpeg_of(64, subsampling=subsampling))
    assert read_image(path, 16).shape == (16, 16, 3)


def test_a_jpeg_whose_colours_come_one_after_the_other_counts_as_progressive(tmp_path, monkeypatch):
    content = jpeg_of(64)
    scan = content.index(b"\xff\xda")
    assert content[scan + 4] == 3  # colours in the scan
    (tmp_path / "photo.jpg").write_bytes(content[:scan + 4] + b"\1" + content[scan + 5:])
    monkeypatch.setattr(picture, "MOST_BYTES", 6 * 64 * 64)
    with pytest.raises(ValueError, match="64 x 64 = 4,096 pixels"):
        read_image(tmp_path / "photo.jpg", 16)


@pytest.mark.parametrize("kind, bytes_a_pixel", [("PNG", 4), ("GIF", 4), ("BMP", 4), ("JPEG", 4), ("WEBP", 16)])
def test_every_kind_has_its_limit(tmp_path, monkeypatch, kind, bytes_a_pixel):
    path = tmp_path / "picture"
    path.write_bytes(encoded(PICTURE, kind))
    monkeypatch.setattr(picture, "MOST_BYTES", bytes_a_pixel * 9 * 14)
    assert read_image(path, 8).shape == (8, 8, 3)
    monkeypatch.setattr(picture, "MOST_BYTES", bytes_a_pixel * 9 * 14 - 1)
    with pytest.raises(ValueError, match=f"14 x 9 = 126 pixels, .*expected at most 125 in this kind of {kind} file"):
        read_image(path, 8)


def test_a_long_file_is_not_opened(tmp_path, monkeypatch):
    path = tmp_path / "long.webp"
    path.write_bytes(encoded(PICTURE, "WEBP"))
    monkeypatch.setattr(picture, "MOST_FILE_BYTES", 20)
    with pytest.raises(ValueError, match="long.webp: .*bytes, expected at most 20"):
        read_image(path, 16)


@pytest.mark.parametrize("orientation", [1, 6])
def test_bands_change_nothing(tmp_path, monkeypatch, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.random.default_rng(7).integers(0, 256, (61, 40, 4), np.uint8)
    path = tmp_path / "picture.png"
    path.write_bytes(encoded(Image.fromarray(pixels), "PNG", exif=exif))
    whole = read_image(path, 13)
    for band in (1, 200, 999):
        monkeypatch.setattr(picture, "BAND", band)
        np.testing.assert_array_equal(read_image(path, 13), whole)


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "ICO", "EPS"])
def test_other_kinds_of_pictures_are_refused(tmp_path, kind):
    """How much memory they take isn't known here, and some start other programs."""
    (tmp_path / "x.png").write_bytes(encoded(PICTURE, kind))
    with pytest.raises(ValueError, match="x.png: can't be read as an image .none of PNG, GIF, BMP, JPEG, WEBP, AVIF"):
        read_image(tmp_path / "x.png", 8)


# ---- transparency ----------------------------------------------------------------------------------------------------

def test_a_bmp_that_is_transparent_everywhere_is_opaque(tmp_path):
    pixels = np.random.default_rng(8).integers(0, 256, (6, 6, 4), np.uint8)
    for alpha, expected in ((0, pixels[..., :3]), (255, pixels[..., :3])):
        pixels[..., 3] = alpha
        (tmp_path / "x.bmp").write_bytes(bmp_with_alpha(pixels))
        with Image.open(tmp_path / "x.bmp") as opened:
            assert opened.mode == "RGBA"
        np.testing.assert_array_equal(read_image(tmp_path / "x.bmp", 6), expected)


def test_true_transparency_stays(tmp_path):
    pixels = np.random.default_rng(8).integers(0, 256, (6, 6, 4), np.uint8)
    pixels[:3, :, 3], pixels[3:, :, 3] = 255, 0
    (tmp_path / "x.bmp").write_bytes(bmp_with_alpha(pixels))
    Image.fromarray(pixels).save(tmp_path / "x.png")
    for name in ("x.bmp", "x.png"):
        image = read_image(tmp_path / name, 6)
        np.testing.assert_array_equal(image[:3], pixels[:3, :, :3])
        assert (image[3:] == 255).all()
    pixels[..., 3] = 0
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert (read_image(tmp_path / "x.png", 6) == 255).all()


@pytest.mark.parametrize("block", [3, 2 ** 16], ids=["in small pieces", "at once"])
def test_pixels_of_a_png_with_another_checksum_are_refused(tmp_path, monkeypatch, block):
    """Every bit of the chunk that holds them: decoders stop at the last pixel, and would read others in silence."""
    monkeypatch.setattr(metadata, "CHUNK", block)
    path = tmp_path / "picture.png"
    PICTURE.resize((4, 4)).save(path)
    whole = path.read_bytes()
    np.testing.assert_array_equal(read_image(path, 4), np.asarray(PICTURE.resize((4, 4))))
    begin = whole.index(b"IDAT") + 4
    end = begin + int.from_bytes(whole[begin - 8:begin - 4], "big") + 4
    for place in range(begin, end):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1:])
        with pytest.raises(ValueError, match=r"picture.png: can't be read as an image \(its pixels have another check"):
            read_image(path, 4)
