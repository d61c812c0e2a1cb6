import json

from tests.ui import runs
from tests.ui.app import labels, opened, words


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
    assert (page["page"], page["first"], page["queue_size"]) == (1, 0, flagged)
    assert page["pages"] == -(-flagged // 60)
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
