"""Means over the epochs of training are those of the batches as they were seen."""

import numpy as np
import pytest
import torch

from fvm_core.comparison.collect import against_truth, collect
from fvm_core.config import CompareConfig, TrainConfig, TuneConfig
from fvm_core.errors import Cancelled
from fvm_core.estimators import registry
from fvm_core.pipeline.dynamics import Dynamics, kept_for
from fvm_core.pipeline.runner import execute
from fvm_core.runs.run_folder import RunFolder
from tests.cases import tiny_config
from tests.pipeline.test_resume import StopsAt

NAMES = ("aum", "epoch_margin", "knn")


def config():
    return tiny_config(
        train=TrainConfig(epochs=20), tune=TuneConfig(steps=20, saved_steps=2), compare=CompareConfig(NAMES)
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return execute(RunFolder.create(tmp_path_factory.mktemp("dynamics") / "run", config()))


def test_sums_are_those_of_the_logits(tmp_path):
    rng = np.random.default_rng(0)
    dynamics, logits = Dynamics(6, 4), rng.normal(size=(3, 6, 4)).astype(np.float32)
    for epoch in logits:
        for rows in (np.array([4, 0, 2]), np.array([1, 3])):
            dynamics.add(rows, torch.from_numpy(epoch[rows]))
    dynamics.write(tmp_path, 3, np.array([0, 1, 2, 3, 4]))
    margins = np.load(tmp_path / "dynamics" / "margins.npy")
    others = np.where(np.eye(4, dtype=bool), -np.inf, logits[:, :, None, :]).max(-1)
    assert np.allclose(margins[:5], (logits - others).mean(0)[:5], atol=1e-5)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert np.allclose(np.load(tmp_path / "dynamics" / "probabilities.npy")[:5], p.mean(0)[:5], atol=1e-6)
    assert np.isnan(margins[5]).all()


def test_they_find_wrong_labels(run):
    assert run.info["stages"]["compare"]["failed"] == {}
    found = {one.about.name: against_truth(run, one) for one in collect(run)}
    for name in NAMES:
        assert found[name]["roc_auc"] > 0.85, name
        assert found[name]["relabel_accuracy_mislabelled"] > 0.5, name


@pytest.mark.parametrize("count", [3, 60])
def test_stopped_and_resumed(run, tmp_path, count):
    again = RunFolder.create(tmp_path / "run", config())
    with pytest.raises(Cancelled):
        execute(again, StopsAt("train", count))
    execute(again)
    for name in ("margins", "probabilities"):
        both = [np.load(one.path / "dynamics" / f"{name}.npy") for one in (run, again)]
        assert np.array_equal(*both)


def test_a_run_that_has_not_kept_them_says_so(tmp_path):
    plain = execute(RunFolder.create(tmp_path / "run", tiny_config(train=TrainConfig(epochs=1))))
    for path in (plain.path / "dynamics").glob("*"):
        path.unlink()
    plain.add_estimators(["aum"])
    execute(plain)
    assert "has not kept" in plain.info["stages"]["compare"]["failed"]["aum"]
    untrained = tiny_config(train=TrainConfig(epochs=0))
    assert "does not train" in registry.find("aum").why_not(untrained, checkpoints=False)


def test_too_many_values_are_not_kept():
    assert kept_for(1000, 10, 0, "cpu") is None
    assert kept_for(10**6, 1000, 5, "cpu") is None
    assert kept_for(10, 2, 1, "cpu") is not None
