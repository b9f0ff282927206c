"""Where runs are kept: a folder each, in runs/, that belongs to one run from its first moment.

A run claims its folder by a lock on the file `.running` in it. The operating system drops the lock when the process
ends, however it ends, so a run that was killed doesn't keep its folder. (Locks may not hold on network drives; where
the system or the drive has none, a folder is used without.)
"""

import atexit
import contextlib
import os
import pathlib
import re
import threading

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = ".running"
LEFTOVER = re.compile(r"\..+-\d+-[0-9a-f]{8}\.\w+")  # what data.atomic leaves behind when its process is killed

claims = {}  # {resolved path: Claim} of this process
guard = threading.Lock()


class FolderInUseError(FileExistsError):
    """Another run is writing into the folder."""


class Claim:
    """A folder that is this process's; `taken` says whether a run uses it already.

    Nobody else writes a run's files there, so temporary files that lie there are of processes that were killed: they
    are removed.
    """

    def __init__(self, folder):
        self.folder, self.taken, self.file = folder, False, None
        self.made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / LOCK
        while fcntl:
            file = open(path, "a+")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                raise FolderInUseError(f"{folder} belongs to a run that is going on in another process; "
                                       "choose another folder, or wait for its end") from None
            except OSError:  # a drive without locks
                self.file = file
                break
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                    self.file = file
                    break
            file.close()  # the run before removed the file in between: lock the new one
        remove_leftovers(folder)

    def release(self):
        claims.pop(self.folder.resolve(), None)
        if self.file:
            with contextlib.suppress(OSError):
                os.unlink(self.folder / LOCK)
                if self.made:
                    self.folder.rmdir()  # if nothing was written into it
            self.file.close()


def claim(folder, taken=True):
    """Make a folder this process's, and with `taken` a run's; returns the Claim. Makes the folder if there is none.

    Raises FolderInUseError when a run of another process, or of this one, has it, OSError when it can't be made.
    """
    folder = pathlib.Path(folder)
    with guard:
        try:
            held = claims.get(folder.resolve())
            if held is None:
                held = claims[folder.resolve()] = Claim(folder)
        except FolderInUseError:
            raise
        except OSError as error:
            raise OSError(f"can't write to the folder {folder} ({error.strerror}); "
                          "expected one that you may write to") from error
        if taken:
            if held.taken:
                raise FolderInUseError(f"{folder} belongs to another run of this process; choose another folder")
            held.taken = True
        return held


@atexit.register
def release_all():
    """At the end of the process: give all folders free, and remove the files of the locks."""
    for held in list(claims.values()):
        held.release()


def remove_leftovers(folder):
    """Remove the temporary files of processes that were killed while they wrote into the folder."""
    for path in pathlib.Path(folder).iterdir():
        if LEFTOVER.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def holds_files(folder):
    """Whether there are files in a folder, or below it, that a run which was broken off would not have left there."""
    return any(path.is_file() and path.name not in (LOCK, "history.csv") and not LEFTOVER.fullmatch(path.name)
               for path in pathlib.Path(folder).rglob("*"))


def new_run_folder(name, marker="training.npz"):
    """runs/name, or runs/name-2, runs/name-3, ...: the first that holds neither a run nor its weights, claimed."""
    first = pathlib.Path("runs") / name
    folder, number = first, 1
    while True:
        file = folder / marker
        if not any(path.exists() for path in (file, file.with_name("training.npz"), file.with_name("model.npz"))):
            with contextlib.suppress(FolderInUseError):
                claim(folder, taken=False)
                return folder
        number += 1
        folder = first.with_name(f"{name}-{number}")


def latest_run_folder(name, marker="training.npz"):
    """The folder runs/name* whose run was saved last. Raises FileNotFoundError when there is none.

    A run of several trainings, one after the other, has a training.npz of each; `marker` is the first one's.
    """
    runs = [folder for folder in pathlib.Path("runs").glob(f"{name}*") if (folder / marker).exists()]
    if not runs:
        raise FileNotFoundError(f"nothing to resume: no run in runs/{name}*; name its folder with --out")
    return max(runs, key=lambda folder: max(file.stat().st_mtime for file in folder.rglob(pathlib.Path(marker).name)))
