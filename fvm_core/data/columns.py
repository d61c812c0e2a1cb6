"""Which column of a table holds what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fvm_core.data import exported
from fvm_core.data.exported import is_export
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError

# fmt: off
IMAGE_NAMES = (
    "image", "image_path", "path", "file", "filename", "file_name", "filepath", "file_path", "img",
    "img_path", "image_file", "image_name", "filepaths", "filenames", "image_id", "id_code",
)
# fmt: on
LABEL_NAMES = ("label", "given_label", "class", "category", "target")
TRUE_LABEL_NAME = "true_label"
ID_NAME = "id"
_LABEL_WORD = re.compile(r"label|class|category|target", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    """Column names as the table writes them; None where there is no such column.

    `status` is there in exports of a review whose clean labels are read.
    """

    label: str
    image: str
    true_label: str | None
    id: str | None
    status: str | None = None


def find_columns(
    names: Sequence[str],
    where: str,
    *,
    label: str | None = None,
    true_label: str | None = None,
    image: str | None = None,
    id: str | None = None,
) -> Columns:
    """The columns to read: those asked for, else those with the usual names in any case.

    Args:
        names: the table's columns.
        where: the table's name, for error texts.
        label: column of given labels; None finds the usual names, and `clean_label` in exports of a review.
        true_label: column of true labels.
        image: column of images or paths.
        id: column of ids.

    Raises:
        SaltflatError: a column that was asked for is missing, none looks like labels or images, or
            several look like labels. The text lists the table's columns.
    """
    asked = [name for name in (label, true_label, image, id) if name is not None]
    for name in asked:
        if name not in names:
            raise SaltflatError(f"{where} has no column {name!r}. Its columns are {_all(names)}.")
    free = [name for name in names if name not in asked]
    if image is None:
        image = _image_column(free, where)
    free = [name for name in free if name != image]
    if true_label is None:
        true_label = next((name for name in free if _same(name, TRUE_LABEL_NAME)), None)
    if id is None:
        id = next((name for name in free if _same(name, ID_NAME)), None)
    status = None
    if label is None and is_export(names):
        label, status = exported.LABEL, exported.STATUS
    if label is None:
        label = _label_column([name for name in free if name not in (true_label, id)], where)
    for name in filter(None, (label, image, true_label, id, status)):
        if list(names).count(name) > 1:
            raise SaltflatError(f"{where} has more than one column {name!r}. Rename all but one.")
    return Columns(label=label, image=image, true_label=true_label, id=id, status=status)


def asked_of(columns: Columns) -> dict[str, str | None]:
    """The arguments of `find_columns` with which a further file of the same table is read alike."""
    label = None if columns.status is not None else columns.label
    return {"label": label, "true_label": columns.true_label, "image": columns.image, "id": columns.id}


def _image_column(names: Sequence[str], where: str) -> str:
    for usual in IMAGE_NAMES:
        found = [name for name in names if _same(name, usual)]
        if found:
            return found[0]
    raise SaltflatError(
        f"{where} has no column of images with a usual name ({', '.join(IMAGE_NAMES)}). "
        f"Its columns are {_all(names)}. Name the image column."
    )


def _label_column(names: Sequence[str], where: str) -> str:
    usual = [name for name in names if any(_same(name, one) for one in LABEL_NAMES)]
    found = usual or [name for name in names if _LABEL_WORD.search(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise SaltflatError(
            f"{where} has several columns that may hold the labels: {_all(found)}. Name the label column."
        )
    raise SaltflatError(
        f"{where} has no column of labels with a usual name ({', '.join(LABEL_NAMES)}). "
        f"Its other columns are {_all(names)}. Name the label column."
    )


def _same(name: str, usual: str) -> bool:
    return name.strip().lower() == usual


def _all(names: Sequence[str]) -> str:
    return listing(names, 30) if names else "none"
