"""Which weights are meant, and where to write what is made with them.

    a file                 a checkpoint: model.npz or training.npz of a run, under any name
    the folder of a run    its model.npz; of a VQ-VAE the stages in it
    pretrained/NAME        weights that come with tinyar, in examples/pretrained/: a file, or the folder of a VQ-VAE

What is made with weights lies beside them. With those that come with tinyar it goes to runs/NAME instead.
"""

import pathlib

PRETRAINED = pathlib.Path(__file__).resolve().parent / "pretrained"
# Folders in the run of a VQ-VAE, and of a VQ-VAE-2.
AUTOENCODER_FOLDER, PRIOR_FOLDERS = "autoencoder", ("prior", "top", "bottom")


def located(given):
    """Where the given file or folder lies: in examples/pretrained/, or at the path itself.

    Raises FileNotFoundError for pretrained/NAME if no weights have that name.
    """
    given = pathlib.Path(given)
    if given.parts[:1] != ("pretrained",) or given.exists():
        return given
    there = PRETRAINED.joinpath(*given.parts[1:])
    there = there if there.exists() else there.with_name(f"{there.name}.npz")
    if len(given.parts) > 1 and ".." not in given.parts and there.exists():
        return there
    raise FileNotFoundError(f"{given}: expected one of the pretrained weights, {', '.join(pretrained())}")


def pretrained():
    """All names of weights that come with tinyar: pretrained/NAME."""
    return sorted(f"pretrained/{path.name.removesuffix('.npz')}" for path in PRETRAINED.glob("*"))


def weights_file(given):
    """The file of weights that is meant, of a run's folder model.npz. Raises FileNotFoundError if it isn't there."""
    path = located(given)
    file = path / "model.npz" if path.is_dir() else path
    if file.exists():
        return file
    if is_vqvae(path):
        there = [name for name in (AUTOENCODER_FOLDER, *PRIOR_FOLDERS) if (path / name).is_dir()]
        raise FileNotFoundError(f"{given} is the folder of a VQ-VAE; expected one network of it: "
                                + ", ".join(f"{given}/{name}" for name in there))
    if file.name == "model.npz" and file.with_name("training.npz").exists():
        raise FileNotFoundError(f"no file {file}: no epoch of this run has ended yet; training.npz there has its "
                                "latest weights")
    raise FileNotFoundError(f"no file {file}: expected a checkpoint, model.npz or training.npz, the folder of a run, "
                            f"or one of {', '.join(pretrained())}")


def is_vqvae(path):
    """Whether this is the folder of a VQ-VAE's run."""
    return (path / AUTOENCODER_FOLDER).is_dir()


def stages(given):
    """The folders of autoencoder and priors in a VQ-VAE's run; nothing for what isn't one.

    Raises ValueError where priors are missing.
    """
    run = located(given)
    if not is_vqvae(run):
        return []
    priors = ("top", "bottom") if (run / "top").is_dir() else ("prior",)
    if not (run / priors[-1]).is_dir():
        raise ValueError(f"{given} holds the autoencoder of a VQ-VAE but no prior to draw codes from; "
                         "expected a run of train_vqvae.py or train_vqvae2.py that came to its end, without --flat")
    return [run / stage for stage in (AUTOENCODER_FOLDER, *priors)]


def beside(given, name):
    """A new file beside the weights: of this name, with a number where there is one."""
    folder, name = home(given), pathlib.PurePath(name)
    choices = [name.name, *(f"{name.stem}-{number}{name.suffix}" for number in range(2, 1000))]
    return next((folder / free for free in choices if not (folder / free).exists()), folder / choices[-1])


def home(given):
    """The folder in which what is made with these weights is written."""
    path = located(given)
    folder = path if path.is_dir() else path.parent
    if PRETRAINED not in path.resolve().parents:
        return folder
    if folder.resolve() == PRETRAINED:  # a single file
        return pathlib.Path("runs", path.stem)
    return pathlib.Path("runs", folder.resolve().relative_to(PRETRAINED))


def name_of(file):
    """What weights are called in tables and pictures: their run's folder, or the name of another file."""
    folder = file.resolve().parent
    if file.name not in ("model.npz", "training.npz"):
        return file.stem
    stage = folder.name in (AUTOENCODER_FOLDER, *PRIOR_FOLDERS)
    return f"{folder.parent.name}/{folder.name}" if stage else folder.name
