from tests.ui import runs
from tests.ui.app import labels, opened, words


def test_empty(workspace):
    app = opened(workspace, "run")
    assert "No run yet" in words(app)
    assert "Try the demo first" in labels(app)


def test_running(workspace):
    runs.running_run(workspace)
    app = opened(workspace, "run", "under-way")
    text = words(app)
    assert "140 of 300 steps" in text
    assert "left in this stage" in text
    assert "Cancel run" in labels(app)
    assert len(app.get("plotly_chart")) == 4


def test_queued_says_behind_how_many(workspace):
    runs.running_run(workspace)
    waiting = runs.new_run(workspace, "waiting")
    runs.add_job(workspace, waiting, "queued")
    assert "Waiting behind 1 run" in words(opened(workspace, "run", "waiting"))


def test_failed(workspace):
    runs.failed_run(workspace)
    app = opened(workspace, "run", "broken")
    assert "lacks 3 tensors" in app.error[0].value.replace("\\", "")
    assert "Resume" in labels(app)


def test_interrupted_and_cancelled(workspace):
    for state in ("interrupted", "cancelled"):
        run = runs.new_run(workspace, state)
        runs.add_job(workspace, run, state)
        app = opened(workspace, "run", state)
        assert "Finished stages are kept" in words(app)
        assert "Resume" in labels(app)


def test_finished(workspace):
    run = runs.finished_run(workspace)
    app = opened(workspace, "run", run.path.name)
    text = words(app)
    assert "Estimated wrong" in text
    assert f"{run.info['summary']['flagged']}" in text
    assert "Review" in labels(app)
