"""The cleaned labels of a run as one table, and everything that is written from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fvm_core.acceptance.of_run import Outlook, check_percent, outlook
from fvm_core.acceptance.words import told
from fvm_core.comparison.choice import read_scores
from fvm_core.data import open_spec
from fvm_core.data.dataset import ImageDataset
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.data_changes import warning as changed_data
from fvm_core.review.audit import audit_table, iso_times, write_audit
from fvm_core.review.class_folders import write_class_folders
from fvm_core.review.decisions import DecisionStore
from fvm_core.review.spreadsheet import check_format, spreadsheet_safe
from fvm_core.review.table_files import COLUMNS, FORMATS, export_bytes, format_of, read_export, write_export
from fvm_core.runs.run_folder import RunFolder

__all__ = [
    "COLUMNS",
    "FOLDERS",
    "FORMATS",
    "STATUSES",
    "Acceptance",
    "ExportSummary",
    "acceptance",
    "audit_table",
    "export",
    "export_bytes",
    "export_table",
    "read_export",
    "write_audit",
    "write_class_folders",
    "write_export",
]

STATUSES = ("unreviewed", "kept", "relabelled", "excluded", "unsure", "auto_relabelled")
"""What a row of the export can be: the states of the review, and `auto_relabelled`."""

FOLDERS = "folders"
"""The format that is not a table: class folders with the images in them."""

_SCORE_COLUMNS = ["id", "path", "given_label", "suggested_label", "influence", "percentile"]


@dataclass(frozen=True)
class ExportSummary:
    """What an export wrote.

    Attributes:
        rows: rows of the table.
        counts: rows in each of `STATUSES`.
        changed: rows whose clean label differs from the given one.
        paths: the file or folder, then the audit file where there are events.
        without_image: rows that class folders leave out because their image can't be read.
        notice: what has changed in the data since the run, None where it is as it was.
    """

    rows: int
    counts: dict[str, int]
    changed: int
    paths: tuple[Path, ...]
    without_image: int = 0
    notice: str | None = None


@dataclass(frozen=True)
class Acceptance:
    """Which suggestions would be accepted without review, and what that is expected to do.

    Attributes:
        accepted: (N,) bool.
        undecided: (N,) bool, samples that nobody has decided on.
        outlook: what is known of the run's suggestions.
        sentence: the expectation in words, or why there is none, or why nothing is accepted.
        warning: where the labels would or may become worse; None where not, or where nothing is known.
    """

    accepted: np.ndarray
    undecided: np.ndarray
    outlook: Outlook
    sentence: str
    warning: str | None


def acceptance(
    run: RunFolder,
    store: DecisionStore,
    *,
    accept_above: float | None = None,
    accept_precision: float | None = None,
    known: Outlook | None = None,
) -> Acceptance:
    """What accepting suggestions without review is expected to do, before it is done.

    Args:
        run: a run with scores.
        store: where its decisions are.
        accept_above: see `export_table`.
        accept_precision: see `export_table`.
        known: what `outlook` says of the run, where it has been asked already.

    Raises:
        SaltflatError: not one of the two is given, it is out of range, there are no scores, or a file is
            damaged.
    """
    _check_acceptance(accept_above, accept_precision)
    if accept_above is None and accept_precision is None:
        raise SaltflatError("Say which suggestions are to be accepted: above a percentile, or so many right.")
    known = outlook(run) if known is None else known
    undecided = np.ones(len(known.given), dtype=bool)
    rows = store.state(run.id).index.to_numpy(dtype=np.int64)
    undecided[rows[(rows >= 0) & (rows < len(undecided))]] = False
    accepted = _accepted(run, known, undecided, accept_above, accept_precision)
    if accepted.any():
        sentence, warning = told(known, accepted, undecided)
    elif accept_precision is not None:
        sentence, warning = known.accept(accept_precision / 100, undecided).reason, None
    else:
        sentence, warning = "No suggestion is accepted: none is above the percentile.", None
    return Acceptance(accepted, undecided, known, sentence, warning)


def _check_acceptance(accept_above: float | None, accept_precision: float | None) -> None:
    if accept_above is not None and accept_precision is not None:
        raise SaltflatError(
            "Suggestions are accepted above a percentile or where so many are right, not both: give one."
        )
    if accept_above is not None and not 0 <= accept_above <= 100:
        raise SaltflatError(
            f"Suggestions can be accepted above a percentile of 0 to 100, not {accept_above}."
        )
    if accept_precision is not None:
        check_percent(accept_precision)


def _accepted(
    run: RunFolder,
    known: Outlook,
    undecided: np.ndarray,
    accept_above: float | None,
    accept_precision: float | None,
) -> np.ndarray:
    if accept_precision is not None:
        return known.accept(check_percent(accept_precision), undecided).accepted
    table = read_scores(run, ["given_label", "suggested_label", "percentile"])
    return undecided & _above(table, accept_above)


def _above(table: pd.DataFrame, accept_above: float) -> np.ndarray:
    """(N,) samples above a percentile whose suggested label differs from the given one."""
    given, suggested = (
        table[name].fillna("").to_numpy(dtype=object) for name in ("given_label", "suggested_label")
    )
    high = table["percentile"].to_numpy(dtype=np.float64) > accept_above
    return high & (suggested != "") & (suggested != given)


def export_table(
    run: RunFolder,
    store: DecisionStore,
    *,
    accept_above: float | None = None,
    accept_precision: float | None = None,
    decisions_only: bool = False,
    known: Outlook | None = None,
) -> pd.DataFrame:
    """The clean label of every training sample, in the input's order.

    Columns: `id, path, given_label, clean_label, status, suggested_label, influence, percentile,
    reviewer, decided_at, run, note`. Texts are never null: what is not there is the empty text.
    `influence` and `percentile` are NaN for rows without a score; `note` says why a row has no percentile.
    `decided_at` is ISO 8601 in UTC.

    `clean_label` is the given label, except for `relabelled` rows (the reviewer's label) and
    `auto_relabelled` ones (the suggested label). Excluded rows keep the given label there: `status`
    tells that they are to be left out, as class folders do.

    Args:
        run: a run with scores.
        store: where its decisions are.
        accept_above: percentile of the suspicion by the chosen score, 0 to 100. Unreviewed rows strictly
            above it whose suggested label differs from the given one take it and become
            `auto_relabelled`, so 100 accepts none and 0 accepts all that have a score.
        accept_precision: percent, above 0 to 100, in place of `accept_above`: the most of the surest
            suggestions of which so many are right, also at the lower end of the 95 % interval (see
            `fvm_core.acceptance.rule`, and `by_planted` for runs that were not cross-fitted). None are
            accepted where nothing is known of them.
        decisions_only: only the rows that are not `unreviewed`.
        known: what `outlook` says of the run, where it has been asked already.

    Returns:
        N rows with the row numbers of the training set as index.

    Raises:
        SaltflatError: no scores yet, a percentile or percentage out of range, both, or decisions on other
            samples.
    """
    _check_acceptance(accept_above, accept_precision)
    scores = read_scores(run, _SCORE_COLUMNS)
    texts = {name: scores[name].fillna("").to_numpy(dtype=object) for name in _SCORE_COLUMNS[:4]}
    numbers = {name: scores[name].to_numpy(dtype=np.float64) for name in _SCORE_COLUMNS[4:]}
    state = store.state(run.id)
    rows = state.index.to_numpy(dtype=np.int64)
    _check_samples(run, texts["id"], rows, state["sample"].to_numpy(dtype=object))

    status = np.full(len(scores), "unreviewed", dtype=object)
    clean = texts["given_label"].copy()
    reviewer = np.full(len(scores), "", dtype=object)
    decided_at = np.full(len(scores), "", dtype=object)
    status[rows] = state["state"].to_numpy(dtype=object)
    reviewer[rows] = state["reviewer"].to_numpy(dtype=object)
    decided_at[rows] = iso_times(state["at"].to_numpy(dtype=np.float64))
    relabelled = (state["state"] == "relabelled").to_numpy(dtype=bool)
    clean[rows[relabelled]] = state["new_label"].to_numpy(dtype=object)[relabelled]
    unscored = run.unscored()
    note = np.full(len(scores), "", dtype=object)
    note[unscored.index.to_numpy()] = unscored.to_numpy()
    accepted = np.zeros(len(scores), dtype=bool)
    if accept_above is not None:
        accepted = (status == "unreviewed") & _above(scores, accept_above)
    elif accept_precision is not None:
        known = outlook(run) if known is None else known
        accepted = known.accept(check_percent(accept_precision), status == "unreviewed").accepted
    if accepted.any():
        suggested = texts["suggested_label"]
        status[accepted] = "auto_relabelled"
        clean[accepted] = suggested[accepted]

    values = {
        **texts,
        **numbers,
        "clean_label": clean,
        "status": status,
        "reviewer": reviewer,
        "decided_at": decided_at,
        "run": np.full(len(scores), run.name, dtype=object),
        "note": note,
    }
    kept = np.flatnonzero(status != "unreviewed") if decisions_only else np.arange(len(scores))
    table = pd.DataFrame(
        {
            name: values[name][kept] if name in numbers else pd.Series(values[name][kept], dtype="str")
            for name in COLUMNS
        }
    )
    return table.set_axis(kept) if decisions_only else table


def export(
    run: RunFolder,
    store: DecisionStore,
    out: str | Path,
    *,
    format: str | None = None,
    accept_above: float | None = None,
    accept_precision: float | None = None,
    known: Outlook | None = None,
    decisions_only: bool = False,
    for_spreadsheets: bool = False,
    dataset: ImageDataset | None = None,
    progress: Callable[[int, int], None] | None = None,
    overwrite: bool = True,
) -> ExportSummary:
    """Write the cleaned labels, and `<out stem>.audit.csv` beside them where there are decisions.

    Args:
        run: a run with scores.
        store: where its decisions are.
        out: a file whose ending names the format, or a folder (a name without an ending, or one that
            exists) for class folders.
        format: one of `FORMATS` or `folders`, whatever the ending says.
        accept_above: see `export_table`.
        accept_precision: see `export_table`.
        known: see `export_table`.
        decisions_only: see `export_table`.
        for_spreadsheets: put an apostrophe before what a spreadsheet would run as a formula; CSV and TSV
            only.
        dataset: the training set, for class folders; None opens it as the run's settings say.
        progress: told (done, total) while images are written.
        overwrite: False refuses a file that is there already, the audit's too.

    Raises:
        SaltflatError: unknown ending, nothing to export yet, a place that can't be written, or class
            folders of data that has changed since the run.
    """
    out = Path(out).resolve()
    chosen = _chosen_format(out, format)
    if for_spreadsheets:
        check_format(chosen)
    notice = changed_data(run) if dataset is None else None
    if notice and chosen == FOLDERS:
        raise SaltflatError(f"{notice} Class folders copy its images: put the data back, or export a table.")
    table = export_table(
        run,
        store,
        accept_above=accept_above,
        accept_precision=accept_precision,
        decisions_only=decisions_only,
        known=known,
    )
    events = audit_table(run, store)
    audit = out.with_name(f"{out.name if chosen == FOLDERS else out.stem}.audit.csv")
    if not overwrite:
        _refuse_existing([*([] if chosen == FOLDERS else [out]), *([audit] if len(events) else [])])
    without_image = 0
    if chosen == FOLDERS:
        dataset = open_spec(run.config.train_data) if dataset is None else dataset
        without_image = write_class_folders(table, dataset, out, progress).without_image
    else:
        write_export(spreadsheet_safe(table) if for_spreadsheets else table, out, chosen)
    paths = [out]
    if len(events):
        paths.append(write_audit(spreadsheet_safe(events) if for_spreadsheets else events, audit))
    counted = table["status"].value_counts()
    return ExportSummary(
        rows=len(table),
        counts={status: int(counted.get(status, 0)) for status in STATUSES},
        changed=int((table["clean_label"] != table["given_label"]).sum()),
        paths=tuple(paths),
        without_image=without_image,
        notice=notice,
    )


def _refuse_existing(places: list[Path]) -> None:
    """Somebody's file of that name may be the only one with decisions of an earlier review."""
    for place in places:
        if place.exists():
            raise SaltflatError(f"{place} is there already. Choose another name, or replace it with --force.")


def _chosen_format(out: Path, format: str | None) -> str:
    if format == FOLDERS or (format is None and (not out.suffix or out.is_dir())):
        return FOLDERS
    return format_of(out, format)


def _check_samples(run: RunFolder, ids: np.ndarray, rows: np.ndarray, samples: np.ndarray) -> None:
    """Refuse decisions that name other samples than the rows they point at."""
    outside = (rows < 0) | (rows >= len(ids))
    strange = outside.copy()
    strange[~outside] = ids[rows[~outside]] != samples[~outside]
    if strange.any():
        names = listing([repr(sample) for sample in samples[strange]], 3)
        raise SaltflatError(
            f"{int(strange.sum()):,} decisions of run {run.name!r} are on samples that its scores don't have "
            f"in that row: {names}. Use the database with which the run was reviewed."
        )
