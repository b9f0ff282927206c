"""Fetching one file over https: from the first mirror that has it, checked before it gets its name.

A download goes to a temporary name beside its place in the cache, is compared with the SHA-256 that tinyar knows, and
only then renamed. Whoever sees the file under its own name sees all of it, and a download stopped half way leaves
nothing.

The digest is that of the uncompressed bytes, because mirrors gzip the same data in different ways.
"""

import http.client
import os
import pathlib
import sys
import tempfile
import urllib.error
import urllib.request

from tqdm import tqdm

from tinyar.data.formats import CHUNK, sha256

TIMEOUT = 5  # seconds without an answer, or a byte, until an address is given up


def check(path, file):
    """Raise ValueError unless the uncompressed bytes of the file at `path` have the size and SHA-256 of `file`."""
    found = sha256(path, most=file.size)
    if found != file.sha256:
        raise ValueError(f"{path}: SHA-256 {found}, expected {file.sha256}")


def fetch(urls, file, folder, report):
    """Download `file` into `folder` from the first of `urls` that serves the right bytes, and return its path.

    Returns None when none does; then `report`, a list, has one line more for each mirror, with what it said.
    """
    for url in urls:
        tqdm.write(f"looking for {file.name} at {url.split('/')[2]} ...", file=sys.stderr)
        try:
            return _fetch_from(url, file, folder)
        except (OSError, http.client.HTTPException, ValueError) as error:
            report.append(f"{url}: {error or type(error).__name__}")
    return None


def open_url(url):
    """Open an address and return the response to read from. Refuses, with URLError, all that is not https.

    This is the one place where tinyar touches the network.
    """
    _refuse_unless_https(url)
    request = urllib.request.Request(url, headers={"User-Agent": "tinyar"})
    return urllib.request.build_opener(HttpsRedirects).open(request, timeout=TIMEOUT)


class HttpsRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirection as urllib does, but never away from https."""

    def redirect_request(self, request, response, code, message, headers, new_url):
        _refuse_unless_https(new_url)
        return super().redirect_request(request, response, code, message, headers, new_url)


def _refuse_unless_https(url):
    if not url.lower().startswith("https://"):
        raise urllib.error.URLError(f"refused {url}: not an https address")


def _fetch_from(url, file, folder):
    """Download one address to a temporary name in `folder`, check it, rename it, and return its path."""
    path = folder / url.rpartition("/")[2]
    with open_url(url) as response:
        folder.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=folder)
        try:
            with os.fdopen(handle, "wb") as out:
                _copy(response, out, path.name, limit=file.size + CHUNK)  # what gzip can't shrink it hardly lengthens
            check(part, file)
            os.replace(part, path)
        finally:
            pathlib.Path(part).unlink(missing_ok=True)
    return path


def _copy(response, out, name, limit):
    """Copy a response into an open file, with a progress bar on a terminal. Raises ValueError beyond `limit` bytes."""
    total = int(response.headers.get("Content-Length") or 0) or None
    with tqdm(total=total, unit="B", unit_scale=True, desc=name, disable=None) as progress:
        received = 0
        while chunk := response.read(CHUNK):
            received += len(chunk)
            if received > limit:
                raise ValueError(f"sent more than the {limit:,} bytes expected at most")
            out.write(chunk)
            progress.update(len(chunk))
