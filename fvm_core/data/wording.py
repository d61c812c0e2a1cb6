"""How counts and lists of names are written in messages."""

from __future__ import annotations

from collections.abc import Sequence


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 image`, `12,000 images`; `many` where the plural is not `one` + s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listing(names: Sequence[str], most: int = 8) -> str:
    """`a, b, c and 4 more`."""
    text = ", ".join(str(name) for name in names[:most])
    return text + (f" and {len(names) - most:,} more" if len(names) > most else "")


def printable(text: str) -> str:
    """Names of files that aren't UTF-8 come with surrogates, which no table, page or file can hold."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
