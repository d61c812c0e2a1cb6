"""Tables in several files, in the order of the numbers in their names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fvm_core.data.dataset import Problem
from fvm_core.data.labels import natural_key
from fvm_core.data.wording import count, listing
from fvm_core.errors import SaltflatError

# As Hugging Face writes them: train-00000-of-00003.parquet, formerly train-00000-of-00003-1a2b3c.parquet.
_OF = re.compile(r"(?P<stem>.*?)[-_.]?(?P<number>[0-9]{1,9})-of-(?P<total>[0-9]{1,9})(?:-[0-9A-Za-z]+)?")
# As Spark and people write them: part-00000-1a2b.snappy.parquet, train_3.csv, 0000.parquet.
_OF_SPARK = re.compile(r"(?P<stem>part)-(?P<number>[0-9]{1,9})(?:[-.].*)?")
_NUMBERED = re.compile(r"(?P<stem>.*?)[-_.]?(?P<number>[0-9]{1,9})")

_MOST = 1_000_000
"""Files of a table; a name that claims more is no shard's."""


@dataclass(frozen=True)
class Shard:
    """One file of a table.

    Attributes:
        file: where it is.
        stem: its name without numbers, which the table's files share.
        number: its own, None where it has none.
        total: how many there should be, None where the name doesn't say.
    """

    file: Path
    stem: str
    number: int | None = None
    total: int | None = None


def shard(file: Path) -> Shard:
    """What a file's name says."""
    name = file.name.removesuffix(file.suffix)
    if found := _OF.fullmatch(name):
        return Shard(file, found["stem"], int(found["number"]), int(found["total"]))
    if found := _OF_SPARK.fullmatch(name) or _NUMBERED.fullmatch(name):
        return Shard(file, found["stem"], int(found["number"]))
    return Shard(file, name)


def by_stem(files: Sequence[Path]) -> dict[str, list[Shard]]:
    """The shards of several tables by the stem of their names, each in order."""
    found: dict[str, list[Shard]] = defaultdict(list)
    for one in map(shard, files):
        found[one.stem].append(one)
    return {stem: in_order(found[stem]) for stem in sorted(found, key=natural_key)}


def in_order(shards: Sequence[Shard]) -> list[Shard]:
    """The shards by folder, stem and number."""

    def place(one: Shard) -> tuple:
        folder, name = natural_key(str(one.file.parent)), natural_key(one.file.name)
        return folder, natural_key(one.stem), one.number or 0, name

    return sorted(shards, key=place)


def missing(shards: Sequence[Shard]) -> list[Problem]:
    """The notices that numbers are missing among the shards of one table, for each of their folders.

    Raises:
        SaltflatError: two shards have the same number, or they are of several tables.
    """
    folders: dict[Path, list[Shard]] = defaultdict(list)
    for one in shards:
        if one.number is not None:
            folders[one.file.parent].append(one)
    return [problem for numbered in folders.values() for problem in _missing(numbered)]


def _missing(numbered: Sequence[Shard]) -> list[Problem]:
    first = numbered[0]
    totals = {one.total for one in numbered if one.total is not None}
    numbers = [one.number for one in numbered if one.number is not None]
    if len(totals) > 1 or (totals and len(set(numbers)) < len(numbers)):
        raise SaltflatError(
            f"{first.file.parent} holds shards of more than one table: "
            f"{listing([one.file.name for one in numbered], 6)}. Name those of one by a pattern, such as "
            "DIR/train-*-of-00003.parquet."
        )
    if totals:
        total = totals.pop()
        begin = 1 if 0 not in numbers and total in numbers else 0
        wanted = range(begin, begin + total)
    else:
        wanted = range(min(numbers), max(numbers) + 1)
    if len(wanted) > _MOST:
        raise SaltflatError(f"{first.file.name} can't be one of {len(wanted):,} files. Mend its name.")
    gaps = sorted(set(wanted) - set(numbers))
    if not gaps:
        return []
    names = listing([f"{number:05d}" for number in gaps])
    table, are = first.stem or first.file.parent.name, "is" if len(gaps) == 1 else "are"
    text = (
        f"{len(gaps):,} of {count(len(wanted), 'file')} of {table} in {first.file.parent} {are} missing, "
        f"number {names}: the dataset is without their rows."
    )
    return [Problem("missing_shard", text)]
