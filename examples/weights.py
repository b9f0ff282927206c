"""Which weights are meant, and where to write what is made with them.

    a file                 a checkpoint: model.npz or training.npz of a run, under any name
    the folder of a run    its model.npz; of a VQ-VAE the stages in it
    pretrained/NAME        weights that come with tinyar, in examples/pretrained/: a file, or the folder of a VQ-VAE

What is made with weights lies beside them. The folder of those that come with tinyar isn't the reader's, so what is
made with them goes to runs/NAME.
"""

import pathlib

PRETRAINED = pathlib.Path(__file__).resolve().parent / "pretrained"
AUTOENCODER, PRIORS = "autoencoder", (("prior",), ("top", "bottom"))  # the folders of stages in a VQ-VAE's run


def found(given):
    """The path of what is meant: itself, or where weights that come with tinyar lie.

    Raises FileNotFoundError for pretrained weights that there are none of.
    """
    given = pathlib.Path(given)
    if given.parts[:1] != ("pretrained",) or given.exists():
        return given
    there = PRETRAINED.joinpath(*given.parts[1:])
    there = there if there.exists() else there.with_name(f"{there.name}.npz")
    if len(given.parts) > 1 and ".." not in given.parts and there.exists():
        return there
    raise FileNotFoundError(f"{given}: expected one of the pretrained weights, {', '.join(names())}")


def names():
    """What may be asked for: pretrained/NAME for each."""
    return sorted(f"pretrained/{path.stem}" for path in PRETRAINED.glob("*") if path.is_dir() or path.suffix == ".npz")


def weights_file(given):
    """The file of weights that is meant, of a run's folder model.npz. Raises FileNotFoundError if it isn't there."""
    given = found(given)
    file = given / "model.npz" if given.is_dir() else given
    if file.exists():
        return file
    if file.name == "model.npz" and file.with_name("training.npz").exists():
        raise FileNotFoundError(f"no file {file}: no epoch of this run has ended yet; training.npz there has its "
                                "latest weights")
    raise FileNotFoundError(f"no file {file}: expected a checkpoint, model.npz or training.npz, the folder of a run, or "
                            f"one of {', '.join(names())}")


def stages(given):
    """The folders of autoencoder and priors in a VQ-VAE's run; nothing for what isn't one.

    Raises ValueError where priors are missing.
    """
    run = found(given)
    if not (run / AUTOENCODER).is_dir():
        return []
    priors = PRIORS[(run / PRIORS[1][0]).is_dir()]
    if not (run / priors[-1]).is_dir():
        raise ValueError(f"{given} holds the autoencoder of a VQ-VAE but no prior to draw codes from; "
                         "expected a run of train_vqvae.py or train_vqvae2.py that came to its end, without --flat")
    return [run / stage for stage in (AUTOENCODER, *priors)]


def beside(given, name):
    """A new file beside the weights: of this name, with a number where there is one."""
    folder, name = home(given), pathlib.PurePath(name)
    choices = [name.name, *(f"{name.stem}-{number}{name.suffix}" for number in range(2, 1000))]
    return next((folder / free for free in choices if not (folder / free).exists()), folder / choices[-1])


def home(given):
    """The folder in which what is made with these weights is written."""
    path = found(given)
    if PRETRAINED in path.resolve().parents:
        return pathlib.Path("runs", path.resolve().relative_to(PRETRAINED).with_suffix(""))
    return path if path.is_dir() else path.parent


def name_of(file):
    """What weights are called in tables and pictures: their run's folder, or the name of another file."""
    folder = file.resolve().parent
    if file.name not in ("model.npz", "training.npz"):
        return file.stem
    stage = folder.name == AUTOENCODER or any(folder.name in names for names in PRIORS)
    return f"{folder.parent.name}/{folder.name}" if stage else folder.name
