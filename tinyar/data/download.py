"""Fetching files over https: from the first mirror that has them, each checked before it gets its name.

A download goes to a temporary name beside its place in the cache, is compared with the SHA-256 that tinyar knows, and
only then renamed. Whoever sees the file under its own name sees all of it, and a download stopped half way leaves
nothing.

The digest is that of the uncompressed bytes, because mirrors gzip the same data in different ways. A .tar.gz is never
written itself: it is unpacked as it arrives, and each file in it goes the same way.
"""

import gzip
import http.client
import os
import pathlib
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
import zlib

from tqdm import tqdm

from tinyar.data.formats import CHUNK, sha256

TIMEOUT = 5  # seconds without an answer, or a byte, until an address is given up


def check(path, file):
    """Raise ValueError unless the uncompressed bytes of the file at `path` have the size and SHA-256 of `file`."""
    found = sha256(path, most=file.size)
    if found != file.sha256:
        raise ValueError(f"{path}: SHA-256 {found}, expected {file.sha256}")


def fetch(urls, files, folder, report):
    """Download `files` into `folder` from the first of `urls` that serves the right bytes: a dict from file to path.

    Every address serves all of `files`: as a .tar.gz, or else it is one file. The dict is empty when none of them does,
    or when the folder can't be made; then `report`, a list, says why, with a line for each address.
    """
    for url in urls:
        tqdm.write(f"looking for {url.rpartition('/')[2]} at {url.split('/')[2]} ...", file=sys.stderr)
        try:
            with open_url(url) as response:
                if not _make(folder, report):
                    return {}
                if url.endswith(".tar.gz"):
                    return _save_members(response, files, folder)
                file, = files
                total = int(response.headers.get("Content-Length") or 0) or None
                return {file: _save(response, file, folder / url.rpartition("/")[2], total)}
        except (OSError, http.client.HTTPException, ValueError) as error:
            report.append(f"{url}: {str(error) or type(error).__name__}")
    return {}


def _make(folder, report):
    """Make a folder and return True, or False where that can't be done; then `report` has one line more."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        report.append(f"can't make the folder {folder} to download into: {error.strerror}")
        return False
    return True


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


def _save_members(response, files, folder):
    """Save `files` out of a .tar.gz as it passes by: a dict from file to path. Raises ValueError where one isn't in it.

    A member is known by the last part of its name and saved under the name in `files`: no path in an archive counts.
    """
    wanted, paths = {file.name: file for file in files}, {}
    unpacked = _Limited(gzip.GzipFile(fileobj=response), sum(file.size for file in files) + CHUNK)
    try:
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for member in archive:
                file = wanted.get(member.name.rpartition("/")[2])
                if file and member.isfile():
                    paths[file] = _save(archive.extractfile(member), file, folder / file.name, member.size)
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise ValueError(f"damaged or truncated archive ({error})") from error
    if missing := [file.name for file in files if file not in paths]:
        raise ValueError(f"{', '.join(missing)} not in the archive")
    return paths


class _Limited:
    """A stream to read from that raises ValueError beyond `limit` bytes."""

    def __init__(self, stream, limit):
        self.stream, self.limit, self.received = stream, limit, 0

    def read(self, size):
        chunk = self.stream.read(size)
        self.received += len(chunk)
        if self.received > self.limit:
            raise ValueError(f"sent more than the {self.limit:,} bytes expected at most")
        return chunk


def _save(stream, file, path, total):
    """Copy a stream to a temporary name, check it, give it the name `path`, and return that."""
    stream = _Limited(stream, file.size + CHUNK)  # what gzip can't shrink it hardly lengthens
    handle, part = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            with tqdm(total=total, unit="B", unit_scale=True, desc=path.name, disable=None) as progress:
                while chunk := stream.read(CHUNK):
                    _write(out, chunk, path)
                    progress.update(len(chunk))
        check(part, file)
        os.replace(part, path)
    finally:
        pathlib.Path(part).unlink(missing_ok=True)
    return path


def _write(out, chunk, path):
    """Write a chunk. What the disk says (that it is full, say) gets the name of the file, which it lacks."""
    try:
        out.write(chunk)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
