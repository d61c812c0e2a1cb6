"""Which score the review ranks by, and why. A score that relabels brings its own suggestions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from fvm_core.atomic import write_json
from fvm_core.comparison.results import descriptions, read_result
from fvm_core.errors import SaltflatError
from fvm_core.percentiles import percentiles
from fvm_core.runs.run_folder import RunFolder
from fvm_core.stored import read_json

OWN = "fvm"
"""The score that a run is made for, as `scores.parquet` holds it."""

_FILE = "choice.json"


SHAPE = {"score": str, "reason?": str, "by?": str}
"""What `choice.json` holds."""

_SUGGESTED = ("suggested_label", "p_given", "p_suggested", "alternatives")
"""Columns of `scores.parquet` that a chosen score may bring its own of."""


@dataclass(frozen=True)
class Choice:
    """The score that the review and the export rank by.

    Attributes:
        name: of the score.
        reason: why it was chosen, a sentence; empty where nothing is known.
        by_person: whether somebody has chosen it, not the run.
    """

    name: str
    reason: str = ""
    by_person: bool = False


def choice_of(run: RunFolder) -> Choice:
    """The run's own score unless the run, or somebody, has chosen another; raises `DamagedFile`."""
    path = run.path / _FILE
    if not path.exists():
        return Choice(OWN)
    found = read_json(path, SHAPE, f"Delete {path}, then choose a score again.")
    # A score from a file may have been taken out of the comparison since.
    if found["score"] not in scores_of(run):
        return Choice(OWN)
    return Choice(found["score"], found.get("reason", ""), found.get("by", "person") == "person")


def chosen(run: RunFolder) -> str:
    """Name of the score that the review ranks by."""
    return choice_of(run).name


def choose(run: RunFolder, name: str, *, reason: str = "", by_person: bool = True) -> None:
    """Have the review rank by a score; decisions stay as they are.

    Args:
        run: the run.
        name: of the score.
        reason: why, a sentence.
        by_person: False for a choice that the run makes itself, which never replaces a person's.

    Raises:
        SaltflatError: the run has no such score.
    """
    there = scores_of(run)
    if name not in there:
        raise SaltflatError(f"{run.name} has no score `{name}`; it has: {', '.join(there)}.")
    if not by_person and (run.path / _FILE).exists() and choice_of(run).by_person:
        return
    who = "person" if by_person else "measurement"
    write_json(run.path / _FILE, {"score": name, "reason": reason, "by": who})


def scores_of(run: RunFolder) -> dict[str, str]:
    """Name to title of all scores that can be chosen, the run's own first."""
    return {OWN: "influence", **{one.name: one.title for one in descriptions(run.path)}}


def stamp(run: RunFolder) -> int:
    """Changes with every choice."""
    path = run.path / _FILE
    return path.stat().st_mtime_ns if path.exists() else 0


def read_scores(run: RunFolder, columns: list[str] | None = None) -> pd.DataFrame:
    """`RunFolder.read_scores` with `suspicion` and `percentile` of the chosen score.

    Where that score relabels, `suggested_label`, `p_given`, `p_suggested` and `alternatives` are its own too:
    a ranking and its suggestions come from the same model. All other columns are those of the run.
    """
    table = run.read_scores(columns)
    name = chosen(run)
    if name == OWN or not {"suspicion", "percentile", *_SUGGESTED} & set(table.columns):
        return table
    own = read_result(run.path, name)
    unscored = run.unscored().index.to_numpy()
    suspicion = own["suspicion"].to_numpy(dtype=np.float64, copy=True)
    suspicion[unscored] = np.nan
    found = {"suspicion": suspicion, "percentile": percentiles(suspicion)}
    if "suggested_label" in own:
        found |= _suggestions(own, unscored)
    return table.assign(**{key: value for key, value in found.items() if key in table.columns})


def read_details(run: RunFolder, columns: list[str]) -> pa.Table:
    """Columns of `read_scores` as an Arrow table, in which many small lists are kept well."""
    found = run.score_columns(columns)
    if "alternatives" not in columns or chosen(run) == OWN:
        return found
    table = read_scores(run, ["alternatives"])
    values = pa.array(table["alternatives"], found.schema.field("alternatives").type)
    return found.set_column(columns.index("alternatives"), "alternatives", values)


def _suggestions(own: pd.DataFrame, unscored: np.ndarray) -> dict[str, np.ndarray]:
    """Labels and probabilities of the chosen score; what it has no word on is not known.

    Args:
        own: its table, with `suggested_label`.
        unscored: rows that the run leaves unranked.
    """
    labels = own["suggested_label"].to_numpy(dtype=object, copy=True)
    labels[pd.isna(labels)] = None
    labels[unscored] = None
    found = {"suggested_label": labels}
    for name in ("p_given", "p_suggested"):
        known = name in own
        values = own[name].to_numpy(dtype=np.float64, copy=True) if known else np.full(len(own), np.nan)
        if name == "p_suggested":
            values[unscored] = np.nan
        found[name] = values
    lists = np.full(len(own), None, dtype=object)
    for row, label in enumerate(labels):
        if label is None:
            continue
        alone = [{"label": label, "influence": None, "probability": None}]
        lists[row] = own["alternatives"].iat[row] if "alternatives" in own else alone
    return found | {"alternatives": lists}
