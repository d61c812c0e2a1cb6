"""How given labels come from true ones: a transition between classes, estimated without true labels."""

from __future__ import annotations

import numpy as np

from fvm_core.acceptance.calibration import Floats, Ints

_PRIOR = 5.0
"""Samples' worth of prior in each row of the transition."""
_TOLERANCE = 1e-4
_TINY = 1e-300


def spread(share: float, classes: int) -> Floats:
    """(K, K) transition in which this share of every class is wrong, evenly over all other labels."""
    found = np.full((classes, classes), share / (classes - 1))
    np.fill_diagonal(found, 1 - share)
    return found


def scaled_noise(transition: Floats, factor: float) -> Floats:
    """The transition with its wrong labels `factor` times as frequent, at most 0.95 of any class."""
    noise = transition - np.diag(np.diag(transition))
    total = noise.sum(1, keepdims=True)
    noise *= np.minimum(factor, 0.95 / np.maximum(total, _TINY))
    return noise + np.diag(1 - noise.sum(1))


def fit_transition(
    kept: Floats,
    others: Floats,
    index: Ints,
    given: Ints,
    classes: int,
    *,
    weights: Floats | None = None,
    start: Floats | None = None,
    steps: int = 200,
) -> Floats:
    """C (K, K), C[k, g] the probability of the given label g for the true class k; rows sum to 1.

    Expectation maximisation of `Σ_i w_i log Σ_k p_i(k) C[k, g_i]` with a Dirichlet prior on each row that
    is worth five samples: `1 − ε` of it on the right label and ε over the others, ε being the share of
    wrong labels that C itself gives, at most a half. So a class with few samples has the noise of all, and
    keeps its name.

    Args:
        kept: (n, T) probabilities at the kept classes.
        others: (n,) of all others together, which are taken as even.
        index: (n, T) the kept classes, the given label among them.
        given: (n,) labels.
        classes: K ≥ 2.
        weights: (n,), None for 1 each.
        start: (K, K) where to begin; None for a fifth wrong in every class.
        steps: at most so many; it ends where nothing changes by 10⁻⁴.
    """
    weights = np.ones(len(given)) if weights is None else weights
    transition = spread(0.2, classes) if start is None else start
    cells = index * classes + given[:, None]
    flat = cells.ravel()
    short = bool((others > 0).any())
    for _ in range(steps):
        joint = kept * transition.ravel()[cells]
        total = joint.sum(1)
        far = others * _elsewhere(transition)[given] if short else 0.0
        factor = weights / np.maximum(total + far, _TINY)
        cell_counts: Floats = np.bincount(flat, (joint * factor[:, None]).ravel(), classes**2).astype(float)
        counts = cell_counts.reshape(classes, classes)
        if short:
            column = np.bincount(given, far * factor, classes) / (classes - 1)
            counts = counts + column - np.diag(column)
        wrong = float(np.clip(1 - np.trace(counts) / max(counts.sum(), _TINY), 1e-4, 0.5))
        counts = counts + _PRIOR * spread(wrong, classes)
        updated = counts / counts.sum(1, keepdims=True)
        change = np.abs(updated - transition).max()
        transition = updated
        if change < _TOLERANCE:
            break
    return transition


def posterior(kept: Floats, others: Floats, index: Ints, given: Ints, transition: Floats) -> Floats:
    """q_i(k) ∝ p_i(k) C[k, g_i] at the kept classes, (n, T)."""
    joint = kept * transition.ravel()[index * len(transition) + given[:, None]]
    total = joint.sum(1) + others * _elsewhere(transition)[given]
    found: Floats = joint / np.maximum(total, _TINY)[:, None]
    return found


def _elsewhere(transition: Floats) -> Floats:
    """(K,) mean probability of each label among the classes that it does not name."""
    found: Floats = (transition.sum(0) - np.diag(transition)) / (len(transition) - 1)
    return found
