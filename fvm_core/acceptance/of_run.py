"""What a run folder lets one expect of its suggestions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fvm_core.acceptance.belief import Belief, Planted, believe
from fvm_core.acceptance.by_planted import accept_by_planted, expect_by_planted
from fvm_core.acceptance.calibration import Ints, informative, log_probabilities
from fvm_core.acceptance.expected import Expectation, expect
from fvm_core.acceptance.planted_only import PlantedView, flagged_wrong
from fvm_core.acceptance.planted_trial import PlantedTrial
from fvm_core.acceptance.rule import Chosen, accept_precision
from fvm_core.comparison.choice import OWN, chosen, read_scores
from fvm_core.comparison.evidence import Interval
from fvm_core.comparison.results import Description, descriptions
from fvm_core.errors import SaltflatError
from fvm_core.runs.run_folder import RunFolder

LEAST_TRUSTED = 30
"""Trusted images below which nothing is said of the suggestions."""

MORE = "Bring more trusted images: from 200 on some are planted with wrong labels to measure it."


@dataclass(frozen=True)
class Outlook:
    """What is known of a run's suggestions; of `belief`, `trial` and `planted` at most one is there.

    Attributes:
        given: (N,) class indices, −1 for none.
        suggested: (N,) class indices, −1 for none.
        suspicion: (N,) by the chosen score.
        belief: how probably each suggestion is right; None where there are no cross-fitted probabilities.
        trial: what was suggested for planted samples, which tells how many suggestions are right as well.
        planted: the suspicion of planted samples alone, which tells how many labels are wrong.
        reason: in words, why nothing is known of how many suggestions are right; empty where it is.
    """

    given: Ints
    suggested: Ints
    suspicion: NDArray[np.floating]
    belief: Belief | None = None
    trial: PlantedTrial | None = None
    planted: PlantedView | None = None
    reason: str = ""

    @cached_property
    def differs(self) -> NDArray[np.bool_]:
        """(N,) samples whose suggested label is another than the given one."""
        found: NDArray[np.bool_] = (self.suggested >= 0) & (self.suggested != self.given)
        return found

    def expect(self, accepted: NDArray[np.bool_], undecided: NDArray[np.bool_]) -> Expectation | None:
        """What accepting these samples' suggestions does, None where that is not known; masks (N,)."""
        if self.trial is not None:
            return expect_by_planted(self.trial, accepted, undecided)
        return None if self.belief is None else expect(self.belief, accepted, undecided)

    def flagged_wrong(self, accepted: NDArray[np.bool_]) -> Interval | None:
        """Share of wrong labels among these samples, by planted ones above the lowest suspicion of them."""
        if self.planted is None or not accepted.any():
            return None
        lowest = float(np.nanmin(self.suspicion[accepted]))
        return flagged_wrong(self.planted, np.nextafter(lowest, -np.inf))

    def accept(self, target: float, undecided: NDArray[np.bool_]) -> Chosen:
        """The undecided samples of whose suggestions a share `target` (0 to 1) is right."""
        if self.trial is not None:
            return accept_by_planted(self.trial, target, undecided)
        if self.belief is None:
            return Chosen(np.zeros(len(self.given), dtype=bool), self.reason)
        return accept_precision(self.belief, target, undecided)


def outlook(run: RunFolder) -> Outlook:
    """Read what a run has and estimate; a second for 50,000 samples and 10 classes, some for 1,000 classes.

    Raises:
        SaltflatError: there are no scores, or a file is damaged.
    """
    scores = read_scores(run, ["given_label", "suggested_label", "suspicion", "percentile"])
    names = pd.Index(run.info.get("classes", []), dtype=object)
    given, suggested = (
        names.get_indexer(scores[column].astype(object)) for column in ("given_label", "suggested_label")
    )
    suspicion = scores["suspicion"].to_numpy(dtype=np.float64)
    # What has no percentile is not ranked, and nothing of it is accepted.
    suggested = np.where(np.isfinite(scores["percentile"].to_numpy(dtype=np.float64)), suggested, -1)
    probabilities, trusted = run.crossfit_probabilities(), run.crossfit_trusted()
    if probabilities is None or trusted is None:
        return _without_probabilities(run, given, suggested, suspicion)
    seen = np.isfinite(trusted[0]).all(1)
    images, labels = np.asarray(trusted[0])[seen], trusted[1][seen]

    def nothing(reason: str) -> Outlook:
        return Outlook(given, suggested, suspicion, reason=reason)

    if len(labels) < LEAST_TRUSTED:
        return nothing(
            f"Nothing is known of how many suggestions are right: {len(labels)} trusted images are too few, "
            f"and {LEAST_TRUSTED} are needed at least. Bring more; 200 or more make the numbers narrow."
        )
    if len(names) < 2 or not informative(log_probabilities(images), labels):
        return nothing(
            "Nothing is known of how many suggestions are right: on the trusted images the model does no "
            "better than guessing. A better model is needed, or trusted images that are like the others."
        )
    count = len(given)
    usable = (given >= 0) & np.isfinite(probabilities[:count]).all(1)
    if not usable.any():
        return nothing("Nothing is known of the suggestions: no sample has a label and probabilities.")
    belief = believe(
        probabilities[:count],
        given,
        suggested,
        images,
        labels,
        planted=_planted(run, probabilities[count:], names),
    )
    return Outlook(given, suggested, suspicion, belief)


def _planted(run: RunFolder, probabilities: NDArray[np.floating], names: pd.Index) -> Planted | None:
    table = run.planted()
    if table is None or not len(table):
        return None
    given, true = (
        names.get_indexer(table[column].astype(object)) for column in ("planted_label", "true_label")
    )
    return Planted(np.asarray(probabilities), given, true)


def _without_probabilities(
    run: RunFolder, given: Ints, suggested: Ints, suspicion: NDArray[np.floating]
) -> Outlook:
    """The model has learnt the labels that it would have to judge: only planted samples tell something."""
    reason = "How many suggestions are right is not known"
    about = next((one for one in descriptions(run.path) if one.name == chosen(run)), None)
    wrong = run.planted_wrong()
    if about is None or not len(wrong) or len(about.planted) != len(wrong):
        learnt = "the model has learnt the labels that it would judge"
        return Outlook(given, suggested, suspicion, reason=f"{reason}: {learnt}. {MORE}")
    rated = np.array([np.nan if one is None else one for one in about.planted], dtype=np.float64)
    tried = _suggested_for_planted(run, about)
    in_training = bool(run.info.get("planted", {}).get("in_training", True))
    if tried is not None and in_training:
        trial = _trial(run, given, suggested, suspicion, rated, tried)
        if trial.enough:
            return Outlook(given, suggested, suspicion, trial=trial)
        few, right = trial.sizes
        why = f"{few} planted wrong labels and {right} right ones are too few"
        return Outlook(given, suggested, suspicion, reason=f"{reason}: {why}. {MORE}")
    why = (
        "the model has not learnt the planted labels, as it was trained before, so they say nothing of those "
        "that it has learnt"
        if tried is not None
        else "this run is of a version that kept no suggestions of planted images; a new run keeps them"
    )
    estimated = (run.info.get("summary") or {}).get("estimated_wrong")
    if estimated is None:
        return Outlook(given, suggested, suspicion, reason=f"{reason}: {why}.")
    share = float(np.clip(estimated / max(int((given >= 0).sum()), 1), 0.0, 1.0))
    view = PlantedView(rated, wrong.astype(bool), share)
    if not view.enough:
        return Outlook(given, suggested, suspicion, reason=f"{reason}: {why}. {MORE}")
    return Outlook(given, suggested, suspicion, planted=view, reason=f"{reason}: {why}.")


def _suggested_for_planted(run: RunFolder, about: Description) -> pd.Series | None:
    """(Q,) what goes with the chosen score: its own suggestions where it has some, else the run's."""
    if about.relabels and about.name != OWN:
        found = pd.Series(about.planted_suggested, dtype=object)
        return found if len(found) == len(about.planted) else None
    return run.planted_suggestions()


def _trial(
    run: RunFolder,
    given: Ints,
    suggested: Ints,
    suspicion: NDArray[np.floating],
    rated: NDArray[np.floating],
    tried: pd.Series,
) -> PlantedTrial:
    table = run.planted()
    assert table is not None  # its length was compared
    there = pd.notna(tried).to_numpy()
    return PlantedTrial(
        # What has no percentile has no suggestion here; samples without a label are not judged.
        suspicion=np.where((suggested >= 0) & (given >= 0), suspicion, np.nan),
        differs=suggested != given,
        planted=np.where(there, rated, np.nan),
        wrong=table["wrong"].to_numpy().astype(bool),
        planted_differs=there & (tried != table["planted_label"]).to_numpy(),
        planted_found=there & (tried == table["true_label"]).to_numpy(),
        trusted=int(run.info.get("validation_samples") or 0),
    )


def check_percent(target: float) -> float:
    """A share in percent as a fraction.

    Raises:
        SaltflatError: it is not above 0 and at most 100.
    """
    if not 0 < target <= 100:
        raise SaltflatError(
            f"The share of suggestions that are to be right is above 0 and at most 100 %, not {target:g}."
        )
    return target / 100
