from fvm_core.jobs.queue import JobQueue
from fvm_core.pipeline.run_folder import RunFolder
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


def test_a_new_run_like_another_one(workspace):
    run = runs.finished_run(workspace, limit=120)
    app = opened(workspace, "data_and_model", run.path.name, like=run.path.name)
    assert app.number_input(key="train-limit").value == 120
    assert "Run" in labels(app)
    assert "120 samples" in words(app)
