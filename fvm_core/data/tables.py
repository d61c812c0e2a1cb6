"""The files of a table that a source means: one, those that a pattern fits, or those in a folder."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fvm_core.data.dataset import Problem
from fvm_core.data.decode import EXTENSIONS
from fvm_core.data.leftovers import is_leftover
from fvm_core.data.shards import Shard, by_stem, in_order, missing, shard
from fvm_core.data.splits import are_parts, choose, not_split
from fvm_core.data.wording import listing
from fvm_core.errors import SaltflatError

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".jsonl")
KINDS = (*TEXT, *PARQUET)

_USUAL = ("data", "default")
"""Folders in which Hugging Face puts the tables of a dataset."""
_DEEPEST = 3
_LOOKED_AT = 20_000


@dataclass(frozen=True)
class TableFiles:
    """Files whose rows follow each other.

    Attributes:
        files: at least one, all of the same kind.
        name: of the table, for people.
        notices: what was chosen, and what is missing.
    """

    files: tuple[Path, ...]
    name: str
    notices: tuple[Problem, ...] = ()


def find_tables(path: Path, split: str) -> TableFiles | None:
    """The files that `path` means; None where it means no table.

    A file means itself. A pattern (`data/train-*.parquet`) means the files that it fits; a folder its Parquet
    files, or numbered CSV and TSV files, also those in its folder `data`. Are these of several parts, `split`
    chooses among them. Numbers in the names order the files, as text else.

    Args:
        path: a file, a folder or a pattern.
        split: see `splits.choose`.

    Raises:
        SaltflatError: no file fits, files of several kinds or tables do, or there is no such part.
    """
    try:
        if path.is_file():
            return _single(path, split) if path.suffix.lower() in KINDS else None
        if path.is_dir():
            return _in_folder(path, split)
        files = _fitting(path) if _is_pattern(path) else []
    except OSError as error:  # no right to look, or a name that is too long
        raise SaltflatError(f"{str(path)[:200]!r} can't be read ({error.strerror}).") from error
    if files:
        return _chosen(files, split, str(path), by_pattern=True)
    if _is_pattern(path):
        raise SaltflatError(
            f"No table fits {str(path)!r}. Tables end in {', '.join(KINDS)}; * stands for any letters of a "
            "name, ** for folders."
        )
    return None


def parts(path: Path) -> list[str]:
    """The parts among which there is a choice in the tables that a folder or a pattern means."""
    if path.is_dir():
        files, folders = _held(path, _DEEPEST)
    else:
        files, folders = _fitting(path) if _is_pattern(path) else [], []
    names = [one.name for one in folders] or list(by_stem(files))
    return names if len(names) > 1 and are_parts(names) else []


def files_of(source: str, split: str = "train") -> tuple[Path, ...]:
    """The files of the table that a source means; none where it means no table or can't be told."""
    try:
        found = find_tables(Path(source).expanduser(), split)
    except (SaltflatError, OSError, ValueError, RuntimeError):
        return ()
    return () if found is None else found.files


def _single(path: Path, split: str) -> TableFiles:
    notices = not_split(split, str(path))
    total = shard(path).total
    if total is not None and total > 1:
        pattern = path.parent / f"{shard(path).stem}*-of-*{path.suffix}"
        text = f"{path.name} is one of {total:,} files of a table, and the others were not named."
        notices.append(Problem("one_shard", f"{text} Name their folder or {pattern} to take all."))
    return TableFiles((path,), path.stem, tuple(notices))


def _is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path))


def _fitting(path: Path) -> list[Path]:
    literal = path
    while not literal.exists() and glob.has_magic(str(literal)):
        literal = literal.parent
    # A folder that is really called `a[1]` is no pattern.
    pattern = os.path.join(glob.escape(str(literal)), *path.parts[len(literal.parts) :])  # noqa: PTH118
    found = map(Path, glob.glob(pattern, recursive=True))  # noqa: PTH207 (pathlib's knows no escapes)
    return [file for file in found if _is_table(file.name) and file.is_file()]


def _in_folder(folder: Path, split: str) -> TableFiles | None:
    files, parts = _held(folder, _DEEPEST)
    if parts:
        part, notices = choose([one.name for one in parts], split, str(folder))
        inside = _held(next(one for one in parts if one.name == part), 0)[0]
        found = _chosen(inside, split, str(folder), in_part=True)
        return TableFiles(found.files, part, (*notices, *found.notices))
    if not files:
        return None
    if not any(shard(file).total for file in files) and _holds_images(folder):
        return None
    return _chosen(files, split, str(folder))


def _held(folder: Path, deepest: int) -> tuple[list[Path], list[Path]]:
    """Tables in a folder or the usual ones in it; else the folders in it that are parts and hold tables."""
    with os.scandir(folder) as entries:
        kept = [one for one in entries if not is_leftover(one.name)]
    tables = sorted(Path(one.path) for one in kept if _is_table(one.name) and one.is_file())
    # A CSV in a folder is as likely one about something else.
    files = [one for one in tables if one.suffix.lower() in PARQUET or shard(one).total is not None]
    if files or not deepest:
        return files, []
    folders = sorted(Path(one.path) for one in kept if one.is_dir())
    if are_parts([one.name for one in folders]):
        return [], [one for one in folders if _held(one, 0)[0]]
    inner = [one for one in folders if one.name.lower() in _USUAL] or (folders if len(folders) == 1 else [])
    return _held(inner[0], deepest - 1) if inner else ([], [])


def _chosen(
    files: Sequence[Path], split: str, where: str, *, by_pattern: bool = False, in_part: bool = False
) -> TableFiles:
    kinds = sorted({_kind(file) for file in files})
    if len(kinds) > 1:
        names = listing([file.name for file in files], 4)
        raise SaltflatError(
            f"{where} means tables of several kinds ({', '.join(kinds)}): {names}. Name those of one by a "
            "pattern, such as DIR/*.parquet."
        )
    tables = by_stem(files)
    shards: list[Shard] = next(iter(tables.values()))
    if len(tables) == 1:
        # Who names train-*.parquet for the validation set means it.
        notices = [] if by_pattern or in_part else _only(next(iter(tables)), split, where)
    elif are_parts(list(tables)) and not in_part:
        part, notices = choose(list(tables), split, where)
        shards = tables[part]
    elif by_pattern or in_part:
        every = in_order([one for table in tables.values() for one in table])
        gaps = [problem for table in tables.values() for problem in missing(table)]
        return TableFiles(tuple(one.file for one in every), every[0].file.parent.name, tuple(gaps))
    else:
        names = listing([f"{table[0].file.name}" for table in tables.values()], 4)
        raise SaltflatError(
            f"{where} holds several tables: {names}. Name one of them, or several by a pattern, such as "
            f"{where}/*.parquet."
        )
    name = shards[0].stem or shards[0].file.parent.name
    return TableFiles(tuple(one.file for one in shards), name, (*notices, *missing(shards)))


def _only(stem: str, split: str, where: str) -> list[Problem]:
    return choose([stem], split, where)[1] if are_parts([stem]) else not_split(split, where)


def _kind(file: Path) -> str:
    return PARQUET[0] if file.suffix.lower() in PARQUET else file.suffix.lower()


def _is_table(name: str) -> bool:
    return not is_leftover(name) and os.path.splitext(name)[1].lower() in KINDS  # noqa: PTH122


def _holds_images(folder: Path) -> bool:
    """Whether images are in folders below, as far as a look at some thousand names tells."""
    looked = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not is_leftover(name))
        looked += len(names) + 1
        if Path(place) != folder and any(os.path.splitext(name)[1].lower() in EXTENSIONS for name in names):  # noqa: PTH122
            return True
        if looked > _LOOKED_AT:
            return False
    return False
