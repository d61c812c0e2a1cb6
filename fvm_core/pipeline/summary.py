"""The numbers that a finished run opens with."""

from __future__ import annotations

import numpy as np


def summarise(
    suspicion: np.ndarray, suggested: np.ndarray, given: np.ndarray, p_given: np.ndarray
) -> dict[str, float]:
    """How many labels are probably wrong, and the default threshold on the suspicion.

    `estimated_wrong` is `Σ (1 − p(given))` under the tuned model: the expected number of wrong labels if
    its probabilities are right. `threshold` flags as many samples as that, the most suspicious ones.
    Seen where the truth was known: 344 of 1,200 digits flagged, 99 % of them wrong, 95 % of the wrong
    ones found; 3,187 of 5,000 CIFAR-10N images flagged, 56 % and 86 %. Splitting the histogram in two
    (Otsu) flagged 427 and 4,215 there.

    Args:
        suspicion: (N,), large = suspicious, NaN where there is no score.
        suggested: (N,) class indices.
        given: (N,) class indices.
        p_given: (N,) probability of the given label, NaN where there is none.

    Returns:
        `threshold`, `flagged` (samples above it), `suggested_relabels`, `estimated_wrong`.
    """
    scored = np.isfinite(suspicion)
    expected = float(np.nansum(1 - p_given))
    ranked = np.sort(suspicion[scored])[::-1]
    count = min(round(expected), len(ranked))
    threshold = float(ranked[count]) if count < len(ranked) else 0.0
    return {
        "threshold": threshold,
        "flagged": int((ranked > threshold).sum()),
        "suggested_relabels": int((scored & (suggested != given)).sum()),
        "estimated_wrong": expected,
    }
