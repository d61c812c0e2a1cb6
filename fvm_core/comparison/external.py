"""Scores and probabilities from other tools, joined to a run's samples by id."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from fvm_core.comparison.choice import OWN
from fvm_core.comparison.results import (
    FOLDER,
    Description,
    check_name,
    descriptions,
    remove_result,
    write_result,
)
from fvm_core.data.npy_header import HEADER_ERRORS, check_claim, read_header
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError
from fvm_core.runs import checksums
from fvm_core.runs.run_folder import RunFolder

LOW, HIGH = "low", "high"
KNOWN_COLUMNS = {
    "suspicion": HIGH,
    "label_quality": LOW,
    "label_quality_score": LOW,
    "label_score": LOW,
    "self_confidence": LOW,
    "loss": HIGH,
    "score": None,
}
"""Columns that are taken where none is named, and which end is suspicious, where the name says so."""
PROBABILITIES = "pred_probs"
_ORDER = 500


@dataclass(frozen=True)
class External:
    """What was understood of a file.

    Attributes:
        values: (N,) in the run's order, NaN for samples that the file lacks.
        suspicious: which end of the values is.
        suggested: (N,) labels, from probabilities; None where there are only scores.
        column: what the values were taken from.
        missing: samples of the run that the file lacks.
        extra: ids in the file that the run lacks.
    """

    values: np.ndarray
    suspicious: str
    suggested: list[str | None] | None
    column: str
    missing: int = 0
    extra: int = 0


def read_external(
    run: RunFolder,
    path: str | Path,
    *,
    id_column: str | None = None,
    score_column: str | None = None,
    suspicious: str | None = None,
) -> External:
    """Read a CSV, TSV, Parquet or NPY of scores (N,) or probabilities (N, K), rows as ids say.

    A table needs a column of ids (`id` unless another is named) and either a column of scores, or one of
    probabilities for each class of the run (named like the class, or like its number), or a list of K
    in `pred_probs`. Of probabilities the one of the given label is the score, small = suspicious, and
    the most probable label the suggestion. An NPY has its rows in the run's order.

    Args:
        run: with scores.
        path: the file.
        id_column: name of the ids' column.
        score_column: name of the scores' column.
        suspicious: `high` or `low`; known for columns of `KNOWN_COLUMNS`.

    Raises:
        SaltflatError: the file can't be read or does not fit the run; names file, column and row.
    """
    path = Path(path)
    if suspicious not in (None, LOW, HIGH):
        raise SaltflatError(f"Which end is suspicious is {suspicious!r}; choose high or low.")
    if not path.is_file():
        raise SaltflatError(f"There is no file {path}.")
    if path.suffix.lower() == ".npy":
        return _from_array(run, path, suspicious)
    table = _table(path)
    return _from_table(run, path, table, id_column, score_column, suspicious)


def add_external(run: RunFolder, name: str, found: External, source: str) -> None:
    """Let the values take part in the comparison as `external NAME`.

    Raises:
        SaltflatError: no file can have that name, or an estimator of the run has it.
    """
    check_name(name)
    taken = {one.name for one in descriptions(run.path) if not one.external} | {OWN}
    if name in taken:
        raise SaltflatError(f"The run has a score `{name}` of its own. Choose another name.")
    about = Description(
        name=name,
        title=name,
        suspicious=found.suspicious,
        relabels=found.suggested is not None,
        external=True,
        order=_ORDER,
        settings={"file": source, "column": found.column},
    )
    checksums.forget(run.path, *_files(name))
    write_result(run.path, about, found.values, found.suggested)


def remove_external(run: RunFolder, name: str) -> None:
    """Take values from a file out of the comparison; raises `SaltflatError` if there is no such name."""
    if name not in {one.name for one in descriptions(run.path) if one.external}:
        raise SaltflatError(f"{run.name} has no score `{name}` from a file.")
    checksums.forget(run.path, *_files(name))
    remove_result(run.path, name)


def _files(name: str) -> list[str]:
    return [f"{FOLDER}/{name}.json", f"{FOLDER}/{name}.parquet"]


def _table(path: Path) -> pd.DataFrame:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        try:
            return pq.read_table(path).to_pandas()
        except (pa.ArrowInvalid, OSError) as error:
            raise SaltflatError(f"{path} can't be read as Parquet: {error}.") from None
    if suffix not in (".csv", ".tsv"):
        raise SaltflatError(
            f"{path} is no table that is known here; give a .csv, .tsv, .parquet or .npy file."
        )
    try:
        found = pd.read_csv(path, sep="\t" if suffix == ".tsv" else ",", dtype=str, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, csv.Error) as error:
        raise SaltflatError(f"{path} can't be read as a table: {error}.") from None
    return found


def _from_array(run: RunFolder, path: Path, suspicious: str | None) -> External:
    try:
        with path.open("rb") as file:
            header = read_header(file)
        if header is not None:
            check_claim(header, path.stat().st_size, str(path))
        values = np.load(path, allow_pickle=False)
    except (MemoryError, OSError, *HEADER_ERRORS) as error:
        raise SaltflatError(f"{path} can't be read as an array of numbers: {error}.") from None
    count, classes = run.info["samples"], len(run.info["classes"])
    if values.dtype.kind not in "fiub":
        raise SaltflatError(f"{path} holds {values.dtype}; numbers are needed.")
    if values.shape == (count,):
        if suspicious is None:
            raise SaltflatError(f"Say which end of the scores in {path} is suspicious, high or low.")
        values = values.astype(np.float64)
        _check_finite(path, "the array", values)
        return External(values, suspicious, None, "array")
    if values.shape == (count, classes):
        return _from_probabilities(run, path, values.astype(np.float64), np.arange(count), "array")
    raise SaltflatError(
        f"{path} has the shape {values.shape}; it must be ({count},) for scores or ({count}, {classes}) for "
        f"probabilities, with the rows in the run's order."
    )


def _from_table(
    run: RunFolder,
    path: Path,
    table: pd.DataFrame,
    id_column: str | None,
    score_column: str | None,
    suspicious: str | None,
) -> External:
    columns = listing([f"`{name}`" for name in table.columns], 8)
    if not len(table):
        raise SaltflatError(f"{path} has no rows.")
    key = id_column or "id"
    if key not in table:
        raise SaltflatError(
            f"{path} has no column `{key}` for the ids; it has {columns}. Name the one to use."
        )
    ids = table[key].astype(str)
    double = ids.duplicated()
    if double.any():
        raise SaltflatError(
            f"{path}: the id {ids[double].iloc[0]!r} comes more than once (row {int(np.argmax(double)) + 1})."
        )
    own = pd.Index(run.read_scores(["id"])["id"].astype(str))
    place = own.get_indexer(ids)
    inside = place >= 0
    if not inside.any():
        raise SaltflatError(
            f"None of the {len(ids):,} ids in column `{key}` of {path} is one of the run's. The file has "
            f"{ids.iloc[0]!r}, the run {own[0]!r}."
        )
    counts = {"missing": len(own) - int(inside.sum()), "extra": int((~inside).sum())}
    if score_column is None and (found := _probability_columns(run, path, table)) is not None:
        values, column = found
        return _from_probabilities(run, path, values[inside], place[inside], column, **counts)
    name = score_column or next((one for one in KNOWN_COLUMNS if one in table), None)
    if name is None or name not in table:
        wanted = f"no column `{score_column}`" if score_column else "no column of scores that is known here"
        raise SaltflatError(f"{path} has {wanted}; it has {columns}. Name the one to use.")
    end = suspicious or KNOWN_COLUMNS.get(name)
    if end is None:
        raise SaltflatError(f"Say which end of column `{name}` in {path} is suspicious, high or low.")
    values = np.full(len(own), np.nan)
    values[place[inside]] = _numbers(path, name, table[name])[inside]
    return External(values, end, None, name, **counts)


def _probability_columns(run: RunFolder, path: Path, table: pd.DataFrame) -> tuple[np.ndarray, str] | None:
    classes = run.info["classes"]
    if PROBABILITIES in table:
        lists = table[PROBABILITIES].tolist()
        wrong = next((row for row, one in enumerate(lists) if np.size(one) != len(classes)), None)
        if wrong is not None or isinstance(lists[0], str):
            raise SaltflatError(
                f"{path}: row {1 + (wrong or 0)} of `{PROBABILITIES}` is not a list of {len(classes)} "
                f"numbers, one for each class of the run."
            )
        return np.stack([np.asarray(one, dtype=np.float64) for one in lists]), PROBABILITIES
    for names in (list(classes), [str(number) for number in range(len(classes))]):
        if all(name in table for name in names):
            found = [_numbers(path, name, table[name]) for name in names]
            return np.stack(found, 1), "probabilities by class"
    return None


def _from_probabilities(
    run: RunFolder,
    path: Path,
    probabilities: np.ndarray,
    rows: np.ndarray,
    column: str,
    *,
    missing: int = 0,
    extra: int = 0,
) -> External:
    _check_finite(path, f"`{column}`", probabilities)
    outside = (probabilities < 0) | (probabilities > 1)
    if outside.any():
        row, value = int(np.argmax(outside.any(1))), float(probabilities[outside][0])
        raise SaltflatError(f"{path}: row {row + 1} of `{column}` holds {value:g}; probabilities are 0 to 1.")
    sums = probabilities.sum(1)
    if (np.abs(sums - 1) > 0.01).any():
        row = int(np.argmax(np.abs(sums - 1) > 0.01))
        raise SaltflatError(
            f"{path}: the probabilities of row {row + 1} sum to {sums[row]:.3f} instead of 1. Give the "
            f"softmax of the logits."
        )
    classes = run.info["classes"]
    table = run.read_scores(["given_label"])["given_label"]
    given = pd.Index(classes, dtype=object).get_indexer(table.astype(object))[rows]
    values, suggested = np.full(len(table), np.nan), [None] * len(table)
    own = np.full(len(rows), np.nan)
    own[given >= 0] = probabilities[given >= 0, given[given >= 0]]
    values[rows] = own
    for row, label in zip(rows.tolist(), probabilities.argmax(1).tolist(), strict=True):
        suggested[row] = classes[label]
    return External(values, LOW, suggested, column, missing, extra)


def _numbers(path: Path, name: str, column: pd.Series) -> np.ndarray:
    found = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    empty = column.isna() | (column.astype(str).str.strip() == "")
    wrong = ~np.isfinite(found) & ~empty.to_numpy()
    if wrong.any():
        row = int(np.argmax(wrong))
        raise SaltflatError(f"{path}: row {row + 1} of `{name}` is {column.iloc[row]!r}, which is no number.")
    return found


def _check_finite(path: Path, what: str, values: np.ndarray) -> None:
    wrong = ~np.isfinite(values.reshape(len(values), -1)).all(1)
    if wrong.any():
        raise SaltflatError(f"{path}: row {int(np.argmax(wrong)) + 1} of {what} is no finite number.")
