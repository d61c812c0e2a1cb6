"""Where scores agree and where they do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fvm_core.percentiles import percentiles

MOST = 100_000
"""Samples that correlations are computed from."""


def rank_agreement(suspicions: Sequence[np.ndarray]) -> np.ndarray:
    """(E, E) Spearman correlation between scores (N,) each, of at most `MOST` samples.

    Each pair takes the samples that both have rated; NaN where one of them is constant.
    """
    rows = _some(len(suspicions[0]))
    ranks = [percentiles(values[rows]) for values in suspicions]
    found = np.eye(len(ranks))
    for i, one in enumerate(ranks):
        for j, other in enumerate(ranks[:i]):
            both = np.isfinite(one) & np.isfinite(other)
            pair = [percentiles(values[both]) for values in (one, other)]
            known = both.sum() > 1 and all(values.std() > 0 for values in pair)
            found[i, j] = found[j, i] = np.corrcoef(*pair)[0, 1] if known else np.nan
    return found


def overlap(reference: np.ndarray, other: np.ndarray, points: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Numbers n (P,), and the share (P,) of the n most suspicious samples that two scores have in common.

    n grows evenly on a logarithmic axis from 10 to N.
    """
    count = len(reference)
    tops = np.unique(np.geomspace(min(10, count), count, points).round().astype(np.int64))
    places = [_places(values) for values in (reference, other)]
    # A sample is in both tops from the later of its two places on.
    later = np.sort(np.maximum(*places))
    return tops, np.searchsorted(later, tops, side="left") / tops


def disagreements(one: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """Rows whose percentiles differ most between two scores, the largest difference first."""
    gap = np.abs(percentiles(one) - percentiles(other))
    order = np.argsort(np.where(np.isfinite(gap), -gap, np.inf), kind="stable")
    return order[: min(count, int(np.isfinite(gap).sum()))]


def _places(suspicion: np.ndarray) -> np.ndarray:
    """0 for the most suspicious sample; those without a score come last."""
    order = np.argsort(np.where(np.isfinite(suspicion), -suspicion, np.inf), kind="stable")
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places


def _some(count: int) -> np.ndarray:
    if count <= MOST:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).permutation(count)[:MOST])
