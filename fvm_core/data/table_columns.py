"""The columns of a table by name, before it is opened."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import pyarrow.parquet as pq

from fvm_core.data.delimited import separator
from fvm_core.data.tables import files_of

_HEADER = 1 << 16
"""Letters of a text table that are looked at."""


def column_names(source: str) -> list[str]:
    """The columns of the table that a dataset's source names, or the arrays of an .npz file.

    Empty for sources of another kind, and for files that can't be read: their reader says why.
    """
    try:
        path = next(iter(files_of(source)), Path(source).expanduser())
        kind = path.suffix.lower()
        if not path.is_file():
            return []
        if kind in (".parquet", ".pq"):
            return list(pq.read_schema(path).names)
        if kind == ".jsonl":
            with path.open(encoding="utf-8-sig", errors="replace") as file:
                record = json.loads(next((line for line in file if line.strip()), "{}"))
            return list(record) if isinstance(record, dict) else []
        if kind in (".csv", ".tsv"):
            with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
                lines = io.StringIO(file.read(_HEADER), newline="")
            header = next(csv.reader(lines, delimiter=separator(path, lines.getvalue())), [])
            return [name for name in header if name]
        if kind == ".npz":
            with zipfile.ZipFile(path) as archive:
                return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, ValueError, RuntimeError, csv.Error, zipfile.BadZipFile):
        return []
    return []
