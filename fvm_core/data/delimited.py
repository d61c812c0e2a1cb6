"""A CSV or TSV file with a column of image paths and a column of labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from fvm_core.data.columns import find_columns
from fvm_core.data.dataset import ImageDataset, missing_labels
from fvm_core.data.image_paths import PathColumn, locate
from fvm_core.data.labels import from_texts, merge, said_missing
from fvm_core.data.sources import FileImages
from fvm_core.errors import SaltflatError


def read_delimited(
    file: Path,
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
        file: the CSV or TSV file, with a header row.
        label: column of given labels; None finds the usual names.
        true_label: column of true labels; None finds `true_label`.
        image: column of image paths; None finds the usual names.
        id: column of ids; None finds `id`. Without one the paths are the ids.
        image_root: folder of the images, where that is not the file's.

    Raises:
        SaltflatError: not UTF-8, not a table, columns that are missing or ambiguous, or no image is found.
    """
    file = file.resolve()
    records = _records(file)
    header = next(records, None)
    if header is None:
        raise SaltflatError(f"{file} is empty; the first line must name the columns.")
    columns = find_columns(header, file.name, label=label, true_label=true_label, image=image, id=id)
    rows = list(records)
    if not rows:
        raise SaltflatError(f"{file} has a header and no rows.")

    def column(name: str) -> list[str]:
        place = header.index(name)
        return [row[place] for row in rows]

    true = None if columns.true_label is None else from_texts(column(columns.true_label))
    given = from_texts(column(columns.label))
    given_codes, true_codes, classes = merge(given, true)
    paths = column(columns.image)
    files, notices = locate([PathColumn(file.name, file.parent, paths)], image_root)
    return ImageDataset(
        name=file.stem,
        ids=paths if columns.id is None else column(columns.id),
        given=given_codes,
        classes=classes,
        images=FileImages(files),
        true=true_codes,
        paths=paths,
        problems=[*notices, *said_missing(given, file.name), *missing_labels(given_codes)],
    )


def _records(file: Path) -> Iterator[list[str]]:
    """Header and rows; blank lines are skipped, every other row is as long as the header."""
    text = _text(file)
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
