"""A run on features of a pretrained backbone: the stages and estimators are those of runs on images."""

import numpy as np
import pytest
import torch

from fvm_core.data import load_dataset
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.estimators import registry
from fvm_core.pipeline.runner import start
from fvm_core.runs.run_folder import RunFolder
from tests.cases import reference_influence
from tests.pipeline.test_resume import StopsAt, same_results

OPTIONS = {
    "size": 32, "epochs": 10, "steps": 30, "saved_steps": 2, "embed": False, "crossfit_folds": 2, "budget": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def sets():
    """Digits at 24 × 24 in colour, which `auto` takes for photographs."""
    found = []
    for split, count in (("train", 160), ("val", 60)):
        data = load_dataset("digits", split=split, limit=count)
        images = [
            np.kron(np.asarray(data.images.image(row)), np.ones((3, 3), dtype=np.uint8))
            for row in range(count)
        ]
        names = [data.classes[label] for label in data.given]
        table = {"image": [np.stack([one] * 3, 2) for one in images], "label": names, "id": list(data.ids)}
        found.append(load_dataset(table, image="image", label="label", id="id"))
    return found


@pytest.fixture(scope="module")
def finished(sets, started):
    return started(sets, **OPTIONS)


@pytest.fixture
def same_home(finished, home, monkeypatch):
    """The workspace in which the finished run was made."""
    monkeypatch.setenv("SALTFLAT_HOME", str(home))


class Listens:
    def __init__(self):
        self.lines = []

    def update(self, stage, done, total):
        pass

    def log(self, text):
        self.lines.append(text)


def test_auto_takes_a_pretrained_backbone_and_a_head(finished):
    model = finished.config.model
    assert (model.name, model.train_part, model.pretrained) == ("timm:tf_efficientnet_lite0", "head", True)
    assert finished.info["stages"]["features"]["computed"] == 220
    assert finished.info["stages"]["features"]["width"] == 1280
    assert finished.info["input"]["mean"] == [0.5, 0.5, 0.5]
    assert finished.info["input"]["crop"] == 1.0  # images smaller than the input are shown whole


def test_the_next_run_finds_the_features(sets, finished, same_home, tmp_path):
    listens = Listens()
    again = start(*sets, out=tmp_path / "run", progress=listens, **OPTIONS)
    assert again.info["stages"]["features"]["computed"] == 0
    assert not any("embeds" in line for line in listens.lines)
    same_results(again, finished)
    assert np.array_equal(again.crossfit_probabilities(), finished.crossfit_probabilities())


def test_the_influence_is_that_of_the_head(sets, finished, same_home):
    from fvm_core.pipeline.context import Context
    from fvm_core.pipeline.feature_stage import open_features
    from fvm_core.pipeline.progress import Silent

    context = Context(finished, finished.config, *sets, "cpu", Silent())
    assert open_features(context)["computed"] == 0
    head = context.model_at("step_000030")
    rows = np.arange(12)
    trusted = context.val_inputs.usable()
    expected = reference_influence(
        head,
        context.train_inputs.images(rows),
        context.train_inputs.targets(rows),
        context.val_inputs.images(trusted),
        context.val_inputs.targets(trusted),
        damping=0.1,
    )
    assert np.allclose(finished.scores["influence"][:12], expected.numpy(), rtol=2e-4)
    mean = context.train_inputs.values.astype(np.float64).mean(0)
    assert torch.allclose(head.standardise.mean, torch.from_numpy(mean).float(), atol=1e-3)


@pytest.mark.fault("a run is stopped in a stage and resumed (every stage)")
@pytest.mark.parametrize(("stage", "count"), [("features", 1), ("train", 5), ("score", 2), ("crossfit", 9)])
def test_stopped_and_resumed(sets, finished, workspace, tmp_path, stage, count):
    with pytest.raises(Cancelled):
        start(*sets, out=tmp_path / "run", progress=StopsAt(stage, count), **OPTIONS)
    again = start(*sets, out=tmp_path / "run", resume=True, **OPTIONS)
    same_results(again, finished)
    assert np.array_equal(again.crossfit_probabilities(), finished.crossfit_probabilities())


def test_every_estimator_works_on_features(sets, same_home, tmp_path):
    names = registry.names()
    found = start(
        *sets, out=tmp_path / "run", estimator=names, figures=True, keep_checkpoints=2, members=2, folds=2,
        lissa_depth=5, **OPTIONS,
    )  # fmt: skip
    assert found.info["stages"]["compare"]["failed"] == {}
    there = {path.stem for path in (found.path / "estimators").glob("*.json")}
    assert there >= set(names) - {"vm"}  # which makes it a run that is tuned by SGD itself


@pytest.mark.parametrize("part", ["last:1", "all"])
def test_more_of_the_network_can_be_trained(sets, finished, tmp_path, part):
    options = {**OPTIONS, "epochs": 1, "steps": 4}
    found = start(*sets, out=tmp_path / "run", train_part=part, crossfit_rounds=0,
                  model="timm:tf_efficientnet_lite0", **options)  # fmt: skip
    assert found.finished
    assert found.config.model.train_part == part
    assert np.isfinite(found.scores["influence"]).all()
    if part == "last:1":
        assert found.info["stages"]["features"]["width"] == 192
        assert found.info["stages"]["features"]["computed"] == 220


def test_features_from_elsewhere_need_no_backbone(sets, tmp_path):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(len(one), 20)).astype(np.float32) for one in sets]
    for values, one in zip(arrays, sets, strict=True):
        values[:, :10] += 3 * np.eye(10)[one.given]
    arrays[0][3, 0] = np.nan
    found = start(*sets, out=tmp_path / "run", features=tuple(arrays), **OPTIONS)
    assert found.config.model.name == "features"
    assert found.unscored().to_dict() == {3: "image can't be read"}
    with pytest.raises(SaltflatError, match="arrays in Python"):
        RunFolder(found.path).reopen("compare", "embed")
        from fvm_core.pipeline.runner import execute

        execute(RunFolder(found.path), data=tuple(sets))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"train_part": "neck"}, "last:N"),
        ({"train_part": "last:0"}, "last:N"),
        ({"val_features": "x.npy"}, "needs `model.features`"),
        ({"features": "x.npy", "train_part": "all"}, "leave one of the two out"),
        ({"features": "x.npy"}, "no file .*x.npy"),
        ({"model": "timm:no_such_network"}, "no_such_network"),
        ({"crossfit_rounds": 3}, "at most 2"),
        ({"train_part": "last:99"}, "99|blocks"),
    ],
)
def test_settings_that_cannot_be_leave_nothing_behind(sets, tmp_path, options, words):
    with pytest.raises(SaltflatError, match=words):
        start(*sets, out=tmp_path / "run", **{**OPTIONS, **options})
    assert not (tmp_path / "run").exists()


def test_other_images_in_the_same_rows_have_features_of_their_own(sets, same_home, tmp_path):
    train, val = sets
    others = load_dataset({"images": np.random.default_rng(1).integers(0, 256, (160, 24, 24, 3), dtype=np.uint8),
                           "labels": train.given})  # fmt: skip
    found = start(others, val, out=tmp_path / "run", **{**OPTIONS, "crossfit_rounds": 0})
    assert found.info["stages"]["features"]["computed"] == 160


def test_the_estimate_knows_what_is_there(sets, finished, same_home):
    from fvm_core.pipeline.estimate import estimate

    found = estimate(finished.config, *sets)
    assert found.stages["features"] == 0
    assert "220 are there already" in found.model_summary
    assert found.stages["crossfit"] > 0


def test_features_that_have_changed_stop_a_run_that_goes_on(sets, tmp_path):
    rng = np.random.default_rng(0)
    for name, one in zip(("train", "val"), sets, strict=True):
        np.save(tmp_path / f"{name}.npy", rng.normal(size=(len(one), 12)).astype(np.float32))
    files = {"features": tmp_path / "train.npy", "val_features": str(tmp_path / "val.npy")}
    with pytest.raises(Cancelled):
        start(*sets, out=tmp_path / "run", progress=StopsAt("tune", 2), **files, **OPTIONS)
    values = np.load(tmp_path / "train.npy")
    np.save(tmp_path / "train.npy", values + 1)
    with pytest.raises(SaltflatError, match="features of run have changed"):
        start(*sets, out=tmp_path / "run", resume=True, **files, **OPTIONS)
    np.save(tmp_path / "train.npy", values)
    assert start(*sets, out=tmp_path / "run", resume=True, **files, **OPTIONS).finished


def test_sets_of_other_widths_are_refused_before_there_is_a_run(sets, tmp_path):
    for name, one, width in zip(("train", "val"), sets, (12, 13), strict=True):
        np.save(tmp_path / f"{name}.npy", np.zeros((len(one), width)))
    files = {"features": tmp_path / "train.npy", "val_features": str(tmp_path / "val.npy")}
    with pytest.raises(SaltflatError, match="12 features each and the validation samples 13"):
        start(*sets, out=tmp_path / "run", **files, **OPTIONS)
    assert not (tmp_path / "run").exists()
