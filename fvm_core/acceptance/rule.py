"""Which suggestions may be accepted unseen so that a share of them is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fvm_core.acceptance.belief import Belief
from fvm_core.acceptance.expected import precision_low


@dataclass(frozen=True)
class Chosen:
    """Which samples' suggestions are accepted (N,), and, where none are, why in a sentence."""

    accepted: NDArray[np.bool_]
    reason: str = ""


def accept_precision(belief: Belief, target: float, undecided: NDArray[np.bool_] | None = None) -> Chosen:
    """The largest set of the most probable suggestions of which a share `target` is right.

    Samples are taken in the order of q_i(suggested), each with `q_i(suggested) > q_i(given)`; of all their
    beginnings it is the longest whose precision is at least `target` and whose gain is positive, both at
    the lower end of their 95 % intervals (`precision_low`).

    Args:
        belief: of the run.
        target: 0 to 1.
        undecided: (N,) samples that may be accepted; None for all.
    """
    accepted = np.zeros(len(belief.given_right), dtype=bool)
    better = belief.right > belief.kept
    if undecided is not None:
        better &= undecided[belief.rows]
    places = np.flatnonzero(better)
    if not len(places):
        return Chosen(accepted, "No suggestion is more probable than the label that it would replace.")
    order = places[np.argsort(-belief.right[places], kind="stable")]
    precision, gain = precision_low(belief, order)
    enough = np.flatnonzero((precision >= target) & (gain > 0))
    if not len(enough):
        return Chosen(
            accepted,
            f"There are no suggestions of which it is sure enough that {100 * target:g} % are right: at most "
            f"{100 * max(float(precision.max()), 0.0):.1f} % are, counted with care. A lower share, more "
            f"trusted images or a better model accept more.",
        )
    accepted[belief.rows[order[: enough[-1] + 1]]] = True
    return Chosen(accepted)
