"""Where the files of a dataset come from: your own folder, the cache, or a mirror.

    1. `data_dir`, or else the folder named by the environment variable TINYAR_DATA: a subfolder with the dataset's
       name, torchvision's layout (MNIST/raw), or the folder itself. One folder must hold all the files, so that images
       and labels never come from two copies. They are yours (a subset, a modified copy), so only their structure is
       checked.
    2. The cache: $XDG_CACHE_HOME/tinyar/<name>, by default ~/.cache/tinyar/<name>, on Windows
       %LOCALAPPDATA%/tinyar/<name>. A file there must have the known SHA-256; a damaged one is deleted, with a warning,
       and downloaded again.
    3. A download over https into that cache, from the first mirror that serves the right bytes.

Every file may be gzipped or not, with the name ending in .gz or not.
"""

import dataclasses
import os
import pathlib
import warnings

from tinyar.data.download import check, fetch


class DataNotFoundError(FileNotFoundError):
    """The files of a dataset are neither on this computer nor to be had. Says where it looked and how to get them."""


@dataclasses.dataclass(frozen=True)
class File:
    """One file of a dataset: its name without .gz, and the size and SHA-256 of its uncompressed bytes."""

    name: str
    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Source:
    """The files of a dataset, the subfolders to look for them in, and the addresses they are served under."""

    files: tuple
    folders: tuple
    mirrors: tuple
    suffix: str  # what the mirrors append to a file's name


def _idx_files(train_images, train_labels, test_images, test_labels):
    """The four files that MNIST and Fashion-MNIST consist of: same names, same sizes, other contents."""
    return (File("train-images-idx3-ubyte", 47_040_016, train_images),
            File("train-labels-idx1-ubyte", 60_008, train_labels),
            File("t10k-images-idx3-ubyte", 7_840_016, test_images),
            File("t10k-labels-idx1-ubyte", 10_008, test_labels))


SOURCES = {
    "mnist": Source(
        files=_idx_files("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
                         "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
                         "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
                         "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        folders=("mnist", "MNIST/raw"),
        mirrors=("https://storage.googleapis.com/cvdf-datasets/mnist/",
                 "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        suffix=".gz"),
    "fashion-mnist": Source(
        files=_idx_files("c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                         "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                         "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                         "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        folders=("fashion_mnist", "fashion-mnist", "FashionMNIST/raw"),
        mirrors=("https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                 "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"),
        suffix=".gz"),
    "binarized-mnist": Source(
        files=(File("binarized_mnist_train.amat", 78_400_000,
                    "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"),
               File("binarized_mnist_valid.amat", 15_680_000,
                    "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"),
               File("binarized_mnist_test.amat", 15_680_000,
                    "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c")),
        folders=("binarized_mnist", "binarized-mnist"),
        mirrors=("https://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
                 "https://raw.githubusercontent.com/mingzhang-yin/ARM-gradient/"
                 "bac893cfcec486bbd00b755b12cf8402053b0e84/"),
        suffix=""),
}


def find_files(name, data_dir=None, download=True):
    """The paths of all files of dataset `name`, in the order of SOURCES[name].files; downloads what is missing.

    Raises DataNotFoundError when a file can't be had, when data_dir doesn't exist, or when your folder holds only some
    of the files. Files of the same names that belong to another dataset are passed over.
    """
    source, report = SOURCES[name], []
    root = _own_folder(data_dir)
    if root is not None and (paths := _own_files(name, root, report)):
        return paths
    folder, paths = cache_folder(name), []
    report.append(f"looked in the cache {folder}")
    for file in source.files:
        path = _cached(folder, file)
        if path is None and download:
            path = fetch([mirror + file.name + source.suffix for mirror in source.mirrors], file, folder, report)
        if path is None:
            raise _not_found(name, file, report if download else [*report, "no download, because download=False"])
        paths.append(path)
    return paths


def cache_folder(name):
    """The folder into which the files of dataset `name` are downloaded. It may not exist yet."""
    variable, default = ("LOCALAPPDATA", "AppData/Local") if os.name == "nt" else ("XDG_CACHE_HOME", ".cache")
    base = os.environ.get(variable)
    return (pathlib.Path(base) if base else pathlib.Path.home() / default) / "tinyar" / name


def _own_folder(data_dir):
    """The user's folder for data, or None where none is named."""
    if data_dir is None:
        named = os.environ.get("TINYAR_DATA")
        return pathlib.Path(named).expanduser() if named else None
    folder = pathlib.Path(data_dir).expanduser()
    if not folder.is_dir():
        raise DataNotFoundError(f"data_dir {str(data_dir)!r} is not an existing folder")
    return folder


def _own_files(name, root, report):
    """The paths of the dataset's files in the user's folder, or None where it holds none of them."""
    source, incomplete = SOURCES[name], None
    for folder in (*(root / subfolder for subfolder in source.folders), root):
        paths = [_plain_or_gzipped(folder, file) for file in source.files]
        if all(paths):
            other = _other_dataset(name, paths)
            if other is None:
                return paths
            report.append(f"passed over {folder}: these are the files of {other}")
            continue
        if any(paths):
            missing = ", ".join(file.name for file, path in zip(source.files, paths) if path is None)
            incomplete = f"{folder} holds only a part of {name}: {missing} (or the same with .gz) is missing"
        report.append(f"looked in {folder}{'' if folder.is_dir() else ' (there is no such folder)'}")
    if incomplete:
        raise DataNotFoundError(incomplete)
    return None


def _plain_or_gzipped(folder, file):
    return next((path for path in (folder / file.name, folder / (file.name + ".gz")) if path.is_file()), None)


def _other_dataset(name, paths):
    """The dataset other than `name` that these files are, or None.

    Fashion-MNIST gave its files the names of MNIST's, so that one can stand in for the other unnoticed: notice it.
    """
    for other, source in SOURCES.items():
        if other != name and source.files[-1].name == SOURCES[name].files[-1].name:
            try:
                check(paths[-1], source.files[-1])
            except ValueError:
                continue
            return other
    return None


def _cached(folder, file):
    """The path of an undamaged copy of the file in the cache, or None. Deletes a damaged one and warns."""
    path = _plain_or_gzipped(folder, file)
    if path is None:
        return None
    try:
        check(path, file)
    except ValueError as error:
        path.unlink()
        warnings.warn(f"deleted a damaged file from the cache: {error}", stacklevel=4)
        return None
    return path


def _not_found(name, file, report):
    names = ", ".join(each.name for each in SOURCES[name].files)
    hint = (f"to get it by hand, put {names} (each may be gzipped) into a folder {SOURCES[name].folders[0]}, "
            "and name the folder above it with data_dir or the environment variable TINYAR_DATA; "
            f"addresses: {' '.join(SOURCES[name].mirrors)}")
    return DataNotFoundError("\n  ".join([f"dataset {name!r}: {file.name} was not found", *report, hint]))
