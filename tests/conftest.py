"""Fixtures that several tests share."""

import os
import tempfile
import uuid

# Before torch and rich are imported, which read these once. Test processes side by side, and what they start,
# share the cores; a width that the shell or pytest exports is none that a test asked for.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))
os.environ.pop("COLUMNS", None)
# torch keeps compiled kernels without noting for which instructions ATEN_CPU_CAPABILITY had them made: those of
# another setting give wrong values, or crash.
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    f"{tempfile.gettempdir()}/saltflat-tests-inductor-{os.environ.get('ATEN_CPU_CAPABILITY', 'native')}",
)

import pytest

from fvm_core.pipeline.runner import execute
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.cases import tiny_config
from tests.fault_table import FaultTable, pytest_addoption  # noqa: F401 (pytest finds the option here)
from tests.postgres import Server


def pytest_configure(config):
    """Count injected faults where a table of them is asked for."""
    if path := config.getoption("--fault-table"):
        if config.getoption("numprocesses", None) or workers:
            raise pytest.UsageError("A table of faults is counted in one process: leave -n out.")
        config.pluginmanager.register(FaultTable(path))


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


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; skips where there is none (unless SALTFLAT_REQUIRE_POSTGRES=1)."""
    server = Server()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_address(request, tmp_path):
    """The address of an empty database, of each kind that is promised."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'saltflat.db'}"
    return request.getfixturevalue("postgres").address(f"test_{uuid.uuid4().hex[:12]}")
