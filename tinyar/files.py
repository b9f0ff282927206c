"""Writing files so that a kill at any instant leaves either the old file or the new one, never half of one."""

import contextlib
import os
import pathlib
import tempfile


@contextlib.contextmanager
def atomic_write(path):
    """A context that hands out a temporary path beside `path`; when it ends well, what was written there becomes `path`.

    Makes the folder if there is none. If the block raises, the temporary file is removed and `path` is as it was. Raises OSError
    that names the folder when it can't be made or written to.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    except OSError as error:
        raise OSError(f"can't write to the folder {path.parent} ({error.strerror}); expected one that you may write to") from error
    os.close(handle)
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner may read
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def run_folder(name, out=None, resume=False, marker="training.npz"):
    """The folder of a training run: `out` if given; else runs/name, or runs/name-2, runs/name-3, ..., the first that has no run yet.

    A folder has a run if it holds a file `marker`. With resume and without `out` it is the last that has one. So no run is ever overwritten, and --resume alone goes on with
    the latest. Raises FileNotFoundError when there is nothing to resume.
    """
    if out is not None:
        return pathlib.Path(out)
    folders = [pathlib.Path("runs") / name]
    while (folders[-1] / marker).exists():
        folders.append(folders[0].with_name(f"{name}-{len(folders) + 1}"))
    if not resume:
        return folders[-1]
    if len(folders) == 1:
        raise FileNotFoundError(f"nothing to resume: there is no run in {folders[0]}; name its folder with --out")
    return folders[-2]
