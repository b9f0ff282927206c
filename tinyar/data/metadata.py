"""What in a picture file is its pixels, and what are notes beside them.

Cameras and editors write notes into picture files: how the camera was held, where it was, texts, colour profiles. They
are often malformed, and no viewer minds. Here one of them is wanted, the orientation. The others are taken out before
Pillow, which minds some, sees the file:

    PNG     8 bytes, then chunks: length | name | content | checksum. Those whose name begins with a small letter are
            notes; only tRNS, which says what is transparent, is not
    JPEG    FF D8, then segments: FF | kind | length | content. Kinds E0 to EF and FE are notes; only JFIF (E0) and
            Adobe (EE), which say how colours are coded, are not. Segment DA is followed by the pixels
    others  are left as they are

The orientation is a number from 1 to 8 in the tags of EXIF, or else in a text called XMP.
"""

import dataclasses
import io
import os
import re
import struct
import tempfile
import zlib

from PIL import Image

from tinyar.data.formats import CHUNK

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
JPEG_NOTES = {0xFE, *range(0xE0, 0xF0)}
JPEG_COLORS = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}  # how they begin, and how long they are at least
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # size and colours; the kind says how the pixels are packed
JPEG_SCAN = 0xDA
JPEG_SEGMENTS = {*range(0xC0, 0xFF)} - {*range(0xD0, 0xDA)}  # other marks have no length
JPEG_EXIF, JPEG_XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"  # how these begin
ORIENTATION_TAG = 0x0112
ORIENTATION_TEXT = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')
LONGEST_NOTE = 2 ** 20  # bytes; a longer one isn't read
IN_MEMORY = 2 ** 24  # bytes; the pixels of a larger file go to a temporary file


@dataclasses.dataclass
class Parts:
    """What a file consists of.

    spans     where the pixels are: [start, stop] in bytes
    exif      the tags of EXIF, xmp the text; empty where there are none
    held      of a JPEG: bytes a pixel that a decoder holds beside the pixels. What comes row by row, in one scan, needs
              none; of what comes in several scans, it keeps all coefficients until the last scan
    """

    spans: list = dataclasses.field(default_factory=list)
    exif: bytes = b""
    xmp: bytes = b""
    held: float = 0

    def keep(self, start, stop):
        """Count the bytes from start to stop as pixels."""
        if self.spans and self.spans[-1][1] == start:
            self.spans[-1][1] = stop
        else:
            self.spans.append([start, stop])


def parts_of(file):
    """The Parts of a file that is open for reading. What isn't understood is kept, for Pillow to judge.

    Raises ValueError for pixels with a wrong checksum.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    start = file.read(8)
    if start == PNG:
        return _parts_of_png(file, size)
    if start[:2] == JPEG:
        return _parts_of_jpeg(file, size)
    return Parts([[0, size]])


def _parts_of_png(file, size):
    parts, place = Parts([[0, 8]]), 8
    while len(head := _read_at(file, place, 8)) == 8:
        length, name = struct.unpack(">I4s", head)
        stop = min(place + 12 + length, size)
        if name == b"IDAT" and stop == place + 12 + length:
            _check_pixels(file, place, stop)
        if name[:1].isupper() or name == b"tRNS" or not name.isalpha():
            parts.keep(place, stop)
        elif length <= LONGEST_NOTE:
            note = _read_at(file, place + 8, length)
            if name == b"eXIf":
                parts.exif = note
            elif name in (b"tEXt", b"zTXt"):
                parts.exif = parts.exif or _exif_of_text(note, name == b"zTXt")
            elif name == b"iTXt" and note.startswith(b"XML:com.adobe.xmp\0"):
                parts.xmp = note
        place = stop
    return parts


def _check_pixels(file, place, stop):
    """Raise ValueError unless a chunk of pixels has the checksum that stands at its end. (Pillow does not look.)"""
    file.seek(place + 4)
    found = 0
    while file.tell() < stop - 4:
        found = zlib.crc32(file.read(min(CHUNK, stop - 4 - file.tell())), found)
    if struct.pack(">I", found) != file.read(4):
        raise ValueError("its pixels have another checksum than they should")


def _exif_of_text(note, packed):
    """EXIF as ImageMagick once put it into a text of a PNG: three lines, then hexadecimal. b"" for other texts."""
    title, _, text = note.partition(b"\0")
    if title != b"Raw profile type exif":
        return b""
    try:
        if packed:
            text = zlib.decompressobj().decompress(text[1:], LONGEST_NOTE)
        return bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except (ValueError, zlib.error):
        return b""


def _parts_of_jpeg(file, size):
    parts, place, frame, rows = Parts([[0, 2]]), 2, b"", False
    while len(head := _read_at(file, place, 4)) == 4:
        mark, kind, length = struct.unpack(">BBH", head)
        if mark != 0xFF or kind == JPEG_SCAN or kind not in JPEG_SEGMENTS or length < 2:
            parts.held = 0 if rows and kind == JPEG_SCAN and file.read(1) == frame[5:6] else _coefficient_bytes(frame)
            break
        stop = min(place + 2 + length, size)
        content = file.read(length - 2)
        if kind not in JPEG_NOTES or _tells_colors(kind, content):
            parts.keep(place, stop)
        elif kind == 0xE1 and content.startswith(JPEG_EXIF):
            parts.exif = parts.exif or content
        elif kind == 0xE1 and content.startswith(JPEG_XMP):
            parts.xmp = content
        if kind in JPEG_FRAMES:
            frame, rows = content, kind in (0xC0, 0xC1)
        place = stop
    parts.keep(place, size)
    return parts


def _coefficient_bytes(frame):
    """Bytes a pixel of all coefficients, two each. `frame` says for each colour how many columns and rows it has."""
    samples = [part // 16 * (part % 16) for part in frame[7::3]]
    return 2 * sum(samples) / max(samples) if any(samples) else 8


def _tells_colors(kind, content):
    """Whether a note of a JPEG is one that the colours depend on."""
    start, length = JPEG_COLORS.get(kind, (None, 0))
    return start is not None and content.startswith(start) and len(content) >= length


def _read_at(file, place, length):
    file.seek(place)
    return file.read(length)


def pixels_of(file, parts):
    """A file with the spans of `parts` alone, to be closed after use: `file` itself, if that is all there is."""
    kept = sum(stop - start for start, stop in parts.spans)
    if kept == os.fstat(file.fileno()).st_size:
        return file
    out = io.BytesIO() if kept <= IN_MEMORY else tempfile.TemporaryFile()
    for start, stop in parts.spans:
        file.seek(start)
        while chunk := file.read(min(CHUNK, stop - file.tell())):
            out.write(chunk)
    out.seek(0)
    return out


def orientation(exif, xmp):
    """1 to 8, as EXIF counts: 1 is upright. 1 too where nothing is said, or nothing that can be understood."""
    try:
        tags = Image.Exif()
        tags.load(re.sub(rb"^(Exif\0\0)+", b"", exif))  # some programs write this header twice
        found = tags.get(ORIENTATION_TAG)
        if found is None and (match := ORIENTATION_TEXT.search(xmp)):
            found = int(match[1])
        return int(found) if found in range(1, 9) else 1
    except Exception:  # Pillow raises many kinds at malformed tags; they are as good as none
        return 1
