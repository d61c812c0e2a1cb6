"""A whole run: the contract of its folder, and that its numbers mean what they say."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import fvm_core as fvm
from fvm_core.config import CompareConfig, RunConfig, ScoreConfig, TuneConfig
from fvm_core.data import DatasetSpec, load_dataset
from fvm_core.data.thumbnails import Thumbnails
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.estimate import estimate
from fvm_core.pipeline.runner import execute
from fvm_core.runs.problems_json import load_problems
from fvm_core.runs.run_folder import STAGES, RunFolder
from tests.cases import tiny_config

COLUMNS = [
    "id",
    "path",
    "given_label",
    "influence",
    "suspicion",
    "percentile",
    "suggested_label",
    "suggested_influence",
    "alternatives",
    "loss",
    "p_given",
    "p_suggested",
    "loss_before",
    "true_label",
]


def test_scores_have_one_row_a_sample_in_order(finished_run):
    data = load_dataset("digits", limit=300)
    scores = finished_run.scores
    assert list(scores.columns) == COLUMNS
    assert scores["id"].tolist() == list(data.ids)
    assert scores["given_label"].tolist() == [data.classes[k] for k in data.given]
    assert scores["true_label"].tolist() == [data.classes[k] for k in data.true]
    assert (scores["influence"] >= 0).all()
    assert (scores["suspicion"] == scores["influence"]).all()
    order = scores["influence"].rank()
    assert np.allclose(scores["percentile"], 100 * (order - 1) / len(scores))


def test_large_suspicion_means_wrong_and_tuning_helps(finished_run):
    scores, metrics = finished_run.scores, finished_run.metrics
    wrong = scores["given_label"] != scores["true_label"]
    assert scores["suspicion"][wrong].median() > 10 * scores["suspicion"][~wrong].median()
    assert metrics["roc_auc"] > 0.9
    assert metrics["wrong_labels"] == wrong.sum()
    right = (scores["suggested_label"] == scores["true_label"]).mean()
    assert metrics["relabel_accuracy_all"] == pytest.approx(right)
    assert metrics["relabel_accuracy_mislabelled"] == pytest.approx(
        (scores["suggested_label"] == scores["true_label"])[wrong].mean()
    )


def test_alternatives_are_ranked_and_agree_with_the_suggestion(finished_run):
    scores = finished_run.scores
    for row in scores.itertuples():
        found = pd.DataFrame(list(row.alternatives))
        assert len(found) == 3
        assert found["influence"][:2].is_monotonic_increasing
        others = found["influence"][2:].dropna()  # the given label's is known wherever it is listed
        assert (others >= found["influence"][1]).all()
        assert found["label"][0] == row.suggested_label
        assert found["influence"][0] == row.suggested_influence
        assert found["probability"][0] == row.p_suggested
        if row.given_label == row.suggested_label:
            assert row.influence == pytest.approx(row.suggested_influence, rel=1e-4)
        else:
            assert row.influence > row.suggested_influence
    assert np.allclose(np.exp(-scores["loss"]), scores["p_given"], atol=1e-5)


def test_tuning_and_trajectory(finished_run):
    tuning = finished_run.tuning()
    steps, influence = finished_run.trajectory()
    assert tuning["step"].tolist() == steps.tolist() == [0, 30, 60]
    assert influence.shape == (3, 300)
    assert np.array_equal(influence[-1], finished_run.scores["influence"].to_numpy())
    assert tuning["val_loss"].iloc[-1] < 0.5 * tuning["val_loss"].iloc[0]
    assert tuning["val_accuracy"].iloc[-1] > tuning["val_accuracy"].iloc[0]
    assert (tuning["sharpness"] > 0).all()
    training = finished_run.training()
    assert training["epoch"].tolist() == list(range(1, 31))
    assert training["loss"].iloc[-1] < training["loss"].iloc[0]
    assert training["lr"].tolist() == pytest.approx([0.05] * 15 + [0.005] * 15)


def test_folder_tells_what_was_done(finished_run):
    info = finished_run.info
    assert [stage for stage in STAGES if not finished_run.done(stage)] == []
    assert info["stages"]["embed"]["state"] == "skipped"
    assert info["samples"] == 300
    assert info["classes"] == list("0123456789")
    assert torch.__version__.startswith(info["versions"]["torch"])
    assert info["peak_memory_bytes"] > 1e8
    assert finished_run.config == RunConfig.from_dict(finished_run.config.to_dict())
    assert finished_run.config.model.name == "small_cnn", "auto is written back as what it became"
    assert len(Thumbnails(finished_run.path / "thumbnails")) == 300
    assert not (finished_run.path / "work").exists()
    assert "Stage relabel is done" in finished_run.log_text() or finished_run.log_text() == ""


def test_scores_do_not_depend_on_the_batch_size(finished_run, tmp_path):
    config = tiny_config(score=ScoreConfig(batch_size=13))
    other = execute(RunFolder.create(tmp_path / "run", config))
    ours, theirs = finished_run.scores, other.scores
    assert np.allclose(ours["influence"], theirs["influence"], rtol=1e-4, atol=0)
    assert (ours["suggested_label"] == theirs["suggested_label"]).all()


def test_same_seed_same_run_other_seed_other_run(finished_run, tmp_path):
    same = execute(RunFolder.create(tmp_path / "same", tiny_config()))
    other = execute(RunFolder.create(tmp_path / "other", tiny_config(seed=1)))
    assert same.scores.equals(finished_run.scores)
    assert not np.allclose(other.scores["influence"], same.scores["influence"])


def test_solvers_share_the_start_and_end_elsewhere(finished_run, tmp_path):
    checkpoint = str(finished_run.checkpoints / "theta_star.safetensors")
    ends = {}
    for solver in ("sgd", "asam", "fsam", "lpf"):
        config = tiny_config(
            tune=TuneConfig(solver=solver, steps=5, saved_steps=2),
            model=replace(finished_run.config.model, checkpoint=checkpoint),
            train=replace(finished_run.config.train, epochs=0),
        )
        run = execute(RunFolder.create(tmp_path / solver, config))
        assert run.tuning()["val_loss"][0] == pytest.approx(finished_run.tuning()["val_loss"][0])
        ends[solver] = run.tuning()["val_loss"].iloc[-1]
        assert ends[solver] < run.tuning()["val_loss"][0]
    assert len(set(ends.values())) == 4


def test_a_module_from_python(tmp_path):
    train, val = load_dataset("digits", limit=200), load_dataset("digits", split="val", limit=100)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    before = model[1].weight.clone()
    run = fvm.run(
        train, val, model=model, out=tmp_path / "run", epochs=8, steps=40, solver="sgd", embed=False
    )
    assert torch.equal(model[1].weight, before), "the caller's module is not changed"
    assert run.metrics["roc_auc"] > 0.85
    with pytest.raises(SaltflatError, match="already holds a run"):
        fvm.run(train, val, model=model, out=tmp_path / "run")
    with pytest.raises(SaltflatError, match="Unknown option `epoch`"):
        fvm.run(train, val, model=model, out=tmp_path / "x", epoch=3)


QUICK = {"epochs": 1, "steps": 2, "saved_steps": 2, "embed": False}


@pytest.mark.parametrize("opened", ["path", "dataset", "limited already"])
def test_limits_from_python(tmp_path, opened):
    data = {
        "path": "digits",
        "dataset": load_dataset("digits"),
        "limited already": load_dataset("digits", limit=90),
    }
    val = "digits" if opened == "path" else load_dataset("digits", split="val")
    run = fvm.run(data[opened], val, out=tmp_path / "run", limit=40, val_limit=30, **QUICK)
    assert run.info["samples"] == 40
    wanted = load_dataset("digits", limit=40)
    if opened != "limited already":
        assert run.config.val_data == load_dataset("digits", split="val", limit=30).spec
        assert run.scores["id"].tolist() == wanted.ids, "the rows of --limit 40"
        assert run.config.train_data == wanted.spec
    with pytest.raises(SaltflatError, match="at least 1"):
        fvm.run(data[opened], val, out=tmp_path / "other", limit=0, **QUICK)


def test_options_that_come_too_late_are_told(tmp_path):
    train, val = load_dataset("digits"), load_dataset("digits", split="val")
    with pytest.raises(SaltflatError, match="`noise` comes too late"):
        fvm.run(train, val, out=tmp_path / "run", noise=0.1)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def messy_folder(tmp_path):
    """Class folders of digits with an unreadable file, as training data; and a clean validation set."""
    for split, count in (("train", 80), ("val", 60)):
        data = load_dataset("digits", split=split, noise=0.0, limit=count)
        for row in range(count):
            folder = tmp_path / split / f"class {data.classes[data.given[row]]}"
            folder.mkdir(parents=True, exist_ok=True)
            data.images.image(row).save(folder / f"{row}.png")
    (tmp_path / "train" / "class 3" / "broken.png").write_bytes(b"not an image")
    return tmp_path


def test_unreadable_and_unlabelled_rows_stay_without_a_score(messy_folder):
    rows = sorted((messy_folder / "train").rglob("*.png"))
    table = messy_folder / "train.csv"
    labels = ["" if i == 5 else path.parent.name for i, path in enumerate(rows)]
    pd.DataFrame({"path": [str(p) for p in rows], "label": labels}).to_csv(table, index=False)
    run = fvm.run(str(table), messy_folder / "val", out=messy_folder / "run", epochs=2, steps=4, embed=False)
    scores = run.scores
    assert len(scores) == len(rows) == 81
    broken = scores.index[scores["path"].str.endswith("broken.png")][0]
    unlabelled = scores["given_label"].isna()
    assert unlabelled.tolist().index(True) == 5 and unlabelled.sum() == 1
    assert scores["influence"].isna().tolist() == [i in (5, broken) for i in range(81)]
    assert scores["suggested_label"].isna().tolist() == [i == broken for i in range(81)]
    assert len(scores["alternatives"][broken]) == 0
    assert {p["kind"] for p in run.info["problems"]} >= {"unreadable_image", "missing_label"}
    assert [p.rows for p in load_problems(run.path) if p.kind == "unreadable_image"] == [(broken,)]
    assert run.metrics is None


def test_data_that_cannot_work_is_told_and_nothing_is_left(messy_folder):
    only = messy_folder / "one_class"
    only.mkdir()
    (messy_folder / "train" / "class 1").rename(only / "class 1")
    with pytest.raises(SaltflatError, match="at least 2 classes"):
        fvm.run(only, messy_folder / "val", out=messy_folder / "run", embed=False)
    assert not (messy_folder / "run").exists()


def test_changed_data_stops_a_resume(messy_folder):
    config = RunConfig(
        DatasetSpec(str(messy_folder / "train")),
        DatasetSpec(str(messy_folder / "val")),
        train=tiny_config().train,
        tune=TuneConfig(steps=4, saved_steps=2),
        embed=False,
    )

    class StopsInTraining:
        def update(self, stage, done, total):
            if stage == "train" and done > 2:
                raise KeyboardInterrupt

        def log(self, text):
            pass

    run = RunFolder.create(messy_folder / "run", config)
    with pytest.raises(KeyboardInterrupt):
        execute(run, StopsInTraining())
    Image.new("L", (8, 8)).save(messy_folder / "train" / "class 0" / "new.png")
    with pytest.raises(SaltflatError, match="training data of run has changed"):
        execute(run)


def test_estimate_names_every_stage_and_the_model():
    config = tiny_config(embed=True)
    found = estimate(config, load_dataset("digits", limit=300), load_dataset("digits", split="val"))
    assert set(found.stages) == set(STAGES)
    left_out = {"features", "select", "crossfit", "compare"}
    assert all((seconds > 0) == (stage not in left_out) for stage, seconds in found.stages.items())
    more = estimate(
        replace(config, compare=CompareConfig(estimators=("gex", "lissa"))),
        load_dataset("digits", limit=300),
        load_dataset("digits", split="val"),
    )
    assert more.stages["compare"] > 10 * found.stages["score"]
    assert more.memory_bytes > found.memory_bytes
    assert more.disk_bytes > found.disk_bytes
    assert found.seconds == pytest.approx(sum(found.stages.values()))
    assert found.model_summary == "small_cnn, 151,306 parameters, 1 × 8 × 8"
    assert found.memory_bytes > 1e8
    assert found.config.train.epochs == 30
