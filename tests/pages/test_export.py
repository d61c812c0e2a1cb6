from fvm_core.review.decisions import Decision, DecisionStore
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


def test_automatic_acceptance_says_how_many(workspace):
    run = runs.finished_run(workspace)
    app = opened(workspace, "export", run.path.name)
    assert not app.toggle(key="auto").value
    app.toggle(key="auto").set_value(True).run()
    assert "labels that nobody has looked at" in words(app)


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
