"""Uploaded files, kept in the workspace under safe names."""

from __future__ import annotations

import hashlib
import re
import shutil
import zipfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from fvm_core.data.decode import EXTENSIONS
from fvm_core.errors import SaltflatError

TYPES = ["csv", "tsv", "parquet", "npz", "zip"]
MOST_UNPACKED = 4_000_000_000
"""Bytes that a zip file may grow to; a small one can claim to hold a disk full."""


def keep(file: BinaryIO, name: str, folder: Path) -> Path:
    """Save an upload once (same content, same place); a zip becomes a folder of class folders.

    Args:
        file: opened for reading.
        name: what the browser calls it; only its letters, digits and ending are used.
        folder: the workspace's datasets.

    Raises:
        SaltflatError: a kind of file that can't be opened, or a zip without class folders.
    """
    data = file.read()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem).strip("-")[:60] or "upload"
    kind = Path(name).suffix.lower().lstrip(".")
    if kind not in TYPES:
        raise SaltflatError(f"{name} can't be opened; upload one of: {', '.join(TYPES)}.")
    path = folder / f"{stem}-{hashlib.blake2b(data, digest_size=6).hexdigest()}"
    if kind == "zip":
        if not path.is_dir():
            _unpack(file, path)
        return _class_folders(path)
    path = path.with_name(f"{path.name}.{kind}")
    if not path.exists():
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.replace(path)
    return path


def _unpack(file: BinaryIO, path: Path) -> None:
    """Write the images of a zip file below `path`; nothing else, and nothing beside it."""
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [item for item in archive.infolist() if _is_image(item)]
            if sum(item.file_size for item in members) > MOST_UNPACKED:
                raise SaltflatError(
                    "The zip file is too large unpacked. Unpack it yourself and give the path."
                )
            for item in members:
                target = (part / item.filename).resolve()
                if not target.is_relative_to(part.resolve()):
                    raise SaltflatError(f"The zip file holds {item.filename!r}, which points outside of it.")
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(item) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    except zipfile.BadZipFile:
        raise SaltflatError(
            "The zip file is damaged. Make it again, or unpack it and give the path."
        ) from None
    if not part.exists():
        raise SaltflatError("The zip file holds no images. Put one folder of images for each class into it.")
    part.rename(path)


def _is_image(item: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(item.filename)
    hidden = any(part != ".." and part.startswith((".", "__MACOSX")) for part in name.parts)
    return not item.is_dir() and not hidden and name.suffix.lower() in EXTENSIONS


def _class_folders(path: Path) -> Path:
    """The folder that holds the class folders: zips often have one more folder around them."""
    while True:
        inside = list(path.iterdir())
        if len(inside) != 1 or not inside[0].is_dir() or any(item.is_file() for item in inside[0].iterdir()):
            return path
        path = inside[0]
