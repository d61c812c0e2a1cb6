import numpy as np
import pytest

from fvm_core.pipeline.summary import summarise

SURE = np.ones(4)


def test_as_many_are_flagged_as_are_expected_to_be_wrong():
    suspicion = np.array([5.0, 1.0, 9.0, np.nan, 2.0, 7.0])
    p_given = np.array([0.3, 1.0, 0.1, np.nan, 0.9, 0.2])
    given, suggested = np.array([0, 1, 2, 0, 1, 2]), np.array([1, 1, 0, 0, 1, 0])
    found = summarise(suspicion, suggested, given, p_given, SURE)
    assert found["estimated_wrong"] == pytest.approx(2.5)
    assert found["threshold"] == 5.0
    assert found["flagged"] == 2
    assert found["suggested_relabels"] == 3


def test_doubt_about_trusted_labels_is_taken_off():
    # Right labels get p = 0.6 and wrong ones 0: what the estimate has to see through.
    wrong = np.arange(100) < 30
    p_given = np.where(wrong, 0.0, 0.6)
    found = summarise(1 - p_given, np.zeros(100), np.zeros(100), p_given, np.full(50, 0.6))
    assert found["estimated_wrong"] == pytest.approx(30)
    unsure = summarise(np.ones(5), np.zeros(5), np.zeros(5), np.full(5, 0.9), np.full(5, 0.5))
    assert unsure["estimated_wrong"] == 0


def test_edges():
    ones = np.ones(3)
    nothing = summarise(ones, np.zeros(3), np.zeros(3), ones, SURE)
    assert (nothing["flagged"], nothing["estimated_wrong"]) == (0, 0.0)
    everything = summarise(ones, np.zeros(3), np.ones(3), np.zeros(3), SURE)
    assert (everything["flagged"], everything["threshold"]) == (3, 0.0)
    empty = summarise(np.full(3, np.nan), np.zeros(3), np.zeros(3), np.full(3, np.nan), SURE)
    assert (empty["flagged"], empty["estimated_wrong"]) == (0, 0.0)
    hopeless = summarise(ones, np.zeros(3), np.zeros(3), ones, np.zeros(4))
    assert hopeless["estimated_wrong"] == 0
