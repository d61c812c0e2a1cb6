"""What is wrong with a dataset and its validation set, told before a run starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from fvm_core.data.class_names import match, with_names
from fvm_core.data.dataset import MISSING_LABEL, UNKNOWN, ImageDataset, Problem, missing_labels
from fvm_core.data.duplicates import duplicate_problems, shared_problems
from fvm_core.data.labels import natural_key
from fvm_core.data.parallel import ProgressCallback
from fvm_core.data.quality import cut_off, quality_problems
from fvm_core.data.scan import Scanned, scan_images
from fvm_core.data.wording import count, listing
from fvm_core.errors import UnreadableImage

MIN_ROWS = {"train": 10, "val": 2}
"""Labelled, readable rows without which a run makes no sense."""

_NAMED = 3
"""Rows that a text names with what is wrong with them."""

_ORDER = {"error": 0, "warning": 1, "notice": 2}
_WORDS = {"train": "training", "val": "validation"}


def find_problems(
    train: ImageDataset,
    val: ImageDataset | None = None,
    *,
    train_thumbnails: Scanned | None = None,
    val_thumbnails: Scanned | None = None,
    progress: ProgressCallback | None = None,
    cancelled: Callable[[], bool] | None = None,
    deep: bool = True,
) -> list[Problem]:
    """Everything that is wrong with the data, errors first, notices last.

    Args:
        train: the training set.
        val: the validation set, if there is one; its classes are matched by name, see `align_classes`.
        train_thumbnails: what building thumbnails found out about the images, which saves a pass.
        val_thumbnails: likewise for `val`.
        progress: called with images read and images to read.
        cancelled: asked now and then; True raises `Cancelled`.
        deep: False reads no image; what thumbnails know is used all the same.

    Returns:
        Problems that each list every row they concern; `severity` "error" stops a run.
    """
    if val is not None:
        train, val = align_classes(train, val)
    scans: dict[str, Scanned | None] = {"train": train_thumbnails, "val": val_thumbnails}
    datasets = {"train": train} if val is None else {"train": train, "val": val}
    if deep:
        _scan_the_rest(datasets, scans, progress, cancelled)
    problems: list[Problem] = []
    for where, dataset in datasets.items():
        scan = scans[where]
        problems += [replace(p, where=where) for p in dataset.problems if p.kind != MISSING_LABEL]
        problems += _unreadable(dataset, scan, where)
        problems += missing_labels(dataset.given, where)
        problems += _duplicate_ids(dataset, where)
        if scan is not None:
            problems += duplicate_problems(dataset, scan, where, _WORDS[where])
            problems += _of_measures(dataset, scan, where)
        problems += _too_few(dataset, scan, where)
    problems += _empty_classes(train, val)
    if val is not None:
        if scans["train"] is not None and scans["val"] is not None:
            problems += shared_problems(train, val, scans["train"], scans["val"])
        problems += _class_differences(train, val)
    return sorted(problems, key=lambda problem: _ORDER.get(problem.severity, len(_ORDER)))


def align_classes(train: ImageDataset, val: ImageDataset) -> tuple[ImageDataset, ImageDataset]:
    """Both datasets with one class list, matched by name: train's classes, then val's new ones.

    Names that differ by form only are one class, see `class_names`; the datasets' problems say so.
    """
    matching = match(train, val)
    train, val = with_names(train, matching, "train"), with_names(val, matching, "val")
    classes = tuple(dict.fromkeys([*train.classes, *val.classes]))
    return train.with_classes(classes), val.with_classes(classes)


def _scan_the_rest(
    datasets: dict[str, ImageDataset],
    scans: dict[str, Scanned | None],
    progress: ProgressCallback | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    waiting = [where for where in datasets if scans[where] is None]
    total = sum(len(datasets[where]) for where in waiting)
    before = 0
    for where in waiting:
        tell = None if progress is None else _shifted(progress, before, total)
        scans[where] = scan_images(datasets[where], tell, cancelled)
        before += len(datasets[where])


def _shifted(progress: ProgressCallback, before: int, total: int) -> ProgressCallback:
    return lambda done, _: progress(before + done, total)


def reasons(dataset: ImageDataset, rows: Sequence[int], known: Mapping[int, str] | None = None) -> str:
    """Why the first of some rows can't be read: row, id and what is wrong with each.

    Args:
        dataset: the rows' dataset.
        rows: row numbers; those whose reason is not known are read once more.
        known: reasons by row, as a scan has found them.
    """
    told = []
    for row in rows[:_NAMED]:
        if known and known.get(row):
            told.append(f"{_row(dataset, row)}: {known[row].rstrip('.')}")
            continue
        try:
            dataset.images.image(row, smallest=1)
        except UnreadableImage as error:
            told.append(f"{_row(dataset, row)}: {str(error).rstrip('.')}")
    return "; ".join(told) + "." if told else ""


def _row(dataset: ImageDataset, row: int) -> str:
    return f"row {row + 1:,} ({dataset.ids[row]})"


def _unreadable(dataset: ImageDataset, scan: Scanned | None, where: str) -> list[Problem]:
    rows = () if scan is None else _rows(~scan.readable)
    if not rows:
        return []
    fate = "gets no score" if len(rows) == 1 else "get no score"
    text = f"{count(len(rows), f'{_WORDS[where]} image')} can't be read and {fate}. You can go on without. "
    notes = tuple(scan.reasons.get(row, "") for row in rows)
    text = (text + _capital(reasons(dataset, rows, scan.reasons))).rstrip()
    return [Problem("unreadable_image", text, rows, where, notes=notes if any(notes) else ())]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _duplicate_ids(dataset: ImageDataset, where: str) -> list[Problem]:
    repeated = {text for text, number in Counter(dataset.ids).items() if number > 1}
    if not repeated:
        return []
    rows = tuple(row for row, text in enumerate(dataset.ids) if text in repeated)
    text = (
        f"{count(len(rows), f'{_WORDS[where]} row')} share {count(len(repeated), 'id')}, such as "
        f"{next(dataset.ids[row] for row in rows)}. Give every row its own id, or choose another id column."
    )
    return [Problem("duplicate_id", text, rows, where)]


def _of_measures(dataset: ImageDataset, scan: Scanned, where: str) -> list[Problem]:
    if scan.measures is None:
        return []
    lacking = cut_off(scan.measures, dataset.ids, where)
    found = quality_problems(scan.measures, scan.readable, where, _WORDS[where])
    return found if lacking is None else [*found, lacking]


def _too_few(dataset: ImageDataset, scan: Scanned | None, where: str) -> list[Problem]:
    usable = dataset.given != UNKNOWN
    if scan is not None:
        usable = usable & scan.readable
    number, least = int(usable.sum()), MIN_ROWS[where]
    problems = []
    if number < least:
        have = f"{count(number, f'usable {_WORDS[where]} image')}; at least {least} are needed."
        text = f"You have {have}{_unusable(dataset, scan)}"
        problems.append(Problem("too_few_rows", text, (), where, "error"))
    used = np.unique(dataset.given[usable])
    if where == "train" and len(used) < 2:
        if len(used):
            have = f"All usable training images have the label {dataset.classes[used[0]]}"
        else:
            have = "No training image can be used with a label"
        text = f"{have}; at least 2 classes are needed.{_unusable(dataset, scan)}"
        problems.append(Problem("too_few_classes", text, (), where, "error"))
    return problems


def _unusable(dataset: ImageDataset, scan: Scanned | None) -> str:
    """Which rows have no label and which images can't be read, the first of both named."""
    text = ""
    unlabelled = _rows(dataset.given == UNKNOWN)
    if unlabelled:
        names = listing([_row(dataset, row) for row in unlabelled], _NAMED)
        text += f" Without a label: {names}."
    unreadable = () if scan is None else _rows(~scan.readable)
    if unreadable:
        why = reasons(dataset, unreadable, None if scan is None else scan.reasons)
        text += f" Not readable are {len(unreadable):,} of {len(dataset):,}: {why}"
    return text


def _empty_classes(train: ImageDataset, val: ImageDataset | None) -> list[Problem]:
    used = _used(train) | (set() if val is None else _used(val))
    empty = [name for name in train.classes if name not in used]
    if not empty:
        return []
    have = "1 class has" if len(empty) == 1 else f"{len(empty):,} classes have"
    text = f"{have} no training images: {listing(empty)}. Add images, or remove the class."
    return [Problem("empty_class", text)]


def _class_differences(train: ImageDataset, val: ImageDataset) -> list[Problem]:
    in_train, in_val = _used(train), _used(val)
    if in_train and in_val and not in_train & in_val:
        text = (
            "Training and validation set have no class in common, so that nothing can be compared. Training: "
            f"{_names(in_train)}. Validation: {_names(in_val)}. Give both the same names, or choose other "
            "label columns."
        )
        return [Problem("no_common_class", text, (), "val", "error")]
    problems = []
    for ours, theirs in match(train, val).unclear:
        text = (
            f"Are these the same classes? Training: {_names(ours)}. Validation: {_names(theirs)}. They "
            "differ by form only, and elsewhere both sets tell such names apart. Give equal names to what is "
            "one class."
        )
        problems.append(Problem("class_names_unclear", text, (), "val", "error"))
    new = sorted(in_val - in_train, key=natural_key)
    if new:
        codes = [k for k, name in enumerate(val.classes) if name in new]
        text = (
            f"{count(len(new), 'validation class', 'validation classes')} without training images: "
            f"{listing(new)}. They can be suggested all the same; if the names should agree, correct them."
        )
        rows = _rows(np.isin(val.given, codes))
        problems.append(Problem("val_class_not_in_train", text, rows, "val"))
    lacking = sorted(in_train - in_val, key=natural_key)
    if lacking:
        text = (
            f"{count(len(lacking), 'training class', 'training classes')} without validation images: "
            f"{listing(lacking)}. Their samples get no percentile and no suggestion, as nothing that you "
            "trust speaks for them; add a few clean images of each."
        )
        problems.append(Problem("train_class_not_in_val", text, (), "val"))
    return problems


def _names(names: Iterable[str]) -> str:
    """In quotes where spaces could be overlooked."""
    shown = sorted(names, key=natural_key)
    plain = all(name == name.strip() and name for name in shown)
    return listing(shown if plain else [repr(name) for name in shown])


def _used(dataset: ImageDataset) -> set[str]:
    return {dataset.classes[k] for k in np.unique(dataset.given) if k != UNKNOWN}


def _rows(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())
