"""Reading what Saltflat has stored: a damaged file is told with its name, the reason and the way out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fvm_core.errors import DamagedFile
from fvm_core.shapes import fault

TABLE_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, TypeError)
"""What pyarrow raises for files that are cut off, altered or no Parquet at all, seen by damaging some."""


def read_json(path: Path, shape: object, remedy: str) -> object:
    """The content of a JSON file, with every part of the kind that `shape` says.

    Args:
        path: the file.
        shape: see `fvm_core.shapes.fault`.
        remedy: what to do when the file is damaged.

    Raises:
        DamagedFile: it is missing, can't be read, is no JSON, or holds something else than it should.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DamagedFile(path, "it is missing", remedy) from None
    except UnicodeDecodeError:
        raise DamagedFile(path, "it is no text", remedy) from None
    except OSError as error:
        raise DamagedFile(path, f"it can't be read ({error.strerror or error})", remedy) from None
    if not text.strip():
        raise DamagedFile(path, "it is empty", remedy)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedFile(path, f"it is no JSON ({error})", remedy) from None
    found = fault(value, shape)
    if found:
        raise DamagedFile(path, found, remedy)
    return value


def read_table(path: Path, remedy: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A Parquet file, or some of its columns.

    Raises:
        DamagedFile: it is missing, can't be read, or lacks a column.
    """
    known = read_schema(path, remedy).names
    for name in columns or ():
        if name not in known:
            raise DamagedFile(path, f"it has no column `{name}`", remedy)
    try:
        return pq.read_table(path, columns=None if columns is None else list(columns), partitioning=None)
    except TABLE_ERRORS as error:
        raise DamagedFile(path, _first_line(error), remedy) from None


def read_schema(path: Path, remedy: str) -> pa.Schema:
    """Columns and types of a Parquet file, without its content; raises `DamagedFile` likewise."""
    return _footer(path, remedy).schema_arrow


def count_rows(path: Path, remedy: str) -> int:
    """Rows of a Parquet file, without reading its content; raises `DamagedFile` likewise."""
    return _footer(path, remedy).metadata.num_rows


def _footer(path: Path, remedy: str) -> pq.ParquetFile:
    if not path.is_file():
        raise DamagedFile(path, "it is no file" if path.exists() else "it is missing", remedy)
    if not path.stat().st_size:
        raise DamagedFile(path, "it is empty", remedy)
    try:
        with pq.ParquetFile(path) as file:
            return file
    except TABLE_ERRORS as error:
        raise DamagedFile(path, _first_line(error), remedy) from None


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")
