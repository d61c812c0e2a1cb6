"""Fixtures that several tests share."""

import pytest

from fvm_core.pipeline.run_folder import RunFolder
from fvm_core.pipeline.runner import execute
from fvm_core.workspace import Workspace
from tests.cases import tiny_config


@pytest.fixture(autouse=True)
def own_workspace(tmp_path, monkeypatch):
    """No test touches the user's workspace or database."""
    monkeypatch.setenv("SALTFLAT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SALTFLAT_DATABASE", raising=False)


@pytest.fixture
def workspace(own_workspace):
    """An empty workspace, the one that everything in this test finds by itself."""
    return Workspace.default()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A small finished run on digits; tests must not change it."""
    run = RunFolder.create(tmp_path_factory.mktemp("runs") / "tiny", tiny_config())
    return execute(run)
