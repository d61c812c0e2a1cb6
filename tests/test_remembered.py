import json
import multiprocessing

import pytest

from fvm_core import remembered
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace


def test_what_is_remembered_comes_back(workspace, tmp_path):
    remembered.update(workspace, exported={"x0": 7.0})
    assert remembered.remember_run(workspace, tmp_path / "a") == str(tmp_path / "a")
    remembered.remember_run(workspace, tmp_path / "b")
    remembered.remember_run(workspace, tmp_path / "a")
    remembered.remember_export(workspace, "x1")
    found = remembered.read(workspace)
    assert found["opened"] == [str(tmp_path / "a"), str(tmp_path / "b")]
    assert list(found["exported"]) == ["x0", "x1"]


def test_runs_of_the_workspace_need_not_be_remembered(workspace):
    assert remembered.remember_run(workspace, workspace.runs / "mine") == "mine"
    assert remembered.read(workspace)["opened"] == []


def _remember(home, first):
    for number in range(first, first + 20):
        remembered.remember_run(Workspace(home), home.parent / f"run-{number}")


def test_writers_at_the_same_time_lose_nothing(workspace):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_remember, args=(workspace.path, first)) for first in (0, 20, 40)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert len(remembered.read(workspace)["opened"]) == 60


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe\x00",
        b'{"opened": 5}',
        b'{"opened": [1]}',
        b'{"exported": []}',
        b"null",
    ],
)
def test_a_damaged_file_counts_as_empty_and_is_kept(workspace, tmp_path, content):
    path = workspace.path / "settings.json"
    path.write_bytes(content)
    assert remembered.read(workspace)["opened"] == []
    assert str(path) in str(remembered.fault(workspace))
    remembered.remember_run(workspace, tmp_path / "a")
    assert remembered.read(workspace)["opened"] == [str(tmp_path / "a")]
    assert remembered.fault(workspace) is None
    assert path.with_name("settings.json.damaged").read_bytes() == content


def test_a_workspace_that_cannot_be_written_is_told(workspace, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remembered, "write_json", full)
    with pytest.raises(SaltflatError, match="can't be written \\(No space left on device\\)"):
        remembered.update(workspace, exported={})
    assert not (workspace.path / "settings.json").exists()
    assert json.dumps(remembered.read(workspace)["opened"]) == "[]"
