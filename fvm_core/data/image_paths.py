"""The image files that a column of paths names, also where it was written for another folder or machine."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fvm_core.data import written_paths
from fvm_core.data.dataset import Problem
from fvm_core.data.decode import EXTENSIONS
from fvm_core.data.leftovers import is_leftover
from fvm_core.data.wording import count
from fvm_core.data.written_paths import WrittenPath
from fvm_core.errors import SaltflatError

_ASKED_SINGLY = 64
"""Files of a folder that are looked up one by one before all of its names are read."""
_MOST_ENTRIES = 5_000_000
"""Files and folders that are looked through for names, at most."""
_SHOWN = 3
ALIKE, MOVED, NAME = "other case or ending", "last parts", "name"
_LONGEST = 200


class ImagesNotFound(SaltflatError):
    """None of the images that a table names was found.

    Attributes:
        paths: N whole paths as the table means them, empty where a row names none.
    """

    def __init__(self, text: str, paths: Sequence[str]) -> None:
        self.paths = paths
        super().__init__(text)


@dataclass(frozen=True)
class PathColumn:
    """A column of image paths.

    Attributes:
        table: name of the table, for texts.
        folder: where the table lies; relative paths begin there.
        texts: N paths as written; None or empty where a row names none.
    """

    table: str
    folder: Path
    texts: Sequence[str | None]


def locate(columns: Sequence[PathColumn], image_root: Path | None) -> tuple[list[str], list[Problem]]:
    """The files that the rows of one or several tables mean.

    Looked for are, in this order: the path as it is written, below `image_root` and then below the table's
    folder; its readings on this machine (see `written_paths.read`); its last parts; all of these without
    regard to case and with the endings of images; and at last the file's name alone, anywhere below
    `image_root` or else the table's folder, where one walk notes all names that are wanted. Where several
    files fit, or files that differ in the table would be the same one, none is taken. A file that is missing
    in a folder where others are as they are written is missing, and not looked for elsewhere.

    Args:
        columns: N rows in all.
        image_root: folder of the images, None for those of the tables.

    Returns:
        N whole paths, the written one where no file was found, empty where a row names none; and notices of
        all that was not found as it is written.

    Raises:
        ImagesNotFound: no row names a file that is there; the text says where the first ones were looked for.
    """
    search = _Search(columns, image_root)
    rows = [(k, text or "") for k, column in enumerate(columns) for text in column.texts]
    places = [search.as_written(k, text) for k, text in rows]
    waiting = list(dict.fromkeys(row for row, place in zip(rows, places, strict=True) if place is None))
    if waiting:
        search.look_for(waiting, {row: place for row, place in zip(rows, places, strict=True) if place})
        for number, place in enumerate(places):
            if place is None and (found := search.found.get(rows[number])):
                places[number] = found.path
    whole = [
        search.meant(k, text) if place is None else place
        for (k, text), place in zip(rows, places, strict=True)
    ]
    told = _Told(columns, rows, search)
    if not any(places):
        raise ImagesNotFound(told.nothing_found(), whole)
    return whole, told.notices() if waiting else []


@dataclass(frozen=True)
class _Found:
    """A file, and by what it was guessed; nothing where it is the written path in this machine's spelling."""

    path: str
    by: str = ""


class _Search:
    """Looks for files; what it finds and can't tell apart is by table and written text.

    Attributes:
        bases: of each table, the folders below which its relative paths are looked for.
        roots: the folders that are walked for names.
        found: the files.
        unclear: why none was guessed where several files fit, or several texts would be the same file.
        cut_short: the walk ended before it had seen everything.
    """

    def __init__(self, columns: Sequence[PathColumn], image_root: Path | None) -> None:
        chosen = [] if image_root is None else [image_root]
        self.bases = [list(dict.fromkeys([*chosen, column.folder])) for column in columns]
        self.roots = chosen or _outermost(column.folder for column in columns)
        self.found: dict[tuple[int, str], _Found] = {}
        self.unclear: dict[tuple[int, str], str] = {}
        self.cut_short = False
        self._folders: dict[str, _Folder] = {}
        self._below: dict[tuple[Path, str], _Folder] = {}

    def as_written(self, k: int, text: str) -> str | None:
        """The file at the path as it is; empty for no text, None where there is no such file."""
        return self._file(k, text) if text else ""

    def meant(self, k: int, text: str) -> str:
        """The whole path that a text stands for."""
        return str(self.bases[k][0] / text) if text else ""

    def look_for(self, keys: Sequence[tuple[int, str]], there: Mapping[tuple[int, str], str]) -> None:
        """Fill `found` and `unclear` with what can be said of texts that are no path as they are.

        Args:
            keys: the texts, each with the number of its table.
            there: the files of the other texts.
        """
        whole = {(k, text.rpartition("/")[0]) for k, text in there if "/" in text}
        readings: dict[tuple[int, str], WrittenPath] = {}
        known: dict[tuple[int, str], tuple[_Folder, str]] = {}
        left = []
        for key in keys:
            k, text = key
            head, _, name = text.replace("\\", "/").rpartition("/")
            # Most rows of a table lie where the one before lies.
            folder, by = known.get((k, head), (None, ""))
            if folder is not None and folder.has(name):
                self.found[key] = _Found(folder.file(name), by)
                continue
            reading = readings[key] = written_paths.read(text)
            if self._by_path(key, reading):
                found = self.found[key]
                if os.path.basename(found.path) == name:  # noqa: PTH119 (a million rows)
                    known[k, head] = self._folder(os.path.dirname(found.path)), found.by  # noqa: PTH120
            elif key not in self.unclear and (k, text.rpartition("/")[0]) not in whole:
                left.append(key)
        self._by_name({key: readings[key].names for key in left})
        self._refuse_shared(there)

    def _by_path(self, key: tuple[int, str], reading: WrittenPath) -> bool:
        k, text = key
        for paths, by in ((reading.same, ""), (reading.moved, MOVED)):
            if path := next(filter(None, (self._file(k, path) for path in paths)), None):
                self.found[key] = _Found(path, by)
                return True
        for paths, by in (((text, *reading.same), ALIKE), (reading.moved, MOVED)):
            alike = next(filter(None, (self._alike(k, path) for path in paths)), [])
            if len(alike) == 1:
                self.found[key] = _Found(alike[0], by)
                return True
            if alike:
                self.unclear[key] = _either(alike)
                return False
        return False

    def _by_name(self, wanted: dict[tuple[int, str], tuple[str, ...]]) -> None:
        """One walk for the names of all rows that are left."""
        keys = {_key(name) for names in wanted.values() for name in names}
        if not keys:
            return
        index = _Names()
        for seen, (folder, name) in enumerate(_walked(self.roots)):
            if seen == _MOST_ENTRIES:
                self.cut_short = True
                break
            if _key(name) in keys or (_is_image(name) and _key(_stem(name)) in keys):
                index.add(name, os.path.join(folder, name))  # noqa: PTH118
        for key, names in wanted.items():
            fits = next(filter(None, (index.alike(name) for name in names)), [])
            if len(fits) == 1:
                self.found[key] = _Found(fits[0], NAME)
            elif fits:
                self.unclear[key] = _either(fits)

    def _refuse_shared(self, there: Mapping[tuple[int, str], str]) -> None:
        """Paths that differ in the table are different images: none of them is guessed to be the same."""
        taken = {path: text for (_k, text), path in there.items()}
        guessed: dict[str, dict[str, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
        for key, found in self.found.items():
            if found.by:
                spelled = written_paths.read(key[1]).same
                guessed[found.path][spelled[0] if spelled else key[1]].append(key)
        for path, texts in guessed.items():
            first, second = [*([taken[path]] if path in taken else []), *texts, ""][:2]
            if not second:
                continue
            for text, keys in texts.items():
                for key in keys:
                    del self.found[key]
                    other = second if text == first else first
                    self.unclear[key] = f"may be {_short(path)}, as may {_short(other)}"

    def _file(self, k: int, path: str) -> str | None:
        head, slash, name = path.rpartition("/")
        for base in self.bases[k]:
            folder = self._folder_below(base, head or slash)
            if folder.has(name):
                return folder.file(name)
        return None

    def _alike(self, k: int, path: str) -> list[str]:
        head, slash, name = path.rpartition("/")
        for base in self.bases[k]:
            if fits := self._folder_below(base, head or slash).alike(name):
                return fits
        return []

    def _folder_below(self, base: Path, head: str) -> _Folder:
        found = self._below.get((base, head))
        if found is None:
            found = self._below[base, head] = self._folder(str(base / head))
        return found

    def _folder(self, path: str) -> _Folder:
        return self._folders.setdefault(path, _Folder(path))


class _Folder:
    """The files of one folder: a few are asked for one by one, for more all names are read once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._asked = 0
        self._names: set[str] | None = None
        self._index: _Names | None = None

    def file(self, name: str) -> str:
        return os.path.join(self._path, name)  # noqa: PTH118 (a million rows)

    def has(self, name: str) -> bool:
        """Whether there is a file of that very name."""
        if self._names is None:
            self._asked += 1
            if self._asked == 1 and not os.path.isdir(self._path):  # noqa: PTH112
                self._names = set()
            elif self._asked <= _ASKED_SINGLY:
                return bool(name) and os.path.isfile(self.file(name))  # noqa: PTH113
            else:
                self._names = set(_file_names(self._path))
        return name in self._names

    def alike(self, name: str) -> list[str]:
        """The files of that name in any case, or of that name and the ending of an image."""
        if self._index is None:
            if self._names is None:
                self._names = set(_file_names(self._path))
            self._index = _Names()
            for one in sorted(self._names):
                self._index.add(one, self.file(one))
        return self._index.alike(name)


class _Names:
    """Files by name without regard to case, and images by name without ending."""

    def __init__(self) -> None:
        self._whole: dict[str, list[tuple[str, str]]] = defaultdict(list)
        self._stems: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def add(self, name: str, path: str) -> None:
        self._whole[_key(name)].append((name, path))
        if _is_image(name):
            self._stems[_key(_stem(name))].append((_stem(name), path))

    def alike(self, name: str) -> list[str]:
        """Paths of the files that `name` can mean, only those in the same case where there are some."""
        fits = self._whole.get(_key(name)) or ([] if _is_image(name) else self._stems.get(_key(name), []))
        exact = [path for one, path in fits if one == name]
        return exact or [path for _one, path in fits]


class _Told:
    """What is said to people of a search."""

    def __init__(
        self, columns: Sequence[PathColumn], rows: Sequence[tuple[int, str]], search: _Search
    ) -> None:
        self._columns = columns
        self._rows = rows
        self._search = search
        names = list(dict.fromkeys(column.table for column in columns))
        self._tables = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1:,} more"
        self._roots = " and ".join(map(str, search.roots[:_SHOWN]))

    def notices(self) -> list[Problem]:
        found, unclear = self._search.found, self._search.unclear
        web = [number for number, row in enumerate(self._rows) if row[1] and written_paths.is_web(row[1])]
        problems = []
        for by, words, kind in (
            (MOVED, "the last parts of their paths", "found_by_last_parts"),
            (NAME, "their names alone", "found_by_name"),
        ):
            some = [n for n, row in enumerate(self._rows) if row in found and found[row].by == by]
            if some:
                text = (
                    f"{self._of(some)} found by {words} below {self._roots}: {self._where_found(some)}. "
                    "Look whether they are the right ones."
                )
                problems.append(Problem(kind, text))
        if web:
            taken = sum(self._rows[number] in found for number in web)
            text = (
                f"{count(len(web), 'row')} of {self._tables} name addresses on the web, which are not "
                f"downloaded; files of {taken:,} of them were found on this machine: {self._first(web)}."
            )
            problems.append(Problem("web_address", text))
        some = [number for number, row in enumerate(self._rows) if row in unclear]
        if some:
            text = f"{self._of(some)} not guessed, as several files fit: {self._fits(some)}."
            problems.append(Problem("ambiguous_path", text))
        return problems

    def nothing_found(self) -> str:
        named = [number for number, (_k, text) in enumerate(self._rows) if text]
        if not named:
            return f"None of the {count(len(self._rows), 'row')} of {self._tables} names an image file."
        first = "; ".join(f"{self._row(number)}{self._looked(number)}" for number in named[:_SHOWN])
        web = ""
        if any(written_paths.is_web(self._rows[number][1]) for number in named[:_SHOWN]):
            web = " Addresses on the web are not downloaded: download the images first."
        cut = f" (of its first {_MOST_ENTRIES:,} files)" if self._search.cut_short else ""
        rows = count(len(named), "row")
        return (
            f"None of the images that {self._tables} names was found ({rows}). {first}; and by name anywhere "
            f"below {self._roots}{cut}.{web} Name the folder of the images (image_root, on the command line "
            "--image-root), or another column of images."
        )

    def _looked(self, number: int) -> str:
        k, text = self._rows[number]
        if unclear := self._search.unclear.get((k, text)):
            return f" {unclear}"
        reading = written_paths.read(text)
        bases = self._search.bases[k]
        paths = [base / text for base in bases]
        paths += [bases[0] / path for path in (*reading.moved, *reading.same)]
        shown = list(dict.fromkeys(_short(str(path)) for path in paths))
        return f", looked for at {', '.join(shown[: _SHOWN + 1])}"

    def _of(self, some: Sequence[int]) -> str:
        were = "was" if len(some) == 1 else "were"
        return f"{len(some):,} of {count(len(self._rows), 'image')} of {self._tables} {were}"

    def _first(self, some: Sequence[int]) -> str:
        return "; ".join(self._row(number) for number in some[:_SHOWN])

    def _where_found(self, some: Sequence[int]) -> str:
        found = self._search.found
        return "; ".join(
            f"{self._row(number)} is {_short(found[self._rows[number]].path)}" for number in some[:_SHOWN]
        )

    def _fits(self, some: Sequence[int]) -> str:
        unclear = self._search.unclear
        return "; ".join(f"{self._row(number)} {unclear[self._rows[number]]}" for number in some[:_SHOWN])

    def _row(self, number: int) -> str:
        k, text = self._rows[number]
        before = sum(len(column.texts) for column in self._columns[:k])
        of = f" of {self._columns[k].table}" if len(self._columns) > 1 else ""
        return f"Row {number - before + 1:,}{of}: {_short(text)}"


def _outermost(folders: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for folder in sorted(set(folders), key=lambda folder: len(folder.parts)):
        if not any(folder.is_relative_to(outer) for outer in found):
            found.append(folder)
    return found


def _walked(roots: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Folder and name of every file below, links followed once; folders that can't be read are left out."""
    waiting = [str(root) for root in roots]
    seen: set[tuple[int, int]] = set()
    while waiting:
        path = waiting.pop()
        try:
            status = os.stat(path)  # noqa: PTH116 (100,000 folders)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as entries:
                for entry in entries:
                    if is_leftover(entry.name):
                        continue
                    if entry.is_dir():
                        waiting.append(entry.path)
                    else:
                        yield path, entry.name
        except OSError:
            continue


def _file_names(path: str) -> Iterator[str]:
    try:
        with os.scandir(path) as entries:
            yield from (entry.name for entry in entries if entry.is_file())
    except (OSError, ValueError):  # ValueError: a null byte, or a name that can't be written
        return


def _either(paths: Sequence[str]) -> str:
    more = f" or {len(paths) - 2:,} more" if len(paths) > 2 else ""
    return f"may be {' or '.join(map(_short, paths[:2]))}{more}"


def _key(name: str) -> str:
    """The same for names that Windows or macOS hold for the same."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS  # noqa: PTH122 (a million names)


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"
