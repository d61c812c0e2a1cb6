"""Which samples a reviewer sees, and in which order: filter, sort, page. Plain arrays in, row numbers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from fvm_core.data.dataset import UNKNOWN, Problem
from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import STATES

SORTS = {
    "suspicion": "most suspicious first",
    "margin": "suggestion most certain over the given label first",
    "loss": "highest loss first",
    "p_given": "least probable given label first",
    "order": "order of the dataset",
}
"""Sort keys and what they do; within equal values the dataset's order decides."""

COLUMNS = [
    "given_label",
    "suggested_label",
    "suspicion",
    "percentile",
    "loss",
    "p_given",
    "p_suggested",
]
"""Columns of `scores.parquet` that `ReviewTable` needs; `true_label` is used where it exists."""


@dataclass(frozen=True)
class ReviewTable:
    """The scores of a run as arrays over its N samples, labels as indices into `classes`.

    Attributes:
        classes: K class names.
        given / suggested: N class indices, `UNKNOWN` where there is no label.
        true: N class indices where the truth is known, else None.
        suspicion / percentile / loss / p_given / p_suggested: N values, NaN for rows without a score.
        problems: row numbers by the kind of a problem that they have.
    """

    classes: tuple[str, ...]
    given: np.ndarray
    suggested: np.ndarray
    suspicion: np.ndarray
    percentile: np.ndarray
    loss: np.ndarray
    p_given: np.ndarray
    p_suggested: np.ndarray
    true: np.ndarray | None = None
    problems: Mapping[str, np.ndarray] = field(default_factory=dict)

    @staticmethod
    def from_scores(
        scores: pd.DataFrame, classes: Sequence[str], problems: Sequence[Problem] = ()
    ) -> ReviewTable:
        """The table of a run.

        Args:
            scores: its `scores()`.
            classes: its class names; labels that these lack are added behind them.
            problems: what is wrong with its data; those with training rows can be filtered by.
        """
        label_columns = [
            scores[name] for name in ("given_label", "suggested_label", "true_label") if name in scores
        ]
        names = dict.fromkeys(classes)
        for column in label_columns:
            names.update(dict.fromkeys(column.dropna().unique()))
        index = pd.Index(list(names), dtype=object)
        codes = [index.get_indexer(column.astype(object)).astype(np.int32) for column in label_columns]
        numbers = {name: scores[name].to_numpy(dtype=np.float64) for name in COLUMNS[2:]}
        return ReviewTable(
            tuple(names),
            codes[0],
            codes[1],
            **numbers,
            true=codes[2] if len(codes) > 2 else None,
            problems=_rows_by_kind(problems, len(scores)),
        )

    def __len__(self) -> int:
        return len(self.given)

    @cached_property
    def rank(self) -> np.ndarray:
        """N ranks by suspicion, 1 = most suspicious; rows without a score come last."""
        order = _descending(self.suspicion)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        return rank

    def code(self, label: str) -> int:
        """Index of a class name; `UNKNOWN` if there is no such class."""
        return self._codes.get(label, UNKNOWN)

    @cached_property
    def _codes(self) -> dict[str, int]:
        return {name: k for k, name in enumerate(self.classes)}


@dataclass(frozen=True)
class QueueFilter:
    """What a reviewer wants to see; every field left out lets everything through.

    Attributes:
        above: least suspicion percentile, 0 to 100.
        state: one of the decision states, or None for all.
        given / suggested: class names.
        changed_only: only samples whose suggested label differs from the given one.
        sort: a key of `SORTS`.
        rows: only these row numbers; empty for all.
        problem: kind of a problem of the data that they have, see `ReviewTable.problems`.
    """

    above: float = 0.0
    state: str | None = None
    given: str | None = None
    suggested: str | None = None
    changed_only: bool = False
    sort: str = "suspicion"
    rows: tuple[int, ...] = ()
    problem: str | None = None

    def check(self) -> QueueFilter:
        """Raise `SaltflatError` for a state or sort that does not exist; return self otherwise."""
        if self.state is not None and self.state not in STATES:
            raise SaltflatError(f"There is no state {self.state!r}; choose one of: {', '.join(STATES)}.")
        if self.sort not in SORTS:
            raise SaltflatError(f"There is no sort order {self.sort!r}; choose one of: {', '.join(SORTS)}.")
        return self

    def without_state(self) -> QueueFilter:
        """The same filter for every state."""
        return replace(self, state=None)


@dataclass(frozen=True)
class Decided:
    """The states that `DecisionStore.state` knows, as arrays: `rows` and a state name for each."""

    rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    states: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=object))

    @staticmethod
    def from_state(state: pd.DataFrame) -> Decided:
        """From the frame that `DecisionStore.state` returns."""
        return Decided(state.index.to_numpy(dtype=np.int64), state["state"].to_numpy(dtype=object))


def queue_rows(table: ReviewTable, wanted: QueueFilter, decided: Decided) -> np.ndarray:
    """Row numbers that pass the filter, in the order of its sort.

    Args:
        table: the run's scores, N samples.
        wanted: filter and sort.
        decided: the samples that have a decision now.
    """
    wanted.check()
    keep = np.ones(len(table), dtype=bool)
    if wanted.above > 0:
        keep &= table.percentile >= wanted.above  # NaN compares as False
    if wanted.given is not None:
        keep &= table.given == table.code(wanted.given)
    if wanted.suggested is not None:
        keep &= table.suggested == table.code(wanted.suggested)
    if wanted.changed_only:
        keep &= (table.suggested != table.given) & (table.suggested != UNKNOWN)
    if wanted.rows:
        keep &= np.isin(np.arange(len(table)), wanted.rows)
    if wanted.problem is not None:
        have = np.zeros(len(table), dtype=bool)
        have[table.problems.get(wanted.problem, np.empty(0, dtype=np.int64))] = True
        keep &= have
    inside = decided.rows < len(table)
    if wanted.state == "unreviewed":
        keep[decided.rows[inside]] = False
    elif wanted.state is not None:
        chosen = np.zeros(len(table), dtype=bool)
        chosen[decided.rows[inside & (decided.states == wanted.state)]] = True
        keep &= chosen
    rows = np.flatnonzero(keep)
    return rows if wanted.sort == "order" else rows[_descending(_sort_key(table, wanted.sort)[rows])]


def pages(total: int, size: int) -> int:
    """Number of pages, at least 1."""
    return max(1, -(-total // size))


def page_rows(rows: np.ndarray, page: int, size: int) -> np.ndarray:
    """The rows on a page, counted from 1; a page that does not exist gives the nearest one."""
    page = min(max(page, 1), pages(len(rows), size))
    return rows[(page - 1) * size : page * size]


def first_open_page(rows: np.ndarray, decided: Decided, size: int) -> int:
    """The first page with a sample that has no decision yet; page 1 when all are decided."""
    still_open = np.flatnonzero(~np.isin(rows, decided.rows))
    return int(still_open[0]) // size + 1 if len(still_open) else 1


def _rows_by_kind(problems: Sequence[Problem], count: int) -> dict[str, np.ndarray]:
    """Training rows of each kind, ascending; rows that the table lacks are left out."""
    found: dict[str, set[int]] = {}
    for problem in problems:
        rows = {row for row in problem.rows if row < count} if problem.where == "train" else set()
        if rows:
            found.setdefault(problem.kind, set()).update(rows)
    return {kind: np.array(sorted(rows), dtype=np.int64) for kind, rows in found.items()}


def _sort_key(table: ReviewTable, sort: str) -> np.ndarray:
    if sort == "margin":
        return table.p_suggested - table.p_given
    if sort == "p_given":
        return -table.p_given
    return getattr(table, sort)


def _descending(values: np.ndarray) -> np.ndarray:
    """Order of falling values; NaN last, equal values in their own order."""
    return np.argsort(np.where(np.isnan(values), np.inf, -values), kind="stable")
