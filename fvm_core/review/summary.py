"""What the Scores screen draws, as small tables: their size does not grow with the number of samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from fvm_core.data.dataset import UNKNOWN

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Lower whisker, box, median, box, upper whisker."""


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal width on a logarithmic axis, or on a linear one for scores with signs.

    Attributes:
        edges: (B + 1,) bin edges, all above 0 where the axis is logarithmic.
        counts: (G, B) samples of each group in each bin.
        below: (G,) samples at or below 0, which a logarithmic axis can't show.
        log: which axis it is.
    """

    edges: np.ndarray
    counts: np.ndarray
    below: np.ndarray
    log: bool = True


@dataclass(frozen=True)
class Flow:
    """How many samples would move from each given to each suggested label.

    Attributes:
        labels: k class indices that rows and columns stand for, in class order.
        counts: (k, k), given × suggested.
        left_out: moves that concern classes outside `labels`.
    """

    labels: np.ndarray
    counts: np.ndarray
    left_out: int


@dataclass(frozen=True)
class RankingCurves:
    """ROC and precision-recall of "suspicion finds wrong labels", thinned for drawing.

    Attributes:
        fpr / tpr: false and true positive rate.
        recall / precision: of the samples above each threshold.
        roc_auc / average_precision: computed from all samples, not from the thinned curves.
        wrong / total: samples with a wrong label, samples with known truth and a score.
    """

    fpr: np.ndarray
    tpr: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    roc_auc: float
    average_precision: float
    wrong: int
    total: int


def box_statistics(
    steps: np.ndarray, values: np.ndarray, groups: np.ndarray | None = None, n_groups: int = 1
) -> pd.DataFrame:
    """Quantiles of the scores at each saved step and in each group.

    Args:
        steps: (S,) saved steps.
        values: (S, N) scores; NaN are left out.
        groups: (N,) group of each sample, negative for none; None puts all into group 0.
        n_groups: number of groups.

    Returns:
        `step, group, low, q1, median, q3, high, count`; the whiskers are the 5 % and 95 % quantiles.
        Groups without samples have no row.
    """
    members = [slice(None)] if groups is None else [np.flatnonzero(groups == k) for k in range(n_groups)]
    rows = []
    for step, row in zip(steps, values, strict=True):
        for group, member in enumerate(members):
            part = row[member]
            part = part[np.isfinite(part)]
            if len(part):
                rows.append((int(step), group, *np.quantile(part, QUANTILES), len(part)))
    return pd.DataFrame(rows, columns=["step", "group", "low", "q1", "median", "q3", "high", "count"])


def histogram(
    values: np.ndarray, groups: np.ndarray | None = None, n_groups: int = 1, bins: int = 64
) -> Histogram:
    """Counts of positive values in `bins` logarithmic bins, by group; NaN are left out.

    Where values are below 0 the bins are of equal width, from the 0.1 % to the 99.9 % quantile, and the
    outermost ones take what lies beyond.
    """
    groups = np.zeros(len(values), dtype=np.int64) if groups is None else groups
    finite = np.isfinite(values) & (groups >= 0)
    if (values[finite] < 0).any():
        low, high = np.quantile(values[finite], [0.001, 0.999])
        edges = np.linspace(low, high if high > low else low + 1, bins + 1)
        counts = _binned(values[finite], groups[finite], edges, n_groups)
        return Histogram(edges, counts, np.zeros(n_groups, dtype=np.int64), log=False)
    positive = finite & (values > 0)
    if positive.any():
        low, high = float(values[positive].min()), float(values[positive].max())
    else:
        low = high = 1.0
    if not low < high:
        low, high = low / 2, high * 2
    # Far below the median lie a few samples that would squeeze the rest to one side.
    if positive.any():
        low = max(low, float(np.quantile(values[positive], 0.001)) / 2)
    edges = np.geomspace(low, high, bins + 1)
    below = np.bincount(groups[finite & ~positive], minlength=n_groups)
    return Histogram(edges, _binned(values[positive], groups[positive], edges, n_groups), below)


def _binned(values: np.ndarray, groups: np.ndarray, edges: np.ndarray, n_groups: int) -> np.ndarray:
    """(G, B) counts; values outside go to the outermost bins."""
    bins = len(edges) - 1
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
    return np.bincount(groups * bins + place, minlength=n_groups * bins).reshape(n_groups, bins)


def threshold_at(suspicion: np.ndarray, percentile: np.ndarray, above: float) -> tuple[float, int]:
    """Least suspicion among samples at or above a percentile, and how many they are; NaN if none."""
    chosen = percentile >= above
    number = int(chosen.sum())
    return (float(np.min(suspicion[chosen])) if number else float("nan")), number


def class_flow(
    given: np.ndarray, suggested: np.ndarray, chosen: np.ndarray, n_classes: int, most: int = 30
) -> Flow:
    """Count given × suggested among the chosen samples.

    Args:
        given: (N,) class indices; samples with `UNKNOWN` are not counted.
        suggested: (N,) class indices, likewise.
        chosen: (N,) which samples count.
        n_classes: K.
        most: with more classes only those with the most moves are kept.
    """
    use = chosen & (given != UNKNOWN) & (suggested != UNKNOWN)
    moves, number = np.unique(given[use].astype(np.int64) * n_classes + suggested[use], return_counts=True)
    source, target = moves // n_classes, moves % n_classes
    labels = np.arange(n_classes)
    if n_classes > most:
        weight = np.zeros(n_classes, dtype=np.int64)
        off = source != target
        np.add.at(weight, source[off], number[off])
        np.add.at(weight, target[off], number[off])
        labels = np.sort(np.argsort(-weight, kind="stable")[:most])
    place = np.full(n_classes, -1)
    place[labels] = np.arange(len(labels))
    inside = (place[source] >= 0) & (place[target] >= 0)
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    counts[place[source[inside]], place[target[inside]]] = number[inside]
    return Flow(labels, counts, int(number[~inside].sum()))


def roc_and_pr_curves(suspicion: np.ndarray, wrong: np.ndarray, points: int = 400) -> RankingCurves | None:
    """Curves and areas of "large suspicion = wrong label".

    Args:
        suspicion: (N,) scores, NaN left out.
        wrong: (N,) bool.
        points: at most about this many points a curve.

    Returns:
        None when all labels are right or all are wrong, as there is nothing to tell apart then.
    """
    known = np.isfinite(suspicion)
    scores, hit = suspicion[known], wrong[known].astype(bool)
    positives, total = int(hit.sum()), len(hit)
    if positives in (0, total):
        return None
    order = np.argsort(-scores, kind="stable")
    # One point a distinct score: samples with equal scores come above the threshold together.
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    found = np.cumsum(hit[order])[last].astype(np.float64)
    taken = last + 1.0
    tpr = np.concatenate([[0.0], found / positives])
    fpr = np.concatenate([[0.0], (taken - found) / (total - positives)])
    recall, precision = found / positives, found / taken
    area = float(np.sum(np.diff(fpr) * (tpr[1:] + tpr[:-1]) / 2))
    average = float(np.sum(np.diff(np.concatenate([[0.0], recall])) * precision))
    roc, pr = _thinned(fpr, tpr, points), _thinned(recall, precision, points)
    return RankingCurves(fpr[roc], tpr[roc], recall[pr], precision[pr], area, average, positives, total)


def class_counts(codes: np.ndarray, n_classes: int) -> np.ndarray:
    """(K,) samples of each class; `UNKNOWN` is not counted."""
    return np.bincount(codes[codes >= 0], minlength=n_classes)


def _thinned(x: np.ndarray, y: np.ndarray, points: int) -> np.ndarray:
    """Indices of points evenly spaced along the drawn length of a curve, ends included."""
    if len(x) <= points:
        return np.arange(len(x))
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    wanted = np.linspace(0, length[-1], points)
    return np.unique(np.append(np.searchsorted(length, wanted), [0, len(x) - 1]).clip(0, len(x) - 1))
