import json

from tests.ui import runs
from tests.ui.app import labels, opened, words
from ui.charts import sensitivity


def test_empty_running_and_failed(workspace):
    assert "No run yet" in words(opened(workspace, "scores"))
    runs.running_run(workspace)
    assert "This run is still working" in words(opened(workspace, "scores", "under-way"))
    runs.failed_run(workspace)
    app = opened(workspace, "scores", "broken")
    assert "failed before it had scores" in words(app)
    assert "See what happened" in labels(app)


def test_finished_with_truth(workspace):
    run = runs.finished_run(workspace)
    app = opened(workspace, "scores", run.path.name)
    text = words(app)
    assert "Does tuning separate wrong labels?" in text
    assert "How well does suspicion find wrong labels?" in text
    assert f"{run.info['summary']['flagged']} of 300 above" in text
    assert len(app.get("plotly_chart")) == 6


def test_finished_without_truth(workspace):
    run = runs.finished_run(workspace, truth=False)
    app = opened(workspace, "scores", run.path.name)
    assert "find wrong labels?" not in words(app)
    assert len(app.get("plotly_chart")) == 4


def test_other_dampings(workspace):
    run = runs.finished_run(workspace)
    found = {
        "samples": 256,
        "factors": [0.1, 1, 10],
        "damping": [1e-8, 1e-7, 1e-6],
        "correlation": [0.9, 1.0, None],
        "overlap": [0.8, 1.0, 0.5],
    }
    run.finish("score", 2.5, sensitivity=found)
    app = opened(workspace, "scores", run.path.name)
    assert "Does the ranking depend on the damping?" in words(app)
    assert "256 samples scored again" in words(app)
    assert len(app.get("plotly_chart")) == 7
    drawn = sensitivity.sensitivity(found)
    assert [list(trace.y) for trace in drawn.data] == [found["correlation"], found["overlap"]]
    assert list(drawn.layout.xaxis.ticktext) == ["×0.1", "this run", "×10"]


def test_the_threshold_is_in_the_address(workspace):
    run = runs.finished_run(workspace)
    app = opened(workspace, "scores", run.path.name, threshold="90")
    assert "30 of 300 above" in words(app)  # a tenth: the 90th percentile is the share below


def test_what_is_sent_does_not_grow_with_the_samples(workspace):
    def size(limit):
        run = runs.finished_run(workspace, f"n{limit}", limit=limit)
        app = opened(workspace, "scores", run.path.name)
        return sum(len(json.dumps(chart.proto.spec)) for chart in app.get("plotly_chart"))

    assert size(1200) < 1.3 * size(300)
