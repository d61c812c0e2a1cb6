"""Label texts and numbers to class indices, by one rule for all formats.

No label are: nothing, the empty text, −1, and what Python and pandas write where a value is missing (`nan`,
`None`, `<NA>`). All other texts are class names exactly as they are, also `NA`, `null`, `none` and `0`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fvm_core.data.dataset import UNKNOWN, Problem
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError

# `none` and `NA` in other spellings are classes that people have: no defect, Namibia.
_MISSING = frozenset({"nan", "NaN", "NAN", "None", "<NA>", "NaT", "-1", "-1.0"})

_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Labels:
    """One column of labels.

    Attributes:
        codes: N indices into `names`, `UNKNOWN` where there is no label.
        names: the class names.
        ordered: the names are a list that somebody wrote down, so their order and their unused names
            stay; else they are only what occurs, and are sorted.
        missing: how often each text stood where there is no label; empty cells are not counted.
    """

    codes: np.ndarray
    names: tuple[str, ...]
    ordered: bool = False
    missing: Counter[str] = field(default_factory=Counter)

    def recode(self, names: Sequence[str]) -> np.ndarray:
        """N indices into `names`, which holds every name that is used."""
        place = {name: k for k, name in enumerate(names)}
        table = np.array([place.get(name, UNKNOWN) for name in self.names] + [UNKNOWN], dtype=np.int64)
        return table[self.codes]


def is_missing(text: str | None) -> bool:
    """Whether this text, where a label should stand, says that there is none."""
    return not text or text in _MISSING


def from_texts(texts: Iterable[str | None]) -> Labels:
    """Labels from texts exactly as they are, but for those that say that there is none."""
    place: dict[str, int] = {}
    found = [place.setdefault(text, len(place)) if text else UNKNOWN for text in texts]
    codes = np.array(found, dtype=np.int64)
    named = [name for name in place if not is_missing(name)]
    if len(named) == len(place):
        return Labels(codes, tuple(named))
    counts = np.bincount(codes[codes != UNKNOWN], minlength=len(place))
    missing = Counter({name: int(counts[k]) for name, k in place.items() if is_missing(name)})
    return Labels(Labels(codes, tuple(place)).recode(named), tuple(named), missing=missing)


def from_numbers(values: np.ndarray, names: Sequence[str] | None = None) -> Labels:
    """Labels from whole numbers: positions in `names`, or without `names` their own texts.

    By the custom of Hugging Face and scikit-learn −1 is no label; so is a number outside `names`.
    """
    values = np.asarray(values)
    if names is not None:
        inside = (values >= 0) & (values < len(names))
        return Labels(np.where(inside, values, UNKNOWN).astype(np.int64), tuple(names), ordered=True)
    used, codes = np.unique(values, return_inverse=True)
    labels = Labels(codes.reshape(-1).astype(np.int64), tuple(str(value) for value in used.tolist()))
    kept = tuple(name for name in labels.names if name != "-1")
    return Labels(labels.recode(kept), kept)


def from_floats(values: np.ndarray, where: str, names: Sequence[str] | None = None) -> Labels:
    """Labels from what pandas makes of whole numbers with gaps; NaN is no label.

    Raises:
        SaltflatError: a fraction or an infinite value; `where` names the column.
    """
    values = np.asarray(values, dtype=np.float64)
    gaps = np.isnan(values)
    wrong = ~gaps & ~((values == np.rint(values)) & (np.abs(values) < 2**53))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise SaltflatError(
            f"{where} holds fractions, such as {values[row]:g} in row {row + 1:,}; labels must be texts or "
            "whole numbers."
        )
    return from_numbers(np.where(gaps, -1, values).astype(np.int64), names)


def joined(parts: Sequence[Labels]) -> Labels:
    """The labels of several tables, one behind the other, under one list of names."""
    if len(parts) == 1:
        return parts[0]
    names = tuple(dict.fromkeys(name for part in parts for name in part.names))
    codes = np.concatenate([part.recode(names) for part in parts])
    missing = sum((part.missing for part in parts), Counter())
    return Labels(codes, names, all(part.ordered for part in parts), missing)


def said_missing(labels: Labels, where: str) -> list[Problem]:
    """The notice that texts were taken for missing labels, as a list of one or none."""
    if not labels.missing:
        return []
    texts = listing([f"`{text}` ({number:,}×)" for text, number in sorted(labels.missing.items())])
    return [
        Problem(
            "taken_as_no_label",
            f"In {where} {texts} was taken as no label. If it is the name of a class, write it differently.",
        )
    ]


def merge(given: Labels, true: Labels | None) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """One class list for given and true labels.

    Returns:
        Given indices (N), true indices (N or None), and the K class names: a written list first, in
        its order, the other names behind it in natural order.
    """
    columns = [given] if true is None else [given, true]
    names = list(dict.fromkeys(name for labels in columns if labels.ordered for name in labels.names))
    rest = {name for labels in columns for name in labels.names}.difference(names)
    classes = (*names, *sorted(rest, key=natural_key))
    return given.recode(classes), None if true is None else true.recode(classes), classes


def natural_key(name: str) -> tuple:
    """Sort key: numbers by value and before texts, `img9` before `img10`."""
    if _NUMBER.fullmatch(name):
        return (0, float(name), name)
    # Digits are compared by length and then as text: int() refuses very long ones.
    parts = tuple(
        (0, len(part.lstrip("0")), part.lstrip("0")) if k % 2 else (1, 0, part)
        for k, part in enumerate(_DIGITS.split(name))
    )
    return (1, parts, name)
