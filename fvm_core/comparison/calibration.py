"""How well logits fit labels, whatever their scale."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_LEAST, _MOST = np.log(0.02), np.log(50.0)


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The factor s > 0 with the smallest mean of `−log softmax(s · logits)` at the labels.

    A model that was trained on noisy labels is less sure than it could be, one that has memorised them is
    surer; neither changes which of two models knows more.

    Args:
        logits: (M, K).
        labels: (M,) class indices.
    """

    def loss(log_scale: float) -> float:
        return _loss(np.exp(log_scale) * logits, labels)

    return float(np.exp(minimize_scalar(loss, bounds=(_LEAST, _MOST), method="bounded").x))


def calibrated_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean cross-entropy (M,) after `temperature`, in nats."""
    logits = np.asarray(logits, dtype=np.float64)
    return _loss(temperature(logits, labels) * logits, labels)


def _loss(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())
