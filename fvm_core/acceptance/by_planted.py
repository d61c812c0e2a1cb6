"""What accepting suggestions does by planted samples, and which may be accepted unseen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fvm_core.acceptance.calibration import Floats
from fvm_core.acceptance.expected import Expectation
from fvm_core.acceptance.planted_trial import PlantedTrial
from fvm_core.acceptance.rule import Chosen
from fvm_core.comparison.evidence import Interval

_LOW, _HIGH = 0.025, 0.975
_CAREFUL = 0.01
"""Quantile that counts for accepting. The lowest of many cuts that holds is taken, and one may hold by
chance: in simulations with 100 planted samples, half of the suggestions to be right, one run in 30 got more
wrong labels by the interval's own end, and none of 150 by this one with an alarm more."""
_FACTORS = 1.3 ** np.arange(1, 18)
"""How many times the planted samples are asked for at most, 87."""
_FEW_CUTS = 6


def expect_by_planted(
    trial: PlantedTrial, accepted: NDArray[np.bool_], undecided: NDArray[np.bool_]
) -> Expectation:
    """What it would do to take over the suggestions of some samples.

    Numbers are means of draws and intervals their quantiles: right ones and right labels that are lost from
    `PlantedTrial.outcomes`, wrong labels before as N π times the share of them that is undecided, and no
    fewer than there are among the accepted ones.

    Args:
        trial: of the run.
        accepted: (N,); samples without a suggestion that differs, or without a rank, are not counted.
        undecided: (N,) samples whose labels are counted.
    """
    chosen = accepted & trial.suggestions
    number = int(chosen.sum())
    right, lost = trial.outcomes(chosen)
    gain = right - lost
    counted = int((undecided & np.isfinite(trial.suspicion)).sum())
    before = np.minimum(trial.wrong_seen * trial.share_of_wrong(undecided), counted)
    before, gained = _interval(np.maximum(before, number - lost)), _interval(gain)
    return Expectation(
        accepted=number,
        right=_interval(right),
        before=before,
        after=_difference(before, gained, counted),
        gain=gained,
    )


def _interval(draws: Floats) -> Interval:
    low, high = np.quantile(draws, [_LOW, _HIGH])
    mean = float(draws.mean())
    return Interval(mean, min(float(low), mean), max(float(high), mean))


def _difference(before: Interval, gain: Interval, most: int) -> Interval:
    """`before − gain`, its ends as far off as those of independent numbers, from 0 to `most`."""
    value = before.value - gain.value
    below = np.hypot(before.value - before.low, gain.high - gain.value)
    above = np.hypot(before.high - before.value, gain.value - gain.low)
    return Interval(value, float(max(value - below, 0.0)), float(min(value + above, most)))


def accept_by_planted(trial: PlantedTrial, target: float, undecided: NDArray[np.bool_]) -> Chosen:
    """All undecided suggestions above the lowest cut on the suspicion of which a share `target` is right.

    That share, and a gain (wrong labels that there are fewer) above 0, have to hold in 99 % of the draws, the
    gain even if one planted right label more were accepted, so that they hold at the lower ends of the 95 %
    intervals of `expect_by_planted` too.

    Args:
        trial: of the run.
        target: 0 to 1.
        undecided: (N,) samples that may be accepted.
    """
    candidates = trial.suggestions & undecided
    if not candidates.any():
        return Chosen(np.zeros(len(candidates), dtype=bool), "No suggestion differs from its label.")
    best, highest = np.zeros(len(candidates), dtype=bool), 0.0
    for cut in trial.cuts(undecided):
        accepted = candidates & (trial.suspicion >= cut)
        share = _right_share(trial, accepted)
        highest = max(highest, share)
        if share >= target and _gains(trial, accepted):
            best = accepted
    return Chosen(best, "" if best.any() else _why_none(trial, target, undecided, highest))


def _right_share(trial: PlantedTrial, accepted: NDArray[np.bool_]) -> float:
    """Share of right suggestions, counted with care."""
    right, _lost = trial.outcomes(accepted)
    return float(np.quantile(right, _CAREFUL)) / int(accepted.sum())


def _gains(trial: PlantedTrial, accepted: NDArray[np.bool_]) -> bool:
    """Whether there are fewer wrong labels afterwards, counted with care."""
    right, lost = trial.outcomes(accepted, more_alarms=1.0)
    return bool(np.quantile(right - lost, _CAREFUL) > 0)


def _why_none(trial: PlantedTrial, target: float, undecided: NDArray[np.bool_], highest: float) -> str:
    wrong, right = trial.sizes
    start = (
        f"There are no suggestions of which it is sure enough that {100 * target:g} % are right: at most "
        f"{100 * highest:.1f} % are, counted with care, by {wrong} planted wrong labels and {right} planted "
        "right ones."
    )
    factor = _times_needed(trial, target, undecided)
    if factor is None:
        return f"{start} More planted images would hardly change that; a lower share or a better model does."
    planted = _rounded(factor * (wrong + right))
    needed = f"{start} If more went as these did, about {planted:,} planted ones would be enough"
    ways = [f"{2 * planted:,} trusted images of which half is planted (--planted 0.5)"]
    if trial.trusted and _rounded(factor * trial.trusted) > 2 * planted:
        ways.append(f"{_rounded(factor * trial.trusted):,} with the share that is planted now")
    return f"{needed}: {', or '.join(ways)}. A lower share needs fewer."


def _times_needed(trial: PlantedTrial, target: float, undecided: NDArray[np.bool_]) -> float | None:
    """How many times the planted samples would do if all went as they did; None if 87 times would not."""
    cuts = trial.cuts(undecided)
    cuts = cuts[np.unique(np.linspace(0, len(cuts) - 1, _FEW_CUTS).round().astype(int))]
    for factor in _FACTORS:
        more = replace(trial, times=float(factor))
        for cut in cuts:
            accepted = trial.suggestions & undecided & (trial.suspicion >= cut)
            if _right_share(more, accepted) >= target and _gains(more, accepted):
                return float(factor)
    return None


def _rounded(number: float) -> int:
    """To two digits, upwards: more would be said than is known."""
    step = 10 ** max(len(str(int(number))) - 2, 0)
    return int(-(-number // step) * step)
