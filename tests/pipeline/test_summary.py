import numpy as np
import pytest

from fvm_core.pipeline.summary import summarise


def test_as_many_are_flagged_as_are_expected_to_be_wrong():
    suspicion = np.array([5.0, 1.0, 9.0, np.nan, 2.0, 7.0])
    p_given = np.array([0.3, 1.0, 0.1, np.nan, 0.9, 0.2])
    given, suggested = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 1, 0, 0, 1, 0])
    found = summarise(suspicion, suggested, given, p_given)
    assert found["estimated_wrong"] == pytest.approx(2.5)
    assert found["threshold"] == 5.0
    assert found["flagged"] == 2
    assert found["suggested_relabels"] == 3


def test_edges():
    ones = np.ones(3)
    nothing = summarise(ones, np.zeros(3), np.zeros(3), ones)
    assert (nothing["flagged"], nothing["estimated_wrong"]) == (0, 0.0)
    everything = summarise(ones, np.zeros(3), np.ones(3), np.zeros(3))
    assert (everything["flagged"], everything["threshold"]) == (3, 0.0)
    empty = summarise(np.full(3, np.nan), np.zeros(3), np.zeros(3), np.full(3, np.nan))
    assert (empty["flagged"], empty["estimated_wrong"]) == (0, 0.0)
