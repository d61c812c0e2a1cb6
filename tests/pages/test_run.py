from fvm_core.comparison.choice import choose
from tests.ui import runs
from tests.ui.app import labels, opened, words
from ui.charts import classifiers


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


def captions(app):
    """Without what keeps data from being taken for Markdown."""
    return [one.value.replace("\\", "").replace("\u2060", "") for one in app.caption]


def test_the_classifiers_that_were_tried(workspace):
    run = runs.finished_run(workspace)
    reason = "The classifier is a head on the features of some_net: 87.2 % of 180 trusted images are right."
    details = {
        "tried": [
            {"title": "a head on the features of some_net", "accuracy": 0.87222, "loss": 0.5},
            {"title": "small_cnn on images of 28 px", "accuracy": 0.55, "loss": 1.2},
        ],
        "kept": "a head on the features of some_net",
        "trusted": 180,
        "left_out": [],
        "average": None,
        "reason": reason,
    }
    before = len(opened(workspace, "run", run.path.name).get("plotly_chart"))
    run.finish("select", 60.0, **details)
    app = opened(workspace, "run", run.path.name)
    assert "Which classifier knows these images best?" in words(app)
    assert reason in captions(app)
    assert len(app.get("plotly_chart")) == before + 1
    choose(run, "fvm", reason="Ranked so for a reason.", by_person=False)
    for screen in ("scores", "review", "export"):
        text = " ".join(captions(opened(workspace, screen, run.path.name)))
        assert (
            "Ranked so for a reason. Compare shows the others. The classifier is a head on the features"
            in text
        )


def test_what_the_time_did_not_allow_is_told_alone(workspace):
    run = runs.finished_run(workspace)
    reason = "Not tried for want of time: small_cnn on images of 28 px."
    run.finish(
        "select", 1.0, state="skipped", left_out=[{"title": "small_cnn", "seconds": 9000}], reason=reason
    )
    app = opened(workspace, "run", run.path.name)
    assert reason in captions(app) and "Which classifier" not in words(app)


def test_the_plot_shows_shares_with_intervals():
    rows = [
        {"title": "a head", "accuracy": 0.9, "loss": 0.3},
        {"title": "small_cnn", "accuracy": 0.5, "loss": 0.7},
    ]
    figure = classifiers.tried(rows, "a head", 100)
    last, first = figure.data  # the first row is drawn at the top
    assert (first.x[0], last.x[0]) == (0.9, 0.5)
    low, high, loss = first.customdata[0]
    assert (round(low, 3), round(high, 3), loss) == (0.826, 0.945, 0.3)  # Wilson's interval of 90 in 100
    assert [one.text.split(":")[0] for one in figure.layout.annotations] == ["small_cnn", "a head"]
    assert "(kept)" in figure.layout.annotations[1].text
