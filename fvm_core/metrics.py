"""How well scores find wrong labels, where the true ones are known. All values are fractions."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score


def detection(suspicion: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """ROC AUC and average precision of `suspicion` (large = suspicious) for finding `wrong` labels.

    Args:
        suspicion: (N,), rows with NaN are left out.
        wrong: (N,) bool, given label differs from the true one.

    Returns:
        `roc_auc` and `average_precision`; empty when only one kind of label is present.
    """
    scored = np.isfinite(suspicion)
    suspicion, wrong = suspicion[scored], wrong[scored]
    if len(np.unique(wrong)) < 2:
        return {}
    return {
        "roc_auc": float(roc_auc_score(wrong, suspicion)),
        "average_precision": float(average_precision_score(wrong, suspicion)),
    }


def relabelling(suggested: np.ndarray, given: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Share of suggested labels that are the true ones, over all samples and over the mislabelled ones.

    Args:
        suggested: (N,) class indices, negative where there is none (left out).
        given: (N,) likewise.
        true: (N,) likewise.
    """
    known = (suggested >= 0) & (true >= 0)
    wrong = known & (given != true)
    found = {}
    if known.any():
        found["relabel_accuracy_all"] = float((suggested == true)[known].mean())
    if wrong.any():
        found["relabel_accuracy_mislabelled"] = float((suggested == true)[wrong].mean())
    return found
