"""Which score the review ranks by. Suggested labels stay those with the smallest influence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from fvm_core.atomic import write_json
from fvm_core.comparison.results import descriptions, read_result
from fvm_core.errors import SaltflatError
from fvm_core.percentiles import percentiles
from fvm_core.runs.run_folder import RunFolder
from fvm_core.stored import read_json

OWN = "fvm"
"""The score that a run is made for, as `scores.parquet` holds it."""

_FILE = "choice.json"


def chosen(run: RunFolder) -> str:
    """Name of the score that the review ranks by: the run's own unless somebody has chosen another."""
    path = run.path / _FILE
    if not path.exists():
        return OWN
    name = read_json(path, {"score": str}, f"Delete {path}, then choose a score again.")["score"]
    # A score from a file may have been taken out of the comparison since.
    return name if name in scores_of(run) else OWN


def choose(run: RunFolder, name: str) -> None:
    """Have the review rank by a score; decisions stay as they are.

    Raises:
        SaltflatError: the run has no such score.
    """
    there = scores_of(run)
    if name not in there:
        raise SaltflatError(f"{run.name} has no score `{name}`; it has: {', '.join(there)}.")
    write_json(run.path / _FILE, {"score": name})


def scores_of(run: RunFolder) -> dict[str, str]:
    """Name to title of all scores that can be chosen, the run's own first."""
    return {OWN: "influence", **{one.name: one.title for one in descriptions(run.path)}}


def stamp(run: RunFolder) -> int:
    """Changes with every choice."""
    path = run.path / _FILE
    return path.stat().st_mtime_ns if path.exists() else 0


def read_scores(run: RunFolder, columns: list[str] | None = None) -> pd.DataFrame:
    """`RunFolder.read_scores` with `suspicion` and `percentile` of the chosen score.

    All other columns are those of the run: influence, suggested labels and their alternatives.
    """
    table = run.read_scores(columns)
    name = chosen(run)
    if name == OWN or not {"suspicion", "percentile"} & set(table.columns):
        return table
    suspicion = read_result(run.path, name)["suspicion"].to_numpy(dtype=np.float64, copy=True)
    suspicion[run.unscored().index.to_numpy()] = np.nan
    found = {"suspicion": suspicion, "percentile": percentiles(suspicion)}
    return table.assign(**{key: value for key, value in found.items() if key in table.columns})
