"""Runs that hold nothing but scores, and texts that break careless writers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from fvm_core.config import RunConfig
from fvm_core.data import DatasetSpec
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.runs.run_folder import RunFolder

AWKWARD = [
    "",
    "NA",
    "null",
    "NaN",
    "0010",
    "1e5",
    "a,b",
    'say "hi"',
    '"',
    '""',
    "'",
    "line\nbreak",
    "line\rbreak",
    "line\r\nbreak",
    "\n",
    "=1+1",
    "+1",
    "@SUM(A1)",
    " leading",
    "trailing ",
    "\t",
    "a\tb",
    "back\\slash",
    "😀👩‍👩‍👧",
    "שלום",
    "\u202emirror",
    "nul\x00byte",
    "\x00",
    "\ufeffbom",
    "\u2028\u2029\x85\x0b\x0c",
    "e\u0301 \u00e9",
    "<b>&amp;</b>",
]


def scored_run(
    path: Path,
    given: list[str | None],
    suggested: list[str | None],
    *,
    ids: list[str] | None = None,
    paths: list[str | None] | None = None,
    influence: np.ndarray | None = None,
    percentile: np.ndarray | None = None,
    name: str = "test run",
    source: str = "digits",
) -> RunFolder:
    """A run folder with the columns of `scores.parquet` that an export reads."""
    count = len(given)
    config = RunConfig(train_data=DatasetSpec(source), val_data=DatasetSpec("digits", split="val"), name=name)
    run = RunFolder.create(path, config)
    influence = np.arange(count, dtype=np.float32) / 7 if influence is None else influence
    percentile = 100 * np.arange(1, count + 1) / count if percentile is None else percentile
    columns = {
        "id": pa.array(ids or [f"s{row}" for row in range(count)], pa.string()),
        "path": pa.array(paths or [None] * count, pa.string()),
        "given_label": pa.array(given, pa.string()),
        "influence": pa.array(influence, from_pandas=True),
        "suspicion": pa.array(influence, from_pandas=True),
        "percentile": pa.array(percentile, from_pandas=True),
        "suggested_label": pa.array(suggested, pa.string()),
    }
    run.write_table("scores.parquet", pa.table(columns))
    run.finish("relabel", 0.1)
    return run


def store_at(folder: Path) -> DecisionStore:
    return DecisionStore(f"sqlite:///{folder / 'saltflat.db'}")


def decide(
    store: DecisionStore, run: RunFolder, row: int, action: str, label: str | None = None, who: str = "ana"
) -> None:
    scores = run.read_scores(["id", "given_label", "suspicion"])
    given = scores["given_label"].iloc[row]
    decision = Decision(
        row=row,
        sample=scores["id"].iloc[row],
        action=action,
        old_label=given if isinstance(given, str) else None,
        new_label=label,
        score=float(scores["suspicion"].iloc[row]),
        rank=len(scores) - row,
    )
    store.record(run.id, [decision], who)


def undo_last(store: DecisionStore, run: str, who: str = "ana") -> list[int]:
    """Take back the reviewer's last command that stands; returns the rows of its events."""
    last = store.undoable(run, who, limit=1)
    if not last or not store.undo(run, last[0].key, who).done:
        return []
    audit = store.audit(run)
    return audit.loc[(audit["batch"] == last[0].key) & (audit["action"] != "undo"), "row"].tolist()
