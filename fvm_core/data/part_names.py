"""The parts that a source holds, such as train and test, before one of them is opened."""

from __future__ import annotations

import zipfile
from pathlib import Path

from fvm_core.data import folder, npz, tables
from fvm_core.errors import SaltflatError


def part_names(source: str) -> list[str]:
    """Names among which `DatasetSpec.split` chooses; none for sources without parts or unreadable ones."""
    try:
        path = Path(source).expanduser()
        if path.suffix.lower() == ".npz" and path.is_file():
            return npz.parts(path)
        return tables.parts(path) or (folder.parts(path) if path.is_dir() else [])
    except (SaltflatError, OSError, ValueError, RuntimeError, zipfile.BadZipFile):
        return []
