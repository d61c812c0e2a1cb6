"""Label texts and numbers to class indices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fvm_core.data.dataset import UNKNOWN

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
    """

    codes: np.ndarray
    names: tuple[str, ...]
    ordered: bool = False

    def recode(self, names: Sequence[str]) -> np.ndarray:
        """N indices into `names`, which holds every name that is used."""
        place = {name: k for k, name in enumerate(names)}
        table = np.array([place.get(name, UNKNOWN) for name in self.names] + [UNKNOWN], dtype=np.int64)
        return table[self.codes]


def from_texts(texts: Iterable[str | None]) -> Labels:
    """Labels from texts exactly as they are; None and the empty text are no label."""
    place: dict[str, int] = {}
    codes = [place.setdefault(text, len(place)) if text else UNKNOWN for text in texts]
    return Labels(np.array(codes, dtype=np.int64), tuple(place))


def from_numbers(values: np.ndarray, names: Sequence[str] | None = None) -> Labels:
    """Labels from whole numbers: positions in `names`, or without `names` their own texts.

    By the custom of Hugging Face and scikit-learn −1 is no label; so is a number outside `names`.
    """
    values = np.asarray(values)
    if names is not None:
        inside = (values >= 0) & (values < len(names))
        return Labels(np.where(inside, values, UNKNOWN).astype(np.int64), tuple(names), ordered=True)
    used, codes = np.unique(values, return_inverse=True)
    codes = np.where(values == -1, UNKNOWN, codes.reshape(-1))
    labels = Labels(codes.astype(np.int64), tuple(str(value) for value in used.tolist()))
    kept = tuple(name for name in labels.names if name != "-1")
    return Labels(labels.recode(kept), kept)


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
