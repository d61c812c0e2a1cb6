"""What earlier versions wrote is opened, with every decision (see tests/released/README.md)."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.review.export import export_table
from fvm_core.review.queue import ReviewTable
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace

RELEASED = sorted(path for path in (Path(__file__).parent / "released").iterdir() if path.is_dir())


@pytest.fixture(params=RELEASED, ids=lambda path: path.name)
def old(request, workspace):
    """A workspace as that version left it: its run and the store of its decisions."""
    shutil.copytree(request.param / "run", workspace.runs / "plain")
    with sqlite3.connect(workspace.path / "saltflat.db") as database:
        database.executescript((request.param / "saltflat.sql").read_text(encoding="utf-8"))
    return RunFolder.open(workspace.runs / "plain"), DecisionStore(Workspace.default().database)


def test_every_decision_is_still_there(old):
    run, store = old
    state = store.state(run.id)
    assert state["state"].to_dict() == {0: "relabelled", 1: "excluded", 2: "kept"}
    assert state["reviewer"].tolist() == ["ana", "bo", "ana"]
    assert store.counts(run.id) == {"relabelled": 1, "kept": 1, "excluded": 1, "unsure": 0}
    assert store.audit(run.id)["action"].tolist() == [
        "relabel", "keep", "keep", "exclude", "unsure", "relabel", "undo", "undo", "exclude", "clear",
    ]  # fmt: skip
    table = export_table(run, store)
    assert table["clean_label"][0] == "7"
    assert table["status"].value_counts()["unreviewed"] == len(table) - 3


def test_work_goes_on_where_it_stopped(old):
    run, store = old
    versions = store.versions(run.id)
    assert (versions[0], versions[1], versions[2]) == ("a", "c", "b")
    assert not store.undo(run.id, "d", "bo").done  # taken back in the earlier version
    assert not store.undo(run.id, "b", "ana").done  # changed by bo since
    assert store.undo(run.id, "c", "bo").done
    assert store.state(run.id)["state"].to_dict() == {0: "relabelled", 1: "kept", 2: "kept"}
    assert [last.key for last in store.undoable(run.id, "ana")][-2:] == ["b", "a"]
    sample = run.scores["id"][3]
    assert store.carry_out(run.id, "new", [Decision(3, sample, "keep")], [versions[3]], "ana").done
    assert store.state(run.id).index.tolist() == [0, 1, 2, 3]


def test_the_run_can_be_read(old):
    run, _store = old
    scores = run.scores
    table = ReviewTable.from_scores(scores, run.info["classes"])
    assert len(table) == len(scores) == run.info["samples"]
    steps, values = run.trajectory()
    assert values.shape == (len(steps), len(scores))
