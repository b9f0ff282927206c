"""Downloads: checked before they are used, from the next mirror when one fails, and nothing half-written.

No test touches the network.
"""

import errno
import gzip
import hashlib
import io
import pathlib
import ssl
import tarfile
import urllib.error
import urllib.request

import numpy as np
import pytest

from data_files import idx_images, some_colours, some_images, tiny_cifar, tiny_mnist, tiny_source, write_files
from tinyar import data
from tinyar.data import download, readers, sources

pytestmark = pytest.mark.usefixtures("no_surroundings")


# ---- download and cache ----------------------------------------------------------------------------------------------

class Response(io.BytesIO):
    """What a mirror answers; `breaks` is raised instead of its second half."""

    def __init__(self, content, breaks=None):
        super().__init__(content)
        self.headers, self.breaks, self.half = {"Content-Length": str(len(content))}, breaks, len(content) // 2

    def read(self, size=-1):
        if self.breaks and self.tell() == self.half:
            raise self.breaks
        return super().read(min(size, self.half - self.tell()) if self.breaks else size)


class Web:
    """A fake of the network: serves the tiny MNIST, gzipped, unless an answer is set for an address."""

    def __init__(self, contents):
        self.contents, self.answers, self.opened = contents, {}, []

    def __call__(self, url):
        self.opened.append(url)
        if url not in self.answers:
            return Response(gzip.compress(self.contents[url.rpartition("/")[2].removesuffix(".gz")]))
        answer = self.answers[url]
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def web(monkeypatch):
    contents = tiny_mnist()
    fake = Web(contents)
    monkeypatch.setattr(download, "open_url", fake)
    monkeypatch.setitem(sources.SOURCES, "mnist", tiny_source(contents))
    return fake


def cached(tmp_path):
    folder = tmp_path / "cache" / "tinyar" / "mnist"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


ALL_FILES = sorted(name + ".gz" for name in tiny_mnist())


def test_a_download_is_cached_and_not_repeated(tmp_path, web):
    first = data.load("mnist")
    assert cached(tmp_path) == ALL_FILES
    assert len(web.opened) == 4 and all(url.startswith("https://one/") for url in web.opened)
    np.testing.assert_array_equal(data.load("mnist", download=False).train.images, first.train.images)
    assert len(web.opened) == 4


@pytest.mark.parametrize("answer", [
    urllib.error.URLError("no route"), TimeoutError("timed out"), Response(b"<html>403</html>"), Response(b""),
    Response(gzip.compress(idx_images(some_images(12, seed=9)))), Response(gzip.compress(bytes(200))[:-9]),
    Response(gzip.compress(bytes(2 ** 22))), Response(bytes(2 ** 21)),
    Response(gzip.compress(bytes(99)), breaks=ConnectionResetError("reset by peer"))],
    ids=["no route", "timeout", "error page", "nothing", "other bytes", "truncated", "bomb", "too long", "reset"])
def test_when_a_mirror_fails_the_next_is_asked(tmp_path, web, answer):
    web.answers["https://one/train-images-idx3-ubyte.gz"] = answer
    images = data.load("mnist").train.images
    np.testing.assert_array_equal(images[..., 0], some_images(12)[readers.fixed_permutation(12)[:10]])
    assert web.opened[:2] == ["https://one/train-images-idx3-ubyte.gz", "https://two/train-images-idx3-ubyte.gz"]
    assert cached(tmp_path) == ALL_FILES


def test_when_all_mirrors_fail_the_error_names_each_and_nothing_is_left(tmp_path, web):
    wrong = gzip.compress(idx_images(some_images(12, seed=9)))
    web.answers = {"https://one/train-images-idx3-ubyte.gz": urllib.error.URLError("no route"),
                   "https://two/train-images-idx3-ubyte.gz": Response(wrong)}
    with pytest.raises(data.DataNotFoundError) as caught:
        data.load("mnist")
    expected = sources.SOURCES["mnist"].files[0].sha256
    for part in ("https://one/train-images-idx3-ubyte.gz: ", "no route", "https://two/train-images-idx3-ubyte.gz: ",
                 f"expected {expected}", str(tmp_path / "cache"), "TINYAR_DATA", "data_dir"):
        assert part in str(caught.value)
    assert cached(tmp_path) == []


@pytest.mark.parametrize("answer, reason", [
    (urllib.error.URLError(OSError(-2, "Name or service not known")), "Name or service not known"),
    (urllib.error.URLError(ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate")),
     "certificate verify failed: self-signed certificate"),
    (urllib.error.HTTPError("https://one/", 403, "Forbidden", {}, None), "HTTP Error 403: Forbidden"),
    (TimeoutError(), "TimeoutError"), (Response(gzip.compress(b"other")), "SHA-256 .*, expected [0-9a-f]{64}")],
    ids=["no network", "TLS", "forbidden", "timeout", "wrong checksum"])
def test_the_error_says_what_the_mirror_said(web, answer, reason):
    web.answers = {f"https://{mirror}/train-images-idx3-ubyte.gz": answer for mirror in ("one", "two")}
    with pytest.raises(data.DataNotFoundError, match=f"https://one/train-images-idx3-ubyte.gz: .*{reason}"):
        data.load("mnist")


def test_a_missing_file_in_the_cache_is_named(tmp_path, web):
    data.load("mnist")
    (tmp_path / "cache" / "tinyar" / "mnist" / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(data.DataNotFoundError, match="'mnist': t10k-images-idx3-ubyte was not found"):
        data.load("mnist", download=False)


def test_a_cache_that_can_not_be_made_is_named(tmp_path, web):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(data.DataNotFoundError, match="can't make the folder .*mnist to download into: ") as caught:
        data.load("mnist")
    assert len(web.opened) == 1 and "https://one" not in str(caught.value).split("to get it by hand")[0]


def test_a_cache_that_can_not_be_read_is_named(tmp_path, web, monkeypatch):
    data.load("mnist")

    def closed(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(pathlib.Path, "exists", closed)
    with pytest.raises(data.DataNotFoundError, match="the cache can't be used: .*Permission denied: .*train-images"):
        data.load("mnist", download=False)


def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path, web, monkeypatch):
    class Full(io.BytesIO):
        def write(self, chunk):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download.os, "fdopen", lambda handle, mode: (download.os.close(handle), Full())[1])
    with pytest.raises(data.DataNotFoundError, match="No space left on device: '.*train-images-idx3-ubyte.gz'"):
        data.load("mnist")
    assert cached(tmp_path) == []


def test_an_endless_answer_is_cut_off(web):
    class Endless(Response):
        sent = 0

        def read(self, size=-1):
            self.sent += size
            assert self.sent < 2 ** 23, "read on and on"
            return bytes(size)

    web.answers["https://one/train-images-idx3-ubyte.gz"] = Endless(b"")
    web.answers["https://two/train-images-idx3-ubyte.gz"] = Endless(b"")
    with pytest.raises(data.DataNotFoundError, match="https://one/.*: sent more than the 1,048,664 bytes expected"):
        data.load("mnist")


def test_an_interrupted_download_leaves_nothing(tmp_path, web):
    whole = gzip.compress(web.contents["train-images-idx3-ubyte"])
    web.answers["https://one/train-images-idx3-ubyte.gz"] = Response(whole, breaks=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        data.load("mnist")
    assert cached(tmp_path) == []


@pytest.mark.parametrize("damage", [lambda packed: packed[:20], lambda packed: gzip.compress(b"other"), lambda _: b""])
def test_a_damaged_file_in_the_cache_is_deleted_and_downloaded_again(tmp_path, web, damage):
    whole = data.load("mnist").train.images
    path = tmp_path / "cache" / "tinyar" / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(UserWarning, match="deleted a damaged file from the cache: .*train-images-idx3-ubyte.gz: "):
        np.testing.assert_array_equal(data.load("mnist").train.images, whole)
    assert cached(tmp_path) == ALL_FILES and len(web.opened) == 5


def test_a_damaged_file_in_the_cache_is_never_used(tmp_path, web):
    data.load("mnist")
    (tmp_path / "cache" / "tinyar" / "mnist" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="SHA-256"), pytest.raises(data.DataNotFoundError, match="t10k-labels"):
        data.load("mnist", download=False)
    assert cached(tmp_path) == [name for name in ALL_FILES if "t10k-labels" not in name]


def test_your_own_folder_is_not_compared_with_the_digests(tmp_path, web):
    own = write_files(tmp_path / "own", tiny_mnist(count=6, seed=4))
    assert len(data.load("mnist", data_dir=own).train) == 5
    assert web.opened == []


# ---- a download in one archive ---------------------------------------------------------------------------------------

ARCHIVE = "https://one/batches.tar.gz"


def tar_gz(contents, kind=tarfile.REGTYPE):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(content), kind, "/etc/hosts"
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def in_folder(contents, folder="cifar-10-batches-bin/"):
    return {folder + name: content for name, content in contents.items()}


@pytest.fixture
def archive(monkeypatch):
    """A tiny CIFAR-10 whose files come in one archive; returns their contents and the fake web that serves it."""
    contents = tiny_cifar()
    fake = Web({})
    fake.answers[ARCHIVE] = Response(tar_gz({**in_folder(contents), "cifar-10-batches-bin/readme.html": b"read me"}))
    known = tuple(sources.File(name, len(content), hashlib.sha256(content).hexdigest())
                  for name, content in contents.items())
    source = sources.Source(known, ("cifar-10-batches-bin",), ("https://one/",), archive="batches.tar.gz", batches=True)
    monkeypatch.setitem(sources.SOURCES, "cifar10", source)
    monkeypatch.setattr(download, "open_url", fake)
    return contents, fake


def all_below(tmp_path):
    return sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())


CIFAR_CACHE = [f"cache/tinyar/cifar10/{name}" for name in ("data_batch_1.bin", "test_batch.bin")]


def test_an_archive_is_unpacked_into_the_cache_and_not_loaded_again(tmp_path, archive):
    contents, web = archive
    first = data.load("cifar10")
    np.testing.assert_array_equal(first.test.images, some_colours(2, seed=9))
    assert all_below(tmp_path) == CIFAR_CACHE and web.opened == [ARCHIVE]
    data.load("cifar10", download=False)
    (tmp_path / CIFAR_CACHE[0]).write_bytes(b"damaged")
    web.answers[ARCHIVE] = Response(tar_gz(in_folder(contents)))
    with pytest.warns(UserWarning, match="deleted a damaged file from the cache: .*data_batch_1.bin"):
        np.testing.assert_array_equal(data.load("cifar10").train.images, first.train.images)
    assert all_below(tmp_path) == CIFAR_CACHE and len(web.opened) == 2


@pytest.mark.parametrize("place", ["../../../", "/tmp/../", "C:/", "cifar-10-batches-bin/../../"])
def test_no_path_in_an_archive_leads_anywhere(tmp_path, archive, place):
    contents, web = archive
    web.answers[ARCHIVE] = Response(tar_gz({**in_folder(contents, place), place + "evil.txt": b"evil"}))
    data.load("cifar10")
    assert all_below(tmp_path) == CIFAR_CACHE


def bad_archives():
    contents = tiny_cifar()
    good, other = tar_gz(in_folder(contents)), tiny_cifar(batches=(2,))
    return {
        "error page": (b"<html>403</html>", "Not a gzipped file"),
        "no tar": (gzip.compress(b"<html>403</html>" * 99), "damaged or truncated archive"),
        "nothing": (b"", "not in the archive|truncated archive"),
        "truncated": (good[:len(good) // 2], "damaged or truncated archive"),
        "damaged": (good[:5000] + b"\xff" * 9 + good[5009:], "damaged or truncated|SHA-256"),
        "other files": (tar_gz(in_folder(other)), "data_batch_1.bin not in the archive"),
        "other bytes": (tar_gz(in_folder({**contents, "data_batch_1.bin": other["data_batch_2.bin"]})), "SHA-256"),
        "links": (tar_gz(in_folder(contents), tarfile.SYMTYPE), "not in the archive"),
        "bomb": (tar_gz({"zeros": bytes(2 ** 22), **contents}), "sent more than the 1,073,160 bytes expected"),
        "long file": (tar_gz({"test_batch.bin": bytes(2 ** 22)}), "sent more than"),
    }


@pytest.mark.parametrize("case", bad_archives())
def test_a_bad_archive_leaves_no_bad_file(tmp_path, archive, case):
    content, message = bad_archives()[case]
    archive[1].answers[ARCHIVE] = Response(content)
    with pytest.raises(data.DataNotFoundError, match=f"{ARCHIVE}: .*({message})") as caught:
        data.load("cifar10")
    assert f"unpack {ARCHIVE} into a folder" in str(caught.value) and "TINYAR_DATA" in str(caught.value)
    for name in all_below(tmp_path):  # a file that had come whole before the damage may stay
        assert name in CIFAR_CACHE and (tmp_path / name).read_bytes() == archive[0][name.rpartition("/")[2]]


def test_an_interrupted_archive_leaves_nothing(tmp_path, archive):
    archive[1].answers[ARCHIVE] = Response(tar_gz(in_folder(archive[0])), breaks=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        data.load("cifar10")
    assert all_below(tmp_path) == []


@pytest.mark.parametrize("url", ["http://one/x.gz", "ftp://one/x.gz", "file:///etc/hosts"])
def test_only_https_is_opened_and_followed(monkeypatch, url):
    monkeypatch.undo()
    with pytest.raises(urllib.error.URLError, match="not an https address"):
        download.open_url(url)
    request = urllib.request.Request("https://one/x.gz")
    follow = download.HttpsRedirects().redirect_request
    with pytest.raises(urllib.error.URLError, match="not an https address"):
        follow(request, io.BytesIO(), 302, "Found", {}, url)
    assert follow(request, io.BytesIO(), 302, "Found", {}, "https://two/x.gz").full_url == "https://two/x.gz"


def test_every_known_mirror_is_https_and_every_digest_whole():
    for source in sources.SOURCES.values():
        assert source.mirrors and all(url.startswith("https://") and url.endswith("/") for url in source.mirrors)
        assert all(len(bytes.fromhex(file.sha256)) == 32 for file in source.files)
