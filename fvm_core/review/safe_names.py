"""Names for files and folders made from any text, on any system, no two alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

_LONGEST = 120
"""Bytes of a name: far below the 255 that file systems allow, with room for a number and an ending."""

_FORBIDDEN = frozenset('<>:"/\\|?*')
_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE)


def safe_name(text: str) -> str:
    """`text` as one part of a path: no separators, control characters or device names, never empty.

    A text that needs no change is returned as it is. A leading dot would hide the file, and Windows
    drops dots and blanks at the end, so they become `_`.
    """
    name = "".join("_" if _is_forbidden(mark) else mark for mark in text)
    name = _shortened(name, _LONGEST)
    if name != name.rstrip(". "):
        end = name.rstrip(". ")
        name = end + "_" * (len(name) - len(end))
    if name[:1] in (".", " "):
        name = "_" + name[1:]
    if _DEVICES.match(name):
        name = "_" + name
    return name or "_"


class UniqueNames:
    """Hands out names of one folder, no two the same where upper and lower case are one.

    Args:
        taken: names that are in use already.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._used = {_key(name) for name in taken}
        self._next: dict[str, int] = {}

    def take(self, name: str, ending: str = "") -> str:
        """`name + ending`, with `-2`, `-3`, … before the ending if it was handed out before."""
        wanted = name + ending
        key = _key(wanted)
        if key not in self._used:
            self._used.add(key)
            return wanted
        number = self._next.get(key, 2)
        while _key(found := f"{name}-{number}{ending}") in self._used:
            number += 1
        self._next[key] = number + 1
        self._used.add(_key(found))
        return found


def unique_folders(labels: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A folder name for every label; labels that are safe as they are come first and keep their name."""
    names = UniqueNames(taken)
    safe = {label: safe_name(label) for label in dict.fromkeys(labels)}
    order = sorted(safe, key=lambda label: safe[label] != label)
    found = {label: names.take(safe[label]) for label in order}
    return {label: found[label] for label in safe}


def _is_forbidden(mark: str) -> bool:
    return mark in _FORBIDDEN or unicodedata.category(mark) in ("Cc", "Cs", "Zl", "Zp")


def _shortened(name: str, most: int) -> str:
    return name.encode("utf-8")[:most].decode("utf-8", "ignore")


def _key(name: str) -> str:
    """Equal for names that some file system takes for the same: case, and composed accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())
