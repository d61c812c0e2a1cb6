"""All scores of a run side by side, also of runs that are older than the compare stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from fvm_core.comparison.choice import OWN
from fvm_core.comparison.results import Description, descriptions, read_result
from fvm_core.metrics import detection, relabelling
from fvm_core.percentiles import percentiles
from fvm_core.runs.run_folder import RunFolder


@dataclass(frozen=True)
class Scored:
    """One estimator's word on every sample.

    Attributes:
        about: what is known of it.
        suspicion: (N,), large = suspicious, NaN where there is none.
        suggested: (N,) class indices, −1 where there is none; None where it does not relabel.
        planted: (Q,) suspicion of the planted samples; empty where there are none.
    """

    about: Description
    suspicion: np.ndarray
    suggested: np.ndarray | None
    planted: np.ndarray

    @cached_property
    def percentile(self) -> np.ndarray:
        """(N,) 0 to 100."""
        return percentiles(self.suspicion)


def collect(run: RunFolder) -> list[Scored]:
    """Every score of a run, the run's own first; no score rates what the run has left unranked."""
    found = [_scored(run, one) for one in descriptions(run.path)] or _older(run)
    rows = run.unscored().index.to_numpy()
    return [_without(one, rows) for one in found] if len(rows) else found


def truth(run: RunFolder) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Which samples have a known truth (N,), given and true class indices (N,); None where there is none."""
    columns = ["given_label", "true_label"]
    if not has_truth(run):
        return None
    table = run.read_scores(columns)
    given, true = (_codes(run, table[name]) for name in columns)
    return (given >= 0) & (true >= 0), given, true


def has_truth(run: RunFolder) -> bool:
    """Whether the true label of some sample is known: then the run has been measured."""
    return run.metrics is not None


def planted_wrong(run: RunFolder) -> np.ndarray:
    """(Q,) which planted samples have a wrong label; empty where there are none."""
    return run.planted_wrong()


def against_truth(run: RunFolder, scored: Scored) -> dict[str, float]:
    """`roc_auc, average_precision` and, where it relabels, both relabelling accuracies, as fractions."""
    known = truth(run)
    if known is None:
        return {}
    there, given, true = known
    found = detection(scored.suspicion[there], (given != true)[there])
    if scored.suggested is not None:
        found |= relabelling(scored.suggested[there], given[there], true[there])
    return found


def _without(scored: Scored, rows: np.ndarray) -> Scored:
    suspicion = scored.suspicion.astype(np.float64)
    suspicion[rows] = np.nan
    suggested = None if scored.suggested is None else scored.suggested.copy()
    if suggested is not None:
        suggested[rows] = -1
    return replace(scored, suspicion=suspicion, suggested=suggested)


def _scored(run: RunFolder, about: Description) -> Scored:
    table = read_result(run.path, about.name)
    suggested = _codes(run, table["suggested_label"]) if "suggested_label" in table else None
    planted = np.array([np.nan if value is None else value for value in about.planted], dtype=np.float64)
    return Scored(about, table["suspicion"].to_numpy(), suggested, planted)


def _older(run: RunFolder) -> list[Scored]:
    """What the tables of a run hold that had no compare stage."""
    table = run.read_scores(["suspicion", "suggested_label", "loss", "loss_before"])
    before = run.trajectory()[1][0]
    rows = [
        (OWN, "Influence", table["suspicion"], _codes(run, table["suggested_label"]), False),
        ("influence_trained", "The same influence before tuning", before, None, True),
        ("tuned_loss", "Loss of the tuned model", table["loss"], None, False),
        ("loss", "Loss of the trained model", table["loss_before"], None, True),
    ]
    return [
        Scored(
            Description(name, title, "high", relabels=suggested is not None, trained_only=early, order=place),
            np.asarray(values),
            suggested,
            np.zeros(0),
        )
        for place, (name, title, values, suggested, early) in enumerate(rows)
    ]


def _codes(run: RunFolder, labels: pd.Series) -> np.ndarray:
    return pd.Index(run.info["classes"], dtype=object).get_indexer(labels.astype(object))
