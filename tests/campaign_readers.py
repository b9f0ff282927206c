"""The readers of tinyar that campaign_files.py tries: for each a sound folder, and a function that reads it.

A reader returns all that it read, as nested dicts and lists of arrays and plain values, or raises. Where a format has
no checksums, an oracle reads the spoilt folder in a second way, from the format's definition and nothing else.
"""

import contextlib
import functools
import dataclasses
import gzip
import io
import os
import pathlib
import struct
import sys
import zlib

import campaign_mutants as spoil
import data_files
import numpy as np
from PIL import Image

from tinyar import codes, data, models, pictures, training
from tinyar.backend import to_host
from tinyar.data.readers import fixed_permutation
from tinyar.training import checkpoint

EXAMPLES = pathlib.Path(__file__).resolve().parents[1] / "examples"
ARCHIVE = {"a bit": spoil.bit, "bytes": spoil.some_bytes, "the directory": spoil.directory,
           "head of a member": spoil.member_header, "numbers": spoil.numbers, "members": spoil.membership,
           "number type": spoil.number_type, "shape": spoil.shape, "promises": spoil.promise,
           "not finite": spoil.not_finite, "compressed": spoil.packed, "another kind": spoil.another_kind,
           "place": spoil.place}
CHECKPOINT = {**ARCHIVE, "field of the header": spoil.field, "texts": spoil.text, "huge option": spoil.huge_option}
RAW = {"a bit": spoil.bit, "bytes": spoil.some_bytes, "head": spoil.head, "another kind": spoil.another_kind,
       "packed": spoil.gzipped, "place": spoil.place, "exchanged": spoil.exchanged}


class TouchedError(Exception):
    """A file was refused, but something was changed."""


@dataclasses.dataclass(frozen=True)
class Reader:
    """name; make(folder) writes the sound files; read(folder) returns what they hold; targets are the files to spoil;
    kinds {name: function of campaign_mutants}.

    oracle(folder) returns what the reader should return, or None for a folder that it should refuse. Without one,
    `checksums` says whether the format has any; if not, whatever is read is right. What is just a `cache` is made anew
    when it is spoilt, never refused.
    """

    name: str
    make: object
    read: object
    targets: tuple
    kinds: dict
    oracle: object = None
    checksums: bool = True
    cache: bool = False


# -- checkpoints and runs ----------------------------------------------------------------------------------------------

PIXELS = dict(levels=5, channels=4, blocks=1, first_kernel=3, kernel_size=3, head=(4,))
IMAGES = np.random.default_rng(0).integers(0, 5, (24, 4, 4, 1), dtype=np.uint8)
FIT = dict(epochs=1, batch_size=8, threads=1, save_every=2)
ABOUT = {"data": "digits", "levels": 5, "binarize": None, "seed": 0, "image_shape": [4, 4, 1],
         "options": {"data": "digits", "size": None, "grey": False, "levels": 5, "binarize": None, "seed": 0}}


def fit(model, out, **options):
    pictures.save_curve = lambda *_: None  # takes longer than all the rest
    return training.fit(model, IMAGES[:16], IMAGES[16:], out=out, about=ABOUT, **{**FIT, **options})


def arrays_of(model):
    return {name: to_host(array).copy() for name, array in model.arrays()}


def make_run(folder):
    fit(models.PixelCNN(**PIXELS), folder)


def vqvae():
    return models.VQVAE(levels=5, widths=(4,), mix=False, residual_units=1, residual_channels=4, codes=6,
                        code_channels=3)


def vqvae2():
    return models.VQVAE2(levels=5, channels=4, residual_units=1, residual_channels=4, codes=6, top_codes=5,
                         code_channels=3)


def make_vqvae(folder):
    fit(vqvae(), folder, average=None)


ZOO = {"pixelcnn": models.PixelCNN(**{**PIXELS, "image_channels": 3, "channels": 6}, classes=2),
       "gated": models.GatedPixelCNN(levels=5, channels=4, first_kernel=3, dilations=(1,)),
       "rowlstm": models.RowLSTM(levels=5, hidden=4, layers=1, first_kernel=3, head=(4,)),
       "pixelrnn": models.PixelRNN(levels=5, hidden=4), "vqvae": models.VQVAE(levels=5, widths=(4,), codes=6),
       "pixelcnnpp": models.PixelCNNpp(levels=5, channels=2, components=2), "vqvae2": vqvae2(),
       "pixelsnail": models.PixelSNAIL(levels=5, channels=4, blocks=1, units=1, key_channels=2, value_channels=2),
       "told": models.GatedPixelCNN(levels=6, one_hot=True, channels=4, first_kernel=3, dilations=(1,), map_codes=5)}


def make_zoo(folder):
    for name, model in ZOO.items():
        state = {"about": ABOUT, "rows": [], "more": {"x": np.arange(3.0), "t": 3}}
        checkpoint.save(folder / f"{name}.npz", model, state)


def load_zoo(folder):
    found = {}
    for name in ZOO:
        model, state = checkpoint.load(folder / f"{name}.npz")
        found[name] = {"kind": type(model).__name__, "config": model.config, "model": arrays_of(model), "state": state}
    return found


@contextlib.contextmanager
def untouched(model):
    """Inside, an exception leaves the model as it was."""
    before = arrays_of(model)
    try:
        yield
    except Exception as error:
        after = arrays_of(model)
        if any(before[name].tobytes() != after[name].tobytes() for name in before):
            raise TouchedError("the model was changed") from error
        raise


def load_into(folder):
    model = vqvae()
    with untouched(model):
        _, state = checkpoint.load(folder / "model.npz", model)
    return {"model": arrays_of(model), "state": state}


def contents(folder):
    """What lies in a folder: the bytes of each file, and the names of what isn't one."""
    return {path.name: path.read_bytes() if path.is_file() and not path.is_symlink() else None
            for path in folder.iterdir()}


def resume(folder):
    """The run goes on for an epoch; the weights, and the history without its times."""
    model, before = models.PixelCNN(**PIXELS), contents(folder)
    try:
        with untouched(model):
            history = fit(model, folder, epochs=2, resume=True)
    except (ValueError, OSError) as error:
        if contents(folder) != before:
            raise TouchedError(f"the folder was changed: {sorted(contents(folder))}") from error
        raise
    left = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
    if left:
        raise TouchedError(f"left behind: {left}")
    return {"model": arrays_of(model), "rows": [{**row, "seconds": None} for row in history.rows]}


# -- codes -------------------------------------------------------------------------------------------------------------

def code_data():
    parts = IMAGES[:12], IMAGES[12:18], IMAGES[18:]
    return data.Dataset("small", *(data.Split(part) for part in parts), 5, "small images")


def make_codes(folder, autoencoder=vqvae):
    codes.cached_datasets(folder / "codes.npz", autoencoder(), code_data())


def read_codes(folder, autoencoder=vqvae):
    found = codes.cached_datasets(folder / "codes.npz", autoencoder(), code_data())
    if [path.name for path in folder.iterdir()] != ["codes.npz"]:
        raise TouchedError(f"left behind: {sorted(os.listdir(folder))}")
    return [{"splits": [level.train.images, level.validation.images, level.test.images], "levels": level.levels,
             "maps": level.train.maps, "text": level.description} for level in found]


# -- draw.py -----------------------------------------------------------------------------------------------------------

def draw(folder, *arguments):
    """What draw.py writes, run in this process."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import draw as script
    finally:
        sys.path.remove(str(EXAMPLES))
    sys.argv = ["draw.py", *map(str, arguments), "--n", "2", "--out", str(folder / "drawn.png")]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        script.main()
    return {"picture": (folder / "drawn.png").read_bytes()}


def make_both_stages(folder):
    autoencoder = vqvae()
    fit(autoencoder, folder / "autoencoder", average=None)
    grids = codes.extract(autoencoder, IMAGES)
    prior = models.PixelCNN(**{**PIXELS, "levels": 6}, one_hot=True)
    about = {"autoencoder": codes.checksum(autoencoder)}
    training.fit(prior, grids[:16], grids[16:], out=folder / "prior", about=about, **FIT)


def make_three_stages(folder):
    autoencoder = vqvae2()
    fit(autoencoder, folder / "autoencoder", average=None)
    top, bottom = codes.extract(autoencoder, IMAGES)
    common = dict(one_hot=True, channels=4, first_kernel=3, dilations=(1,), head=())
    for level, prior, split in (("top", models.GatedPixelCNN(5, **common), data.Split(top)),
                                ("bottom", models.GatedPixelCNN(6, map_codes=5, map_units=0, **common),
                                 data.Split(bottom, maps=top))):
        training.fit(prior, split, split, out=folder / level, about=codes.about_prior(autoencoder, level), **FIT)


# -- data --------------------------------------------------------------------------------------------------------------

MOST_UNPACKED = 2 ** 20  # a sound file of these has some kilobytes


def unpacked(path):
    """The bytes of a file, gzipped or not; None where they can't be had."""
    if not path.is_file():
        return None
    content = path.read_bytes() if path.stat().st_size < MOST_UNPACKED else None
    if content is None or content[:2] != b"\x1f\x8b":
        return content
    try:
        with gzip.open(io.BytesIO(content)) as file:
            found = file.read(MOST_UNPACKED)
        return found if len(found) < MOST_UNPACKED else None
    except (EOFError, OSError, zlib.error):
        return None


def idx(content, magic, axes):
    """The array in the bytes of an IDX file; None for another."""
    if content is None or len(content) < 4 + 4 * axes:
        return None
    found, *sizes = struct.unpack(f">{1 + axes}I", content[:4 + 4 * axes])
    body = content[4 + 4 * axes:]
    if found != magic or 0 in sizes or len(body) != np.prod([int(size) for size in sizes], dtype=object):
        return None
    return np.frombuffer(body, np.uint8).reshape(sizes)


def find(folder, name):
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), folder / name)


def splits_of(found):
    return {"train": np.concatenate([found.train.images, found.validation.images]), "test": found.test.images,
            "labels": None if found.test.labels is None else
            [np.concatenate([found.train.labels, found.validation.labels]), found.test.labels]}


def mnist_oracle(folder):
    names = data_files.tiny_mnist()
    images, labels, tests, test_labels = (idx(unpacked(find(folder, name)), *kind) for name, kind in
                                          zip(names, [(2051, 3), (2049, 1)] * 2))
    parts = images, labels, tests, test_labels
    if any(part is None for part in parts) or len(images) != len(labels) or len(tests) != len(test_labels):
        return None
    if len(images) < 6 or images.shape[1:] != tests.shape[1:] or labels.max() > 9 or test_labels.max() > 9:
        return None
    order = fixed_permutation(len(images))
    return {"train": images[order][..., None], "test": tests[..., None], "labels": [labels[order], test_labels]}


def cifar_oracle(folder):
    parts = [unpacked(find(folder, name)) for name in data_files.tiny_cifar()]
    if any(not part or len(part) % 3073 for part in parts):
        return None
    (images, labels), (tests, test_labels) = map(records, parts)
    if len(images) < 6 or labels.max() > 9 or test_labels.max() > 9:
        return None
    order = fixed_permutation(len(images))
    return {"train": images[order], "test": tests, "labels": [labels[order], test_labels]}


def records(content):
    """(images, labels) of a CIFAR file: 3,073 bytes each."""
    parts = np.array([list(content[i:i + 3073]) for i in range(0, len(content), 3073)], np.uint8)
    return parts[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), parts[:, 0]


AMAT = {"binarized_mnist_train.amat": 6, "binarized_mnist_valid.amat": 2, "binarized_mnist_test.amat": 2}


def make_amat(folder):
    data_files.write_files(folder, {name: data_files.amat(data_files.binary_rows(rows)) for name, rows in AMAT.items()})


def amat_oracle(folder):
    parts = [unpacked(find(folder, name)) for name in AMAT]
    if any(not part or part[-1:] != b"\n" for part in parts):
        return None
    rows = [[line.split(b" ") for line in part[:-1].split(b"\n")] for part in parts]
    if any(len(row) != 784 or set(row) - {b"0", b"1"} for part in rows for row in part):
        return None
    train, validation, test = (np.array(part).astype(np.uint8).reshape(-1, 28, 28, 1) for part in rows)
    return {"train": np.concatenate([train, validation]), "test": test, "labels": None}


def pictures_of(*kinds):
    """A function that writes seven pictures of these kinds, (ending, options of Pillow), to a folder."""
    def make(folder):
        for i in range(7):
            ending, mode, options = kinds[i % len(kinds)]
            pixels = np.random.default_rng(i).integers(0, 256, (9, 11, 4), np.uint8)
            pixels[:6, :5] = pixels[0, 0]  # something that can be compressed
            picture = Image.fromarray(pixels).convert("RGB") if mode != "RGBA" else Image.fromarray(pixels)
            picture.convert(mode).save(folder / f"{i}{ending}", **options)
    return make


def folder_of_pictures(folder):
    found = data.load("folder", data_dir=folder, size=8)
    return {"train": found.train.images, "validation": found.validation.images, "test": found.test.images}


def loads(name):
    return lambda folder: splits_of(data.load(name, data_dir=folder))


PNG = pictures_of((".png", "RGB", {}), (".png", "L", {}), (".png", "P", {"transparency": 3}), (".png", "RGBA", {}),
                  (".png", "1", {}))
LOSSY = pictures_of((".jpg", "RGB", {}), (".jpg", "L", {"progressive": True}), (".gif", "P", {}), (".bmp", "RGB", {}),
                    (".webp", "RGBA", {"lossless": True}), (".jpg", "CMYK", {}), (".bmp", "1", {}))
IDX = {**RAW, "number of the head": spoil.head_number}
TEXT = {**RAW, "digits": spoil.digits}


def files_of(contents, gzipped=False):
    return lambda folder: data_files.write_files(folder, contents, gzipped) and None


def gz(names):
    return tuple(f"{name}.gz" for name in names)


MNIST, CIFAR = data_files.tiny_mnist(), data_files.tiny_cifar()
IMAGE_FILES, LABEL_FILES = tuple(MNIST)[::2], tuple(MNIST)[1::2]
PICTURE = {key: RAW[key] for key in ("a bit", "bytes", "head", "another kind", "place")}

READERS = [
    Reader("checkpoint.load(path)", make_zoo, load_zoo, tuple(f"{name}.npz" for name in ZOO), CHECKPOINT),
    Reader("checkpoint.load(path, model)", make_vqvae, load_into, ("model.npz",), CHECKPOINT),
    Reader("fit(resume) training.npz", make_run, resume, ("training.npz",), CHECKPOINT),
    Reader("fit(resume) model.npz", make_run, resume, ("model.npz",), CHECKPOINT),
    Reader("codes.cached_dataset", make_codes, read_codes, ("codes.npz",),
           {kind: spoiler for kind, spoiler in ARCHIVE.items() if kind != "not finite"}, cache=True),
    Reader("codes.cached_datasets, two levels", functools.partial(make_codes, autoencoder=vqvae2),
           functools.partial(read_codes, autoencoder=vqvae2), ("codes.npz",),
           {kind: spoiler for kind, spoiler in ARCHIVE.items() if kind != "not finite"}, cache=True),
    Reader("draw.py, a VQ-VAE-2", make_three_stages, lambda folder: draw(folder, folder),
           ("autoencoder/model.npz", "top/model.npz", "bottom/model.npz"),
           {**CHECKPOINT, "field of about": spoil.about_field}),
    Reader("draw.py, a model of pixels", make_run, lambda folder: draw(folder, folder / "model.npz"), ("model.npz",),
           {**CHECKPOINT, "field of about": spoil.about_field}),
    Reader("draw.py, a VQ-VAE", make_both_stages, lambda folder: draw(folder, folder),
           ("autoencoder/model.npz", "prior/model.npz"), {**CHECKPOINT, "field of about": spoil.about_field}),
    Reader("IDX images", files_of(MNIST), loads("mnist"), IMAGE_FILES, IDX, mnist_oracle),
    Reader("IDX labels", files_of(MNIST), loads("mnist"), LABEL_FILES, IDX, mnist_oracle),
    Reader("IDX images, gzip", files_of(MNIST, True), loads("mnist"), gz(IMAGE_FILES), IDX, mnist_oracle),
    Reader("IDX labels, gzip", files_of(MNIST, True), loads("mnist"), gz(LABEL_FILES), IDX, mnist_oracle),
    Reader("amat", make_amat, loads("binarized-mnist"), tuple(AMAT), TEXT, amat_oracle),
    Reader("CIFAR", files_of(CIFAR), loads("cifar10"), tuple(CIFAR), RAW, cifar_oracle),
    Reader("CIFAR, gzip", files_of(CIFAR, True), loads("cifar10"), gz(CIFAR), RAW, cifar_oracle),
    Reader("pictures, PNG", PNG, folder_of_pictures, tuple(f"{i}.png" for i in range(7)),
           {**PICTURE, "a chunk": spoil.chunk_anew}),
    Reader("pictures, others", LOSSY, folder_of_pictures,
           ("0.jpg", "1.jpg", "2.gif", "3.bmp", "4.webp", "5.jpg", "6.bmp"), PICTURE, checksums=False),
]
