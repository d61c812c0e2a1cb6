"""What suggestions did to planted samples, and how far that tells what they do in the run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fvm_core.acceptance.calibration import Floats

LEAST = 10
"""Planted samples of each kind below which nothing is said."""

_DRAWS = 4000
_CUTS = 100
_BINS = 20


@dataclass(frozen=True)
class PlantedTrial:
    """A score and the suggestions that go with it, on the samples of a run and on its planted ones.

    Attributes:
        suspicion: (N,) of the run's samples, NaN for those that are not ranked.
        differs: (N,) whether the suggestion is another label than the given one.
        planted: (Q,) suspicion of the planted samples.
        wrong: (Q,) which of these play a wrong label.
        planted_differs: (Q,) whether the suggestion is another label than the one that is played.
        planted_found: (Q,) whether the suggestion is the true label.
        trusted: images that the run was given as trusted, the planted ones among them; 0 where not known.
        times: each planted sample counts as so many, to ask what more of them would tell.
    """

    suspicion: Floats
    differs: NDArray[np.bool_]
    planted: Floats
    wrong: NDArray[np.bool_]
    planted_differs: NDArray[np.bool_]
    planted_found: NDArray[np.bool_]
    trusted: int = 0
    times: float = 1.0

    @cached_property
    def suggestions(self) -> NDArray[np.bool_]:
        """(N,) ranked samples whose suggestion differs: those that can be accepted."""
        found: NDArray[np.bool_] = self.differs & np.isfinite(self.suspicion)
        return found

    @property
    def ranked(self) -> int:
        """How many of the run's samples are ranked."""
        return int(np.isfinite(self.suspicion).sum())

    @property
    def sizes(self) -> tuple[int, int]:
        """How many ranked planted samples play a wrong label, and a right one."""
        rated = np.isfinite(self.planted)
        return int((rated & self.wrong).sum()), int((rated & ~self.wrong).sum())

    @property
    def enough(self) -> bool:
        """Whether there are planted samples enough to say anything."""
        return min(self.sizes) >= LEAST

    def cuts(self, undecided: NDArray[np.bool_]) -> Floats:
        """Cuts on the suspicion, falling, at most 100: from few to all of the undecided suggestions above it.

        They are spread evenly over the run's own samples. At the planted ones they would be best just where
        chance has left none.
        """
        values = -np.sort(-self.suspicion[self.suggestions & undecided])
        count = min(_CUTS, len(values))
        places = np.ceil(np.linspace(0, len(values), count + 1)[1:]).astype(int) - 1
        found: Floats = np.unique(values[places])[::-1]
        return found

    def counts(self, accepted: NDArray[np.bool_]) -> tuple[float, float, float]:
        """Planted samples that would be accepted as the run's are, a planted one at a suspicion s as
        often as the run's suggestions near s, and none below the lowest accepted one.

        Args:
            accepted: (N,), of `suggestions`.

        Returns:
            Wrong labels whose suggestion is right, wrong labels whose suggestion is wrong, and right labels.
        """
        if not accepted.any():
            return 0.0, 0.0, 0.0
        lowest = self.suspicion[accepted].min()
        above = self.suggestions & (self.suspicion >= lowest)
        weight = (self.planted_differs & (self.planted >= lowest)).astype(np.float64)
        weight *= _share_near(self.planted, self.suspicion[above], accepted[above])
        found, alarms = self.wrong & self.planted_found, ~self.wrong
        kinds = (found, self.wrong & ~found, alarms)
        right, missed, harmed = (self.times * float(weight[kind].sum()) for kind in kinds)
        return right, missed, harmed

    @cached_property
    def wrong_share(self) -> Floats:
        """(D,) draws of π, the share of wrong labels among the run's ranked samples.

        With f, t and δ the shares of the run's samples, of wrong planted labels and of right planted ones
        that are suggestions above a cut, `f = π t + (1 − π) δ`, hence `π = (f − δ)/(t − δ)`, cut to 0 to 1
        (Rogan and Gladen 1978, "Estimating prevalence from the results of a screening test"). The cut is
        the one with the largest t − δ (Youden 1950), the lowest of several.

        Draws are in the order of δ, as those of `outcomes` are: where more right labels than were seen are
        taken for wrong, they are so at both cuts.
        """
        wrong, right = (self.times * size for size in self.sizes)
        best, flagged, hits, alarms = -np.inf, 0, 0.0, 0.0
        for cut in self.cuts(np.ones(len(self.suspicion), dtype=bool)):
            accepted = self.suggestions & (self.suspicion >= cut)
            found, missed, harmed = self.counts(accepted)
            apart = (found + missed) / wrong - harmed / right
            if apart >= best:
                best = apart
                flagged, hits, alarms = int(accepted.sum()), found + missed, harmed
        rng = np.random.default_rng(1)
        f = share_draws(rng, flagged, self.ranked)
        t = share_draws(rng, hits, wrong)
        alarm = np.sort(share_draws(rng, alarms, right))
        return np.clip((f - alarm) / np.maximum(t - alarm, 1e-9), 0.0, 1.0)

    @cached_property
    def wrong_seen(self) -> Floats:
        """(D,) draws of the number of wrong labels among the ranked samples, N π."""
        found: Floats = self.ranked * self.wrong_share
        return found

    def share_of_wrong(self, some: NDArray[np.bool_]) -> float:
        """Which share of the wrong labels lies among some of the ranked samples (N,), by planted ones."""
        ranked, planted = np.isfinite(self.suspicion), np.isfinite(self.planted) & self.wrong
        if some[ranked].all() or not planted.any():
            return 1.0
        near = _share_near(self.planted[planted], self.suspicion[ranked], some[ranked])
        return float(near.mean())

    def outcomes(self, accepted: NDArray[np.bool_], more_alarms: float = 0.0) -> tuple[Floats, Floats]:
        """(D,) draws of two numbers: accepted suggestions that are right, and right labels that they replace.

        A accepted suggestions are given. Of the N (1 − π) right labels a share δ is among them, so the share
        of right labels in A is `η = min(1, N (1 − π) δ / A)`; the other labels are wrong, and of the
        suggestions for these a share κ is right. The three kinds in A are multinomial with
        `((1 − η) κ, η, (1 − η)(1 − κ))`. δ is drawn by right planted labels and κ by wrong ones, see
        `share_draws`; π is drawn too.

        Args:
            accepted: (N,), of `suggestions`.
            more_alarms: right planted labels that are counted as accepted beside those that are.
        """
        number = int(accepted.sum())
        if not number:
            return np.zeros(_DRAWS), np.zeros(_DRAWS)
        found, missed, harmed = self.counts(accepted)
        rng = np.random.default_rng(0)
        alarm = np.sort(share_draws(rng, harmed + more_alarms, self.times * self.sizes[1]))
        right = share_draws(rng, found, found + missed)
        lost = np.minimum(self.ranked * (1 - self.wrong_share) * alarm / number, 1.0)
        kinds = np.stack([(1 - lost) * right, lost, (1 - lost) * (1 - right)], axis=1)
        drawn = rng.multinomial(number, kinds).astype(np.float64)
        return drawn[:, 0], drawn[:, 1]


def share_draws(rng: np.random.Generator, hits: float, total: float) -> Floats:
    """(D,) draws of a share of which `hits` of `total` were seen.

    Half of them each from `Beta(h, n − h + 1)` and `Beta(h + 1, n − h)`, whose quantiles are the lower and
    upper ends of Clopper and Pearson's interval. Their mixture is the mid-P confidence distribution: its
    intervals hold the share about as often as they say, also where none or all were hits, which Jeffreys'
    prior takes for somewhat less than all.
    """
    upper = rng.random(_DRAWS) < 0.5
    first = hits + upper
    second = max(total - hits, 0.0) + ~upper
    drawn = rng.beta(np.maximum(first, 1e-12), np.maximum(second, 1e-12))
    found: Floats = np.where(first <= 0, 0.0, np.where(second <= 0, 1.0, drawn))
    return found


def _share_near(values: Floats, suspicion: Floats, chosen: NDArray[np.bool_]) -> Floats:
    """The share of chosen ones among samples of about each value's suspicion.

    Args:
        values: (q,) suspicion that is asked for.
        suspicion: (n,) of samples.
        chosen: (n,) of these.
    """
    if chosen.all():
        return np.ones(len(values))
    edges = np.unique(np.quantile(suspicion, np.linspace(0, 1, _BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, suspicion)
    total = np.bincount(bins, minlength=len(edges) + 1)
    share = np.bincount(bins, chosen, len(edges) + 1) / np.maximum(total, 1)
    found: Floats = share[np.searchsorted(edges, values)]
    return found
