"""Which of several classifiers to keep, and whether an average of two is better, by trusted images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, logsumexp
from scipy.stats import binomtest

from fvm_core.comparison.calibration import calibrated_loss, temperature

SHARES = (0.25, 0.5, 0.75)
"""Of the second classifier in an average, that are tried."""
_CHANCE = 0.05


@dataclass(frozen=True)
class Selection:
    """What trusted images say.

    Attributes:
        best: place of the classifier to keep.
        accuracies: share of trusted images that each gets right; losses: cross-entropy of each, in nats,
            after the best scaling of its logits.
        other: place of the one to average it with, None for none; share: of that one in the average.
        loss: of what is kept, the average where there is one; accuracy: likewise.
    """

    best: int
    accuracies: tuple[float, ...]
    losses: tuple[float, ...]
    other: int | None
    share: float
    loss: float
    accuracy: float


def select(logits: Sequence[np.ndarray], labels: np.ndarray) -> Selection:
    """Keep the classifier that gets most trusted images right; the first one in case of doubt.

    Accuracy on a few hundred images is coarse. All classifiers that are not worse than the most accurate
    one beyond chance (exact McNemar test, 5 %) stay in; of those the one with the smallest cross-entropy is
    kept, where it is smaller than that of the first by more than a standard error of the difference. With
    every other one the averages `(1 − w) p_best + w p_other` are tried, w in `SHARES`, and one is taken
    whose cross-entropy is smaller and which is right no less often.

    Args:
        logits: of each classifier (M, K), by models that have not seen the image.
        labels: (M,) right labels.
    """
    own = np.arange(len(labels))
    log_p = [_calibrated(one, labels) for one in logits]
    right = [one.argmax(1) == labels for one in log_p]
    losses = [-one[own, labels] for one in log_p]
    accuracies = [float(one.mean()) for one in right]
    means = [float(one.mean()) for one in losses]
    top = int(np.argmax(accuracies))
    near = [place for place in range(len(logits)) if not _beyond_chance(right[top], right[place])]
    best = min(near, key=lambda place: means[place])
    if best != 0 and 0 in near:
        gain = losses[0] - losses[best]
        if gain.mean() <= gain.std() / np.sqrt(len(labels)):
            best = 0
    kept: tuple[float, int | None, float, float] = (means[best], None, 0.0, accuracies[best])
    for place in range(len(logits)):
        if place == best:
            continue
        for share in SHARES:
            mixed = averaged(log_p[best], log_p[place], share)
            accuracy = float((mixed.argmax(1) == labels).mean())
            loss = calibrated_loss(mixed, labels)
            if loss < kept[0] and accuracy >= accuracies[best]:
                kept = (loss, place, share, accuracy)
    loss, other, share, accuracy = kept
    return Selection(best, tuple(accuracies), tuple(means), other, share, loss, accuracy)


def averaged(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """`log((1 − share) · p_first + share · p_second)` of log probabilities (…, K)."""
    found: np.ndarray = logsumexp(
        [first, second], axis=0, b=np.reshape([1 - share, share], (2,) + (1,) * first.ndim)
    )
    return found


def _calibrated(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = np.asarray(logits, dtype=np.float64)
    found: np.ndarray = log_softmax(temperature(logits, labels) * logits, axis=1)
    return found


def _beyond_chance(top: np.ndarray, other: np.ndarray) -> bool:
    """Whether the images that only one of the two gets right speak for the first."""
    won, lost = int((top & ~other).sum()), int((other & ~top).sum())
    return won > lost and float(binomtest(won, won + lost).pvalue) < _CHANCE
