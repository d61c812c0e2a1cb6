"""Tables that an earlier review has exported: their clean labels are the given ones now."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fvm_core.data.dataset import UNKNOWN, Problem
from fvm_core.data.labels import Labels
from fvm_core.data.wording import count

LABEL, STATUS = "clean_label", "status"
_MARKS = (LABEL, STATUS, "given_label", "suggested_label")
_EXCLUDED = "excluded"


def is_export(names: Sequence[str]) -> bool:
    """Whether a table with these columns is an export of a review."""
    return all(name in names for name in _MARKS)


def without_excluded(
    labels: Labels, statuses: Sequence[str | None], where: str
) -> tuple[Labels, list[Problem]]:
    """The labels, none for rows that the review has excluded, and a notice of what is read.

    Args:
        labels: N clean labels.
        statuses: N statuses of the export.
        where: name of the table.
    """
    excluded = np.array([status == _EXCLUDED for status in statuses], dtype=bool)
    rows = tuple(np.flatnonzero(excluded).tolist())
    text = f"{where} is an export: its clean labels are the given ones."
    if rows:
        took = "takes" if len(rows) == 1 else "take"
        text += f" {count(len(rows), 'row')} that the review excluded {took} no part: the label is left out."
    codes = np.where(excluded, UNKNOWN, labels.codes)
    said = Problem("read_from_export", text, severity="notice")
    return Labels(codes, labels.names, labels.ordered, labels.missing), [said]
