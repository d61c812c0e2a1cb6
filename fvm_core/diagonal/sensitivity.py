"""How much the ranking of samples depends on the damping λ, which the paper leaves open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import spearmanr

from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.errors import SaltflatError

_TOP = 0.1
"""Share of the samples, most suspicious first, that is compared."""


@dataclass
class DampingSensitivity:
    """What other dampings would have made of the same samples; row i belongs to `factors[i]`.

    Attributes:
        factors: multiples of the estimator's own damping.
        damping: (n_factors,), λ as it is added to F.
        correlation: (n_factors,), Spearman's ρ of the scores with those at factor 1; NaN where all are equal.
        overlap: (n_factors,), share of the most suspicious 10 % at factor 1 that stays among them.
        scores: (n_factors, N) float32, influence.
    """

    factors: tuple[float, ...]
    damping: np.ndarray
    correlation: np.ndarray
    overlap: np.ndarray
    scores: np.ndarray


def damping_sensitivity(
    estimator: DiagonalInfluence,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    factors: Sequence[float] = (0.01, 0.1, 1, 10, 100),
) -> DampingSensitivity:
    """Score the same samples with multiples of the damping; the estimator keeps its own.

    Args:
        estimator: after `fit()` or `use_fisher()`.
        batches: (images, labels), iterated once.
        factors: multiples of `estimator.damping`, 1 among them.

    Raises:
        SaltflatError: no Fisher information, no samples, or Fisher entries of 0 with a damping of 0.
        ValueError: 1 is not among the factors.
    """
    factors = tuple(factors)
    if 1 not in factors:
        raise ValueError(f"The factors {factors} need 1 among them, with which the others are compared.")
    if not estimator.fisher:
        raise SaltflatError("There is no Fisher information yet: call fit() with the validation set first.")
    device = next(iter(estimator.fisher.values())).device
    own, damping = estimator.damping, np.empty(len(factors))
    rows: list[list[torch.Tensor]] = [[] for _ in factors]
    try:
        for images, labels in batches:
            images, labels = images.to(device), labels.to(device)
            for place, factor in enumerate(factors):
                estimator.damping = own * factor
                estimator.use_fisher(estimator.fisher)
                damping[place] = estimator.effective_damping()
                rows[place].append(estimator.score(images, labels)[0].cpu())
    finally:
        estimator.damping = own
        estimator.use_fisher(estimator.fisher)
    if not rows[0]:
        raise SaltflatError("There are no samples to compare the dampings on.")
    scores = np.stack([torch.cat(row).float().numpy() for row in rows])
    reference = scores[factors.index(1)]
    return DampingSensitivity(
        factors,
        damping,
        np.array([_correlation(row, reference) for row in scores]),
        np.array([_overlap(row, reference) for row in scores]),
        scores,
    )


def _correlation(scores: np.ndarray, reference: np.ndarray) -> float:
    if np.ptp(scores) == 0 or np.ptp(reference) == 0:
        return float("nan")
    return float(spearmanr(scores, reference).statistic)


def _overlap(scores: np.ndarray, reference: np.ndarray) -> float:
    count = max(1, round(_TOP * len(reference)))
    top, wanted = (np.argsort(-values, kind="stable")[:count] for values in (scores, reference))
    return len(np.intersect1d(top, wanted)) / count
