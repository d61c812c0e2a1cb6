"""What planted samples let one expect, against a truth that is known."""

import re
from dataclasses import replace

import numpy as np
import pytest

from fvm_core.acceptance.by_planted import accept_by_planted, expect_by_planted
from fvm_core.acceptance.planted_trial import PlantedTrial, share_draws
from tests.acceptance.cases import tried

EVERY = np.ones(1000, dtype=bool)


def written_out(rows, planted):
    """A trial of `(suspicion, differs)` in the run and `(suspicion, wrong, differs, found)` planted."""
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return PlantedTrial(*columns, *(np.array(column) for column in zip(*planted, strict=True)))


@pytest.mark.parametrize(("hits", "total"), [(0, 20), (20, 20), (3, 20), (30, 200)])
def test_draws_of_a_share_have_its_mean_and_the_mid_p_interval(hits, total):
    from scipy.stats import beta

    drawn = share_draws(np.random.default_rng(0), hits, total)
    assert drawn.mean() == pytest.approx((hits + 0.5) / (total + 1), abs=0.004)
    low, high = np.quantile(drawn, [0.025, 0.975])

    def below(share):  # the mixture's distribution function
        upper = beta.cdf(share, hits + 1, total - hits) if hits < total else share >= 1
        lower = beta.cdf(share, hits, total - hits + 1) if hits else share >= 0
        return (upper + lower) / 2

    assert below(high) == pytest.approx(0.975, abs=0.012) or high == 1
    assert below(low) == pytest.approx(0.025, abs=0.012) or low == 0
    assert (low == 0) == (hits == 0) and (high == 1) == (hits == total)


def test_the_numbers_are_those_of_the_formulas():
    # 400 of 1,000 are suggestions above 0.5. Of 100 wrong planted ones 80 are, 60 of them with the true label;
    # of 100 right ones 10 are.
    rows = [(1.0, True)] * 400 + [(0.0, False)] * 600
    planted = [(1.0, True, True, True)] * 60 + [(1.0, True, True, False)] * 20
    planted += [(0.0, True, False, False)] * 20 + [(1.0, False, True, False)] * 10
    planted += [(0.0, False, False, False)] * 90
    trial = written_out(rows, planted)
    assert trial.counts(trial.suggestions) == (60, 20, 10)
    share = (0.4 - 0.1) / (0.8 - 0.1)  # Rogan and Gladen
    assert trial.wrong_share.mean() == pytest.approx(share, abs=0.01)
    lost = 1000 * (1 - share) * 0.1
    found = expect_by_planted(trial, trial.suggestions, EVERY)
    assert found.accepted == 400
    assert found.right.value == pytest.approx((400 - lost) * 60 / 80, abs=8)
    assert found.gain.value == pytest.approx((400 - lost) * 60 / 80 - lost, abs=12)
    assert found.before.value == pytest.approx(1000 * share, abs=10)
    assert found.after.value == pytest.approx(found.before.value - found.gain.value, abs=1e-6)
    # What is accepted is known: by twice as many suggestions no more right labels are lost than there are.
    assert found.right.high <= 400 and found.gain.low >= -400


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3])
@pytest.mark.parametrize(("shift", "skill"), [(2.0, 0.7), (4.0, 0.95)])
@pytest.mark.parametrize("planted", [30, 100, 300])
def test_intervals_hold_the_truth(share, shift, skill, planted):
    held = dict.fromkeys(("right", "gain", "before", "after"), 0)
    for seed in range(60):
        case = tried(seed, planted=planted, share=share, shift=shift, skill=skill)
        trial = case.trial
        lowest = np.quantile(trial.suspicion, (0.0, 0.7, 0.9)[seed % 3])
        accepted = trial.suggestions & (trial.suspicion >= lowest)
        expected = expect_by_planted(trial, accepted, EVERY)
        gain, wrong = case.gain(accepted), int(case.wrong.sum())
        truth = {"right": case.right(accepted), "gain": gain, "before": wrong, "after": wrong - gain}
        for name, value in truth.items():
            interval = getattr(expected, name)
            assert interval.low <= interval.value <= interval.high
            held[name] += interval.low <= value <= interval.high
    assert min(held.values()) >= 54, held  # 90 %, of 95 that are promised


@pytest.mark.parametrize("share", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("planted", [30, 100, 400])
@pytest.mark.parametrize(("shift", "skill"), [(0.0, 0.2), (2.0, 0.5), (3.0, 0.9), (6.0, 1.0)])
def test_accepting_never_raises_the_number_of_wrong_labels(share, planted, shift, skill):
    for seed in range(3):
        case = tried(seed, planted=planted, share=share, shift=shift, skill=skill)
        for target in (0.5, 0.95):
            chosen = accept_by_planted(case.trial, target, EVERY)
            assert case.gain(chosen.accepted) >= 0
            assert bool(chosen.reason) != chosen.accepted.any()
            if share == 0 or shift == 0:
                assert not chosen.accepted.any()


@pytest.mark.parametrize(
    ("target", "planted", "shift", "skill"),
    [(0.95, 1000, 6.0, 1.0), (0.8, 300, 5.0, 0.97), (0.5, 100, 4.0, 0.9)],
)
def test_with_planted_samples_enough_most_is_accepted_and_the_share_is_right(target, planted, shift, skill):
    short = 0
    for seed in range(20):
        case = tried(seed, planted=planted, share=0.3, shift=shift, skill=skill)
        accepted = accept_by_planted(case.trial, target, EVERY).accepted
        assert accepted.sum() > 150
        short += case.right(accepted) < target * accepted.sum()
        expected = expect_by_planted(case.trial, accepted, EVERY)
        assert expected.right.low >= target * accepted.sum() and expected.gain.low > 0
    assert short <= 1


def test_where_planted_samples_are_too_few_it_is_said_how_many_are_needed():
    case = tried(0, planted=60, share=0.3, shift=6.0, skill=1.0)
    chosen = accept_by_planted(case.trial, 0.95, EVERY)
    assert not chosen.accepted.any()
    assert "by 30 planted wrong labels and 30 planted right ones" in chosen.reason
    found = re.search(r"about ([\d,]+) planted ones .*: ([\d,]+) trusted .*, or ([\d,]+) with", chosen.reason)
    needed, half, as_now = (int(number.replace(",", "")) for number in found.groups())
    assert half == 2 * needed and as_now == pytest.approx(10 * needed, rel=0.02)
    assert accept_by_planted(replace(case.trial, times=needed / 60), 0.95, EVERY).accepted.any()
    assert not accept_by_planted(replace(case.trial, times=0.5 * needed / 60), 0.95, EVERY).accepted.any()


def test_where_suggestions_are_wrong_more_planted_samples_are_not_asked_for():
    case = tried(0, planted=200, share=0.3, shift=4.0, skill=0.5)
    assert "hardly change" in accept_by_planted(case.trial, 0.95, EVERY).reason


def test_planted_samples_count_as_the_run_is_accepted_at_their_suspicion():
    # Half of the suspicious suggestions are decided: the others are half of what planted ones stand for.
    rows = [(2.0, True)] * 100 + [(1.0, True)] * 100 + [(0.0, False)] * 800
    planted = [(2.0, True, True, True)] * 20 + [(1.0, True, True, True)] * 10
    planted += [(0.0, False, False, False)] * 29 + [(2.0, False, True, False)]
    trial = written_out(rows, planted)
    accepted = trial.suggestions.copy()
    assert trial.counts(accepted) == (30, 0, 1)
    accepted[:50] = False
    assert trial.counts(accepted) == (20, 0, 0.5)
    accepted[100:200] = False
    assert trial.counts(accepted)[0] == pytest.approx(10)
    undecided = np.arange(1000) >= 50
    whole, rest = (expect_by_planted(trial, accepted, some).before.value for some in (EVERY, undecided))
    assert rest < 0.8 * whole  # the decided ones are those that are most often wrong
    assert not (accept_by_planted(trial, 0.5, undecided).accepted & ~undecided).any()


def test_what_is_not_ranked_or_not_suggested_is_not_counted():
    case = tried(0, planted=300, share=0.3, shift=5.0)
    suspicion = case.trial.suspicion.copy()
    suspicion[:200] = np.nan
    trial = replace(case.trial, suspicion=suspicion)
    assert trial.ranked == 800
    expected = expect_by_planted(trial, EVERY, EVERY)
    assert expected.accepted == (case.trial.differs[200:]).sum()
    assert expected.before.high < 400
    assert not accept_by_planted(trial, 0.5, EVERY).accepted[:200].any()
    nothing = replace(trial, differs=np.zeros(1000, dtype=bool))
    assert "No suggestion differs" in accept_by_planted(nothing, 0.5, EVERY).reason
    none = expect_by_planted(nothing, EVERY, EVERY)
    assert (none.accepted, none.right.high, none.gain.high) == (0, 0, 0)


def test_the_same_data_give_the_same_numbers():
    case = tried(0)
    first, second = (expect_by_planted(tried(0).trial, case.trial.suggestions, EVERY) for _ in range(2))
    assert first == second
