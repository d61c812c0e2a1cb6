"""What planted labels tell of a cut on the suspicion, where it is not known what was suggested for them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fvm_core.acceptance.calibration import Floats
from fvm_core.acceptance.planted_trial import LEAST
from fvm_core.comparison.evidence import Interval, share_interval


@dataclass(frozen=True)
class PlantedView:
    """A score on the planted samples and on the run.

    Attributes:
        suspicion: (Q,) of the planted samples.
        wrong: (Q,) which of these have a wrong label.
        share: estimated share of wrong labels in the run, 0 to 1.
    """

    suspicion: Floats
    wrong: NDArray[np.bool_]
    share: float

    @property
    def enough(self) -> bool:
        """Whether there are planted samples enough."""
        rated = np.isfinite(self.suspicion)
        return min(int((rated & self.wrong).sum()), int((rated & ~self.wrong).sum())) >= LEAST


def flagged_wrong(view: PlantedView, cut: float) -> Interval:
    """Share of wrong labels among the samples with a suspicion above `cut`.

    With TPR and FPR the shares of wrong and right planted labels above it, and π that of wrong labels in
    the run, it is `π·TPR / (π·TPR + (1 − π)·FPR)`: half of the planted labels are wrong, of the run's
    fewer. The ends take the ends of Wilson's intervals of both that are worst and best.

    How many of the suggestions there are the true label is another question, which planted samples without
    suggestions leave open: the share is an upper end for that.
    """
    rated = np.isfinite(view.suspicion)
    above = view.suspicion[rated] > cut
    wrong = view.wrong[rated]
    found = share_interval(int(above[wrong].sum()), int(wrong.sum()))
    alarm = share_interval(int(above[~wrong].sum()), int((~wrong).sum()))
    return Interval(
        _precision(view.share, found.value, alarm.value),
        _precision(view.share, found.low, alarm.high),
        _precision(view.share, found.high, alarm.low),
    )


def _precision(share: float, found: float, alarm: float) -> float:
    hits, misses = share * found, (1 - share) * alarm
    return float(hits / (hits + misses)) if hits + misses > 0 else float(share)
