from fvm_core.jobs.queue import JobQueue
from tests.ui import runs
from tests.ui.app import labels, opened, words


def test_empty(workspace):
    app = opened(workspace, "start")
    assert "Saltflat" in words(app)
    assert "Try it on handwritten digits (about a minute)" in labels(app)
    assert "None yet" in words(app)


def test_every_state_has_a_row(workspace):
    runs.failed_run(workspace)
    runs.running_run(workspace)
    runs.finished_run(workspace)
    app = opened(workspace, "start")
    text = words(app)
    assert "failed" in text
    assert "tune 47" in text
    assert "flagged · 0 reviewed" in text
    assert labels(app).count("Open") >= 3


def test_the_demo_is_queued_by_one_click(workspace, monkeypatch):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    app = opened(workspace, "start")
    app.button(key="demo").click().run()
    assert not app.exception
    (job,) = JobQueue(workspace).all()
    assert job.state == "queued"
    assert "digits-demo" in job.run_path


def test_a_folder_without_a_run_is_told(workspace, tmp_path):
    app = opened(workspace, "start")
    app.text_input(key="run-path").set_value(str(tmp_path)).run()
    app.button(key="open-run").click().run()
    assert "is not a run folder" in app.error[0].value


def test_a_run_from_elsewhere_is_remembered(workspace, tmp_path):
    from fvm_core.workspace import Workspace

    other = runs.finished_run(Workspace(tmp_path / "other").made(), "elsewhere", limit=60)
    app = opened(workspace, "start")
    app.text_input(key="run-path").set_value(str(other.path)).run()
    app.button(key="open-run").click().run()
    assert not app.exception
    assert "elsewhere" in words(opened(workspace, "start"))
