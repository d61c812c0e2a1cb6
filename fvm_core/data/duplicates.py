"""Pictures that are there more than once: exactly, nearly, and with labels that contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fvm_core.data.dataset import UNKNOWN, ImageDataset, Problem
from fvm_core.data.measures import SIDE
from fvm_core.data.near_duplicates import near_duplicates
from fvm_core.data.quality import usable
from fvm_core.data.scan import Scanned
from fvm_core.data.wording import count

_NAMED = 3


@dataclass(frozen=True)
class _Copies:
    """The words on one way of being a copy: kinds and texts for one label and for several."""

    same: str
    same_text: str
    different: str
    different_text: str
    note: str


_EXACT = _Copies(
    "exact_duplicate",
    "are exact copies of each other with the same label. They count several times: exclude all but one.",
    "conflicting_labels",
    "have the same image as another row and another label. At most one of the labels is right",
    "same image as",
)
_NEAR = _Copies(
    "near_duplicate",
    "look nearly the same as another with the same label. If they show the same, exclude all but one.",
    "near_conflicting_labels",
    "look nearly the same as another with another label. If they show the same, at most one of the labels is "
    "right",
    "looks like",
)


def duplicate_problems(dataset: ImageDataset, scan: Scanned, where: str, words: str) -> list[Problem]:
    """Copies within one set: exact and near ones, each with one label and with several.

    Args:
        dataset: N images.
        scan: what is known of them.
        where: `train` or `val`.
        words: what the set is called, such as "training".
    """
    exact = _same_content(scan.hashes, np.flatnonzero(scan.readable))
    problems = _within(dataset, exact, where, words, _EXACT)
    if scan.measures is None:
        return problems
    rows = _comparable(scan)
    groups = [rows[group] for group in near_duplicates(*_looks(scan.measures[rows]))]
    near = [group for group in groups if len(np.unique(scan.hashes[group], axis=0)) > 1]
    return problems + _within(dataset, near, where, words, _NEAR)


def shared_problems(
    train: ImageDataset, val: ImageDataset, train_scan: Scanned, val_scan: Scanned
) -> list[Problem]:
    """Images that are in both sets: with the same label, with different ones, and nearly the same.

    Rows are those of the training set.
    """
    count_train = len(train)
    hashes = np.concatenate([train_scan.hashes, val_scan.hashes])
    readable = np.flatnonzero(np.concatenate([train_scan.readable, val_scan.readable]))
    partners = _partners(_same_content(hashes, readable), count_train)
    same, different = _by_label(partners, train, val)
    problems = []
    if different:
        named = "; ".join(
            f"{train.ids[row]} is {_label(train, row)} in the training set and {_label(val, other)} in the "
            "validation set"
            for row, other in list(different.items())[:_NAMED]
        )
        have = "1 training image is" if len(different) == 1 else f"{len(different):,} training images are"
        text = (
            f"{have} in the validation set too, with another label: {named}{_more(different)}. Which is "
            "right? Correct it in one set, and remove the image from the other."
        )
        notes = tuple(f"validation set: {_label(val, other)}" for other in different.values())
        problems.append(Problem("shared_image_conflict", text, tuple(different), notes=notes))
    if same:
        are = "image is" if len(same) == 1 else "images are"
        text = f"{len(same):,} training {are} also in the validation set. Remove them from one of the two."
        problems.append(Problem("shared_image", text, tuple(same)))
    if train_scan.measures is None or val_scan.measures is None:
        return problems
    first, second = _comparable(train_scan), _comparable(val_scan)
    looks = np.concatenate([train_scan.measures[first], val_scan.measures[second]])
    rows = np.concatenate([first, second + count_train])
    near = _partners([rows[group] for group in near_duplicates(*_looks(looks))], count_train)
    near = {row: other for row, other in near.items() if row not in partners}
    if near:
        look = "image looks" if len(near) == 1 else "images look"
        text = (
            f"{len(near):,} training {look} nearly the same as one of the validation set. If they show the "
            "same, the validation set is no independent check: remove them from one of the two."
        )
        notes = tuple(f"validation set: {val.ids[other]}, {_label(val, other)}" for other in near.values())
        problems.append(Problem("near_shared_image", text, tuple(near), notes=notes))
    return problems


def _within(
    dataset: ImageDataset, groups: Sequence[np.ndarray], where: str, words: str, copies: _Copies
) -> list[Problem]:
    """The problems of groups of copies: those with one label, and those with several."""
    same: list[np.ndarray] = []
    different: list[np.ndarray] = []
    for group in groups:
        labelled = group[dataset.given[group] != UNKNOWN]
        contradict = len(np.unique(dataset.given[labelled])) > 1
        (different if contradict else same).append(labelled if contradict else group)
    named = "; ".join(
        " and ".join(f"{dataset.ids[row]} ({_label(dataset, row)})" for row in _two_labels(dataset, group))
        for group in different[:_NAMED]
    )
    problems = []
    for kind, text, found in (
        (copies.different, f"{copies.different_text}: {named}{_more(different)}.", different),
        (copies.same, copies.same_text, same),
    ):
        if found:
            rows = tuple(int(row) for group in found for row in group)
            notes = tuple(_note(dataset, copies.note, row, group) for group in found for row in group)
            what = count(len(rows), f"{words} row")
            problems.append(Problem(kind, f"{what} {text}", rows, where, notes=notes))
    return problems


def _note(dataset: ImageDataset, relation: str, row: int, group: np.ndarray) -> str:
    """What the row is a copy of: one with another label where there is one."""
    others = group[group != row]
    unlike = others[dataset.given[others] != dataset.given[row]]
    other = int((unlike if len(unlike) else others)[0])
    return f"{relation} {dataset.ids[other]}, {_label(dataset, other)}"


def _two_labels(dataset: ImageDataset, group: np.ndarray) -> tuple[int, int]:
    other = group[dataset.given[group] != dataset.given[group[0]]][0]
    return int(group[0]), int(other)


def _by_label(
    partners: dict[int, int], train: ImageDataset, val: ImageDataset
) -> tuple[dict[int, int], dict[int, int]]:
    """Shared images whose labels agree (or are not known), and those whose labels differ, by name."""
    same, different = {}, {}
    for row, other in partners.items():
        known = train.given[row] != UNKNOWN and val.given[other] != UNKNOWN
        differ = known and _label(train, row) != _label(val, other)
        (different if differ else same)[row] = other
    return same, different


def _partners(groups: Sequence[np.ndarray], first_val: int) -> dict[int, int]:
    """For every training row in a group the first validation row in it, as row numbers of each set."""
    found = {}
    for group in groups:
        other = group[group >= first_val]
        if len(other):
            found |= {int(row): int(other[0]) - first_val for row in group[group < first_val]}
    return dict(sorted(found.items()))


def _same_content(hashes: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Groups of at least two rows with equal hashes, ascending, in the order of their first."""
    halves = np.ascontiguousarray(hashes[rows]).view(np.uint64)
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    ends = np.flatnonzero((halves[order[1:]] != halves[order[:-1]]).any(axis=1)) + 1
    starts = np.concatenate([[0], ends])
    sizes = np.diff(np.concatenate([starts, [len(order)]]))
    groups = [rows[order[at : at + size]] for at, size in zip(starts, sizes, strict=True) if size > 1]
    return sorted(groups, key=lambda group: group[0])


def _comparable(scan: Scanned) -> np.ndarray:
    """Rows whose looks tell something: of smaller pictures look-alikes are many."""
    measures = scan.measures
    large = np.minimum(measures["width"], measures["height"]) >= SIDE
    return np.flatnonzero(usable(measures, scan.readable) & large)


def _looks(measures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return measures["looks"], measures["colour"]


def _label(dataset: ImageDataset, row: int) -> str:
    code = dataset.given[row]
    return "no label" if code == UNKNOWN else dataset.classes[code]


def _more(found: Sequence | dict) -> str:
    return f"; and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
