import base64
import json

import numpy as np
import pyarrow as pa

from fvm_core.review.decisions import Decision, DecisionStore
from tests.acceptance.cases import write_crossfit
from tests.ui import runs
from tests.ui.app import labels, opened, words
from ui import exporting


def test_empty_running_and_failed(workspace):
    assert "No run yet" in words(opened(workspace, "export"))
    runs.running_run(workspace)
    assert "Watch the run" in labels(opened(workspace, "export", "under-way"))
    runs.failed_run(workspace)
    assert "failed before it had scores" in words(opened(workspace, "export", "broken"))


def test_finished(workspace):
    run = runs.finished_run(workspace)
    scores = run.scores
    store = DecisionStore(workspace.database)
    decision = Decision(0, scores["id"][0], "relabel", scores["given_label"][0], "5")
    store.record(run.id, [decision], "ana")
    app = opened(workspace, "export", run.path.name)
    assert not app.exception
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["↺ Relabelled"] == "1"
    assert metrics["Unreviewed"] == "299"
    assert app.dataframe[0].value["clean label"].tolist() == ["5"]
    assert "read_csv" in app.code[0].value


def test_automatic_acceptance_says_how_many_and_where_nothing_is_known(workspace):
    run = runs.finished_run(workspace)
    app = opened(workspace, "export", run.path.name)
    assert not app.toggle(key="auto").value
    app.toggle(key="auto").set_value(True).run()
    assert "0 labels that nobody has looked at" in words(app)
    assert "is not known" in words(app) and "trusted images" in words(app)
    app.segmented_control(key="auto-by").set_value("Above a suspicion percentile").run()
    assert app.slider(key="auto-above").value >= 95
    assert "labels that nobody has looked at" in words(app) and "is not known" in words(app)


def with_crossfit(run, *, sure):
    """Cross-fitted probabilities of the digits: those of the true label, or hardly any."""
    scores, classes = run.scores, run.info["classes"]
    true = np.array([classes.index(label) for label in scores["true_label"]])
    rng = np.random.default_rng(0)
    labels = rng.integers(10, size=400)
    values = rng.standard_normal((len(true) + 400, 10))
    values[np.arange(len(values)), np.concatenate([true, labels])] += sure
    p = np.exp(sure * values)
    p /= p.sum(1, keepdims=True)
    write_crossfit(run, p[: len(true)], p[len(true) :], labels)


def test_what_is_expected_stands_there_before_the_download(workspace):
    run = runs.finished_run(workspace)
    with_crossfit(run, sure=4.0)
    app = opened(workspace, "export", run.path.name, auto="true")
    assert app.slider(key="auto-right").value == 95
    text = words(app).replace("\\", "")
    assert "suggestions about" in text and "wrong labels:" in text
    assert "Are there fewer wrong labels afterwards?" in text
    chart = next(iter(app.get("plotly_chart")))
    bars = json.loads(chart.proto.spec)["data"][0]
    after, before = np.frombuffer(base64.b64decode(bars["x"]["bdata"])) if "bdata" in bars["x"] else bars["x"]
    assert after < before
    assert not app.warning
    told = exporting.expected(run, exporting.Accept(precision=95.0))[2]
    assert (after, before) == (told.after.value, told.before.value)


def opened_above(workspace, run, percentile):
    return opened(
        workspace,
        "export",
        run.path.name,
        auto="true",
        auto_by="Above a suspicion percentile",
        auto_above=str(percentile),
    )


def test_planted_samples_tell_it_where_nothing_was_cross_fitted(workspace):
    run = runs.with_planted(runs.finished_run(workspace))
    app = opened_above(workspace, run, 80)
    text = words(app).replace("\\", "")
    assert "suggestions about" in text and "Are there fewer wrong labels afterwards?" in text
    told = exporting.expected(run, exporting.Accept(above=80.0))[2]
    assert told.accepted > 0 and told.right.high <= told.accepted
    app = opened(workspace, "export", run.path.name, auto="true")
    assert "20 planted wrong labels and 20 planted right ones" in words(app)


def test_a_percentile_that_makes_labels_worse_warns(workspace):
    run = runs.finished_run(workspace)
    with_crossfit(run, sure=1.2)
    scores = run.scores
    wrong = scores["suggested_label"] == scores["given_label"]
    scores.loc[wrong, "suggested_label"] = scores["given_label"][wrong].map(lambda k: str((int(k) + 1) % 10))
    run.write_table("scores.parquet", pa.Table.from_pandas(scores, preserve_index=False))
    app = opened_above(workspace, run, 0)
    assert app.slider(key="auto-above").value == 0
    assert any("makes the labels worse" in warning.value for warning in app.warning)


def test_damaged_probabilities_are_told(workspace):
    run = runs.finished_run(workspace)
    with_crossfit(run, sure=4.0)
    (run.path / "crossfit" / "probabilities.npy").write_bytes(b"nonsense")
    app = opened(workspace, "export", run.path.name, auto="true", may_fail=True)
    assert not app.exception
    assert any("probabilities" in error.value for error in app.error)


def test_a_file_is_written_and_never_overwritten(workspace, tmp_path):
    run = runs.finished_run(workspace)
    app = opened(workspace, "export", run.path.name)
    target = tmp_path / "clean.csv"
    app.text_input(key="target").set_value(str(target)).run()
    app.button(key="write").click().run()
    assert target.exists()
    app.button(key="write").click().run()
    assert "nothing is overwritten" in app.error[0].value.replace("\\", "")


def test_a_file_for_spreadsheets(workspace, tmp_path):
    run = runs.finished_run(workspace, rename={"5": "=1+1"})
    scores = run.scores
    decision = Decision(0, scores["id"][0], "relabel", scores["given_label"][0], "=1+1")
    DecisionStore(workspace.database).record(run.id, [decision], "@ana")
    files = {}
    for sheet in (False, True):
        app = opened(workspace, "export", run.path.name)
        app.toggle(key="sheet").set_value(sheet).run()
        app.text_input(key="target").set_value(str(tmp_path / f"{sheet}.csv")).run()
        app.button(key="write").click().run()
        files[sheet] = (tmp_path / f"{sheet}.csv").read_text()
        audit = exporting.audit(run, sheet).data.decode()
        assert ('"\'=1+1"' in audit, '"\'@ana"' in audit) == (sheet, sheet)
    assert '"=1+1"' in files[False] and "'=1+1" not in files[False]
    assert '"=1+1"' not in files[True] and '"\'=1+1"' in files[True] and '"\'@ana"' in files[True]
    app.segmented_control(key="format").set_value("Parquet").run()
    assert not [toggle for toggle in app.toggle if toggle.key == "sheet"]
