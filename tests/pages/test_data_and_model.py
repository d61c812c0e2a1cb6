from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from fvm_core import start_folder
from fvm_core.access import places
from fvm_core.config import CompareConfig
from fvm_core.data import DatasetSpec
from fvm_core.errors import SaltflatError
from fvm_core.estimators import registry
from fvm_core.jobs.queue import JobQueue
from fvm_core.runs.run_folder import RunFolder
from tests.data.images import write
from tests.ui import runs
from tests.ui.app import labels, opened, words
from ui import preview

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


def test_the_folder_of_the_images_of_a_table(workspace, monkeypatch, tmp_path):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    for number in range(12):
        write(tmp_path / "photos" / "ab"[number % 2] / f"{number}.png", number)
    rows = "".join(f"C:\\x\\{'ab'[number % 2]}\\{number}.png,{number % 3}\n" for number in range(12))
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "t.csv"
    table.write_text("path,label\n" + rows)
    app = opened(workspace, "data_and_model", train_path=str(table), val_kind="Digits demo")
    assert "None of the images that t.csv names was found" in app.error[0].value.replace("\\", "")
    app.text_input(key="train-root").set_value(str(tmp_path / "photos")).run()
    assert not app.error
    assert "12 samples, 3 classes" in words(app)
    assert "found by the last parts of their paths" in words(app)
    app.button(key="run-it").click().run()
    (job,) = JobQueue(workspace).all()
    assert RunFolder(job.run_path).config.train_data.image_root == str(tmp_path / "photos")
    assert "train-root" not in [
        field.key for field in opened(workspace, "data_and_model", **DIGITS).text_input
    ]


def test_where_others_can_come_in_nothing_outside_is_told_to_be_there(workspace, monkeypatch, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.setenv(places.REACHABLE, "1")
    monkeypatch.setenv(start_folder.VARIABLE, str(inside))
    write(tmp_path / "secret" / "there.png")
    told = []
    for name in ("there.png", "none.png"):
        table = inside / "t.csv"
        table.write_text(f"path,label\n{tmp_path / 'secret' / name},x\n")
        with pytest.raises(SaltflatError) as fault:
            preview.opened(DatasetSpec(str(table)))
        told.append(str(fault.value))
    assert told[0] == told[1] and "outside of the folders" in told[0]
    with pytest.raises(SaltflatError, match="outside of the folders"):
        preview.opened(DatasetSpec(str(table), image_root=str(tmp_path / "secret")))


def test_the_part_of_a_source_with_several(workspace, monkeypatch, tmp_path):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    for k, part in enumerate(["seg_train", "seg_test", "seg_pred"]):
        for number in range(12 + k):
            write(tmp_path / "all" / part / "ab"[number % 2] / f"{number}.png", 100 * k + number)
    both = {"train_path": str(tmp_path / "all"), "val_path": str(tmp_path / "all")}
    app = opened(workspace, "data_and_model", **both)
    assert "12 samples, 2 classes; 13 samples with trusted labels" in words(app)
    assert "seg_train was taken" in words(app).replace("\\", "")
    app.selectbox(key="val-split").set_value("seg_pred").run()
    assert "14 samples with trusted labels" in words(app)
    app.button(key="run-it").click().run()
    (job,) = JobQueue(workspace).all()
    config = RunFolder(job.run_path).config
    assert (config.train_data.split, config.val_data.split) == ("train", "seg_pred")
    again = opened(workspace, "data_and_model", like=RunFolder(job.run_path).path.name)
    assert again.selectbox(key="val-split").value == "seg_pred"


def test_features_from_elsewhere_need_no_backbone(workspace, monkeypatch, tmp_path):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    np.save(tmp_path / "own.npy", np.zeros((1200, 6)))
    np.savez(tmp_path / "trusted.npz", val=np.zeros((300, 6)))
    app = opened(workspace, "data_and_model", **DIGITS)
    app.text_input(key="features").set_value(str(tmp_path / "own.npy")).run()
    assert "1,200 rows and the set has 300 samples" in " ".join(one.value for one in app.error)
    app.text_input(key="val-features").set_value(str(tmp_path / "trusted.npz")).run()
    assert not app.exception and not app.error
    assert "a head with 70 parameters on features from elsewhere" in words(app)
    app.button(key="run-it").click().run()
    (job,) = JobQueue(workspace).all()
    model = RunFolder(job.run_path).config.model
    assert model.features == str(tmp_path / "own.npy")
    assert model.val_features == str(tmp_path / "trusted.npz")


def test_the_time_for_choosing_a_model_is_asked_where_there_is_a_choice(workspace, monkeypatch, tmp_path):
    monkeypatch.setattr(JobQueue, "reconcile", lambda self: None)  # no worker in this test
    app = opened(workspace, "data_and_model", **DIGITS)
    # Images of 8 px have the small network alone.
    assert "budget" not in [one.key for one in app.number_input]
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("val", 20)):
        images = rng.integers(0, 256, (count, 24, 24, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{part}.npz", images=images, labels=np.arange(count) % 2)
    paths = {"train_path": str(tmp_path / "train.npz"), "val_path": str(tmp_path / "val.npz")}
    app = opened(workspace, "data_and_model", **paths)
    assert app.number_input(key="budget").value == 20
    app.number_input(key="budget").set_value(1000.0).run()  # on a slow machine too
    assert "on images of 24 px" in words(app) and "Also tries" in words(app)
    app.number_input(key="budget").set_value(0.0).run()
    assert "Also tries" not in words(app)
    app.number_input(key="budget").set_value(35.0).run()
    app.button(key="run-it").click().run()
    (job,) = JobQueue(workspace).all()
    assert RunFolder(job.run_path).config.budget == 35
