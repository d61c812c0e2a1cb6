"""`checksums.json`: size and hash of every result file, noted when its stage is finished."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fvm_core.atomic import write_json
from fvm_core.errors import DamagedFile
from fvm_core.runs.stage_files import files_of, stage_of
from fvm_core.shapes import text, whole
from fvm_core.stored import read_json

FILE = "checksums.json"
_SHAPE = {str: {"size": whole, "blake2b": text}}
_DIGEST_BYTES = 16


def note(run: Path, stage: str) -> None:
    """Note the files that a stage has written, in place of what was noted of them before."""
    noted = _known_or_empty(run)
    found = {name: _describe(run / name) for name in files_of(run, stage)}
    kept = {name: value for name, value in noted.items() if stage_of(name) != stage}
    write_json(run / FILE, dict(sorted({**kept, **found}.items())))


def renew(run: Path, name: str) -> None:
    """Note a file anew that was made again on purpose, where anything is noted of the run."""
    noted = _known_or_empty(run)
    if noted:
        write_json(run / FILE, dict(sorted({**noted, name: _describe(run / name)}.items())))


def forget(run: Path, *names: str) -> None:
    """Take files out of the list that somebody has changed or removed on purpose."""
    noted = _known_or_empty(run)
    left = {name: value for name, value in noted.items() if name not in names}
    if left != noted:
        write_json(run / FILE, left)


def read(run: Path) -> dict[str, dict]:
    """`size` and `blake2b` by path in the run folder; empty for runs from before there were checksums.

    Raises:
        DamagedFile: the list itself is damaged.
    """
    path = run / FILE
    if not path.exists():
        return {}
    return read_json(path, _SHAPE, f"Delete {path}: the run works without it, its files can't be checked.")


def size_fault(run: Path, name: str, noted: dict) -> str | None:
    """What is wrong with the size of a file, None if it is the one that was noted."""
    try:
        size = (run / name).stat().st_size
    except OSError:
        return "it is missing"
    if size == noted["size"]:
        return None
    if not size:
        return "it is empty"
    return f"it has {size:,} bytes, {noted['size']:,} were written"


def content_fault(run: Path, name: str, noted: dict) -> str | None:
    """What is wrong with the content of a file, read whole; None if it is what was written."""
    found = size_fault(run, name, noted)
    if found:
        return found
    try:
        same = _hash(run / name) == noted["blake2b"]
    except OSError as error:
        return f"it can't be read ({error.strerror or error})"
    return None if same else "its content is not what was written"


def _known_or_empty(run: Path) -> dict[str, dict]:
    try:
        return read(run)
    except DamagedFile:
        return {}


def _describe(path: Path) -> dict:
    return {"size": path.stat().st_size, "blake2b": _hash(path)}


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES))
    return digest.hexdigest()
