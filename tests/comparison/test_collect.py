"""All scores of a run side by side, and what an older run has."""

import shutil

import numpy as np

from fvm_core.comparison.collect import against_truth, collect, planted_wrong
from tests.comparison.cases import copied


def test_the_runs_own_scores_and_their_figures(finished_run):
    found = {one.about.name: one for one in collect(finished_run)}
    assert list(found) == ["fvm", "influence_trained", "loss", "tuned_loss"]
    metrics, baselines = finished_run.metrics, finished_run.metrics["baselines"]
    own = against_truth(finished_run, found["fvm"])
    for name in ("roc_auc", "average_precision", "relabel_accuracy_all", "relabel_accuracy_mislabelled"):
        assert np.isclose(own[name], metrics[name])
    for name, other in (("loss", "loss_trained"), ("influence_trained", "influence_trained")):
        assert np.isclose(against_truth(finished_run, found[name])["roc_auc"], baselines[other]["roc_auc"])
    assert found["loss"].about.trained_only and not found["tuned_loss"].about.trained_only
    assert len(planted_wrong(finished_run)) == 0


def test_a_run_from_before_the_comparison_has_the_same(finished_run, tmp_path):
    run = copied(finished_run, tmp_path)
    shutil.rmtree(run.path / "estimators")
    names = {one.about.name: one for one in collect(run)}
    for one in collect(finished_run):
        assert np.allclose(names[one.about.name].suspicion, one.suspicion, rtol=1e-6)
        same = names[one.about.name].suggested
        assert (same is None) == (one.suggested is None)
        assert same is None or np.array_equal(same, one.suggested)
