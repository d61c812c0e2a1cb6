"""Parquet files with a column of images or image paths and a column of labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fvm_core.data.columns import Columns, asked_of, find_columns
from fvm_core.data.dataset import ImageDataset, ImageSource, Problem, missing_labels
from fvm_core.data.exported import without_excluded
from fvm_core.data.image_paths import PathColumn, locate
from fvm_core.data.labels import Labels, from_floats, from_numbers, from_texts, joined, merge, said_missing
from fvm_core.data.row_groups import DAMAGED, ParquetColumn
from fvm_core.data.sources import EncodedImages, FileImages
from fvm_core.errors import SaltflatError


def read_parquet(
    files: Sequence[Path],
    *,
    label: str | None = None,
    true_label: str | None = None,
    image: str | None = None,
    id: str | None = None,
    image_root: Path | None = None,
) -> ImageDataset:
    """Open Parquet files; only the columns that are needed are read, and images when they are asked for.

    Images: the struct {bytes, path} of Hugging Face, encoded bytes, or paths relative to `image_root` or the
    file's folder. Labels: texts, dictionary columns, or whole numbers, which Hugging Face's metadata may
    name. What is no label is the same as in every format (`labels.py`).

    Args:
        files: the Parquet files; rows follow each other.
        label: column of given labels; None finds the usual names.
        true_label: column of true labels; None finds `true_label`.
        image: column of images; None finds the usual names.
        id: column of ids; None finds `id`. Without one the paths or row numbers are the ids.
        image_root: folder of the images that the file names by their paths, where that is not the file's.

    Raises:
        SaltflatError: not a Parquet file, columns that are missing, ambiguous or of a wrong type, or paths
            of which none is found.
    """
    asked = {"label": label, "true_label": true_label, "image": image, "id": id}
    tables: list[_Table] = []
    for file in files:
        try:
            tables.append(_read(file.resolve(), asked))
            asked = asked_of(tables[0].columns)  # the others have the same
        except DAMAGED as error:
            raise SaltflatError(f"{file} can't be read as Parquet: {error}") from error
    given = joined([table.given for table in tables])
    said: list[Problem] = []
    if tables[0].statuses is not None:
        statuses = [status for table in tables for status in table.statuses or ()]
        given, said = without_excluded(given, statuses, tables[0].file.name)
    true = None
    if tables[0].true is not None:
        true = joined([table.true for table in tables if table.true is not None])
    codes, true_codes, classes = merge(given, true)
    if not len(codes):
        raise SaltflatError(f"{tables[0].file} has no rows.")
    try:
        images, paths, notices = _images(tables, image_root)
    except DAMAGED as error:
        raise SaltflatError(f"{tables[0].file} can't be read as Parquet: {error}") from error
    ids = None if tables[0].ids is None else [text for table in tables for text in table.ids or ()]
    return ImageDataset(
        name=tables[0].file.stem,
        ids=_ids(ids, paths, len(codes)),
        given=codes,
        classes=classes,
        images=images,
        true=true_codes,
        paths=None if paths is None else [path or "" for path in paths],
        problems=[*said, *notices, *said_missing(given, tables[0].file.name), *missing_labels(codes)],
    )


@dataclass(frozen=True)
class _Table:
    """One file without its images: its columns by what they hold, and N labels, ids and paths.

    Attributes:
        bytes_in: the binary column of images, None where there are only paths.
        paths: None where there are only images.
    """

    file: Path
    columns: Columns
    given: Labels
    true: Labels | None
    ids: list[str | None] | None
    bytes_in: str | None
    paths: list[str | None] | None
    statuses: list[str | None] | None


def _read(file: Path, asked: dict[str, str | None]) -> _Table:
    with pq.ParquetFile(file) as table:
        schema = table.schema_arrow
        columns = find_columns(schema.names, file.name, **asked)
        bytes_in, paths_in = _image_columns(schema, columns.image, file)
        small = {
            name for name in (columns.label, columns.true_label, columns.id, paths_in, columns.status) if name
        }
        data = table.read(columns=sorted(small))
    given = _labels(data[columns.label], columns.label, schema, file)
    true = _labels(data[columns.true_label], columns.true_label, schema, file) if columns.true_label else None
    paths = None
    if paths_in is not None:
        held = data[columns.image]
        held = pc.struct_field(held, "path") if pa.types.is_struct(held.type) else held
        paths = held.cast(pa.large_string()).to_pylist()
    ids = None
    if columns.id is not None:
        try:
            ids = data[columns.id].cast(pa.string()).to_pylist()
        except pa.ArrowException as error:
            kind = data[columns.id].type
            raise SaltflatError(
                f"Column {columns.id!r} of {file.name} has type {kind} and can't be read as texts ({error}). "
                "Choose another column of ids."
            ) from error
    statuses = None if columns.status is None else data[columns.status].cast(pa.string()).to_pylist()
    return _Table(file, columns, given, true, ids, bytes_in, paths, statuses)


def _ids(ids: list[str | None] | None, paths: list[str | None] | None, rows: int) -> list[str]:
    texts = ids or paths or [None] * rows
    return [str(row + 1) if text is None else text for row, text in enumerate(texts)]


def _labels(column: pa.ChunkedArray, name: str, schema: pa.Schema, file: Path) -> Labels:
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
        column = column.cast(kind)
    if pa.types.is_boolean(kind) or pa.types.is_string_view(kind):
        kind, column = pa.string(), column.cast(pa.string())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return from_texts(column.to_pylist())
    names = _class_names(schema, name)
    if pa.types.is_floating(kind):
        values = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
        return from_floats(values, f"Column {name!r} of {file.name}", names)
    if pa.types.is_integer(kind):
        return from_numbers(pc.fill_null(column.cast(pa.int64()), -1).to_numpy(), names)
    if pa.types.is_null(kind):
        return from_texts([None] * len(column))
    raise SaltflatError(
        f"Column {name!r} of {file.name} has type {kind}; labels must be texts or whole numbers."
    )


def _class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names that Hugging Face's `ClassLabel` feature gives to the numbers of a column."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        names = about["info"]["features"][column]["names"]
    except (KeyError, ValueError, TypeError):
        return None
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return names
    return None


def _image_columns(schema: pa.Schema, name: str, file: Path) -> tuple[str | None, str | None]:
    """Columns of the images' bytes and of their paths, None where there is none."""
    kind = schema.field(name).type
    if pa.types.is_struct(kind):
        held = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        bytes_in = f"{name}.bytes" if "bytes" in held and _is_binary(held["bytes"]) else None
        paths_in = f"{name}.path" if "path" in held and _is_text(held["path"]) else None
        if bytes_in or paths_in:
            return bytes_in, paths_in
    elif _is_binary(kind):
        return name, None
    elif _is_text(kind):
        return None, name
    raise SaltflatError(
        f"Column {name!r} of {file.name} has type {kind}; images must be a struct of bytes and path, "
        "encoded bytes (binary), or paths (string)."
    )


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _images(
    tables: Sequence[_Table], root: Path | None
) -> tuple[ImageSource, list[str | None] | None, list[Problem]]:
    """The images, the paths that the tables write where they write some, and notices on these."""
    paths = None
    if all(table.paths is not None for table in tables):
        paths = [path for table in tables for path in table.paths or ()]
        paths = paths if any(paths) or tables[0].bytes_in is None else None
    kinds = {table.bytes_in for table in tables}
    if len(kinds) > 1:
        names = " and ".join(table.file.name for table in (tables[0], tables[-1]))
        raise SaltflatError(f"{names} hold images in different ways, bytes and paths. Open them one by one.")
    bytes_in = kinds.pop()
    if bytes_in is not None:
        column = ParquetColumn([table.file for table in tables], bytes_in)
        if paths is None or column.any_value():
            return EncodedImages(column, column.where, column.stamp()), paths, []
    written = paths or []
    columns = [PathColumn(table.file.name, table.file.parent, table.paths or []) for table in tables]
    files, notices = locate(columns, root)
    return FileImages(files), written, notices
