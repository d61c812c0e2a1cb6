"""What accepting some suggestions is expected to do, with 95 % intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import gamma, norm

from fvm_core.acceptance.belief import Belief
from fvm_core.acceptance.calibration import Floats, Ints
from fvm_core.comparison.evidence import Interval, share_interval

_Z = float(norm.ppf(0.975))
_BINS = 20
_LEAST = 10
"""Planted wrong labels that are asked at least, the most probable ones, where fewer are above a cut."""


@dataclass(frozen=True)
class Expectation:
    """Numbers of samples, each with its 95 % interval.

    Attributes:
        accepted: suggestions that are accepted.
        right: of these, those that are the true label.
        before: wrong labels among the samples that nobody has decided on.
        after: wrong labels among them once the suggestions are accepted.
        gain: by how many wrong labels fewer there are; negative where there are more.
    """

    accepted: int
    right: Interval
    before: Interval
    after: Interval
    gain: Interval


def alarms_beside(
    belief: Belief, accepted: Floats | Ints, kept: Floats, seen: Floats | Ints
) -> tuple[Floats, Floats]:
    """How many right labels fewer, and more, than believed may be taken for wrong: ends of a 95 % interval.

    Images whose label is known to be right are asked: `seen` of the A images would be accepted, believed are
    `E = A · h / R`, with `h = Σ_accepted q_i(given)` and `R = Σ_all q_i(given)`. The factor λ on h,
    `seen ~ Poisson(λE)` with an exponential prior of mean 1, is then `Gamma(seen + 1, E + 1)`: few images say
    little, and without any it is up to 3.7. A model that is far too sure takes h for next to nothing, and
    no factor helps; so the upper end is also no less than the median of `Gamma(seen) · R / A`.

    Args:
        belief: of the run.
        accepted: (…) numbers of accepted suggestions.
        kept: (…) h.
        seen: (…) see above.

    Returns:
        `(1 − λ_low) · h` and `(λ_high − 1) · h` or more, (…) each, not below 0.
    """
    all_right, images = max(float(np.nansum(belief.given_right)), 1e-9), len(belief.alarms)
    believed = images * kept / all_right
    low, high = (gamma.ppf(share, seen + 1, scale=1 / (believed + 1)) for share in (0.025, 0.975))
    surely = np.where(seen > 0, gamma.ppf(0.5, np.maximum(seen, 1e-3)), 0.0) * all_right / max(images, 1)
    more = np.maximum((high - 1) * kept, np.minimum(surely, accepted) - kept)
    some = np.asarray(accepted) > 0
    return np.where(some, np.maximum((1 - low) * kept, 0), 0.0), np.where(some, np.maximum(more, 0), 0.0)


def expect(
    belief: Belief, accepted: NDArray[np.bool_], undecided: NDArray[np.bool_] | None = None
) -> Expectation:
    """What it would do to take over the suggestions of some samples.

    With A the accepted ones, `Σ_A q_i(suggested)` of the suggestions are right and
    `before − Σ_A (q_i(suggested) − q_i(given))` labels are wrong afterwards. Intervals join the draws of the
    belief, the spread of counting (`Σ q (1 − q)`), and `alarms_beside`, in which as many images are seen as
    would be accepted if at each q(suggestion) the same share was.

    Args:
        belief: of the run.
        accepted: (N,); samples without a suggestion or a probability are not counted.
        undecided: (N,) samples whose labels are counted; None for all.
    """
    undecided = np.ones(len(belief.given_right), dtype=bool) if undecided is None else undecided
    chosen = accepted[belief.rows]
    right, kept = belief.right[chosen], belief.kept[chosen]
    number = int(chosen.sum())
    seen = _seen(belief, chosen)
    ends = alarms_beside(belief, np.array(number), np.array(kept.sum()), np.array(seen))
    fewer, more = (float(end) for end in ends)

    wrong = 1 - belief.given_right
    counted = np.where(undecided, wrong, np.nan)
    all_wrong = float(np.nansum(wrong))
    before = float(np.nansum(counted))
    before_draws = belief.before_draws * (before / all_wrong if all_wrong > 0 else 1.0)
    right_draws = belief.right_draws[:, chosen].sum(1, dtype=np.float64)
    gain_draws = right_draws - belief.kept_draws[:, chosen].sum(1, dtype=np.float64)
    mean_gain = float((right - kept).sum())

    by_right = float((right * (1 - right)).sum())
    by_gain = float((right + kept - (right - kept) ** 2).sum())
    by_before = float(np.nansum(counted * (1 - counted)))
    left = max(by_before - float((kept * (1 - kept)).sum()), 0.0) + by_right
    samples = float(np.isfinite(counted).sum())
    return Expectation(
        accepted=number,
        right=_interval(float(right.sum()), right_draws, by_right, more, fewer, (0, number)),
        before=_interval(before, before_draws, by_before, 0, 0, (0, samples)),
        after=_interval(before - mean_gain, before_draws - gain_draws, left, fewer, more, (0, samples)),
        gain=_interval(mean_gain, gain_draws, by_gain, 2 * more, 2 * fewer, (-number, number)),
    )


def _interval(
    value: float, draws: Floats, variance: float, below: float, above: float, bounds: tuple[float, float]
) -> Interval:
    """Ends of the draws, shifted by `below` and `above`, and widened by the spread of counting."""
    ends = np.quantile(draws, [0.025, 0.975])
    down, up = max(value - float(ends[0]), 0.0) + below, max(float(ends[1]) - value, 0.0) + above
    chance = _Z**2 * variance
    low, high = value - np.sqrt(down**2 + chance), value + np.sqrt(up**2 + chance)
    return Interval(value, float(max(low, bounds[0])), float(min(high, bounds[1])))


def _seen(belief: Belief, chosen: NDArray[np.bool_]) -> float:
    """How many images with a right label would be accepted, if of each q(suggestion) as many were."""
    alarms = belief.alarms[belief.alarms > 0]
    if not chosen.any() or not len(alarms):
        return 0.0
    edges = np.unique(np.quantile(belief.right, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, belief.right)
    total = np.bincount(bins, minlength=len(edges) + 1)
    share = np.bincount(bins, chosen, len(edges) + 1) / np.maximum(total, 1)
    return float(share[np.searchsorted(edges, alarms)].sum())


def precision_low(belief: Belief, order: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """Lower ends of precision and gain of the first 1, 2, … suggestions in an order that falls in `right`.

    The precision is the lowest of `mean q(suggested)` in 95 % of the draws, less what the upper
    `alarms_beside` adds, and at most what planted wrong labels allow: of those that would be accepted too,
    the upper end of Wilson's interval of the right suggestions.

    Args:
        belief: of the run.
        order: (n,) places in `belief.rows`.

    Returns:
        Precision (n,), and gain (n,), the number of wrong labels that there are fewer.
    """
    number = np.arange(1, len(order) + 1)
    right, kept = belief.right[order], belief.kept[order]
    sums = np.cumsum(belief.right_draws[:, order], axis=1, dtype=np.float64)
    gains = sums - np.cumsum(belief.kept_draws[:, order], axis=1, dtype=np.float64)
    low, gain = (np.quantile(values, 0.025, axis=0) for values in (sums, gains))
    harm = np.cumsum(kept)
    alarms = np.sort(belief.alarms)
    seen = len(alarms) - np.searchsorted(alarms, right, side="left")
    _, more = alarms_beside(belief, number, harm, seen)
    precision = (np.minimum(low, np.cumsum(right)) - more) / number
    cap = (1 - harm / number) * _planted_cap(belief, right)
    return np.minimum(precision, cap), np.minimum(gain, np.cumsum(right - kept)) - 2 * more


def _planted_cap(belief: Belief, cuts: Floats) -> Floats:
    """Highest share of right suggestions among wrong labels, at each cut on q(suggestion)."""
    order = np.argsort(belief.found)
    scores, hits = belief.found[order], belief.found_right[order]
    first = np.searchsorted(scores, cuts, side="left")
    first = np.minimum(first, max(len(hits) - _LEAST, 0))
    ends = np.array([_upper(int(hits[k:].sum()), len(hits) - k) for k in range(len(hits) + 1)])
    return ends[first]


def _upper(hits: int, total: int) -> float:
    return share_interval(hits, total).high if total else 1.0
