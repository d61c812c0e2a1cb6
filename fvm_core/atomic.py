"""Files appear whole or not at all: written under a temporary name, then renamed."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_TEMPORARY = re.compile(r"^\..*\.(\d+)-\d+\.part(\.[^.]*)?$")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path` in one step."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers such as numpy choose the format by it.
    # `sweep` knows it by the number of the process.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}.part{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep(folder: str | Path) -> int:
    """Remove what writers of `replacing` that are dead (killed, power cut) left in a folder and below.

    Call it where nobody on another machine writes, such as under the folder's lock. Returns how many.
    """
    removed = 0
    for path in Path(folder).rglob(".*.part*"):
        found = _TEMPORARY.search(path.name)
        if found and not psutil.pid_exists(int(found[1])) and path.is_file():
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
