"""What several test files need of pytest."""

import itertools
import os
import signal
import zlib

import numpy as np
import pytest

from tinyar.data import download

# A shell's background job ignores Ctrl-C, and its children would too; some tests send Ctrl-C to scripts they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    """Tests marked `long` run in continuous integration, by `TINYAR_LONG=1 python -m pytest -m long`."""
    if os.environ.get("TINYAR_LONG") != "1":
        kept = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("long")])
        items[:] = kept


# -- the same random numbers every time --------------------------------------------------------------------------------

class Unseeded:
    """default_rng() without a seed, as a function of the test's name: a test that passes once passes always."""

    def __init__(self):
        self.default_rng = np.random.default_rng
        self.begin("collection")

    def begin(self, name):
        self.name, self.count = zlib.crc32(name.encode()), itertools.count()

    def __call__(self, seed=None):
        return self.default_rng([self.name, next(self.count)] if seed is None else seed)


np.random.default_rng = unseeded = Unseeded()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    unseeded.begin(item.nodeid)


@pytest.fixture
def no_surroundings(monkeypatch, tmp_path):
    """No data folder, an empty cache, and no network, whatever the machine has."""
    monkeypatch.delenv("TINYAR_DATA", raising=False)
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))

    def refuse(url):
        raise AssertionError(f"a test tried to open {url}")

    monkeypatch.setattr(download, "open_url", refuse)
