import json

from fvm_core.review.decisions import DecisionStore
from fvm_core.review.queue import QueueFilter, ReviewTable
from tests.ui import runs
from tests.ui.app import labels, opened, words
from ui import bulk
from ui.review_commands import Reviewer


def payload(app):
    """What the grid is given."""
    found = [json.loads(part.proto.json) for part in app.get("bidi_component") if part.proto.json]
    return next(part for part in found if "tiles" in part)


def test_empty_running_and_failed(workspace):
    assert "No run yet" in words(opened(workspace, "review"))
    runs.running_run(workspace)
    assert "Watch the run" in labels(opened(workspace, "review", "under-way"))
    runs.failed_run(workspace)
    assert "lacks 3 tensors" in words(opened(workspace, "review", "broken")).replace("\\", "")


def test_finished(workspace):
    run = runs.finished_run(workspace)
    app = opened(workspace, "review", run.path.name)
    page = payload(app)
    flagged = run.info["summary"]["flagged"]
    assert len(page["tiles"]) == 60
    assert f"1 to 60 of {flagged}" in words(app)
    best = run.scores["suspicion"].idxmax()
    assert page["tiles"][0]["row"] == best
    assert page["tiles"][0]["img"].startswith("data:image/png;base64,")
    assert len(page["tiles"][0]["path"]) == 6


def test_filters_come_from_the_address(workspace):
    run = runs.finished_run(workspace)
    page = payload(opened(workspace, "review", run.path.name, given="3", above="0", page="1"))
    given = run.scores["given_label"]
    assert {tile["given"] for tile in page["tiles"]} == {"3"}
    assert len(page["tiles"]) == min(60, (given == "3").sum())


def test_all_of_a_filter_is_accepted_once_and_undone_at_once(workspace):
    run = runs.finished_run(workspace)
    store = DecisionStore(workspace.database)
    scores = run.scores
    table = ReviewTable.from_scores(scores, run.info["classes"])
    person = Reviewer("ana", "s", run.id, table, scores["id"].tolist(), store, set())
    wanted = QueueFilter(above=66.0)
    app = opened(workspace, "review", run.path.name, above="66")
    app.button(key="accept-all").click().run()
    rows = bulk.open_rows(person, wanted)
    assert f"Relabel {len(rows)}" in labels(app)
    different = scores["given_label"] != scores["suggested_label"]
    assert len(rows) == ((scores["percentile"] >= 66) & different).sum()
    assert bulk.accept(person, rows) == len(rows)
    assert len(bulk.open_rows(person, wanted)) == 0
    assert store.counts(run.id)["relabelled"] == len(rows)
    store.undo(run.id, "ana")
    assert store.counts(run.id)["relabelled"] == 0
