"""Ways to spoil a file, for campaign_files.py. Each is a function of the sound content and random numbers.

A mutant says what may happen when it is read:

    SAME      it is refused, or it is read as the sound file: whoever spoilt it couldn't know the checksums
    ANY       it is refused, or read as whatever it says: it was sealed anew with right checksums, or has none
    REFUSED   it is refused: no checksum makes it right
"""

import dataclasses
import gzip
import io
import json
import os
import socket
import struct
import zipfile
import zlib

import numpy as np

from tinyar.data.archive import digest

SAME, ANY, REFUSED = "same", "any", "refused"
ODD = (None, True, False, 0, -1, 3, 1.5, 1e308, float("inf"), float("nan"), "", "x", "2", [], [1], [None, "x"], {},
       {"array": "x"}, {"x": {}}, 10 ** 30, 10 ** 4000, "x" * 10 ** 5)
HUGE = (300, 2000, 4097, 20_000, 65_537, 10 ** 6, 10 ** 9, 10 ** 18, 10 ** 30)
OTHER_KINDS = (b"", b"<html>404</html>\n", b"\x89PNG\r\n\x1a\n", b"PK\x05\x06" + bytes(18), b"\x1f\x8b\x08",
               b"\x93NUMPY", bytes(100), b"0 1 0 1\n")


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A spoilt file: its new content, bytes, or a function of a path that puts something else there, or None for no
    file; what was done to it, in words; and what may happen.
    """

    content: object
    what: str
    expect: str

    def put(self, path):
        path.unlink(missing_ok=True)
        if callable(self.content):
            self.content(path)
        elif self.content is not None:
            path.write_bytes(self.content)


def one_of(rng, choices):
    choices = list(choices)
    return choices[rng.integers(len(choices))]


# -- bytes, whatever they mean -----------------------------------------------------------------------------------------

def flip(content, bit):
    content = bytearray(content)
    content[bit // 8] ^= 1 << bit % 8
    return bytes(content)


def spoil_bytes(content, rng, places=None):
    """(content with some bytes changed, what was done). places: the first bytes of the change are among these."""
    size = len(content)
    at = int(one_of(rng, places if places is not None and len(places) else range(size)))
    count = int(one_of(rng, (1, 1, 2, 4, 16, 100)))
    junk = rng.bytes(count) if rng.random() < 0.5 else bytes([one_of(rng, (0, 48, 255))]) * count
    way = one_of(rng, ("flip", "flip", "delete", "insert", "overwrite", "truncate", "append"))
    if way == "flip":
        bit = 8 * at + int(rng.integers(8))
        return flip(content, bit), f"bit {bit % 8} of byte {at} flipped"
    if way == "delete":
        return content[:at] + content[at + count:], f"{count} bytes deleted at {at}"
    if way == "insert":
        return content[:at] + junk + content[at:], f"{junk[:16]!r}... ({count} bytes) inserted at {at}"
    if way == "overwrite":
        return content[:at] + junk + content[at + count:], f"{count} bytes overwritten at {at} by {junk[:16]!r}..."
    if way == "truncate":
        return content[:at], f"truncated to {at} of {size} bytes"
    return content + junk, f"{junk[:16]!r}... ({count} bytes) appended"


def bit(content, rng):
    at = int(rng.integers(8 * len(content)))
    return Mutant(flip(content, at), f"bit {at % 8} of byte {at // 8} flipped", SAME)


def some_bytes(content, rng):
    return Mutant(*spoil_bytes(content, rng), SAME)


def another_kind(content, rng):
    other = one_of(rng, OTHER_KINDS + (content + content, content[::-1]))
    return Mutant(other, f"replaced by {len(other)} bytes {other[:16]!r}...", SAME)


# -- what isn't a file -------------------------------------------------------------------------------------------------

def bind(path):
    with socket.socket(socket.AF_UNIX) as other:  # its name may have 108 bytes at most
        here = os.getcwd()
        os.chdir(path.parent)
        other.bind(path.name)
        os.chdir(here)


PLACES = {"a named pipe": os.mkfifo, "a folder": os.mkdir, "a device": lambda path: os.symlink("/dev/zero", path),
          "a socket": bind, "a link that leads nowhere": lambda path: os.symlink(path.with_name("nowhere"), path),
          "a link to itself": lambda path: os.symlink(path.name, path), "nothing": None}


def place(content, rng):
    name = one_of(rng, PLACES)
    return Mutant(PLACES[name], f"in its place {name}", ANY)


# -- archives: a zip of .npy files, members as a list [(name, bytes)] --------------------------------------------------

def members_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        return [(info.filename, file.read(info)) for info in file.infolist()]


def zipped(members, **compression):
    """A zip of these members, with right checksums."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **compression) as file:
        for name, content in members:
            file._didModify = True
            info = zipfile.ZipInfo(name)  # writestr would warn of a name that stands there twice
            info.compress_type = compression.get("compression", zipfile.ZIP_STORED)
            with file.open(info, "w", force_zip64=True) as member:
                member.write(content)
    return out.getvalue()


def npy(array):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(array), allow_pickle=True)
    return out.getvalue()


def npy_of_text(text):
    return npy(np.frombuffer(text.encode(), np.uint8))


def npy_by_hand(header, payload, version=1):
    """A .npy whose header says whatever it likes."""
    header = header.encode("latin-1", "replace")
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + payload


def array_of(content):
    """The array in the bytes of a .npy; None where there is none."""
    try:
        return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except Exception:
        return None


def seal(members):
    """The members with the digests that they should have, as far as they can be had: what one does who means harm."""
    arrays = {name.removesuffix(".npy"): array_of(content) for name, content in members}
    arrays = {name: array for name, array in arrays.items() if array is not None and array.dtype.kind not in "OM"}
    rooms = {room: digest({name.removeprefix(room + "/"): array for name, array in arrays.items()
                           if name.startswith(room + "/")}) for room in ("model", "state")}
    if "header" in arrays:
        rooms["header"] = digest({"header": arrays["header"]})
    codes = {name: arrays[name] for name in ("train", "validation", "test") if name in arrays}
    texts = {"digests.npy": json.dumps(rooms), "digest.npy": digest(codes)}  # of a checkpoint, of a file of codes
    return [(name, npy_of_text(texts[name]) if name in texts else content) for name, content in members]


def archive_of(members, rng, what, expect=ANY):
    """A Mutant of changed members: with old digests, or in half of the cases sealed anew; then `expect` holds."""
    if rng.random() < 0.5:
        return Mutant(zipped(members), what, REFUSED if expect == REFUSED else SAME)
    return Mutant(zipped(seal(members)), what + ", sealed anew", expect)


def directory(content, rng):
    """Something in the central directory, or behind it."""
    start = struct.unpack("<I", content[-6:-2])[0]
    if rng.random() < 0.5:
        at = int(rng.integers(8 * start, 8 * len(content)))
        return Mutant(flip(content, at), f"bit {at % 8} of byte {at // 8} flipped, {at // 8 - start} behind the start "
                      "of the directory", SAME)
    spoilt, what = spoil_bytes(content, rng, range(start, len(content)))
    return Mutant(spoilt, what + f"; the directory starts at {start}", SAME)


def member_header(content, rng):
    """Something in the local header of a member, or in its .npy header."""
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        info = one_of(rng, file.infolist())
    name, extra = struct.unpack("<HH", content[info.header_offset + 26:info.header_offset + 30])
    places = range(info.header_offset, min(info.header_offset + 30 + name + extra + 128, len(content)))
    spoilt, what = spoil_bytes(content, rng, places)
    return Mutant(spoilt, f"{what}, in the head of {info.filename}, which starts at {info.header_offset}", SAME)


def numbers(content, rng):
    """Bytes of an array, with the right checksum in the zip."""
    members = members_of(content)
    i = int(rng.integers(len(members)))
    name, old = members[i]
    start = min(128, len(old) - 1)
    spoilt, what = spoil_bytes(old, rng, range(start, len(old)))
    members[i] = name, spoilt
    return archive_of(members, rng, f"{name}: {what}, checksum of the zip right")


def membership(content, rng):
    """Members that are missing, twice there, exchanged, renamed, or strangers."""
    members = members_of(content)
    i, j = (int(k) for k in rng.choice(len(members), 2, replace=False))
    (name, old), (other, its) = members[i], members[j]
    way = one_of(rng, ("missing", "twice", "exchanged", "renamed", "a stranger", "moved"))
    if way == "missing":
        del members[i]
    elif way == "twice":
        members.insert(j, (name, one_of(rng, (old, its))))
    elif way == "exchanged":
        members[i], members[j] = (name, its), (other, old)
    elif way == "renamed":
        new = one_of(rng, (other, "x.npy", name[:-1], name.replace("/", "\\"), "../" + name, name.upper(), "",
                           "/" + name, name.removesuffix(".npy")))
        members[i] = new, old
        way = f"renamed to {new!r}"
    elif way == "a stranger":
        new = one_of(rng, ("model/x.npy", "state/x.npy", "x.npy", "x", "model/", "header"))
        members.insert(j, (new, one_of(rng, (old, b"", b"x", npy(np.zeros(3)), npy(np.array([{}], dtype=object))))))
        way = f"a stranger {new!r} beside it"
    else:
        members.append(members.pop(i))
        return archive_of(members, rng, f"{name}: moved to the end", SAME)
    return archive_of(members, rng, f"{name}: {way}")


DTYPES = ("<f8", "<f2", ">f4", "<i4", "|u1", "|b1", "<c8", "<U1", "|S4", "<M8[s]", "|V4", "|O", "<f4,<i4")


def number_type(content, rng):
    members = members_of(content)
    i = int(rng.integers(len(members)))
    name, old = members[i]
    array, kind = array_of(old), np.dtype(one_of(rng, DTYPES))
    with np.errstate(all="ignore"):
        other = np.zeros(array.shape, kind) if kind.kind in "VMUS" else array.astype(kind)
    members[i] = name, npy(other)
    spoilt = kind.kind not in "fiu" or (name.startswith("model/") and kind.kind != "f")
    return archive_of(members, rng, f"{name}: {array.dtype} became {kind}", REFUSED if spoilt and "/" in name else ANY)


def shape(content, rng):
    members = members_of(content)
    i = int(rng.integers(len(members)))
    name, old = members[i]
    array = array_of(old)
    flat = array.reshape(-1)
    ways = {"a scalar": flat[0], "one number": flat[:1], "none": flat[:0], "flat": flat, "an axis more": array[None],
            "turned": array.T, "longer": np.append(array, array), "by columns": np.asfortranarray(array),
            "a row less": array[1:]}
    way = one_of(rng, ways)
    members[i] = name, npy(ways[way])
    spoilt = name.startswith("model/") and ways[way].shape != array.shape
    return archive_of(members, rng, f"{name}: {way}, shape {ways[way].shape} for {array.shape}",
                      REFUSED if spoilt else ANY)


SHAPES = ("(10**12,)", "(1000000000000,)", "(4611686018427387904, 4)", "(18446744073709551617,)", "(-1,)", "(-1, -1)",
          "(True,)", "(1.5,)", "5", "((1,),)", "None", "(0, 1000000000000)", "(0,)", "('x',)", "()")
HEADERS = ("{}", "[]", "1", "", "x", "__import__('os')", "{'descr': '<f4'", "(" * 5000, "-" * 50_000 + "1",
           "[" * 60_000, "\xff\xfe", "1" * 60_000,
           "{'descr': '<f4', 'fortran_order': 2, 'shape': (1,)}", "{'descr': '<f4', 'fortran_order': False}",
           "{'descr': 'x', 'fortran_order': False, 'shape': (1,)}",
           "{'descr': [], 'fortran_order': False, 'shape': (1,)}",
           "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
           "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}",
           "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1}")


def promise(content, rng):
    """A .npy header that promises what isn't there, or can't be understood."""
    members = members_of(content)
    i = int(rng.integers(len(members)))
    name, old = members[i]
    kind = array_of(old).dtype.str
    header = one_of(rng, HEADERS) if rng.random() < 0.5 else (
        f"{{'descr': {kind!r}, 'fortran_order': {one_of(rng, (True, False))}, 'shape': {one_of(rng, SHAPES)}}}")
    version = one_of(rng, (1, 1, 2, 3, 9))
    payload = one_of(rng, (b"", old[128:], bytes(4)))
    members[i] = name, npy_by_hand(header[:65_000], payload, version)
    return archive_of(members, rng, f"{name}: .npy of version {version} with the header {header[:120]!r} and "
                      f"{len(payload)} bytes of numbers")


def not_finite(content, rng):
    members = members_of(content)
    i, name, array = one_of(rng, [(i, name, array_of(old)) for i, (name, old) in enumerate(members)
                                  if array_of(old).dtype.kind == "f"])
    at, value = int(rng.integers(array.size)), one_of(rng, (np.nan, np.inf, -np.inf))
    array.reshape(-1)[at] = value
    members[i] = name, npy(array)
    return archive_of(members, rng, f"{name}: number {at} is {value}", REFUSED)


BOMB = zlib.compressobj(9, zlib.DEFLATED, -15)
BOMB = BOMB.compress(bytes(2 ** 26)) + BOMB.flush()


def packed(content, rng):
    """Compressed members; or one that unpacks to far more than the file holds."""
    members = members_of(content)
    if rng.random() < 0.5:
        method = one_of(rng, (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
        return Mutant(zipped(members, compression=method), f"all members compressed, method {method}", SAME)
    i = int(rng.integers(len(members)))
    name, old = members[i]
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2 ** 24 * 40},)}}".encode()
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    size = len(head) + 2 ** 26 * 40
    pieces = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = pieces.compress(head) + pieces.flush(zlib.Z_FULL_FLUSH) + BOMB[:-2] * 3
    members[i] = name, b"here stands the bomb"
    spoilt = bytearray(zipped(members))
    at, start = spoilt.find(b"here stands the bomb"), struct.unpack("<I", spoilt[-6:-2])[0]
    entry = spoilt.find(name.encode(), start) - 46
    spoilt[entry + 10:entry + 12] = struct.pack("<H", 8)  # method: deflate
    spoilt[entry + 20:entry + 28] = struct.pack("<II", len(body), min(size, 2 ** 32 - 2))
    spoilt[entry + 42:entry + 46] = struct.pack("<I", start)
    local = bytes(spoilt[spoilt.rfind(b"PK\x03\x04", 0, at):at])
    spoilt[start:start] = local[:8] + struct.pack("<H", 8) + local[10:] + body
    spoilt[-6:-2] = struct.pack("<I", start + len(local) + len(body))
    return Mutant(bytes(spoilt), f"{name}: {len(body)} bytes that unpack to {size:,}", SAME)


# -- the text in JSON --------------------------------------------------------------------------------------------------

def nodes(value, path=()):
    """Every place in nested dicts and lists, as a path of keys."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from nodes(item, path + (key,))


def text_member(members, name):
    return next(i for i, (member, _) in enumerate(members) if member == name + ".npy")


def with_text(members, name, text):
    i = text_member(members, name)
    members = list(members)
    members[i] = members[i][0], npy_of_text(text)
    return members


def text_of(members, name):
    return json.loads(bytes(array_of(members[text_member(members, name)][1])))


def jsonly(content, rng, below=()):
    """The text with a field that is missing, or something else, or under another name. below: where in it."""
    members = members_of(content)
    old = text_of(members, "header")
    path = one_of(rng, [path for path in nodes(old)
                        if path[:len(below)] == below and not {"rows", "lr"} & {*path[:-1]}])  # which are long
    inner, key, value = at(old, path[:-1]), path[-1], one_of(rng, ODD)
    way = one_of(rng, ("missing", "another", "another", "renamed"))
    expect = REFUSED if len(path) == 1 and (way != "another" or type(value) is not type(inner[key])) else ANY
    if way == "another":
        inner[key], way = value, f"{str(value)[:60]!r}"
    elif way == "renamed" and isinstance(inner, dict):
        new = one_of(rng, ("x", "self", "cls", "path", "", "__class__", "array"))
        inner[new], way = inner.pop(key), f"renamed to {new!r}"
    else:
        inner.pop(key)
    return archive_of(with_text(members, "header", json.dumps(old)), rng,
                      f"header {'.'.join(map(str, path))}: {way}", expect)


def at(value, path):
    """What stands at a path of keys."""
    for key in path:
        value = value[key]
    return value


def field(content, rng):
    return jsonly(content, rng)


def about_field(content, rng):
    options = "options" in text_of(members_of(content), "header")["state"]["about"] and rng.random() < 0.5
    return jsonly(content, rng, below=("state", "about") + ("options",) * options)


def huge_option(content, rng):
    """An option of the model that would make it huge."""
    members = members_of(content)
    text = text_of(members, "header")
    path = one_of(rng, [path for path in nodes(text["config"]) if type(at(text["config"], path)) in (int, list)])
    inner, value = at(text["config"], path[:-1]), one_of(rng, HUGE)
    if isinstance(inner[path[-1]], list):
        value = one_of(rng, ([value], [16] * min(value, 10 ** 6), [value, value]))
    inner[path[-1]] = value
    return archive_of(with_text(members, "header", json.dumps(text)), rng,
                      f"option {'.'.join(map(str, path))}: {str(value)[:60]}")


TEXTS = ("", "x", "null", "[]", "{}", "1", "[" * 100_000, '{"a":' * 50_000, "\x00", '{"a": 1, "a": 2}', "NaN")


def text(content, rng):
    """One of the texts as a whole: no JSON, or other JSON, or the other text."""
    members = members_of(content)
    name = one_of(rng, ("header", "header", "digests"))
    new = one_of(rng, TEXTS)
    if rng.random() < 0.4:
        old = json.dumps(text_of(members, name))
        spoilt, what = spoil_bytes(old.encode(), rng)
        new = spoilt.decode("latin-1")
    members = with_text(members, name, new)
    if name == "digests":
        return Mutant(zipped(members), f"digests: {new[:60]!r}", SAME)
    return archive_of(members, rng, f"header: {new[:60]!r}")


# -- files without archives --------------------------------------------------------------------------------------------

def head(content, rng):
    """Something in the first bytes."""
    return Mutant(*spoil_bytes(content, rng, range(min(32, len(content)))), SAME)


def head_number(content, rng):
    """A whole number of four bytes in the first sixteen, of what is packed if it is packed."""
    at = 4 * int(rng.integers(4))
    value = one_of(rng, (0, 1, 2, 3, 4, 255, 2049, 2051, 2 ** 16, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1))
    raw = unpacked(content)
    raw = raw[:at] + struct.pack(">I", value) + raw[at + 4:]
    return Mutant(repacked(raw, content), f"number at byte {at}: {value}", ANY)


def digits(content, rng):
    """Something else among the digits of a text."""
    at = int(rng.integers(len(content)))
    new = one_of(rng, (b"", b" ", b"\n", b"2", b"0", b"1", b"\r\n", b"\t", b"\0", b"0 "))
    return Mutant(content[:at] + new + content[at + 1:], f"{new!r} in the place of byte {at}", ANY)


def unpacked(content):
    return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content


def repacked(raw, content):
    """raw, gzipped if content is."""
    return gzip.compress(raw) if content[:2] == b"\x1f\x8b" else raw


ZEROS = gzip.compress(bytes(2 ** 26))


def gzipped(content, rng):
    """Spoilt, then gzipped with right checksums; or what unpacks to 2 GB; or several gzips behind each other."""
    raw = unpacked(content)
    way = one_of(rng, ("spoilt", "spoilt", "sound", "2 GB of zeros", "2 GB of zeros behind it", "in two parts",
                       "twice"))
    if way == "spoilt":
        spoilt, what = spoil_bytes(raw, rng)
        return Mutant(gzip.compress(spoilt), f"{what}, then gzipped", ANY)
    cut = int(rng.integers(len(raw)))
    packed = {"sound": gzip.compress(raw), "2 GB of zeros": ZEROS * 32, "twice": gzip.compress(gzip.compress(raw)),
              "2 GB of zeros behind it": gzip.compress(raw) + ZEROS * 32,
              "in two parts": gzip.compress(raw[:cut]) + gzip.compress(raw[cut:])}[way]
    return Mutant(packed, f"gzipped: {way}", REFUSED if "zeros" in way or way == "twice" else ANY)


def exchanged(content, rng, others=()):
    """Another file of the same dataset."""
    name, other = one_of(rng, others)
    return Mutant(other, f"replaced by the sound {name}", ANY)


def chunk_anew(content, rng):
    """A chunk of a PNG changed, with its checksum right."""
    chunks, at = [], 8
    while at < len(content):
        length = struct.unpack(">I", content[at:at + 4])[0]
        chunks.append((content[at + 4:at + 8], content[at + 8:at + 8 + length]))
        at += 12 + length
    i = int(rng.integers(len(chunks)))
    name, body = chunks[i]
    way = one_of(rng, ("spoilt", "spoilt", "missing", "twice", "moved"))
    if way == "spoilt" and body:
        chunks[i] = name, spoil_bytes(body, rng)[0]
    elif way == "missing":
        del chunks[i]
    elif way == "twice":
        chunks.insert(i, chunks[i])
    else:
        chunks.append(chunks.pop(i))
    body = b"".join(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
                    for name, body in chunks)
    return Mutant(content[:8] + body, f"chunk {name}: {way}, checksums right", ANY)
