"""The export's table as CSV, TSV, JSON lines or Parquet, and back, every value as it was."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from fvm_core.atomic import replacing
from fvm_core.errors import SaltflatError

COLUMNS = (
    "id",
    "path",
    "given_label",
    "clean_label",
    "status",
    "suggested_label",
    "influence",
    "percentile",
    "reviewer",
    "decided_at",
    "run",
    "note",
)
"""Columns of the export, in this order."""

LATER = ("note",)
"""Columns that exports of earlier versions don't have; they are read as empty."""

NUMBERS = ("influence", "percentile")
"""The columns that hold float64; all others hold text."""

FORMATS = ("csv", "tsv", "jsonl", "parquet")
"""File formats; each is also the file name's ending."""

_ROWS_AT_A_TIME = 50_000


def write_export(table: pd.DataFrame, path: str | Path, format: str | None = None) -> Path:
    r"""Write what `export_table` returns; the file appears whole or not at all.

    CSV and TSV: UTF-8 without a byte order mark, `\n` between rows, every text in double quotes, a quote
    doubled, nothing else changed: a leading `=` stays, as do line breaks of every kind. Read them with
    `pandas.read_csv(path, dtype=str, keep_default_na=False)` (`sep="\t"` for TSV). Numbers are the
    shortest text from which the same float64 comes back; NaN is empty, in JSON lines null. Halves of
    surrogate pairs, which no UTF-8 file can hold, become `\udcff` and the like, as in the readers.

    Args:
        table: the table.
        path: the file; its ending names the format unless `format` does.
        format: one of `FORMATS`.

    Raises:
        SaltflatError: an unknown format, or a place that can't be written.
    """
    return write_frame(table[list(COLUMNS)], path, format_of(Path(path), format))


def export_bytes(table: pd.DataFrame, format: str) -> bytes:
    """The content of the file that `write_export` would write."""
    file = io.BytesIO()
    _write(table[list(COLUMNS)], file, format_of(Path(), format))
    return file.getvalue()


def read_export(path: str | Path, format: str | None = None) -> pd.DataFrame:
    """Read a file of `write_export`: the same values with the same types, rows numbered from 0.

    Raises:
        SaltflatError: no such file, an unknown format, or a file that is no export.
    """
    path = Path(path)
    kind = format_of(path, format)
    try:
        found = _read(path, kind)
        found = found.assign(**{name: "" for name in LATER if name not in found})
        lacking = [name for name in COLUMNS if name not in found]
        if lacking:
            raise SaltflatError(f"{path} is not an export: it lacks the columns {', '.join(lacking)}.")
        return pd.DataFrame(
            {name: _number(found[name]) if name in NUMBERS else found[name].astype("str") for name in COLUMNS}
        )
    except FileNotFoundError:
        raise SaltflatError(f"There is no file {path}.") from None
    except (OSError, ValueError) as error:  # pandas' and Arrow's errors are ValueErrors
        raise SaltflatError(f"{path} can't be read as {kind}: {error}") from None


def format_of(path: Path, format: str | None = None) -> str:
    """The format by its name, else by the ending of `path`; raises `SaltflatError` for an unknown one."""
    chosen = (format or path.suffix).lower().removeprefix(".")
    if chosen in FORMATS:
        return chosen
    endings = ", ".join(f".{name}" for name in FORMATS)
    if format is not None:
        raise SaltflatError(f"There is no export format {format!r}; choose one of: {', '.join(FORMATS)}.")
    raise SaltflatError(
        f"{path.name!r} has no ending that names a format: use {endings}, or a folder for class folders."
    )


def write_frame(frame: pd.DataFrame, path: str | Path, format: str) -> Path:
    """Write any frame of texts and numbers in one of `FORMATS`, atomically; returns the path.

    Raises:
        SaltflatError: the place can't be written.
    """
    path = Path(path)
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            _write(frame, file, format)
    except OSError as error:
        raise SaltflatError(f"{path} can't be written ({error.strerror or error}).") from error
    return path


def _write(frame: pd.DataFrame, file: BinaryIO, format: str) -> None:
    table = _arrow(frame)
    if format == "parquet":
        pq.write_table(table, file, compression="zstd")
    elif format == "jsonl":
        _write_lines(table, file)
    else:
        pa_csv.write_csv(table, file, pa_csv.WriteOptions(delimiter=_separator(format)))


def _read(path: Path, format: str) -> pd.DataFrame:
    if format == "parquet":
        return pq.read_table(path).to_pandas()
    if format == "jsonl":
        with path.open(encoding="utf-8", newline="\n") as lines:
            rows = [json.loads(line) for line in lines]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=list(COLUMNS))
    return pd.read_csv(path, sep=_separator(format), dtype=str, keep_default_na=False)


def _arrow(frame: pd.DataFrame) -> pa.Table:
    """The frame with NaN as null and texts that UTF-8 can hold."""
    return pa.table({name: _arrow_column(frame[name]) for name in frame})


def _arrow_column(column: pd.Series) -> pa.Array:
    if pd.api.types.is_numeric_dtype(column.dtype):
        return pa.array(column, from_pandas=True)
    texts = column.to_numpy(dtype=object)
    try:
        return pa.array(texts, pa.large_string())
    except UnicodeEncodeError:
        return pa.array(
            [text.encode("utf-8", "backslashreplace").decode() for text in texts], pa.large_string()
        )


def _write_lines(table: pa.Table, file: BinaryIO) -> None:
    encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
    for batch in table.to_batches(_ROWS_AT_A_TIME):
        file.write("".join(encode(row) + "\n" for row in batch.to_pylist()).encode())


def _number(column: pd.Series) -> np.ndarray:
    """Float64, exactly as written; empty and null are NaN."""
    if column.dtype == np.float64:
        return column.to_numpy()
    return np.array([np.nan if value is None or value == "" else float(value) for value in column])


def _separator(format: str) -> str:
    return "\t" if format == "tsv" else ","
