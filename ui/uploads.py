"""Uploaded files, kept in the workspace under safe names and within what they may unpack to."""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pyarrow.parquet as pq

from fvm_core.data import DatasetSpec, open_spec
from fvm_core.data.decode import EXTENSIONS
from fvm_core.data.leftovers import is_leftover
from fvm_core.data.wording import count, listing
from fvm_core.errors import SaltflatError
from fvm_core.wording import size

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")
"""Tables that a zip may hold beside images."""
LONGEST = 255
"""Bytes of a file's name on the usual file systems."""
TYPES = ["csv", "tsv", "jsonl", "parquet", "npz", "zip"]
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

_WAYS = {
    kind: f"packed as {word}"
    for kind, word in {
        1: "Shrunk", 2: "Reduced", 3: "Reduced", 4: "Reduced", 5: "Reduced", 6: "Imploded", 9: "Deflate64",
        10: "Imploded", 18: "Terse", 19: "LZ77", 93: "Zstandard", 94: "MP3", 95: "XZ", 96: "JPEG",
        97: "WavPack", 98: "PPMd", 99: "AES",
    }.items()
}  # fmt: skip
"""Ways of packing that Python can't undo, by their number in the file."""
_ENTRY = b"PK\x01\x02"
_CHUNK = 1 << 20
_OUTSIDE = re.compile(r"^(?:[/\\]|[A-Za-z]:)|(?:^|[/\\])\.\.(?:[/\\]|$)")


def keep(file: BinaryIO, name: str, folder: Path, told: list[str] | None = None) -> Path:
    """Save an upload once (same content, same place); a zip becomes a folder of class folders, or a table.

    Args:
        file: opened for reading.
        name: what the browser calls it; only its letters, digits and ending are used.
        folder: the workspace's datasets.
        told: gets a sentence on what a zip holds that was left out.

    Returns:
        The file; of a zip its table of images, where it has one, else the folder with its class folders.

    Raises:
        SaltflatError: a kind of file that can't be opened, one that unpacks to more than it may, or a zip
            without class folders.
    """
    file.seek(0)
    data = file.read()
    stem = re.sub(r"[^A-Za-z0-9_-]+", "-", Path(name).stem).strip("-")[:60] or "upload"
    kind = Path(name).suffix.lower().lstrip(".")
    if kind not in TYPES:
        raise SaltflatError(f"{name} can't be opened; upload one of: {', '.join(TYPES)}.")
    path = folder / f"{stem}-{hashlib.blake2b(data, digest_size=6).hexdigest()}"
    if kind == "zip":
        if data.count(_ENTRY) > MOST_FILES:  # before a list of millions is made
            raise SaltflatError(f"{name} holds more than {MOST_FILES:,} files. {_INSTEAD}")
        with _zip_errors():
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                wanted = _sorted_out(archive.infolist())
                if not path.is_dir():
                    _unpack(archive, wanted, path, len(data))
        if told is not None and wanted.left_out:
            told.append(wanted.sentence())
        return _entry(path)
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


@contextmanager
def _zip_errors() -> Iterator[None]:
    """Whatever a zip file can be wrong in, in words."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise SaltflatError(
            "The zip file is damaged. Make it again, or unpack it and give the path."
        ) from None
    except (NotImplementedError, RuntimeError):  # what was not seen before it was unpacked
        raise SaltflatError(
            f"The zip file is locked by a password or packed in a way that can't be read. {_INSTEAD}"
        ) from None
    except (OSError, ValueError) as error:
        raise SaltflatError(f"The zip file can't be unpacked ({error}). {_INSTEAD}") from None


@dataclass
class _Members:
    """The files of a zip that are kept, and by reason the names of those that are left out."""

    kept: list[zipfile.ZipInfo] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def sentence(self) -> str:
        """What is left out, with the first three names of each kind."""
        parts = [
            f"{len(names):,} {reason} ({listing([repr(_short(name)) for name in names], 3)})"
            for reason, names in self.left_out.items()
        ]
        total = sum(map(len, self.left_out.values()))
        were = "was" if total == 1 else "were"
        return f"{count(total, 'file')} of the zip {were} left out: {'; '.join(parts)}."


def _sorted_out(members: list[zipfile.ZipInfo]) -> _Members:
    found = _Members()
    for item in members:
        if "/" not in item.filename and not item.is_dir():  # as some programs of Windows write it
            item.filename = item.filename.replace("\\", "/")
        if item.is_dir() or item.filename.endswith("/"):
            continue
        reason = _why_left_out(item)
        if reason is None:
            found.kept.append(item)
        else:
            found.left_out.setdefault(reason, []).append(item.filename)
    return found


def _why_left_out(item: zipfile.ZipInfo) -> str | None:
    name = PurePosixPath(item.filename)
    if any(part != ".." and is_leftover(part) for part in name.parts):
        return "of the computer that packed it"
    if name.suffix.lower() not in (*EXTENSIONS, *TABLES):
        return "no image and no table"
    if any(len(part.encode("utf-8", "surrogatepass")) > LONGEST for part in name.parts):
        return "whose name is too long"
    return None


def _unpack(archive: zipfile.ZipFile, wanted: _Members, path: Path, packed: int) -> None:
    """Write the images and tables of a zip file below `path`; nothing else, and nothing beside it."""
    part = path.with_name(f".{path.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        _check(wanted.kept, packed, path.parent)
        left = min(MOST_UNPACKED, sum(item.file_size for item in wanted.kept))
        for item in wanted.kept:
            left -= _copy(archive, item, part, left)
        if not any(PurePosixPath(item.filename).suffix.lower() in EXTENSIONS for item in wanted.kept):
            too_long = wanted.left_out.get("whose name is too long", [])
            more = f" {_short(too_long[0])!r} can't be unpacked: its name is too long." if too_long else ""
            raise SaltflatError(
                f"The zip file holds no images.{more} Put one folder of images for each class into it, or "
                "images and a table with their paths and labels."
            )
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check(members: list[zipfile.ZipInfo], packed: int, folder: Path) -> None:
    """All that can be refused before a byte is written."""
    if len(members) > MOST_FILES:
        raise SaltflatError(f"The zip file holds {len(members):,} images; {MOST_FILES:,} may be. {_INSTEAD}")
    names: set[str] = set()
    folders = {str(above) for item in members for above in PurePosixPath(item.filename).parents}
    for item in members:
        locked, way = item.flag_bits & 1, _WAYS.get(item.compress_type)
        if locked or way:
            how = " and ".join(filter(None, ["it has a password" if locked else "", way or ""]))
            raise SaltflatError(
                "The zip file is locked by a password or packed in a way that can't be read "
                f"({_short(item.filename)!r}: {how}). Make it again without a password, as a plain zip, or "
                "unpack it and give the path."
            )
        if item.filename in folders:
            raise SaltflatError(
                f"The zip file can't be unpacked: {_short(item.filename)!r} is a file and a folder in it. "
                "Rename one of them."
            )
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


@lru_cache(maxsize=64)  # the screen asks each time that it is drawn, and a path stands for its content
def _entry(path: Path) -> Path:
    """What to open of an unpacked zip: its table, where one names its images, else its class folders.

    Raises:
        SaltflatError: several tables name images, or there is neither a table that does nor a class folder.
    """
    tables = sorted(found for found in path.rglob("*") if found.suffix.lower() in TABLES)
    usable, faults = [], []
    for table in tables:
        try:
            open_spec(DatasetSpec(str(table), image_root=str(path)))
            usable.append(table)
        except SaltflatError as error:
            faults.append(str(error))
    if len(usable) > 1:
        names = listing([found.relative_to(path).as_posix() for found in usable])
        raise SaltflatError(
            f"The zip file holds {len(usable)} tables of images: {names}. Upload it with one of them only, "
            "or unpack it and give the path of one."
        )
    if usable:
        return usable[0]
    folder = _class_folders(path)
    if faults and not any(found.is_dir() for found in folder.iterdir()):
        raise SaltflatError(f"The table of the zip file can't be used: {faults[0]}")
    return folder


def image_root(source: str, folder: Path) -> str | None:
    """The top of the unpacked zip to which a table belongs, where its images' paths may begin."""
    path = Path(source)
    if path.suffix.lower() not in TABLES or folder not in path.parents:
        return None
    top = folder / path.relative_to(folder).parts[0]
    return str(top) if top.is_dir() else None


def _short(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:60]}…{name[-16:]}"


def _class_folders(path: Path) -> Path:
    """The folder that holds the class folders: zips often have one more folder around them."""
    while True:
        inside = list(path.iterdir())
        if len(inside) != 1 or not inside[0].is_dir() or any(item.is_file() for item in inside[0].iterdir()):
            return path
        path = inside[0]
