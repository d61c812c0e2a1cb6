"""Where the features of a dataset are kept between runs: in the workspace, the least used ones deleted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from fvm_core.atomic import write_json
from fvm_core.features.store import finished_rows, key_of

MOST_BYTES = 40 * 2**30
"""Of all features in a workspace: 1,000,000 images with 1,280 features each are 2.4 GiB."""

_LOOK_SECONDS = 1.0
_STAMPS, _MOST_STAMPS = "stamps.json", 20


@contextmanager
def kept(cache: Path, about: dict, waiting: Callable[[], None]) -> Iterator[Path]:
    """The folder of these features, for this process alone while it fills it.

    Args:
        cache: of the workspace.
        about: what they are features of.
        waiting: called every second while another process fills the same folder; may raise to stop.
    """
    place = cache / "features"
    place.mkdir(parents=True, exist_ok=True)
    folder = place / key_of(about)
    lock = FileLock(place / f"{folder.name}.lock")
    while True:
        try:
            lock.acquire(timeout=_LOOK_SECONDS)
            break
        except Timeout:
            waiting()
    try:
        folder.mkdir(exist_ok=True)
        os.utime(folder)  # the least recently used ones go first
        yield folder
    finally:
        lock.release()
    make_room(place, keep=folder)


def note_stamp(folder: Path, stamp: str) -> None:
    """Remember the stamp of the images whose features these are, which tells a next run what is there."""
    known = _stamps(folder)
    if stamp not in known:
        write_json(folder / _STAMPS, [*known, stamp][-_MOST_STAMPS:])


def rows_of_stamp(cache: Path, about: dict, stamp: str, rows: int) -> int:
    """How many samples have features already, going by the stamp alone.

    Args:
        cache: of the workspace.
        about: what features depend on beside the content of the images.
        stamp: of the images.
        rows: N.
    """
    for folder in (cache / "features").glob("*"):
        try:
            known = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if stamp in _stamps(folder) and about.items() <= known.items():
            return finished_rows(folder, rows)
    return 0


def _stamps(folder: Path) -> list[str]:
    try:
        found = json.loads((folder / _STAMPS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder and below."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def make_room(place: Path, keep: Path, most: int = MOST_BYTES) -> None:
    """Delete the features that were used longest ago, until all together take at most `most` bytes."""
    folders = [path for path in place.iterdir() if path.is_dir()]
    sizes = {path: size_of(path) for path in folders}
    for path in sorted(folders, key=lambda path: path.stat().st_mtime):
        if sum(sizes.values()) <= most:
            return
        if path == keep:
            continue
        lock = FileLock(place / f"{path.name}.lock", timeout=0)
        with suppress(Timeout, OSError), lock:
            shutil.rmtree(path, ignore_errors=True)
            sizes.pop(path)
