"""Where runs are kept: a folder each, in runs/."""

import pathlib


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
