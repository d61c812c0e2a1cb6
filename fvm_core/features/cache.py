"""Where the features of a dataset are kept between runs: in the workspace, the least used ones deleted."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from fvm_core.atomic import write_json
from fvm_core.data.dataset import ImageSource
from fvm_core.data.thumbnails import content_hash
from fvm_core.errors import UnreadableImage
from fvm_core.features.store import finished_rows, key_of

MOST_BYTES = 40 * 2**30
"""Of all features in a workspace: 1,000,000 images with 1,280 features each are 2.4 GiB."""

_LOOK_SECONDS = 1.0
_STAMPS, _MOST_STAMPS, _PROBED = "stamps.json", 20, 32


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


def note_stamps(folder: Path, stamps: Sequence[str]) -> None:
    """Remember stamps of the images whose features these are, which tell a next run what is there."""
    known = _stamps(folder)
    new = [stamp for stamp in stamps if stamp not in known]
    if new:
        write_json(folder / _STAMPS, [*known, *new][-_MOST_STAMPS:])


def stamps_of(images: ImageSource, count: int) -> list[str]:
    """What tells a set of images without looking at all of them.

    The stamp of the source, and a hash of the content of 32 images, evenly spaced, by which they are known
    at another place too.
    """
    found = hashlib.blake2b(digest_size=16)
    for row in np.unique(np.linspace(0, count - 1, min(_PROBED, count)).astype(int)):
        try:
            found.update(content_hash(images.content(int(row))))
        except UnreadableImage:
            found.update(b"none")
    return [images.stamp(), f"some:{found.hexdigest()}"]


def rows_of_stamps(cache: Path, about: dict, stamps: Sequence[str], rows: int) -> int:
    """How many samples have features already, going by any of the stamps alone.

    Args:
        cache: of the workspace.
        about: what features depend on beside the content of the images.
        stamps: of the images.
        rows: N.
    """
    for folder in (cache / "features").glob("*"):
        try:
            known = json.loads((folder / "about.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if not set(stamps).isdisjoint(_stamps(folder)) and about.items() <= known.items():
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
