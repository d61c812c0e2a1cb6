"""The numbers that a finished run opens with."""

from __future__ import annotations

import numpy as np


def otsu_threshold(values: np.ndarray, bins: int = 256) -> float:
    """Threshold that splits a histogram into the two groups with the least variance within (Otsu 1979)."""
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1:][np.nanargmax(np.where(above > 0, between, np.nan))])


def summarise(
    influence: np.ndarray, suggested: np.ndarray, given: np.ndarray, p_given: np.ndarray
) -> dict[str, float]:
    """Default threshold on the suspicion, and how many samples it and the suggestions concern.

    `threshold` is Otsu's on log10 of the influence; `estimated_wrong` is `Σ (1 − p(given))` under the
    tuned model, the expected number of wrong labels if its probabilities are right.
    """
    scored = np.isfinite(influence) & (influence > 0)
    if scored.sum() < 2 or np.ptp(np.log10(influence[scored])) == 0:
        threshold = float(np.nanmax(influence, initial=0.0))
    else:
        threshold = 10 ** otsu_threshold(np.log10(influence[scored]))
    rated = np.isfinite(influence)
    return {
        "threshold": threshold,
        "flagged": int((influence[rated] > threshold).sum()),
        "suggested_relabels": int((rated & (suggested != given)).sum()),
        "estimated_wrong": float(np.nansum(1 - p_given)),
    }
