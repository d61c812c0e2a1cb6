"""Class probabilities with only the likely classes of each sample kept: 1,000 classes cost as 16 do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fvm_core.acceptance.calibration import Floats, Ints, log_probabilities

KEPT = 16
"""Classes kept of a sample, beside those that are asked for; where there are no more, all are."""

_ENTRIES = 4_000_000
"""Probabilities looked at in one go."""


@dataclass(frozen=True)
class Likely:
    """p_i(k) of n samples at T kept classes, and what all other classes have together.

    Attributes:
        classes: K, of all.
        index: (n, T) kept classes, each once a row.
        log_p: (n, T) their log-probabilities.
        tail: (n,) log of the sum of the others' probabilities; −inf where none are left out.
        slope: (n,) mean log-probability of the others, weighted by themselves: d tail / d scale.
    """

    classes: int
    index: Ints
    log_p: Floats
    tail: Floats
    slope: Floats

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: Ints) -> Likely:
        """Some of the samples."""
        return Likely(self.classes, self.index[rows], self.log_p[rows], self.tail[rows], self.slope[rows])

    def scaled(self, scale: float = 1.0) -> tuple[Floats, Floats]:
        """Probabilities `∝ p^scale` at the kept classes (n, T), and of all others together (n,).

        The others follow to first order in the scale.
        """
        logits = scale * self.log_p
        tail = self.tail + (scale - 1) * self.slope
        most = np.maximum(logits.max(1), tail)
        kept, others = np.exp(logits - most[:, None]), np.exp(tail - most)
        total = kept.sum(1) + others
        return kept / total[:, None], others / total

    def place(self, labels: Ints) -> Ints:
        """(n,) the column that holds each sample's label, which has been asked for."""
        found: Ints = (self.index == labels[:, None]).argmax(1)
        return found


def likely(probabilities: Floats, scale: float, *asked: Ints) -> Likely:
    """Probabilities (n, K) in short form, `∝ p^scale`.

    Args:
        probabilities: (n, K), rows sum to 1.
        scale: from `fit_scale`.
        asked: (n,) classes that are kept of each sample however unlikely; −1 asks for none.
    """
    count, classes = probabilities.shape
    step = max(1, _ENTRIES // classes)
    parts = [
        _part(probabilities[start : start + step], scale, [labels[start : start + step] for labels in asked])
        for start in range(0, max(count, 1), step)
    ]
    return Likely(classes, *(np.concatenate(values) for values in zip(*parts, strict=True)))


def _part(probabilities: Floats, scale: float, asked: list[Ints]) -> tuple[Ints, Floats, Floats, Floats]:
    log_p = scale * log_probabilities(probabilities)
    log_p -= log_p.max(1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    count, classes = log_p.shape
    width = KEPT + len(asked)
    if classes <= width:
        index = np.broadcast_to(np.arange(classes, dtype=np.int64), log_p.shape)
        return index, log_p, np.full(count, -np.inf), np.zeros(count)
    rows = np.arange(count)
    lifted = log_p.copy()
    for labels in asked:
        there = labels >= 0
        lifted[rows[there], labels[there]] = np.inf
    index = np.argpartition(-lifted, width - 1, axis=1)[:, :width].astype(np.int64)
    kept = np.take_along_axis(log_p, index, 1)
    others = np.exp(log_p)
    np.put_along_axis(others, index, 0.0, 1)
    total = np.maximum(others.sum(1), np.finfo(np.float64).tiny)
    return index, kept, np.log(total), (others * log_p).sum(1) / total
