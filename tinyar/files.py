"""Writing files so that a kill at any instant leaves either the old file or the new one, never half of one."""

import contextlib
import os
import pathlib
import secrets


@contextlib.contextmanager
def atomic_write(path):
    """A context that hands out a temporary path beside `path`; when it ends well,
    what was written there becomes `path`.

    Makes the folder if there is none. If the block raises, the temporary file is removed and `path` is as it was.
    Raises OSError that names the folder when it can't be made or written to.
    """
    path = pathlib.Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}-{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
        open(temporary, "xb").close()
    except OSError as error:
        raise OSError(f"can't write to the folder {path.parent} ({error.strerror}); "
                      "expected one that you may write to") from error
    try:
        yield str(temporary)
        with open(temporary, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def new_run_folder(name, marker="training.npz"):
    """runs/name, or runs/name-2, runs/name-3, ...: the first that has no run yet (no file `marker`),
    so none is overwritten.
    """
    first = pathlib.Path("runs") / name
    folder, number = first, 1
    while (folder / marker).exists():
        number += 1
        folder = first.with_name(f"{name}-{number}")
    return folder


def latest_run_folder(name, marker="training.npz"):
    """The folder runs/name* whose run was saved last. Raises FileNotFoundError when there is none."""
    saved = list(pathlib.Path("runs").glob(f"{name}*/{marker}"))
    if not saved:
        raise FileNotFoundError(f"nothing to resume: no run in runs/{name}*; name its folder with --out")
    return pathlib.Path("runs") / max(saved, key=lambda path: path.stat().st_mtime).relative_to("runs").parts[0]
