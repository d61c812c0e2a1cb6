"""Names of classes that differ by their form only are one class: `1.0` and `1`, ` Cat` and `cat`."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from fvm_core.data.dataset import UNKNOWN, ImageDataset, Problem
from fvm_core.data.wording import count, listing

MATCHED = "class_names_matched"
"""Kind of the notice that names of one form were taken as one class."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?")
_BETWEEN = re.compile(r"[\s_\-]+")


def form(name: str) -> str:
    """What is left of a name without its spelling: Unicode form, case, spaces, leading and trailing zeros.

    `001`, `1` and `1.0` have the form `1`; `hot_dog`, `Hot dog ` and `hot-dog` that of `hot dog`.
    """
    text = unicodedata.normalize("NFKC", name).strip()
    if _NUMBER.fullmatch(text):
        number = Decimal(text).normalize()
        return format(number if number else Decimal(0), "f")
    plain = _BETWEEN.sub(" ", unicodedata.normalize("NFKC", text.casefold())).strip()
    return plain or text


@dataclass(frozen=True)
class Matching:
    """How the class names of two datasets belong together.

    Attributes:
        names: every name that is written otherwise to its class; all others are their own.
        unclear: groups of names that may be one class or several, of the training and of the other set.
    """

    names: Mapping[str, str]
    unclear: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = ()


def match(train: ImageDataset, val: ImageDataset) -> Matching:
    """Bring names of one form together, under the name that the training set uses most.

    Where both sets tell names of one form apart (as letters `a` and `A`), form means something there: then
    only equal names are one class, and others of such a form are `unclear`.
    """
    counts = _counts(train), _counts(val)
    groups: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for place, one in enumerate((train, val)):
        for name in one.classes:
            groups[form(name)][place].append(name)
    used = {
        key: [tuple(name for name in names if counts[place].get(name)) for place, names in enumerate(group)]
        for key, group in groups.items()
    }
    apart = any(len(set(ours) & set(theirs)) > 1 for ours, theirs in used.values())
    names: dict[str, str] = {}
    unclear = []
    for key, (ours, theirs) in groups.items():
        every = list(dict.fromkeys([*ours, *theirs]))
        if len(every) < 2:
            continue
        if apart:
            left = [set(used[key][a]) - set(used[key][1 - a]) for a in (0, 1)]
            if all(left):
                unclear.append((tuple(sorted(left[0])), tuple(sorted(left[1]))))
            continue
        chosen = max(every, key=lambda name: (name in ours, counts[0].get(name, 0), counts[1].get(name, 0)))
        names |= {name: chosen for name in every if name != chosen}
    return Matching(names, tuple(unclear))


def with_names(dataset: ImageDataset, matching: Matching, where: str) -> ImageDataset:
    """The dataset with its classes under the names of a matching, and a notice of what is one class now."""
    moved = {name: matching.names[name] for name in dataset.classes if name in matching.names}
    if not moved:
        return dataset
    classes = tuple(dict.fromkeys(moved.get(name, name) for name in dataset.classes))
    place = {name: k for k, name in enumerate(classes)}
    table = np.array([place[moved.get(name, name)] for name in dataset.classes] + [UNKNOWN], dtype=np.int64)
    used = _counts(dataset)
    pairs = [f"{old!r} as {new!r}" for old, new in moved.items()]
    rows = sum(used.get(name, 0) for name in moved)
    text = (
        f"{count(len(moved), 'class name')} of the {'validation' if where == 'val' else 'training'} set "
        f"({count(rows, 'row')}) differ{'s' if len(moved) == 1 else ''} from another one by form only and "
        f"{'is' if len(moved) == 1 else 'are'} read as that class: {listing(pairs, 4)}. If these are "
        "different classes, give them names that differ by more than case, spaces or zeros."
    )
    return replace(
        dataset,
        given=table[dataset.given],
        true=None if dataset.true is None else table[dataset.true],
        classes=classes,
        problems=[*dataset.problems, Problem(MATCHED, text, (), where, "notice")],
    )


def _counts(dataset: ImageDataset) -> dict[str, int]:
    """Rows of each class by name."""
    known = dataset.given[dataset.given != UNKNOWN]
    numbers = np.bincount(known, minlength=len(dataset.classes))
    return dict(zip(dataset.classes, numbers.tolist(), strict=True))
