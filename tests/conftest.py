"""What several test files need of pytest."""

import signal

import pytest

from tinyar.data import download

# A shell's background job ignores Ctrl-C, and its children would too; some tests send Ctrl-C to scripts they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def no_surroundings(monkeypatch, tmp_path):
    """No data folder, an empty cache, and no network, whatever the machine has."""
    monkeypatch.delenv("TINYAR_DATA", raising=False)
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))

    def refuse(url):
        raise AssertionError(f"a test tried to open {url}")

    monkeypatch.setattr(download, "open_url", refuse)
