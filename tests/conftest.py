"""What several test files need of pytest."""

import pytest

from tinyar.data import download


@pytest.fixture
def no_surroundings(monkeypatch, tmp_path):
    """No data folder, an empty cache, and no network, whatever the machine has."""
    monkeypatch.delenv("TINYAR_DATA", raising=False)
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))

    def refuse(url):
        raise AssertionError(f"a test tried to open {url}")

    monkeypatch.setattr(download, "open_url", refuse)
