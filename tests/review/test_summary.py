import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from fvm_core.data.dataset import UNKNOWN
from fvm_core.review.summary import (
    box_statistics,
    class_counts,
    class_flow,
    histogram,
    roc_and_pr_curves,
    threshold_at,
)

random = np.random.default_rng(0)


def test_boxes_are_the_quantiles_and_skip_nan():
    values = random.lognormal(size=(3, 1000))
    values[1, :10] = np.nan
    found = box_statistics(np.array([0, 50, 100]), values)
    assert found["step"].tolist() == [0, 50, 100]
    assert found["count"].tolist() == [1000, 990, 1000]
    expected = np.nanquantile(values, [0.05, 0.25, 0.5, 0.75, 0.95], axis=1).T
    np.testing.assert_allclose(found[["low", "q1", "median", "q3", "high"]], expected)


def test_boxes_by_group_leave_empty_groups_out():
    groups = np.array([0, 0, 2, 2, -1])
    found = box_statistics(np.array([0]), np.array([[1.0, 3, 10, 30, 999]]), groups, 3)
    assert found["group"].tolist() == [0, 2]
    assert found["median"].tolist() == [2.0, 20.0]


def test_the_histogram_counts_every_finite_sample():
    values = np.concatenate([random.lognormal(0, 3, 5000), [0.0, np.nan]])
    groups = random.integers(0, 2, len(values))
    groups[-2:] = 1
    found = histogram(values, groups, 2)
    assert (np.diff(found.edges) > 0).all()
    assert found.counts.sum() == 5000
    assert found.below.tolist() == [0, 1]
    assert found.counts.shape == (2, 64)


@pytest.mark.parametrize("values", [np.full(7, 2.0), np.array([np.nan]), np.array([0.0, 0.0])])
def test_the_histogram_of_hardly_anything(values):
    found = histogram(values)
    assert np.isfinite(found.edges).all()
    assert found.counts.sum() == (values > 0).sum()


def test_the_threshold_at_a_percentile():
    suspicion = np.array([1.0, 5.0, 3.0, np.nan])
    percentile = np.array([33.3, 100.0, 66.6, np.nan])
    assert threshold_at(suspicion, percentile, 60.0) == (3.0, 2)
    level, number = threshold_at(suspicion, percentile, 100.1)
    assert np.isnan(level)
    assert number == 0


def test_flow_counts_pairs_and_skips_unknown_labels():
    given = np.array([0, 0, 1, UNKNOWN, 2])
    suggested = np.array([1, 1, 1, 0, UNKNOWN])
    found = class_flow(given, suggested, np.ones(5, dtype=bool), 3)
    assert found.counts.tolist() == [[0, 2, 0], [0, 1, 0], [0, 0, 0]]
    assert found.left_out == 0


def test_flow_of_many_classes_keeps_the_busiest():
    given, suggested = random.integers(0, 1000, 20_000), random.integers(0, 1000, 20_000)
    given[:500], suggested[:500] = 7, 8
    found = class_flow(given, suggested, np.ones(20_000, dtype=bool), 1000, most=10)
    assert found.counts.shape == (10, 10)
    assert {7, 8} <= set(found.labels)
    assert found.counts.sum() + found.left_out == 20_000


@pytest.mark.parametrize("ties", [False, True])
def test_areas_agree_with_scikit_learn(ties):
    wrong = random.random(3000) < 0.3
    suspicion = random.normal(size=3000) + wrong
    if ties:
        suspicion = np.round(suspicion)
    found = roc_and_pr_curves(suspicion, wrong)
    assert found.roc_auc == pytest.approx(roc_auc_score(wrong, suspicion))
    assert found.average_precision == pytest.approx(average_precision_score(wrong, suspicion))
    assert (found.wrong, found.total) == (wrong.sum(), 3000)


def test_curves_are_thinned_and_keep_their_ends():
    wrong = random.random(200_000) < 0.1
    found = roc_and_pr_curves(random.normal(size=200_000) + wrong, wrong)
    assert len(found.fpr) <= 402
    assert len(found.recall) <= 402
    assert (found.fpr[0], found.tpr[0], found.fpr[-1], found.tpr[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(found.tpr, found.fpr) == pytest.approx(found.roc_auc, abs=1e-3)


def test_no_curves_without_both_kinds_of_labels():
    assert roc_and_pr_curves(np.array([1.0, 2.0]), np.array([True, True])) is None
    assert roc_and_pr_curves(np.array([np.nan, 2.0]), np.array([True, False])) is None


def test_class_counts():
    assert class_counts(np.array([0, 2, 2, UNKNOWN]), 4).tolist() == [1, 0, 2, 0]
