"""What is believed of every suggestion: how probably it is right, and how far that itself may be off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fvm_core.acceptance.calibration import Floats, Ints, fit_scale, log_probabilities
from fvm_core.acceptance.label_noise import fit_transition, posterior, scaled_noise, spread
from fvm_core.acceptance.likely import Likely, likely

DRAWS, FEWER_DRAWS, MANY_CLASSES = 60, 40, 200
"""With many classes each draw takes longer, and there are fewer."""
_STEPS, _CLEAN_STEPS = 10, 5
_ROWS = 20_000
_A_CLASS = 50
_IN_A_DRAW, _A_CLASS_IN_A_DRAW = 6_000, 20
"""Samples that a transition is estimated from: these, or so many a class where there are many classes."""


@dataclass(frozen=True)
class Belief:
    """The posterior of the suggestions of a run.

    Attributes:
        given_right: (N,) q_i(given label); NaN where a sample has no label or no probabilities.
        before_draws: (D,) expected number of wrong labels.
        rows: (n,) samples with a suggestion that differs from the given label.
        right: (n,) q_i(suggested label).
        kept: (n,) q_i(given label).
        right_draws: (D, n) of `right`.
        kept_draws: (D, n) of `kept`.
        transition: (K, K) see `fit_transition`.
        spurious: share of wrong labels that the same estimate finds among the trusted images.
        alarms: (A,) q(suggestion) of images whose label is known to be right.
        found: (W,) q(suggestion) of planted wrong labels.
        found_right: (W,) whether that suggestion is the true label.
    """

    given_right: Floats
    before_draws: Floats
    rows: Ints
    right: Floats
    kept: Floats
    right_draws: Floats
    kept_draws: Floats
    transition: Floats
    spurious: float
    alarms: Floats
    found: Floats
    found_right: NDArray[np.bool_]

    @property
    def before(self) -> float:
        """Expected number of wrong labels, `Σ (1 − q_i(given))`."""
        return float(np.nansum(1 - self.given_right))


@dataclass(frozen=True)
class Planted:
    """Planted images: probabilities (Q, K), the labels that they play (Q,) and their true ones (Q,)."""

    probabilities: Floats
    given: Ints
    true: Ints


def believe(
    probabilities: Floats,
    given: Ints,
    suggested: Ints,
    trusted: Floats,
    trusted_labels: Ints,
    *,
    planted: Planted | None = None,
    draws: int | None = None,
    seed: int = 0,
) -> Belief:
    """Posterior of the suggestions: `q_i(k) ∝ p_i(k) C[k, g_i]`, p scaled on the trusted images.

    What it may be off by is drawn: each draw weighs the trusted images anew (Bayesian bootstrap), fits the
    scale again and the transition on some samples drawn anew. Then every second draw takes wrong labels for
    rarer, the others for more frequent, by the share σ that the same estimate finds among the trusted images,
    where none is wrong: noise is multiplied by `1 ∓ σ/π`, π the estimated share of wrong labels. For a model
    which is a little off for some class takes right labels for wrong ones; and where wrong labels are common
    among images that are hard to tell apart, there are more than the estimate can see. The draws with rarer
    wrong labels also count one more trusted image on which the model errs.

    Args:
        probabilities: (N, K) of models that have not seen the sample's label; NaN rows are left out.
        given: (N,) labels, −1 for none.
        suggested: (N,) suggested labels, −1 for none.
        trusted: (M, K) of models that have not seen that image.
        trusted_labels: (M,) right labels.
        planted: images of known truth that were treated as training ones.
        draws: D; None for 60, or 40 where there are more than 200 classes.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    classes = trusted.shape[1]
    if draws is None:
        draws = DRAWS if classes <= MANY_CLASSES else FEWER_DRAWS
    scale = fit_scale(log_probabilities(trusted), trusted_labels)
    usable = np.flatnonzero((given >= 0) & np.isfinite(probabilities).all(1))
    short = likely(probabilities[usable], scale, given[usable], suggested[usable])
    clean = likely(trusted, scale, trusted_labels)
    labels, wanted = given[usable], suggested[usable]
    places = np.arange(len(usable)), short.place(labels)
    chosen = np.flatnonzero((wanted >= 0) & (wanted != labels))
    picked = chosen, short.take(chosen).place(wanted[chosen])

    some = _some(rng, len(usable), max(_ROWS, _A_CLASS * classes))
    kept, others = short.scaled()
    transition = fit_transition(kept[some], others[some], short.index[some], labels[some], classes)
    base = posterior(kept, others, short.index, labels, transition)
    given_right = np.full(len(given), np.nan)
    given_right[usable] = base[places]

    spurious, clean_transition = _spurious(clean, trusted_labels, spread(0.1, classes), steps=100)
    right_draws = np.empty((draws, len(chosen)), dtype=np.float32)
    kept_draws = np.empty((draws, len(chosen)), dtype=np.float32)
    before = np.empty(draws)
    drawn_rows = max(_IN_A_DRAW, _A_CLASS_IN_A_DRAW * classes)
    for draw in range(draws):
        weights = rng.exponential(size=len(trusted_labels))
        rare = draw % 2 == 1
        again = _scale_again(rng, clean, trusted_labels, weights, one_more=rare)
        kept, others = short.scaled(again)
        rows = some[rng.integers(len(some), size=min(len(some), drawn_rows))]
        found = fit_transition(
            kept[rows], others[rows], short.index[rows], labels[rows], classes, start=transition, steps=_STEPS
        )
        share = 1 - posterior(kept, others, short.index, labels, found)[places].mean()
        doubted, _ = _spurious(clean, trusted_labels, clean_transition, again, weights)
        off = doubted / max(float(share), 1e-9)
        found = scaled_noise(found, max(0.0, 1 - off) if rare else 1 + off)
        drawn = posterior(kept, others, short.index, labels, found)
        right_draws[draw], kept_draws[draw] = drawn[picked], drawn[places][chosen]
        before[draw] = (1 - drawn[places]).sum()

    alarms, _ = _suggestion(clean, trusted_labels, transition)
    found_at, found_right = np.empty(0), np.empty(0, dtype=bool)
    if planted is not None:
        there = np.isfinite(planted.probabilities).all(1) & (planted.given >= 0) & (planted.true >= 0)
        played, true = planted.given[there], planted.true[there]
        scores, best = _suggestion(likely(planted.probabilities[there], scale, played), played, transition)
        wrong = played != true
        alarms = np.concatenate([alarms, scores[~wrong]])
        found_at, found_right = scores[wrong], best[wrong] == true[wrong]
    return Belief(
        given_right=given_right,
        before_draws=before,
        rows=usable[chosen],
        right=base[picked],
        kept=base[places][chosen],
        right_draws=right_draws,
        kept_draws=kept_draws,
        transition=transition,
        spurious=spurious,
        alarms=alarms,
        found=found_at,
        found_right=found_right,
    )


def _scale_again(
    rng: np.random.Generator, clean: Likely, labels: Ints, weights: Floats, one_more: bool
) -> float:
    """The scale with other weights; with `one_more` as if one more image, of the second class, had been seen.

    Without that, few images which the model all gets right would let it be as sure as it says.
    """
    own = clean.place(labels)
    if not one_more:
        return fit_scale(clean.log_p, own, weights)
    image = int(rng.integers(len(labels)))
    others = clean.log_p[image].copy()
    others[own[image]] = -np.inf
    log_p = np.concatenate([clean.log_p, clean.log_p[image : image + 1]])
    return fit_scale(log_p, np.append(own, others.argmax()), np.append(weights, 1.0))


def _some(rng: np.random.Generator, count: int, most: int) -> Ints:
    rows: Ints = np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))
    return rows


def _spurious(
    clean: Likely,
    labels: Ints,
    start: Floats,
    scale: float = 1.0,
    weights: Floats | None = None,
    steps: int = _CLEAN_STEPS,
) -> tuple[float, Floats]:
    """Share of trusted labels that a transition of their own takes for wrong, and that transition."""
    kept, others = clean.scaled(scale)
    weights = np.ones(len(labels)) if weights is None else weights
    found = fit_transition(
        kept, others, clean.index, labels, clean.classes, weights=weights, start=start, steps=steps
    )
    own = posterior(kept, others, clean.index, labels, found)[np.arange(len(labels)), clean.place(labels)]
    return float(weights @ (1 - own) / weights.sum()), found


def _suggestion(images: Likely, given: Ints, transition: Floats) -> tuple[Floats, Ints]:
    """The most probable class of each image and its posterior; 0 where that is the given label."""
    kept, others = images.scaled()
    found = posterior(kept, others, images.index, given, transition)
    rows, best = np.arange(len(given)), kept.argmax(1)
    label = images.index[rows, best]
    return np.where(label == given, 0.0, found[rows, best]), label
