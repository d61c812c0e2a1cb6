"""Intervals against closed forms and simulations, and what is recommended from them."""

from math import erf

import numpy as np
import pandas as pd
import pytest

from fvm_core.comparison.collect import Scored
from fvm_core.comparison.evidence import (
    average_precision_interval,
    decided_precision,
    recommend,
    roc_auc_interval,
    share_interval,
)
from fvm_core.comparison.results import Description


def test_share_by_wilson():
    found = share_interval(8, 10)
    assert found.value == 0.8
    # Agresti and Coull's own example of Wilson's formula.
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert share_interval(10, 10).high == pytest.approx(1)
    assert share_interval(10, 10).low == pytest.approx(0.7225, abs=1e-4)
    assert not share_interval(0, 0).known


def test_area_by_hand_and_its_interval_solves_the_equation():
    wrong = np.array([True, True, True, False, False, False, False])
    found = roc_auc_interval(np.array([5, 4, 1, 3, 2, 0, -1.0]), wrong)
    assert found.value == pytest.approx(10 / 12)
    for theta in (found.low, found.high):
        half = 7 / 2 - 1
        spread = 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
        assert (found.value - theta) ** 2 == pytest.approx(1.959964**2 * theta * (1 - theta) * spread / 12)
    assert found.low < found.value < found.high


@pytest.mark.parametrize("separation", [0.7, 2.0])
def test_intervals_cover_the_true_area(separation):
    rng = np.random.default_rng(0)
    wrong = np.arange(60) < 30
    true = 0.5 * (1 + erf(separation / 2))
    inside = 0
    for _ in range(300):
        found = roc_auc_interval(rng.normal(size=60) + separation * wrong, wrong)
        inside += found.low <= true <= found.high
    assert 0.91 <= inside / 300 <= 0.99


def test_perfect_and_hopeless_scores_are_not_certain():
    wrong = np.arange(40) < 20
    perfect = roc_auc_interval(-np.arange(40.0), wrong)
    assert perfect.value == perfect.high == 1
    assert 0.85 < perfect.low < 0.99
    hopeless = roc_auc_interval(np.arange(40.0), wrong)
    assert hopeless.value == hopeless.low == 0
    assert hopeless.high == pytest.approx(1 - perfect.low, abs=1e-6)
    assert not roc_auc_interval(np.arange(3.0), np.ones(3, bool)).known


def test_unrated_samples_are_left_out():
    wrong = np.array([True, False, True, False])
    found = roc_auc_interval(np.array([3, 1, np.nan, np.nan]), wrong)
    assert found.value == 1


def test_average_precision():
    wrong = np.array([True, False, True, False, False] * 20)
    values = np.tile([5.0, 4.0, 3.0, 2.0, 1.0], 20)
    found = average_precision_interval(values, wrong)
    # Ties of the copies: precision 1 at recall ½, then 2/3 at recall 1.
    assert found.value == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert found.low < found.value < found.high
    assert average_precision_interval(values, wrong) == found


def test_precision_from_decisions():
    state = pd.DataFrame(
        {"state": ["relabelled", "excluded", "kept", "unsure", "relabelled"]}, index=[0, 1, 2, 3, 9]
    )
    suspicion = -np.arange(10.0)
    found, seen = decided_precision(suspicion, state, 5)
    assert seen == 3
    assert found == share_interval(2, 3)
    assert decided_precision(suspicion, state, 10)[0] == share_interval(3, 4)


def scored(name, planted, trained_only=False):
    about = Description(name, name.upper(), "high", trained_only=trained_only)
    return Scored(about, np.zeros(3), None, np.asarray(planted, dtype=float))


WRONG = np.arange(40) < 20
PERFECT, GOOD = -np.arange(40.0), np.where(np.arange(40) % 5 == 0, 0.0, -np.arange(40.0))


def test_the_winner_on_planted_labels_is_recommended():
    found = recommend([scored("fvm", GOOD), scored("tuned_loss", PERFECT)], WRONG, True)
    assert found.name == "tuned_loss"
    assert "TUNED_LOSS finds the 20 planted wrong labels best: ROC AUC 1.000" in found.reason
    assert "The influence has 0." in found.reason


def test_equal_scores_leave_it_at_the_influence():
    found = recommend([scored("loss", PERFECT), scored("fvm", PERFECT), scored("gex", PERFECT)], WRONG, True)
    assert found.name == "fvm"
    assert "as 2 others do" in found.reason


def test_scores_of_the_trained_model_do_not_count_on_samples_it_never_saw():
    scores = [scored("fvm", GOOD), scored("loss", PERFECT, trained_only=True)]
    assert recommend(scores, WRONG, True).name == "loss"
    found = recommend(scores, WRONG, False)
    assert found.name == "fvm"
    assert "has never seen the planted samples" in found.reason


def test_too_few_planted_labels_recommend_nothing():
    assert recommend([scored("fvm", [])], np.zeros(0, bool), True).name is None
    few = recommend([scored("fvm", PERFECT[:10])], WRONG[15:25], True)
    assert few.name is None
    assert "Only 5 planted samples are wrong and 5 right" in few.reason
