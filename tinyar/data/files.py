"""Where the files of a dataset come from: your own folder, the cache, or a mirror.

    1. `data_dir`, or else the folder named by the environment variable TINYAR_DATA: a subfolder with the dataset's
       name, torchvision's layout (MNIST/raw), or the folder itself. One folder must hold all the files, so that images
       and labels never come from two copies; of CIFAR-10's training batches any number will do. They are yours (a
       subset, a modified copy), so only their structure is checked.
    2. The cache: $XDG_CACHE_HOME/tinyar/<name>, by default ~/.cache/tinyar/<name>, on Windows
       %LOCALAPPDATA%/tinyar/<name>. A file there must have the known SHA-256; a damaged one is deleted, with a warning,
       and downloaded again. Where no home folder is known, there is no cache.
    3. A download over https into that cache, from the first mirror that serves the right bytes.

In the names of folders ~ is the home folder, and ~name that of another user. Every file may be gzipped or not, with the
name ending in .gz or not. Which files these are is said in sources.py.
"""

import os
import pathlib
import warnings

from tinyar.data.download import check, fetch
from tinyar.data.errors import DataNotFoundError
from tinyar.data.sources import SOURCES

CACHE_VARIABLE, CACHE_DEFAULT = (("LOCALAPPDATA", "~/AppData/Local") if os.name == "nt"
                                 else ("XDG_CACHE_HOME", "~/.cache"))


def find_files(name, data_dir=None, download=True):
    """The paths of all files of dataset `name`, in the order of SOURCES[name].files; downloads what is missing.

    Raises DataNotFoundError when a file can't be had, when data_dir doesn't exist, or when your folder holds only some
    of the files. Files of the same names that belong to another dataset are passed over, and where the training images
    come in batches, those that your folder lacks are left out.
    """
    source, report = SOURCES[name], []
    root = own_folder(data_dir)
    if root is not None and (paths := _own_files(name, root, report)):
        return paths
    folder, paths = cache_folder(name), {}
    report.append(f"looked in the cache {folder}" if folder else
                  f"no cache, and so no download: the home folder isn't known, and {CACHE_VARIABLE} names no other")
    for file in source.files:
        path = paths.get(file) or (folder and _cached(folder, file, report))
        if path is None and folder and download:
            paths.update(fetch(source.addresses(file), source.files if source.archive else [file], folder, report))
            path = paths.get(file)
        if path is None:
            raise _not_found(name, file, report if download else [*report, "no download, because download=False"])
        paths[file] = path
    return [paths[file] for file in source.files]


def cache_folder(name):
    """The folder into which the files of dataset `name` are downloaded. It may not exist yet.

    None where no home folder is known, as for the user of a container without a line in its passwd.
    """
    base = os.path.expanduser(os.environ.get(CACHE_VARIABLE) or CACHE_DEFAULT)
    return None if base.startswith("~") else pathlib.Path(base) / "tinyar" / name


def own_folder(data_dir):
    """The user's folder for data, or None where none is named. DataNotFoundError where data_dir doesn't exist."""
    if data_dir is None:
        named = os.environ.get("TINYAR_DATA")
        return _expanded(named, "TINYAR_DATA") if named else None
    folder = _expanded(data_dir, "data_dir")
    if not folder.is_dir():
        raise DataNotFoundError(f"data_dir {str(data_dir)!r} is not an existing folder")
    return folder


def _expanded(path, origin):
    """The path with its ~ replaced. Raises DataNotFoundError, with what named the path, for an unknown home folder."""
    text = os.path.expanduser(os.fspath(path))
    if text.startswith("~"):
        user = pathlib.PurePath(text).parts[0]
        raise DataNotFoundError(f"{origin} {str(path)!r}: there is no home folder {user!r} on this computer")
    return pathlib.Path(text)


def _own_files(name, root, report):
    """The paths of the dataset's files in the user's folder, or None where it holds none of them."""
    source, incomplete = SOURCES[name], None
    for folder in (*(root / subfolder for subfolder in source.folders), root):
        paths = [_plain_or_gzipped(folder, file) for file in source.files]
        missing = [file.name for file, path in zip(source.files, paths) if path is None]
        if source.batches and any(paths[:-1]):
            missing = [] if paths[-1] else [source.files[-1].name]
        if not missing:
            other = _other_dataset(name, paths)
            if other is None:
                return [path for path in paths if path]
            report.append(f"passed over {folder}: these are the files of {other}")
            continue
        if any(paths):
            which = " or ".join(missing) if source.batches else ", ".join(missing)  # one batch is enough
            incomplete = f"{folder} holds only a part of {name}: {which} (or the same with .gz) is missing"
        report.append(f"looked in {folder}{'' if folder.is_dir() else ' (there is no such folder)'}")
    if incomplete:
        raise DataNotFoundError(incomplete)
    return None


def _plain_or_gzipped(folder, file):
    """The path of the file in the folder, gzipped or not, or None.

    A folder of the same name is passed over. A pipe or a device is not: whoever opens it will say what it is.
    """
    paths = folder / file.name, folder / (file.name + ".gz")
    return next((path for path in paths if path.exists() and not path.is_dir()), None)


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


def _cached(folder, file, report):
    """The path of an undamaged copy of the file in the cache, or None. Deletes a damaged one and warns.

    Where the cache can't be read, or not be written to, `report` has one line more.
    """
    try:
        path = _plain_or_gzipped(folder, file)
        if path is None:
            return None
        try:
            check(path, file)
            return path
        except ValueError as error:
            path.unlink()
            warnings.warn(f"deleted a damaged file from the cache: {error}", stacklevel=4)
    except OSError as error:
        report.append(f"the cache can't be used: {error}")
    return None


def _not_found(name, file, report):
    source = SOURCES[name]
    if source.archive:
        how = f"unpack {' or '.join(source.addresses(file))} into a folder, and name that folder"
    else:
        names = ", ".join(each.name for each in source.files)
        how = (f"put {names} (each may be gzipped) from {' or '.join(source.mirrors)} into a folder "
               f"{source.folders[0]}, and name the folder above it")
    hint = f"to get it by hand, {how} with data_dir or the environment variable TINYAR_DATA"
    return DataNotFoundError("\n  ".join([f"dataset {name!r}: {file.name} was not found", *report, hint]))
