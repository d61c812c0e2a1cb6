"""CSV, TSV or JSON lines files with a column of image paths and a column of labels."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fvm_core.data.columns import Columns, asked_of, find_columns
from fvm_core.data.dataset import ImageDataset, Problem, missing_labels
from fvm_core.data.exported import without_excluded
from fvm_core.data.image_paths import PathColumn, locate
from fvm_core.data.labels import from_texts, joined, merge, said_missing
from fvm_core.data.sources import FileImages
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError


def read_delimited(
    files: Sequence[Path],
    *,
    label: str | None = None,
    true_label: str | None = None,
    image: str | None = None,
    id: str | None = None,
    image_root: Path | None = None,
) -> ImageDataset:
    """Open a table of image paths and labels; every field is taken as text, exactly as it is.

    UTF-8, with or without a byte order mark; quotes as in RFC 4180. Relative paths start at `image_root` or
    the file's folder; paths of other machines are looked for (`image_paths.py`). What is no label is the
    same as in every format (`labels.py`).

    Args:
        files: the CSV, TSV or JSON lines files, the first two with a header row; rows follow each other.
        label: column of given labels; None finds the usual names.
        true_label: column of true labels; None finds `true_label`.
        image: column of image paths; None finds the usual names.
        id: column of ids; None finds `id`. Without one the paths are the ids.
        image_root: folder of the images, where that is not the file's.

    Raises:
        SaltflatError: not UTF-8, not a table, columns that are missing or ambiguous, or no image is found.
    """
    asked = {"label": label, "true_label": true_label, "image": image, "id": id}
    tables: list[_Table] = []
    for file in files:
        tables.append(_read(file.resolve(), asked))
        asked = asked_of(tables[0].columns)  # the others have the same
    given = joined([from_texts(table.column("label")) for table in tables])
    said: list[Problem] = []
    if tables[0].columns.status is not None:
        statuses = [status for table in tables for status in table.column("status")]
        given, said = without_excluded(given, statuses, tables[0].file.name)
    true = None
    if tables[0].columns.true_label is not None:
        true = joined([from_texts(table.column("true_label")) for table in tables])
    given_codes, true_codes, classes = merge(given, true)
    columns = [PathColumn(table.file.name, table.file.parent, table.column("image")) for table in tables]
    paths = [text for column in columns for text in column.texts]
    found, notices = locate(columns, image_root)
    ids = paths if tables[0].columns.id is None else [text for one in tables for text in one.column("id")]
    return ImageDataset(
        name=tables[0].file.stem,
        ids=ids,
        given=given_codes,
        classes=classes,
        images=FileImages(found),
        true=true_codes,
        paths=paths,
        problems=[*said, *notices, *said_missing(given, tables[0].file.name), *missing_labels(given_codes)],
    )


@dataclass(frozen=True)
class _Table:
    """One file: its columns by what they hold, its header and its rows."""

    file: Path
    columns: Columns
    header: list[str]
    rows: list[list[str]]

    def column(self, held: str) -> list[str]:
        place = self.header.index(getattr(self.columns, held))
        return [row[place] for row in self.rows]


def _read(file: Path, asked: dict[str, str | None]) -> _Table:
    records = _records(file)
    header = next(records, None)
    if header is None:
        raise SaltflatError(f"{file} is empty; the first line must name the columns.")
    columns = find_columns(header, file.name, **asked)
    rows = list(records)
    if not rows:
        raise SaltflatError(f"{file} has a header and no rows.")
    return _Table(file, columns, header, rows)


def _records(file: Path) -> Iterator[list[str]]:
    """Header and rows; blank lines are skipped, every other row is as long as the header."""
    text = _text(file)
    if file.suffix.lower() == ".jsonl":
        yield from _json_lines(file, text)
        return
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=separator(file, text), strict=True)
    width = None
    try:
        for record in reader:
            if not record:
                continue
            width = width or len(record)
            if len(record) != width:
                raise SaltflatError(
                    f"{file}, line {reader.line_num:,}: {len(record)} fields where the header has {width}. "
                    "Put fields that contain the separator or line breaks into double quotes."
                )
            yield record
    except csv.Error as error:
        raise SaltflatError(f"{file}, line {reader.line_num:,}: {error}.") from error


def _json_lines(file: Path, text: str) -> Iterator[list[str]]:
    """The same of a table with one JSON object a line; its first line names the columns."""
    names: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SaltflatError(f"{file}, line {number:,} is no JSON ({error}).") from error
        if not isinstance(record, dict):
            raise SaltflatError(f"{file}, line {number:,} is no JSON object with a value for each column.")
        if not names:
            names = list(record)
            yield names
        if record.keys() != set(names):
            raise SaltflatError(
                f"{file}, line {number:,} has other columns than line 1: {listing(list(record))}."
            )
        yield [_as_text(record[name], file, number, name) for name in names]


def _as_text(value: object, file: Path, number: int, name: str) -> str:
    if isinstance(value, dict | list):
        raise SaltflatError(
            f"{file}, line {number:,}: {name!r} holds several values; needed is one text or number."
        )
    return "" if value is None else str(value)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SaltflatError(f"{file} can't be read ({error.strerror}).") from error
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SaltflatError(
            f"{file} isn't UTF-8 text: line {line:,} has the byte 0x{data[error.start]:02X} "
            f"(byte {error.start + 1:,} of the file). Save it as UTF-8; in Excel the type is “CSV UTF-8”."
        ) from error


def separator(file: Path, text: str) -> str:
    """Tab for .tsv; comma for .csv, unless only a semicolon or tab can separate the header."""
    if file.suffix.lower() == ".tsv":
        return "\t"
    header = text.split("\n", 1)[0]
    return next((mark for mark in ",;\t" if mark in header), ",")
