"""Agreement between rankings, by hand."""

import numpy as np
from scipy.stats import spearmanr

from fvm_core.comparison.agreement import disagreements, overlap, rank_agreement


def test_rank_agreement_is_spearmans():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=50), rng.normal(size=50)
    other[:20] = one[:20]
    found = rank_agreement([one, other, -one])
    assert np.allclose(found[0, 1], spearmanr(one, other).statistic)
    assert np.allclose(found.diagonal(), 1)
    assert np.isclose(found[0, 2], -1) and np.allclose(found, found.T)


def test_pairs_take_what_both_have_rated():
    one = np.array([1.0, 2, 3, 4, np.nan])
    other = np.array([1.0, 2, 3, np.nan, 9])
    found = rank_agreement([one, other, np.ones(5)])
    assert np.isclose(found[0, 1], 1)
    assert np.isnan(found[0, 2])


def test_overlap_of_tops():
    one = -np.arange(20.0)
    other = one.copy()
    other[:10] = one[9::-1]  # the same ten at the top, in reverse
    tops, shared = overlap(one, other)
    assert tops[0] == 10 and tops[-1] == 20
    assert shared[0] == 1 and shared[-1] == 1
    tops, shared = overlap(one, -one)
    assert shared[0] == 0 and shared[-1] == 1
    assert np.isclose(shared[tops == 15][0] if (tops == 15).any() else 10 / 15, 10 / 15)


def test_largest_disagreements_first():
    one = np.array([0.0, 1, 2, 3, np.nan])
    other = np.array([3.0, 1, 2, 0, 5])
    found = disagreements(one, other, 10)
    assert set(found[:2]) == {0, 3}
    assert 4 not in found
    assert len(disagreements(one, other, 1)) == 1
