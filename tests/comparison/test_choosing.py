"""Which score a run lets the review rank by."""

import numpy as np
import pytest

from fvm_core.comparison.choosing import decide
from fvm_core.comparison.collect import Scored
from fvm_core.comparison.results import Description

WRONG = np.arange(60) < 30


def scored(name, planted, **about):
    return Scored(Description(name, f"title of {name}", "high", **about), np.zeros(3), None, planted)


def values(shift, seed=0):
    """Suspicion of 60 planted samples, of which the wrong ones have `shift` more."""
    return np.random.default_rng(seed).normal(size=60) + shift * WRONG


@pytest.mark.parametrize(
    ("names", "default"),
    [
        (["fvm", "tuned_loss", "crossfit_loss", "crossfit_wrong"], "crossfit_wrong"),
        (["fvm", "tuned_loss", "crossfit_loss"], "crossfit_loss"),
        (["fvm", "tuned_loss"], "tuned_loss"),
        (["fvm"], "fvm"),
    ],
)
def test_without_planted_labels_it_is_the_default(names, default):
    nothing = np.zeros(0)
    found = decide([scored(name, nothing) for name in names], nothing.astype(bool), True)
    assert (found.name, found.by_person) == (default, False)
    assert f"title of {default}, the default: no wrong labels were planted" in found.reason


def test_a_score_that_is_surely_better_wins():
    found = decide([scored("fvm", values(3)), scored("tuned_loss", values(0.2))], WRONG, True)
    assert found.name == "fvm"
    assert "on 30 planted wrong labels, where the default, title of tuned_loss, has" in found.reason


def test_chance_does_not_win():
    better = decide([scored("fvm", values(1.2, 1)), scored("tuned_loss", values(1.1, 2))], WRONG, True)
    assert better.name == "tuned_loss"
    assert "no other score is better beyond chance" in better.reason


def test_too_few_decide_nothing():
    few = np.arange(60) < 5
    found = decide([scored("fvm", 9.0 * few), scored("tuned_loss", np.zeros(60))], few, True)
    assert found.name == "tuned_loss" and "5 planted wrong labels are too few" in found.reason


def test_other_tools_and_scores_that_have_not_learnt_the_planted_labels_take_no_part():
    scores = [scored("tuned_loss", values(0.2)), scored("theirs", values(5), external=True)]
    assert decide(scores, WRONG, True).name == "tuned_loss"
    scores = [scored("tuned_loss", values(0.2)), scored("loss", values(5), trained_only=True)]
    assert decide(scores, WRONG, False).name == "tuned_loss"
    assert decide(scores, WRONG, True).name == "loss"
