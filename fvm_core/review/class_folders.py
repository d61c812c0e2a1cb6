"""The cleaned dataset as one folder of images for each class."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fvm_core.data.dataset import ImageDataset
from fvm_core.data.decode import EXTENSIONS
from fvm_core.data.sources import EncodedImages, FileImages
from fvm_core.errors import SaltflatError, UnreadableImage
from fvm_core.review.safe_names import UniqueNames, safe_name, unique_folders
from fvm_core.review.table_files import write_frame

MAPPING = "mapping.csv"
_UNFINISHED = ".unfinished"
_SIGNATURES = {
    rb"\xff\xd8\xff": ".jpg",
    rb"\x89PNG\r\n\x1a\n": ".png",
    rb"RIFF....WEBP": ".webp",
    rb"GIF8[79]a": ".gif",
    rb"BM": ".bmp",
    rb"II\*\0|MM\0\*": ".tif",
    rb"P[1-6]\s": ".ppm",
    rb"....ftypavi[fs]": ".avif",
    rb"\0\0\0\x0cjP  ": ".jp2",
    rb"\xff\x4f\xff\x51": ".j2k",
}


@dataclass(frozen=True)
class ClassFolders:
    """What was written.

    Attributes:
        written: images.
        excluded: rows left out because a reviewer excluded them.
        without_image: rows left out because their image can't be read.
    """

    written: int
    excluded: int
    without_image: int


def write_class_folders(
    table: pd.DataFrame,
    dataset: ImageDataset,
    out: str | Path,
    progress: Callable[[int, int], None] | None = None,
) -> ClassFolders:
    """Write every image to `out/CLEAN LABEL/FILE`, and `out/mapping.csv`.

    Files and encoded images are copied byte by byte; arrays of pixels become PNG. Excluded rows are left
    out. Labels and file names become safe names (see `safe_name`), two that would meet get a number;
    rows without a label are in the folder `_`. `mapping.csv` has one line a row of the table, `id, path,
    clean_label, file`, with an empty `file` for rows that are left out. Nothing is in `out` until all of
    it is: an interrupted or failed export leaves the folder empty.

    Args:
        table: what `export_table` returned, with its index.
        dataset: the training set of that run.
        out: a folder that does not exist or is empty.
        progress: told (done, total); may raise to stop.

    Raises:
        SaltflatError: the folder is not empty or can't be written, or the dataset is another one.
    """
    out = Path(out)
    rows = table.index.to_numpy(dtype=np.int64)
    _check_dataset(table, dataset, rows)
    try:
        with _filled(out) as part:
            return _write_images(table, dataset, rows, part, progress)
    except OSError as error:
        raise SaltflatError(
            f"{error.filename or out} can't be written ({error.strerror or error})."
        ) from error


@contextmanager
def _filled(out: Path):
    """A folder inside `out` whose content moves up when all is done, and is gone otherwise."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise SaltflatError(
            f"The folder {out} is not empty. Choose a new one, so that nothing gets mixed up."
        )
    part = out / _UNFINISHED
    part.mkdir()
    try:
        yield part
        for entry in sorted(part.iterdir(), key=lambda entry: entry.name == MAPPING):
            entry.rename(out / entry.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write_images(
    table: pd.DataFrame,
    dataset: ImageDataset,
    rows: np.ndarray,
    part: Path,
    progress: Callable[[int, int], None] | None,
) -> ClassFolders:
    labels = table["clean_label"].to_numpy(dtype=object)
    excluded = (table["status"] == "excluded").to_numpy(dtype=bool)
    folders = unique_folders(labels[~excluded], taken=[MAPPING, _UNFINISHED])
    names = {label: UniqueNames() for label in folders}
    files = np.full(len(table), "", dtype=object)
    for place in np.flatnonzero(~excluded):
        row, label = int(rows[place]), labels[place]
        if progress is not None:
            progress(int(place), len(table))
        try:
            data, stem, ending = _image_file(dataset, row)
        except UnreadableImage:
            continue
        name = names[label].take(safe_name(stem), ending)
        folder = part / folders[label]
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        files[place] = f"{folders[label]}/{name}"
    mapping = table[["id", "path", "clean_label"]].assign(file=files)
    write_frame(mapping, part / MAPPING, "csv")
    if progress is not None:
        progress(len(table), len(table))
    written = int((files != "").sum())
    left_out = int(excluded.sum())
    return ClassFolders(written, left_out, len(table) - written - left_out)


def _image_file(dataset: ImageDataset, row: int) -> tuple[bytes, str, str]:
    """Content, name and ending of the file; the name is the last part of the row's path, or its id."""
    text = (dataset.paths[row] if dataset.paths is not None else "") or str(dataset.ids[row])
    text = text.replace("\\", "/").rstrip("/").rpartition("/")[2]
    stem, ending = os.path.splitext(text)  # noqa: PTH122 (a text, not a path)
    known = ending.lower() in EXTENSIONS
    if isinstance(dataset.images, FileImages | EncodedImages):
        data = dataset.images.content(row)
        return (data, stem, ending) if known else (data, text, _ending(data))
    file = io.BytesIO()
    dataset.images.image(row).save(file, "PNG")
    return file.getvalue(), stem if known else text, ".png"


def _ending(data: bytes) -> str:
    """The usual ending of an image file by its first bytes."""
    found = (name for signature, name in _SIGNATURES.items() if re.match(signature, data, re.DOTALL))
    return next(found, ".bin")


def _check_dataset(table: pd.DataFrame, dataset: ImageDataset, rows: np.ndarray) -> None:
    ids = table["id"].to_numpy(dtype=object)
    if len(rows) and (rows.min() < 0 or rows.max() >= len(dataset)):
        raise SaltflatError(
            f"The run has other samples than {dataset.name!r}: {len(dataset):,} rows are too few."
        )
    for place, row in enumerate(rows.tolist()):
        if str(dataset.ids[row]) != ids[place]:
            raise SaltflatError(
                f"{dataset.name!r} has changed since the run: row {row + 1:,} is {dataset.ids[row]!r} now, "
                f"it was {ids[place]!r}."
            )
