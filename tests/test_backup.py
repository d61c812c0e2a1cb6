import shutil
import sqlite3
import tarfile
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fvm_core import backup as kept
from fvm_core.cli import application
from fvm_core.database import connect
from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace
from tests.ui import runs


@pytest.fixture
def used(workspace):
    """A workspace with a run and decisions that stand in the write-ahead log only."""
    run = runs.finished_run(workspace, "plain", limit=60)
    store = DecisionStore(workspace.database)
    store.record(run.id, [Decision(0, run.scores["id"][0], "keep")], "ana")
    return run, store


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_backup_of_a_workspace_in_use_comes_back_whole(used, workspace, tmp_path):
    run, store = used
    (workspace.cache / "big").write_bytes(b"x" * 1000)
    (run.path / ".scores.123-4.part.parquet").write_bytes(b"half")
    found = kept.backup(workspace, tmp_path / "saved.tar")
    assert (found.runs, found.events) == (1, 1)
    assert (tmp_path / "saved.tar").stat().st_mode & 0o077 == 0
    elsewhere = Workspace(tmp_path / "other").made()
    done = kept.restore(elsewhere, tmp_path / "saved.tar")
    assert done.kept == ()
    again = RunFolder.open(elsewhere.runs / "plain")
    assert again.scores.equals(run.scores)
    assert DecisionStore(elsewhere.database).state(run.id).equals(store.state(run.id))
    expected = tree(run.path)
    expected.pop(".scores.123-4.part.parquet")
    assert tree(again.path) == expected
    assert not list(elsewhere.cache.iterdir())


@pytest.mark.fault("decisions while a backup is taken")
def test_decisions_made_while_it_is_copied_are_in_it_or_not_and_none_by_half(used, workspace, tmp_path):
    run, store = used
    stop, made = threading.Event(), []

    def decide():
        while not stop.is_set():
            row = 100 + len(made)
            pair = [Decision(2 * row, "a", "keep"), Decision(2 * row + 1, "b", "keep")]
            store.carry_out(run.id, f"k{row}", pair, ["", ""], "ana")
            made.append(row)

    thread = threading.Thread(target=decide)
    thread.start()
    try:
        for number in range(3):
            kept.backup(workspace, tmp_path / f"{number}.tar")
    finally:
        stop.set()
        thread.join()
    for number in range(3):
        elsewhere = Workspace(tmp_path / f"w{number}")
        kept.restore(elsewhere, tmp_path / f"{number}.tar")
        state = DecisionStore(elsewhere.database).state(run.id)
        events = DecisionStore(elsewhere.database).audit(run.id)
        assert len(state) == len(events)
        assert len(state) % 2 == 1  # the one of before, and whole pairs
        assert events["batch"].iloc[1:].value_counts().eq(2).all()


def test_what_is_there_stays_and_replace_puts_it_aside(used, workspace, tmp_path):
    run, store = used
    kept.backup(workspace, tmp_path / "saved.tar")
    store.record(run.id, [Decision(1, run.scores["id"][1], "exclude")], "ana")
    (run.path / "log.txt").write_text("changed", encoding="utf-8")
    (run.path / "metrics.json").unlink()
    done = kept.restore(workspace, tmp_path / "saved.tar")
    assert done.written == 1  # metrics.json
    assert "saltflat.db" in done.kept
    assert len(store.state(run.id)) == 2
    done = kept.restore(workspace, tmp_path / "saved.tar", replace=True)
    assert done.kept == ()
    assert len(store.state(run.id)) == 1  # the store in use sees the database that was put back
    assert store.record(run.id, [Decision(2, run.scores["id"][2], "keep")], "ana") == 1
    assert (done.aside / "runs" / "plain" / "log.txt").read_text(encoding="utf-8") == "changed"
    with sqlite3.connect(done.aside / "saltflat.db") as old:
        assert old.execute("SELECT COUNT(*) FROM decision_events").fetchone() == (2,)


def test_a_deleted_database_is_put_back_under_the_running_program(used, workspace, tmp_path):
    run, store = used
    kept.backup(workspace, tmp_path / "saved.tar")
    for file in workspace.path.glob("saltflat.db*"):
        file.unlink()
    with pytest.raises(SaltflatError, match="saltflat restore"):
        store.state(run.id)
    done = kept.restore(workspace, tmp_path / "saved.tar")
    assert done.written == 1
    assert store.state(run.id).index.tolist() == [0]
    assert store.record(run.id, [Decision(1, run.scores["id"][1], "keep")], "ana") == 1


def _flip(data: bytearray) -> bytes:
    place = data.index(b"SQLite format 3") + 5000
    data[place] ^= 0xFF
    return bytes(data)


@pytest.mark.fault("a damaged backup is restored")
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda data: b"", "damaged or no backup"),
        (lambda data: b"no tar at all" * 100, "damaged or no backup"),
        (lambda data: data[: len(data) // 2], "damaged|no list of its files"),
        (_flip, "saltflat.db|database in"),
        (lambda data: data.replace(b"decision_events", b"decision_evenst"), "damaged"),
    ],
)
def test_a_damaged_backup_is_told_and_writes_nothing(used, workspace, tmp_path, harm, words):
    kept.backup(workspace, tmp_path / "saved.tar")
    bad = tmp_path / "bad.tar"
    bad.write_bytes(harm(bytearray((tmp_path / "saved.tar").read_bytes())))
    with pytest.raises(SaltflatError, match=words):
        kept.restore(Workspace(tmp_path / "other"), bad)
    assert not (tmp_path / "other").exists()


def _link(name, kind=tarfile.SYMTYPE):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    return member


@pytest.mark.fault("a backup that leads outside the workspace is restored")
@pytest.mark.parametrize(
    "member",
    [
        _link("runs/link"),
        _link("runs/hard", tarfile.LNKTYPE),
        _link("runs/pipe", tarfile.FIFOTYPE),
        tarfile.TarInfo("../outside"),
        tarfile.TarInfo("/tmp/outside"),
        tarfile.TarInfo("runs/../../outside"),
    ],
    ids=lambda member: member.name,
)
def test_a_backup_that_leads_outside_is_refused(tmp_path, member):
    hostile = tmp_path / "hostile.tar"
    with tarfile.open(hostile, "w") as archive:
        archive.addfile(member)
    with pytest.raises(SaltflatError, match="no backup of Saltflat: it holds"):
        kept.restore(Workspace(tmp_path / "other"), hostile)
    assert not (tmp_path / "other").exists()
    assert not (tmp_path / "outside").exists()


def test_nothing_is_overwritten_and_the_workspace_is_no_place_for_it(used, workspace, tmp_path):
    (tmp_path / "there.tar").touch()
    with pytest.raises(SaltflatError, match="exists already"):
        kept.backup(workspace, tmp_path / "there.tar")
    with pytest.raises(SaltflatError, match="in the workspace itself"):
        kept.backup(workspace, workspace.path / "saved.tar")
    with pytest.raises(SaltflatError, match="can't be written"):
        kept.backup(workspace, "/proc/nowhere/saved.tar")


@pytest.mark.fault("the disk is full while a backup is written")
def test_a_full_disk_leaves_nothing(used, workspace, tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.tarfile.TarFile, "addfile", full)
    with pytest.raises(SaltflatError, match="No space left"):
        kept.backup(workspace, tmp_path / "saved.tar")
    assert not list(tmp_path.glob("*saved*"))


def test_a_database_that_was_deleted_is_not_backed_up_as_if_it_were_there(used, workspace, tmp_path):
    for file in workspace.path.glob("saltflat.db*"):
        file.unlink()
    with pytest.raises(SaltflatError, match="deleted or moved away"):
        kept.backup(workspace, tmp_path / "saved.tar")


def test_the_commands(used, workspace, tmp_path, monkeypatch):
    run, _store = used
    runner = CliRunner()
    told = runner.invoke(application, ["backup", str(tmp_path / "saved.tar")])
    assert told.exit_code == 0, told.output
    assert "1 runs and 1 decision events" in " ".join(told.output.split())
    connect(workspace.database).dispose()
    shutil.rmtree(workspace.path)
    told = runner.invoke(application, ["restore", str(tmp_path / "saved.tar")])
    assert told.exit_code == 0, told.output
    assert DecisionStore(workspace.database).state(run.id).index.tolist() == [0]
    told = runner.invoke(application, ["restore", str(tmp_path / "saved.tar")])
    assert "stayed as they are" in " ".join(told.output.split())
