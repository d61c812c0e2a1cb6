"""Which score the review ranks by when nobody has said: by planted wrong labels, else by a default."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import roc_auc_score

from fvm_core.comparison.choice import Choice
from fvm_core.comparison.collect import Scored
from fvm_core.comparison.evidence import LEAST_WRONG, roc_auc_interval

DEFAULTS = ("crossfit_wrong", "crossfit_loss", "tuned_loss", "fvm")
"""The first of these that a run has is its default. On features of CIFAR-10N the probability of a wrong label
ranked best at every noise level, then the loss of the same models; with small networks the loss of the tuned
model ranked better than its influence (benchmarks/results)."""

_DRAWS = 1000
_SURE = 0.025


def decide(scores: Sequence[Scored], wrong: np.ndarray, in_training: bool) -> Choice:
    """The default, unless another score finds the planted wrong labels better beyond chance.

    The difference of two areas under the ROC curve is judged by a paired bootstrap within right and wrong
    labels: another score wins where it is better in 97.5 % of the draws. True labels are never used.

    Args:
        scores: all of the run; those of other tools and of other trainings take no part.
        wrong: (Q,) which planted samples have a wrong label; empty where there are none.
        in_training: whether θ* has learnt the planted samples; where it has not, scores of θ* look better on
            them than they are and are left out.
    """
    by_name = {one.about.name: one for one in scores if not one.about.external}
    name = next(name for name in (*DEFAULTS, *by_name) if name in by_name)
    title = by_name[name].about.title
    count = int(wrong.sum())
    if count < LEAST_WRONG or len(wrong) - count < LEAST_WRONG:
        planted = (
            "no wrong labels were planted" if not len(wrong) else f"{count} planted wrong labels are too few"
        )
        return Choice(name, f"Ranked by {title}, the default: {planted} to measure which score is best here.")
    rated = {
        key: one.planted
        for key, one in by_name.items()
        if len(one.planted) == len(wrong)
        and np.isfinite(one.planted).all()
        and (in_training or not one.about.trained_only)
    }
    if name not in rated:
        return Choice(name, f"Ranked by {title}, the default: it was not measured on planted wrong labels.")
    areas = {key: float(roc_auc_score(wrong, values)) for key, values in rated.items()}
    better = [key for key in rated if areas[key] > areas[name] and _surely(rated[key], rated[name], wrong)]
    best = max(better, key=lambda key: areas[key], default=name)
    own = roc_auc_interval(rated[best], wrong)
    measured = f"ROC AUC {own.value:.3f} ({own.low:.3f} to {own.high:.3f}) on {count} planted wrong labels"
    if best == name:
        return Choice(name, f"Ranked by {title}: {measured}; no other score is better beyond chance.")
    return Choice(
        best,
        f"Ranked by {by_name[best].about.title}: {measured}, where the default, {title}, has "
        f"{areas[name]:.3f}.",
    )


def _surely(first: np.ndarray, second: np.ndarray, wrong: np.ndarray) -> bool:
    """Whether the first is better in nearly all draws of the planted samples."""
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(wrong), np.flatnonzero(~wrong)]
    lost = 0
    for _ in range(_DRAWS):
        rows = np.concatenate([rng.choice(group, len(group)) for group in groups])
        gain = roc_auc_score(wrong[rows], first[rows]) - roc_auc_score(wrong[rows], second[rows])
        lost += gain <= 0
    return lost < _SURE * _DRAWS
