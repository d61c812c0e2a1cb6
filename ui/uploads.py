"""Uploaded files, kept in the workspace under safe names and within what they may unpack to."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pyarrow.parquet as pq

from fvm_core.data.decode import EXTENSIONS
from fvm_core.data.leftovers import is_leftover
from fvm_core.errors import SaltflatError
from fvm_core.wording import size

TYPES = ["csv", "tsv", "parquet", "npz", "zip"]
MOST_UNPACKED = 4_000_000_000
"""Bytes that a file may grow to; a small one can claim to hold a disk full."""
MOST_TIMES = 100
"""How many times its own size a file may grow to, where it grows to more than `ALWAYS`."""
ALWAYS = 200_000_000
MOST_FILES = 200_000
DEEPEST = 20
"""Folders in one another."""
KEPT_FREE = 1_000_000_000
"""Bytes that stay free on the disk."""

LIMITS = (
    f"Unpacked it may hold {size(MOST_UNPACKED)} in {MOST_FILES:,} files, and at most {MOST_TIMES} times "
    "what is uploaded."
)
"""What the upload field says before anything is sent."""

_ENTRY = b"PK\x01\x02"
_CHUNK = 1 << 20
_OUTSIDE = re.compile(r"^(?:[/\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)")


def keep(file: BinaryIO, name: str, folder: Path) -> Path:
    """Save an upload once (same content, same place); a zip becomes a folder of class folders.

    Args:
        file: opened for reading.
        name: what the browser calls it; only its letters, digits and ending are used.
        folder: the workspace's datasets.

    Raises:
        SaltflatError: a kind of file that can't be opened, one that unpacks to more than it may, or a zip
            without class folders.
    """
    data = file.read()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem).strip("-")[:60] or "upload"
    kind = Path(name).suffix.lower().lstrip(".")
    if kind not in TYPES:
        raise SaltflatError(f"{name} can't be opened; upload one of: {', '.join(TYPES)}.")
    path = folder / f"{stem}-{hashlib.blake2b(data, digest_size=6).hexdigest()}"
    if kind == "zip":
        if not path.is_dir():
            if data.count(_ENTRY) > MOST_FILES:  # before a list of millions is made
                raise SaltflatError(f"{name} holds more than {MOST_FILES:,} files. {_INSTEAD}")
            _unpack(file, path, len(data))
        return _class_folders(path)
    path = path.with_name(f"{path.name}.{kind}")
    if not path.exists():
        if kind in ("npz", "parquet"):
            _bounded(file, name, kind, len(data))
        part = path.with_name(f".{path.name}.part")
        part.write_bytes(data)
        part.replace(path)
    return path


_INSTEAD = "Unpack it yourself and give the path."


def _bounded(file: BinaryIO, name: str, kind: str, packed: int) -> None:
    """Refuse an array file or a table that says it unpacks to too much; the reader tells a damaged one."""
    file.seek(0)
    try:
        if kind == "npz":
            with zipfile.ZipFile(file) as archive:
                total = sum(item.file_size for item in archive.infolist())
        else:
            meta = pq.ParquetFile(file).metadata
            total = sum(meta.row_group(k).total_byte_size for k in range(meta.num_row_groups))
    except (zipfile.BadZipFile, OSError, ValueError):
        return
    _check_total(total, packed, name, "Give its path instead.")


def _check_total(total: int, packed: int, name: str, instead: str) -> None:
    if total > MOST_UNPACKED or total > max(ALWAYS, MOST_TIMES * packed):
        raise SaltflatError(
            f"{name} is {size(packed)} and would be {size(total)} unpacked, which is too large for an "
            f"upload. {instead}"
        )


def _unpack(file: BinaryIO, path: Path, packed: int) -> None:
    """Write the images of a zip file below `path`; nothing else, and nothing beside it."""
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            members = [item for item in archive.infolist() if _is_image(item)]
            _check(members, packed, path.parent)
            left = min(MOST_UNPACKED, sum(item.file_size for item in members))
            for item in members:
                left -= _copy(archive, item, part, left)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise SaltflatError(
            "The zip file is damaged. Make it again, or unpack it and give the path."
        ) from None
    except (NotImplementedError, RuntimeError):  # RuntimeError: it asks for a password
        raise SaltflatError(
            f"The zip file is locked by a password or packed in a way that can't be read. {_INSTEAD}"
        ) from None
    except (OSError, ValueError) as error:
        raise SaltflatError(f"The zip file can't be unpacked ({error}). {_INSTEAD}") from None
    else:
        if not part.exists():
            raise SaltflatError(
                "The zip file holds no images. Put one folder of images for each class into it."
            )
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check(members: list[zipfile.ZipInfo], packed: int, folder: Path) -> None:
    """All that can be refused before a byte is written."""
    if len(members) > MOST_FILES:
        raise SaltflatError(f"The zip file holds {len(members):,} images; {MOST_FILES:,} may be. {_INSTEAD}")
    names = set()
    for item in members:
        if any(_OUTSIDE.search(name) or "\0" in name for name in (item.filename, item.orig_filename)):
            raise SaltflatError(f"The zip file holds {item.orig_filename!r}, which points outside of it.")
        kind = stat.S_IFMT(item.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise SaltflatError(f"The zip file holds {item.filename!r}, which is a link and no image.")
        if item.filename.count("/") > DEEPEST:
            raise SaltflatError(f"The zip file holds {item.filename[:80]!r}, in too many folders.")
        if item.filename in names:
            raise SaltflatError(f"The zip file holds {item.filename!r} twice.")
        names.add(item.filename)
    total = sum(item.file_size for item in members)
    _check_total(total, packed, "The zip file", _INSTEAD)
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    if total + KEPT_FREE > shutil.disk_usage(existing).free:
        raise SaltflatError(f"The zip file would take {size(total)} unpacked, and the disk is nearly full.")


def _copy(archive: zipfile.ZipFile, item: zipfile.ZipInfo, part: Path, left: int) -> int:
    """Write one image and return its bytes, counted as they come: what the zip says may be wrong."""
    target = (part / item.filename).resolve()
    if not target.is_relative_to(part.resolve()):
        raise SaltflatError(f"The zip file holds {item.filename!r}, which points outside of it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with archive.open(item) as source, target.open("xb") as copy:
        while data := source.read(_CHUNK):
            written += len(data)
            if written > left:
                raise SaltflatError(f"The zip file holds more than it says. {_INSTEAD}")
            copy.write(data)
    return written


def _is_image(item: zipfile.ZipInfo) -> bool:
    name = PurePosixPath(item.filename)
    hidden = any(part != ".." and is_leftover(part) for part in name.parts)
    return not item.is_dir() and not hidden and name.suffix.lower() in EXTENSIONS


def _class_folders(path: Path) -> Path:
    """The folder that holds the class folders: zips often have one more folder around them."""
    while True:
        inside = list(path.iterdir())
        if len(inside) != 1 or not inside[0].is_dir() or any(item.is_file() for item in inside[0].iterdir()):
            return path
        path = inside[0]
