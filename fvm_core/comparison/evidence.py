"""How sure one can be of a score: intervals on planted samples and decisions, and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from fvm_core.comparison.choice import OWN
from fvm_core.comparison.collect import Scored

_Z = float(norm.ppf(0.975))
_DRAWS = 500
_BESIDE = 1e-9
LEAST_WRONG = 10
"""Planted wrong labels below which nothing is recommended."""


@dataclass(frozen=True)
class Interval:
    """A share with its 95 % interval; all three are NaN where nothing is known."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there was anything to measure."""
        return bool(np.isfinite(self.value))


NOTHING = Interval(np.nan, np.nan, np.nan)


def roc_auc_interval(suspicion: np.ndarray, wrong: np.ndarray) -> Interval:
    """ROC AUC with Newcombe's score interval (2006, method 5), which is of use at an area of 1 too.

    The bounds are the areas θ with `|θ − A| = 1.96 √V(θ)`, Hanley and McNeil's variance V with m and n,
    the numbers of wrong and right labels, replaced by their mean in its two covariance terms.

    Args:
        suspicion: (Q,) large = suspicious; NaN are left out.
        wrong: (Q,) bool.
    """
    rated = np.isfinite(suspicion)
    suspicion, wrong = suspicion[rated], wrong[rated]
    m, n = int(wrong.sum()), int((~wrong).sum())
    if not m or not n:
        return NOTHING
    area = float(roc_auc_score(wrong, suspicion))
    half = (m + n) / 2 - 1

    def variance(theta: float) -> float:
        spread = 1 + half * (1 - theta) / (2 - theta) + half * theta / (1 + theta)
        return theta * (1 - theta) * spread / (m * n)

    def gap(theta: float) -> float:
        return (area - theta) ** 2 - _Z**2 * variance(theta)

    # The gap is positive at 0 and 1 and negative at the area, or right beside it where that is 0 or 1.
    low = brentq(gap, 0.0, min(area, 1 - _BESIDE)) if area > 0 else 0.0
    high = brentq(gap, max(area, _BESIDE), 1.0) if area < 1 else 1.0
    return Interval(area, float(low), float(high))


def average_precision_interval(suspicion: np.ndarray, wrong: np.ndarray) -> Interval:
    """Average precision with the percentile interval of a bootstrap within right and wrong labels."""
    rated = np.isfinite(suspicion)
    suspicion, wrong = suspicion[rated], wrong[rated]
    if wrong.all() or not wrong.any():
        return NOTHING
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(wrong), np.flatnonzero(~wrong)]
    drawn = []
    for _ in range(_DRAWS):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        drawn.append(average_precision_score(wrong[rows], suspicion[rows]))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(average_precision_score(wrong, suspicion)), float(low), float(high))


def share_interval(hits: int, total: int) -> Interval:
    """`hits/total` with Wilson's interval."""
    if total == 0:
        return NOTHING
    share, z2 = hits / total, _Z**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z * np.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return Interval(share, float(middle - half), float(middle + half))


def decided_precision(suspicion: np.ndarray, state: pd.DataFrame, top: int) -> tuple[Interval, int]:
    """Share of wrong labels among the decided samples in a score's top, and how many were decided.

    Relabelled and excluded samples count as wrong, kept ones as right, unsure ones not at all. People
    decide on what the review shows them first, so this covers only what they have seen.

    Args:
        suspicion: (N,).
        state: from `DecisionStore.state`.
        top: how many of the most suspicious samples.
    """
    order = np.argsort(np.where(np.isfinite(suspicion), -suspicion, np.inf), kind="stable")
    seen = state[state["state"].isin(["relabelled", "excluded", "kept"])]
    seen = seen[np.isin(seen.index.to_numpy(), order[:top])]
    hits = int((seen["state"] != "kept").sum())
    return share_interval(hits, len(seen)), len(seen)


@dataclass(frozen=True)
class Recommendation:
    """The score that is recommended for the review, None without enough evidence, and why."""

    name: str | None
    reason: str


def recommend(scores: Sequence[Scored], wrong: np.ndarray, in_training: bool) -> Recommendation:
    """The winner by ROC AUC on planted wrong labels; true labels are never used for it.

    Args:
        scores: all of the run.
        wrong: (Q,) which planted samples have a wrong label.
        in_training: whether θ* has learnt the planted samples; where it has not, scores of θ* look better
            on them than they are and are left out.
    """
    count = int(wrong.sum())
    if not len(wrong):
        return Recommendation(
            None, "No wrong labels were planted in this run, so nothing can be recommended."
        )
    if count < LEAST_WRONG or len(wrong) - count < LEAST_WRONG:
        return Recommendation(
            None,
            f"Only {count} planted samples are wrong and {len(wrong) - count} right; below {LEAST_WRONG} of "
            f"each chance decides. Bring more trusted labels, or plant a larger share.",
        )
    rated = [
        one
        for one in scores
        if len(one.planted) == len(wrong) and (in_training or not one.about.trained_only)
    ]
    areas = {one.about.name: roc_auc_interval(one.planted, wrong) for one in rated}
    titles = {one.about.name: one.about.title for one in rated}
    areas = {name: area for name, area in areas.items() if area.known}
    if not areas:
        return Recommendation(None, "No score was measured on the planted samples.")
    best = max(areas, key=lambda name: (areas[name].value, name == OWN))
    own = areas.get(OWN)
    if best != OWN and own is not None and own.value == areas[best].value:
        best = OWN
    equal = sum(area.value == areas[best].value for area in areas.values()) - 1
    shown = f"{titles[best]} finds the {count} planted wrong labels best: ROC AUC {areas[best].value:.3f} "
    shown += f"({areas[best].low:.3f} to {areas[best].high:.3f})"
    shown += f", as {equal} other{'s do' if equal > 1 else ' does'}." if equal else "."
    if best != OWN and own is not None:
        overlap = own.high >= areas[best].low
        shown += f" The influence has {own.value:.3f} ({own.low:.3f} to {own.high:.3f})"
        shown += ", so the two can't be told apart by this." if overlap else "."
    if not in_training:
        shown += " Scores of the trained model are left out: it has never seen the planted samples."
    return Recommendation(best, shown)
