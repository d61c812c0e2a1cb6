"""Whether passes of lower precision rank samples as those of full precision do."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from scipy.stats import spearmanr

from fvm_core.diagonal.influence import DiagonalInfluence

AGREEMENT = 0.999
"""Rank correlation from which a lower precision may take the place of fp32."""


def rank_correlation(
    one: DiagonalInfluence, other: DiagonalInfluence, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]
) -> float:
    """Spearman's ρ of two estimators' influence on the same (images, labels) batches.

    1 where both give the same value to every sample.
    """
    pairs = [(one.score(*batch)[0].cpu(), other.score(*batch)[0].cpu()) for batch in batches]
    left, right = (torch.cat(values).numpy() for values in zip(*pairs, strict=True))
    return 1.0 if (left == right).all() else float(spearmanr(left, right).statistic)
