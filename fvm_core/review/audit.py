"""Every event of the review as a table: who did what, when, and what was taken back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fvm_core.review.decisions import DecisionStore
from fvm_core.review.table_files import write_frame
from fvm_core.runs.run_folder import RunFolder

_TEXTS = {
    "reviewer": "reviewer",
    "id": "sample",
    "action": "action",
    "old_label": "old_label",
    "new_label": "new_label",
}


def audit_table(run: RunFolder, store: DecisionStore) -> pd.DataFrame:
    """Every event of a run, oldest first.

    Columns: `event` (its number), `at` (ISO 8601 in UTC), `reviewer`, `row` (in the training set), `id`
    (of the sample), `action`, `old_label`, `new_label`, `score` and `rank` as the reviewer saw them, and
    `undoes`, the number of the event that an `undo` takes back. Texts that are not there are empty.
    """
    events = store.audit(run.id)
    texts = {
        name: pd.Series(events[source].fillna("").to_numpy(dtype=object), dtype="str")
        for name, source in _TEXTS.items()
    }
    return pd.DataFrame(
        {
            "event": events["id"].to_numpy(dtype=np.int64),
            "at": pd.Series(iso_times(events["at"].to_numpy(dtype=np.float64)), dtype="str"),
            "reviewer": texts["reviewer"],
            "row": events["row"].to_numpy(dtype=np.int64),
            **{name: texts[name] for name in ("id", "action", "old_label", "new_label")},
            "score": events["score"].to_numpy(dtype=np.float64),
            "rank": events["rank"].astype("Int64"),
            "undoes": events["undoes"].astype("Int64"),
        }
    )


def write_audit(events: pd.DataFrame, path: str | Path) -> Path:
    """Write what `audit_table` returns as CSV, atomically; returns the path."""
    return write_frame(events, path, "csv")


def iso_times(seconds: np.ndarray) -> np.ndarray:
    """Seconds since 1970 as texts such as `2026-07-05T12:34:56.789012Z`."""
    stamps = np.rint(seconds * 1e6).astype(np.int64).astype("datetime64[us]")
    return np.datetime_as_string(stamps, unit="us", timezone="UTC").astype(object)
