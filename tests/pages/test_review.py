import json

from fvm_core.data.dataset import Problem
from fvm_core.runs.problems_json import save_problems
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


def test_the_queue_of_a_problem(workspace):
    run = runs.finished_run(workspace)
    app = opened(workspace, "review", run.path.name)
    assert "problem" not in [field.key for field in app.selectbox]  # there is none to choose
    order = run.scores["suspicion"].sort_values(ascending=False).index
    rows = order[[3, 250, 299]].tolist()  # most of them below the default threshold
    save_problems(
        run.path,
        [Problem("near_duplicate", "3 look the same.", tuple(sorted(rows))), Problem("fit", "Cropped.")],
    )
    app = opened(workspace, "review", run.path.name, problem="near duplicate")
    assert app.selectbox(key="problem").options == ["near duplicate"]
    page = payload(app)
    assert [tile["row"] for tile in page["tiles"]] == rows
    assert page["filter"]["problem"] == "near_duplicate"
    assert app.number_input(key="above").disabled
    app.selectbox(key="given").set_value(page["tiles"][0]["given"]).run()
    assert {tile["given"] for tile in payload(app)["tiles"]} == {page["tiles"][0]["given"]}


def test_damaged_problems_stop_no_review(workspace):
    run = runs.finished_run(workspace)
    (run.path / "problems.json").write_text("[{]")
    assert len(payload(opened(workspace, "review", run.path.name))["tiles"]) == 60
