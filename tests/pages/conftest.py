import pytest

from fvm_core.workspace import Workspace


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SALTFLAT_DATABASE", raising=False)
    return Workspace.default()
