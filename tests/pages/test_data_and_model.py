from dataclasses import replace

from fvm_core.config import CompareConfig
from fvm_core.estimators import registry
from fvm_core.jobs.queue import JobQueue
from fvm_core.runs.run_folder import RunFolder
from tests.ui import runs
from tests.ui.app import labels, opened, words

DIGITS = {"train_kind": "Digits demo", "val_kind": "Digits demo"}


def test_empty_says_what_it_will_show(workspace):
    app = opened(workspace, "data_and_model")
    assert "What you will see here" in words(app)


def test_a_wrong_path_is_told(workspace):
    app = opened(workspace, "data_and_model", train_path="nowhere")
    assert "There is no file or folder" in app.error[0].value.replace("\\", "")


def test_digits_preview_estimate_and_run(workspace, monkeypatch):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    app = opened(workspace, "data_and_model", **DIGITS)
    text = words(app)
    assert "1,200 samples, 10 classes; 300 samples with trusted labels" in text
    assert "No problems found" in text
    assert "parameters" in text
    app.selectbox(key="solver").set_value("sgd").run()
    app.button(key="run-it").click().run()
    assert not app.exception
    (job,) = JobQueue(workspace).all()
    config = RunFolder(job.run_path).config
    assert config.train_data.source == "digits"
    assert config.tune.solver == "sgd"
    assert config.score.estimator == "vm"


def test_what_a_chosen_score_lets_people_set_is_there(workspace, monkeypatch):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    app = opened(workspace, "data_and_model", **DIGITS)
    assert "members" not in [field.key for field in app.number_input]
    app.session_state["estimators"] = ["gex", "lissa"]
    app.run()
    app.number_input(key="members").set_value(4)
    app.selectbox(key="members-from").set_value("theta_star")
    app.number_input(key="lissa-damping").set_value(0.02).run()
    app.button(key="run-it").click().run()
    assert not app.exception
    (job,) = JobQueue(workspace).all()
    compare = RunFolder(job.run_path).config.compare
    assert compare.estimators == ("lissa", "gex") or compare.estimators == ("gex", "lissa")
    assert compare.settings == {
        "members": 4,
        "members_from": "theta_star",
        "lissa_depth": 1000,
        "lissa_damping": 0.02,
        "lissa_matrix": "gauss_newton",
    }


def test_scores_of_another_run_are_taken_over_but_for_files(workspace):
    run = runs.finished_run(workspace, limit=120)
    compare = CompareConfig(estimators=("gex", "/home/me/own.py:Mine"), settings={"members": 4, "power": 2})
    config = replace(run.config, compare=compare)
    (run.path / "config.toml").write_text(config.to_toml(), encoding="utf-8")
    app = opened(workspace, "data_and_model", run.path.name, like=run.path.name)
    assert not app.exception
    assert app.multiselect(key="estimators").value == ["gex"]
    assert app.number_input(key="members").value == 4


def test_every_setting_of_every_score_has_a_field(workspace):
    app = opened(workspace, "data_and_model", **DIGITS)
    app.session_state["estimators"] = list(registry.names())
    app.run()
    assert not app.exception
    fields = {field.key: field for kind in ("number_input", "selectbox") for field in getattr(app, kind)}
    for one in registry.settings().values():
        assert fields[one.name.replace("_", "-")].value == one.default


def test_a_new_run_like_another_one(workspace):
    run = runs.finished_run(workspace, limit=120)
    app = opened(workspace, "data_and_model", run.path.name, like=run.path.name)
    assert app.number_input(key="train-limit").value == 120
    assert "Run" in labels(app)
    assert "120 samples" in words(app)
