"""Embeddings that were made elsewhere: NPY, NPZ, Parquet by id, or an array from Python."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fvm_core.data.npy_header import HEADER_ERRORS
from fvm_core.errors import SaltflatError

COLUMNS = ("features", "embedding", "embeddings", "vector")
"""Names by which a column of lists is found in a Parquet file."""


def read_features(path: str | Path, ids: Sequence[str], part: str) -> np.ndarray:
    """(n, D) float32, one row for each id, in that order; NaN rows are samples without features.

    A `.npy` file has its rows in the order of the samples. A `.npz` file has an array named as the part
    (`train` or `val`) or `features`, and by `ids` or `PART_ids` its rows may come in any order. A
    `.parquet` file has a column `id` and one column of lists (`features`, `embedding`).

    Args:
        path: the file.
        ids: of the samples.
        part: `train` or `val`.

    Raises:
        SaltflatError: no such file, another kind of file, ids without features, values that are no numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise SaltflatError(f"There is no file {path}, which should hold the features.")
    suffix = path.suffix.lower()
    if suffix == ".npy":
        found, own = _array(path), None
    elif suffix == ".npz":
        found, own = _archive(path, part)
    elif suffix == ".parquet":
        found, own = _table(path)
    else:
        raise SaltflatError(f"Features can be read from .npy, .npz and .parquet files, not from {path.name}.")
    return checked(found, ids, own, str(path))


def checked(found: np.ndarray, ids: Sequence[str], own: Sequence[str] | None, where: str) -> np.ndarray:
    """The rows (n, D) of the ids as float32.

    Args:
        found: (R, D) numbers.
        ids: of the samples, n of them.
        own: (R,) ids of the rows; None where they are in the order of the samples.
        where: the file or argument, for messages.

    Raises:
        SaltflatError: not two dimensions, another number of rows, ids that are not there, no numbers.
    """
    if found.ndim != 2 or found.shape[1] < 1 or found.dtype.kind not in "fiu":
        raise SaltflatError(
            f"{where}: features are numbers in rows and columns (samples × features); this is {found.dtype} "
            f"of shape {tuple(found.shape)}."
        )
    if own is None:
        if len(found) != len(ids):
            raise SaltflatError(
                f"{where} has {len(found):,} rows and the set has {len(ids):,} samples. Without ids the rows "
                "have to be those of the samples in their order; a .parquet file has a column `id`."
            )
        rows = np.arange(len(ids))
    else:
        places = {name: row for row, name in enumerate(own)}
        if len(places) < len(own):
            raise SaltflatError(f"{where}: some ids come more than once. Give every sample one row.")
        missing = [name for name in ids if name not in places]
        if missing:
            raise SaltflatError(
                f"{where} has no features for {len(missing):,} of {len(ids):,} samples, the first is "
                f"{missing[0]!r}. Its own first id is {own[0]!r}."
                if len(own)
                else f"{where} has no rows."
            )
        rows = np.array([places[name] for name in ids], dtype=np.int64)
    values = np.asarray(found[rows], dtype=np.float32)
    broken = np.isinf(values).any(1)
    if broken.any():
        raise SaltflatError(f"{where}: the features of sample {ids[int(broken.argmax())]!r} are infinite.")
    return values


def check_widths(train: int, val: int) -> None:
    """Raise `SaltflatError` where the two sets have another number of features."""
    if train != val:
        raise SaltflatError(
            f"The training samples have {train:,} features each and the validation samples {val:,}: both "
            "have to come from the same network."
        )


def width_of(path: str, val_path: str, ids: Sequence[str], val_ids: Sequence[str]) -> int:
    """D, once the features of both sets have been read and fit together.

    Args:
        path: the file with features of the training set, and of both where `val_path` is empty.
        val_path: that with those of the validation set.
        ids: of the training samples.
        val_ids: of the validation samples.

    Raises:
        SaltflatError: see `read_features` and `check_widths`.
    """
    width = read_features(path, ids, "train").shape[1]
    check_widths(width, read_features(val_path or path, val_ids, "val").shape[1])
    return width


def _array(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, *HEADER_ERRORS) as error:
        raise SaltflatError(f"{path} can't be read as an array: {error}") from None


def _archive(path: Path, part: str) -> tuple[np.ndarray, list[str] | None]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            name = next((one for one in (part, "features") if one in names), None)
            if name is None:
                raise SaltflatError(
                    f"{path} has no array `{part}` or `features`; it has {', '.join(names) or 'none'}."
                )
            found = archive[name]
            key = next((one for one in (f"{part}_ids", "ids") if one in names), None)
            own = None if key is None else [str(one) for one in archive[key].tolist()]
    except (OSError, zipfile.BadZipFile, *HEADER_ERRORS) as error:
        raise SaltflatError(f"{path} can't be read as arrays: {error}") from None
    if own is not None and len(own) != len(found):
        raise SaltflatError(f"{path} has {len(own):,} ids and {len(found):,} rows of features.")
    return found, own


def _table(path: Path) -> tuple[np.ndarray, list[str]]:
    try:
        schema = pq.read_schema(path)
        name = next((one for one in COLUMNS if one in schema.names), None)
        if "id" not in schema.names or name is None:
            raise SaltflatError(
                f"{path} needs a column `id` and a column of lists called {' or '.join(COLUMNS)}; it has "
                f"{', '.join(schema.names)}."
            )
        table = pq.read_table(path, columns=["id", name])
    except (OSError, pa.ArrowException) as error:
        raise SaltflatError(f"{path} can't be read as a Parquet file: {error}") from None
    column = table.column(name).combine_chunks()
    if not (
        pa.types.is_list(column.type)
        or pa.types.is_fixed_size_list(column.type)
        or pa.types.is_large_list(column.type)
    ):
        raise SaltflatError(f"{path}: column `{name}` holds {column.type}, not lists of numbers.")
    lengths = np.asarray(pc.list_value_length(column).fill_null(0))
    if len(lengths) and (lengths != lengths[0]).any():
        row = int((lengths != lengths[0]).argmax())
        raise SaltflatError(
            f"{path}: row {row} has {lengths[row]} features, the first row {lengths[0]}. All need as many."
        )
    values = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), -1), [str(one) for one in table.column("id").to_pylist()]
