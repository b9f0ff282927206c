"""Writing files so that a kill at any instant leaves either the old file or the new one, never half of one."""

import contextlib
import os
import pathlib
import secrets


@contextlib.contextmanager
def atomic_write(path):
    """A context that hands out a temporary path; when it ends well, what was written there becomes `path`.

    Makes the folder if there is none. If the block raises, the temporary file is removed and `path` is as it was.
    Raises OSError that names the folder when it can't be made or written to, and the file when it can't be written.
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
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        text = f"can't write {path} ({error.strerror or error})"
        raise (OSError(error.errno, text) if error.errno else OSError(text)) from error
