"""A Parquet file with a column of images or image paths and a column of labels."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fvm_core.data.columns import find_columns
from fvm_core.data.dataset import ImageDataset, ImageSource, Problem, missing_labels
from fvm_core.data.image_paths import PathColumn, locate
from fvm_core.data.labels import Labels, from_floats, from_numbers, from_texts, merge, said_missing
from fvm_core.data.sources import EncodedImages, FileImages, file_stamp
from fvm_core.errors import SaltflatError

_ROWS_AT_A_TIME = 1024  # keeps every piece of a binary column far below Arrow's limit of 2 GiB


def read_parquet(
    file: Path,
    *,
    label: str | None = None,
    true_label: str | None = None,
    image: str | None = None,
    id: str | None = None,
    image_root: Path | None = None,
) -> ImageDataset:
    """Open a Parquet file; only the columns that are needed are read, images stay compressed.

    Images: the struct {bytes, path} of Hugging Face, encoded bytes, or paths relative to the file's
    folder. Labels: texts, dictionary columns, or whole numbers, which Hugging Face's metadata may
    name. What is no label is the same as in every format (`labels.py`).

    Args:
        file: the Parquet file.
        label: column of given labels; None finds the usual names.
        true_label: column of true labels; None finds `true_label`.
        image: column of images; None finds the usual names.
        id: column of ids; None finds `id`. Without one the paths or row numbers are the ids.
        image_root: folder of the images that the file names by their paths, where that is not the file's.

    Raises:
        SaltflatError: not a Parquet file, columns that are missing, ambiguous or of a wrong type, or paths
            of which none is found.
    """
    try:
        with pq.ParquetFile(file) as table:
            return _read(table, file.resolve(), label, true_label, image, id, image_root)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise SaltflatError(f"{file} can't be read as Parquet: {error}") from error


def _read(
    table: pq.ParquetFile,
    file: Path,
    label: str | None,
    true_label: str | None,
    image: str | None,
    id: str | None,
    image_root: Path | None,
) -> ImageDataset:
    schema = table.schema_arrow
    columns = find_columns(schema.names, file.name, label=label, true_label=true_label, image=image, id=id)
    small = {name for name in (columns.label, columns.true_label, columns.id) if name}
    data = table.read(columns=sorted(small))
    given = _labels(data[columns.label], columns.label, schema, file)
    true = _labels(data[columns.true_label], columns.true_label, schema, file) if columns.true_label else None
    codes, true_codes, classes = merge(given, true)
    images, paths, notices = _images(table, columns.image, file, image_root)
    ids = None if columns.id is None else data[columns.id].cast(pa.string()).to_pylist()
    return ImageDataset(
        name=file.stem,
        ids=_ids(ids, paths, len(codes)),
        given=codes,
        classes=classes,
        images=images,
        true=true_codes,
        paths=None if paths is None else [path or "" for path in paths],
        problems=[*notices, *said_missing(given, file.name), *missing_labels(codes)],
    )


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


def _images(
    table: pq.ParquetFile, name: str, file: Path, root: Path | None
) -> tuple[ImageSource, list[str | None] | None, list[Problem]]:
    kind = table.schema_arrow.field(name).type
    parts = [kind.field(i).name for i in range(kind.num_fields)] if pa.types.is_struct(kind) else []
    if "bytes" in parts or "path" in parts:
        blobs, paths = [], [] if "path" in parts else None
        for batch in table.iter_batches(_ROWS_AT_A_TIME, columns=[f"{name}.{part}" for part in parts]):
            if "bytes" in parts:
                blobs.append(pc.struct_field(batch.column(0), "bytes"))
            if paths is not None:
                paths.extend(pc.struct_field(batch.column(0), "path").to_pylist())
        paths = paths if paths is not None and any(paths) else None
        if any(len(blob) > blob.null_count for blob in blobs) or paths is None:
            return _encoded(blobs, file), paths, []
        return _files(paths, file, root)
    if _is_binary(kind):
        batches = table.iter_batches(_ROWS_AT_A_TIME, columns=[name])
        return _encoded([batch.column(0) for batch in batches], file), None, []
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        paths = table.read(columns=[name])[name].to_pylist()
        return _files(paths, file, root)
    raise SaltflatError(
        f"Column {name!r} of {file.name} has type {kind}; images must be a struct of bytes and path, "
        "encoded bytes (binary), or paths (string)."
    )


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)


def _encoded(blobs: list[pa.Array], file: Path) -> EncodedImages:
    column = pa.chunked_array(blobs, type=blobs[0].type if blobs else pa.binary())
    return EncodedImages(column, file.name, file_stamp(file))


def _files(
    paths: list[str | None], file: Path, root: Path | None
) -> tuple[ImageSource, list[str | None], list[Problem]]:
    files, notices = locate([PathColumn(file.name, file.parent, paths)], root)
    return FileImages(files), paths, notices
