import shutil

import numpy as np
import pandas as pd
import pytest

from fvm_core.comparison import choice
from fvm_core.jobs.queue import JobQueue
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.runs.run_folder import RunFolder
from tests.ui import runs
from tests.ui.app import labels, opened, words


@pytest.fixture
def run(workspace):
    return runs.with_planted(runs.finished_run(workspace, truth=False))


def frame(app):
    return app.dataframe[0].value


def test_a_run_from_before_the_comparison(workspace):
    run = runs.finished_run(workspace)
    app = opened(workspace, "compare", run.path.name)
    table = frame(app)
    assert table["score"].tolist()[0] == "Influence"
    assert len(table) == 4
    assert table["ROC AUC"][0] == pytest.approx(100 * run.metrics["roc_auc"])
    text = words(app)
    assert "No recommendation" in text and "No wrong labels were planted in this run" in text
    assert "Which score finds wrong labels first?" in text


def test_planted_labels_measure_and_recommend(workspace, run):
    app = opened(workspace, "compare", run.path.name)
    table = frame(app)
    assert table[""].tolist() == ["●", "", ""]
    assert table["suspicious end"].tolist() == ["high", "high", "low"]
    assert table["planted ROC AUC"][1] == 100 and table["planted ROC AUC"][2] == 50
    assert table["planted ROC AUC, 95 %"][1].endswith("to 100.0")
    assert "ROC AUC" not in table
    text = words(app)
    assert "40 trusted images were held back from tuning, 20 of them with a planted wrong label" in text
    assert "Recommended: Loss of the tuned model" in text
    assert "finds the 20 planted wrong labels best" in text
    assert app.selectbox(key="pick").value == "tuned_loss"


def test_the_choice_changes_the_review_and_keeps_decisions(workspace, run):
    store = DecisionStore(workspace.database)
    store.record(run.id, [Decision(3, run.scores["id"][3], "keep")], "me")
    app = opened(workspace, "compare", run.path.name)
    app.button(key="use").click().run()
    assert choice.chosen(run) == "tuned_loss"
    assert frame(app)[""].tolist() == ["", "●", ""]
    assert "ranked by Loss of the tuned model" in words(app)
    assert store.counts(run.id)["kept"] == 1
    app = opened(workspace, "scores", run.path.name)
    assert f"{run.info['summary']['flagged']} of 300 above" in words(app)


def test_a_score_with_signs_has_a_distribution(workspace, run):
    choice.choose(run, "lissa")
    app = opened(workspace, "scores", run.path.name)
    assert "of 300 above" in words(app)
    assert not app.exception


def test_decisions_measure_what_was_seen(workspace, run):
    scores = run.scores
    order = np.argsort(-scores["suspicion"].to_numpy())[:4].tolist()
    actions = ("exclude", "exclude", "exclude", "keep")
    decided = [Decision(row, scores["id"][row], act) for row, act in zip(order, actions, strict=True)]
    DecisionStore(workspace.database).record(run.id, decided, "me")
    table = frame(opened(workspace, "compare", run.path.name))
    assert table["your decisions"][0] == 75
    assert table["95 %, decided"][0] == "30 to 95, of 4"


def test_disagreements_lead_to_the_review(workspace, run):
    app = opened(workspace, "compare", run.path.name, one="fvm", other="tuned_loss")
    assert "Review these 24" in labels(app)
    app.button(key="review-these").click().run()
    rows = app.query_params["rows"]
    assert len((rows if isinstance(rows, str) else rows[0]).split(",")) == 24
    app = opened(workspace, "review", run.path.name, rows="5,9,9999", above="0")
    assert "Only 2 chosen samples ✕" in labels(app)


def test_a_score_that_failed_is_told(workspace, run):
    run.finish("compare", 3.0, failed={"lissa": "LiSSA diverged at step 5 of 9."})
    app = opened(workspace, "compare", run.path.name)
    assert "LiSSA could not be computed" in app.warning[0].value


def test_scores_of_another_tool_join_and_go(workspace, run, tmp_path):
    path = tmp_path / "other.csv"
    pd.DataFrame({"id": run.scores["id"], "label_quality": np.linspace(0, 1, 300)}).to_csv(path, index=False)
    app = opened(workspace, "compare", run.path.name)
    app.text_input(key="external-path").set_value(str(path)).run()
    assert "300 of 300 samples have a value" in words(app).replace("\\", "")
    app.button(key="external-join").click().run()
    assert "other" in frame(app)["score"].tolist()
    app.button(key="remove-other").click().run()
    assert "other" not in frame(app)["score"].tolist()
    app.text_input(key="external-path").set_value(str(tmp_path / "none.csv")).run()
    assert "There is no file" in app.error[0].value.replace("\\", "")


def test_further_scores_are_queued(workspace, finished_run, monkeypatch):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    run = RunFolder(shutil.copytree(finished_run.path, workspace.runs / "tiny"))
    app = opened(workspace, "compare", "tiny")
    assert "TracIn, LiSSA*, DataInf* and EK-FAC* need checkpoints of training" in words(app).replace("\\", "")
    assert "TracIn" not in app.multiselect(key="more").options
    app.session_state["more"] = ["vm"]
    app.run()
    assert "at the pace of this run" in words(app)
    app.button(key="compute-more").click().run()
    assert not app.exception
    assert run.config.compare.estimators == ("vm",)
    assert len(JobQueue(workspace).all()) == 1


def test_further_scores_are_queued_with_their_settings(workspace, finished_run, monkeypatch):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)
    run = RunFolder(shutil.copytree(finished_run.path, workspace.runs / "tiny"))
    app = opened(workspace, "compare", "tiny")
    app.session_state["more"] = ["gex"]
    app.run()
    slow = next(one.value for one in app.caption if "at the pace of this run" in one.value)
    assert app.number_input(key="more-members").value == 32
    app.number_input(key="more-members").set_value(4).run()
    quick = next(one.value for one in app.caption if "at the pace of this run" in one.value)
    assert slow != quick
    app.button(key="compute-more").click().run()
    assert not app.exception
    assert run.config.compare.settings["members"] == 4
