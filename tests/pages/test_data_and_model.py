from dataclasses import replace

import numpy as np
from PIL import Image

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


def thermal(folder, count, seed):
    """14-bit pictures, upright and lying bars, twice as wide as high; the last one is a copy of the first."""
    for row in range(count):
        place = folder / ("lying", "upright")[row % 2]
        place.mkdir(parents=True, exist_ok=True)
        values = (
            np.random.default_rng(seed + row % (count - 2)).integers(7000, 7300, (40, 80)).astype(np.uint16)
        )
        values[10:30, 20:60] += 1500
        Image.fromarray(values).save(place / f"{row}.png")
    return str(folder)


def test_deep_pictures_duplicates_and_shapes_are_told(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    data = {"train_path": thermal(tmp_path / "train", 14, 0), "val_path": thermal(tmp_path / "val", 6, 100)}
    app = opened(workspace, "data_and_model", **data)
    text = words(app)
    assert "Pictures of uint16 values from 7,00" in text
    assert "training rows are exact copies of each other" in text
    assert "Images are padded to a square; cropping would cut 50 % of the median image off" in text
    assert text.count('class="sf-problem"') == 2  # a picture beside each problem that has rows
    app.button(key="problem-0").click().run()
    assert "same image as lying/0.png, lying" in words(app)
    app.number_input(key="window-low").set_value(7000)
    app.number_input(key="window-high").set_value(9000)
    app.selectbox(key="fit").set_value("stretch").run()
    assert "Pictures of uint16 values" not in words(app)
    app.button(key="run-it").click().run()
    assert not app.exception
    (job,) = JobQueue(workspace).all()
    run = RunFolder(job.run_path)
    assert run.config.train_data.window == run.config.val_data.window == (7000, 9000)
    assert run.config.model.fit == "stretch"
    app = opened(workspace, "data_and_model", run.path.name, like=run.path.name)
    assert app.number_input(key="window-high").value == 9000
    assert app.selectbox(key="fit").value == "stretch"


def test_half_a_window_is_told(workspace):
    app = opened(workspace, "data_and_model", **DIGITS, window_low="5")
    assert "both the value shown as black and the one shown as white" in app.error[0].value


def test_a_new_run_like_another_one(workspace):
    run = runs.finished_run(workspace, limit=120)
    app = opened(workspace, "data_and_model", run.path.name, like=run.path.name)
    assert app.number_input(key="train-limit").value == 120
    assert "Run" in labels(app)
    assert "120 samples" in words(app)
