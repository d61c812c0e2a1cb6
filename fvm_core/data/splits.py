"""The parts of a dataset, such as train and test, by the names that people give them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fvm_core.data.dataset import Problem
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError

TRAIN, VAL, TEST = ROLES = ("train", "val", "test")

_ROLE_OF = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "trainingset"), TRAIN),
    **dict.fromkeys(
        ("val", "valid", "validation", "validating", "dev", "valset", "validset", "validationset", "devset"),
        VAL,
    ),
    **dict.fromkeys(("test", "testing", "tst", "testset"), TEST),
    **dict.fromkeys(("pred", "predict", "prediction"), "pred"),
    **dict.fromkeys(("meta", "metadata"), "meta"),
    **dict.fromkeys(("unlabeled", "unlabelled"), "unlabelled"),
    "extra": "extra",
    "holdout": "holdout",
}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def role(name: str) -> str | None:
    """`train`, `val`, `test` or a further part that `name` means, None where it is no name of a part.

    Case doesn't matter, and the part may be one word of several: `Training`, `seg_test`, `val2017`.
    """
    return _read(name)[0]


def are_parts(names: Sequence[str]) -> bool:
    """Whether folders of these names are parts of one dataset, and not classes.

    All have to be names of parts, or two different ones of train, val and test are there that are spelled
    alike. So `train`, `bus` and `car` are classes, as are `train_station` and `test_tube`.
    """
    read = [_read(name) for name in names]
    if names and all(found and not rest for found, rest in read) and _roles(read):
        return True
    return any(
        len(_roles([one for one in read if one[1] == rest])) > 1
        for rest in {rest for found, rest in read if found}
    )


def choose(names: Sequence[str], asked: str, where: str) -> tuple[str, list[Problem]]:
    """The one of several parts that is asked for, and the notice that says so.

    Args:
        names: the parts that there are.
        asked: the name of one in any case, or `train`, `val` or `test` for the one that means it. Where
            there is no `val`, `test` is taken for it.
        where: what holds the parts, for the texts.

    Raises:
        SaltflatError: no part is meant by it, or several are.
    """
    wanted = role(asked) or asked.casefold()
    for fits in (
        [name for name in names if name == asked],
        [name for name in names if name.casefold() == asked.casefold()],
        [name for name in names if role(name) == wanted],
        [name for name in names if wanted == VAL and role(name) == TEST],
    ):
        if len(fits) == 1:
            named = asked == fits[0] and asked not in (TRAIN, VAL)
            return fits[0], [] if named or len(names) == 1 else _notice(names, fits[0], wanted, where)
        if fits:
            raise SaltflatError(
                f"{where} has several parts that may be meant by {asked!r}: {listing(fits)}. Name one of "
                "them: --split NAME, for the validation set --val-split NAME."
            )
    raise SaltflatError(
        f"{where} has no part {asked!r}. Its parts are {listing(names, 30)}. Name one of them: --split NAME, "
        "for the validation set --val-split NAME."
    )


def not_split(asked: str, where: str) -> list[Problem]:
    """The notice for a source without parts; `train` and `val` mean all of it.

    Raises:
        SaltflatError: a part was asked for by a name that only a source with parts can have.
    """
    if asked in (TRAIN, VAL):
        return []
    if asked == TEST:
        return [Problem("no_parts", f"{where} has no parts, so all of it was taken for {asked!r}.")]
    raise SaltflatError(f"{where} has no parts, so there is no {asked!r} to choose. Leave the part out.")


def _notice(names: Sequence[str], taken: str, wanted: str, where: str) -> list[Problem]:
    lacking = " and no validation set" if wanted == VAL and role(taken) == TEST else ""
    return [
        Problem(
            "part_taken",
            f"{where} holds the parts {listing(names)} of a dataset{lacking}; {taken} was taken. Another one "
            "is chosen by its name (split).",
        )
    ]


def _read(name: str) -> tuple[str | None, str]:
    """Role of a name and the rest of it; no role where none of its words, or several, mean a part."""
    words = list(_WORD.finditer(name))
    found = [(word, _ROLE_OF[word[0].lower()]) for word in words if word[0].lower() in _ROLE_OF]
    if len(found) != 1:
        return None, name
    word, meant = found[0]
    return meant, (name[: word.start()] + name[word.end() :]).strip().lower()


def _roles(read: list[tuple[str | None, str]]) -> set[str]:
    return {found for found, _rest in read if found in ROLES}
