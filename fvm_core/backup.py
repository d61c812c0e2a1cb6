"""A workspace in one file, taken while it is in use, and put back.

The file is a tar with `manifest.json` (version, times, size and hash of every file), `saltflat.db`, and
everything of the workspace but caches, locks and unfinished files. The database is copied by its own backup
call in one transaction (what stands in a write-ahead log included), before the run folders: so every decision
in the copy has its run. A database on a server is copied into the same SQLite form.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from sqlalchemy import Engine, func, insert, select, text

from fvm_core import migrations
from fvm_core.atomic import replacing
from fvm_core.database import connect, file_of, metadata, reading, writing
from fvm_core.errors import SaltflatError
from fvm_core.jobs.queue import jobs
from fvm_core.review.tables import events
from fvm_core.workspace import Workspace

DATABASE = "saltflat.db"
MANIFEST = "manifest.json"
_LEFT_OUT = ("cache", "replaced-")
_ROWS_AT_A_TIME = 5_000
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Contents:
    """What a backup holds: runs, files, bytes, decision events, when it was made (seconds since 1970)."""

    runs: int
    files: int
    bytes: int
    events: int
    created: float


@dataclass(frozen=True)
class Restored:
    """What a restore did: files written, those that were there and stayed, and the folder of the replaced."""

    written: int
    kept: tuple[str, ...]
    aside: Path | None


def backup(
    workspace: Workspace, out: str | Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> Contents:
    """Write a workspace into one file, which appears whole or not at all, and read it back to check it.

    Args:
        workspace: may be in use: decisions that come while this runs are in it or not, none by half.
        out: the file; must not exist.
        progress: told (done, total) in bytes.

    Raises:
        SaltflatError: the file exists or can't be written, or what was written is not what was read.
    """
    out = Path(out).expanduser().absolute()
    if out.exists():
        raise SaltflatError(f"{out} exists already. Choose another name; nothing is overwritten.")
    if out.is_relative_to(workspace.path.absolute()):
        raise SaltflatError(f"{out} lies in the workspace itself. Write the backup to another folder.")
    try:
        with tempfile.TemporaryDirectory(prefix="saltflat-backup-") as folder, replacing(out) as temporary:
            copy = Path(folder) / DATABASE
            _copy_database(workspace, copy)
            # Readable for its owner only: it holds who may sign in.
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                _write(workspace, copy, file, progress)
            found = check(temporary)
    except OSError as error:
        raise SaltflatError(f"{out} can't be written ({error.strerror or error}).") from error
    return found


def check(path: str | Path) -> Contents:
    """Read a backup whole and compare every file with the manifest, and the database with itself.

    Raises:
        SaltflatError: it is no backup, it is damaged (which file), or a later version made it.
    """
    path = Path(path)
    found, manifest, counted = {}, None, 0
    try:
        with tarfile.open(path) as archive, tempfile.TemporaryDirectory(prefix="saltflat-check-") as folder:
            for member in archive:
                if not member.isreg() or _climbs(member.name):
                    raise SaltflatError(f"{path} is no backup of Saltflat: it holds {member.name!r}.")
                stream = archive.extractfile(member)
                if member.name == MANIFEST:
                    manifest = json.load(stream)
                elif member.name == DATABASE:
                    copy = Path(folder) / DATABASE
                    found[member.name] = _hashed(stream, copy)
                    counted = _check_database(copy, path)
                else:
                    found[member.name] = _hashed(stream)
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise SaltflatError(f"{path} is damaged or no backup of Saltflat ({error}).") from None
    except OSError as error:
        raise SaltflatError(f"{path} can't be read ({error.strerror or error}).") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise SaltflatError(f"{path} is no backup of Saltflat: it has no list of its files.")
    expected = {name: tuple(entry) for name, entry in manifest["files"].items()}
    wrong = sorted(name for name in expected.keys() | found if expected.get(name) != found.get(name))
    if wrong or DATABASE not in found:
        raise SaltflatError(
            f"{path} is damaged: {', '.join(wrong[:3]) or DATABASE} is not as it was written."
        )
    runs = {name.split("/")[1] for name in found if name.startswith("runs/") and name.count("/") > 1}
    total = sum(size for size, _ in found.values())
    return Contents(len(runs), len(found), total, counted, float(manifest.get("created", 0)))


def restore(
    workspace: Workspace,
    path: str | Path,
    *,
    replace: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Restored:
    """Put a backup back. What is there already stays as it is, unless it is to be replaced.

    Args:
        workspace: where to; made if it is missing.
        path: a file of `backup`; it is checked whole before anything is written.
        replace: move what is there into a folder `replaced-…` first, and empty a database on a server.
        progress: told (done, total) in bytes.

    Raises:
        SaltflatError: the backup can't be read or is damaged, jobs are running, or the workspace can't be
            written.
    """
    path = Path(path).expanduser()
    contents = check(path)
    workspace.made()
    aside = workspace.path / f"replaced-{time.strftime('%Y%m%d-%H%M%S')}" if replace else None
    written, kept, done = 0, [], 0
    try:
        with tarfile.open(path) as archive, tempfile.TemporaryDirectory(dir=workspace.path) as folder:
            for member in archive:
                if member.name == MANIFEST:
                    continue
                archive.extract(member, folder, filter="data")
                source = Path(folder) / member.name
                if member.name == DATABASE:
                    took = _restore_database(workspace, source, aside)
                else:
                    took = _restore_file(workspace.path / member.name, source, workspace.path, aside)
                written += took
                if not took:
                    kept.append(member.name)
                done += member.size
                progress(done, contents.bytes)
    except OSError as error:
        raise SaltflatError(f"{workspace.path} can't be written ({error.strerror or error}).") from error
    return Restored(written, tuple(kept), aside if aside is not None and aside.exists() else None)


def _write(workspace: Workspace, copy: Path, file: io.BufferedWriter, progress: Callable) -> None:
    files = {DATABASE: copy, **dict(_files(workspace.path))}
    total = sum(path.stat().st_size for path in files.values() if path.exists())
    done, noted = 0, {}
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files.items():
            try:
                # Read once: a log that grows meanwhile gives what it had.
                content = _Measured(path)
            except FileNotFoundError:
                continue  # a running stage has put another in its place
            with content:
                member = tarfile.TarInfo(name)
                member.size, member.mtime, member.mode = content.size, int(content.mtime), 0o600
                archive.addfile(member, content)
                noted[name] = (content.size, content.digest())
            done += content.size
            progress(done, total)
        manifest = {
            "saltflat": version("saltflat"),
            "schema": migrations.HEAD,
            "created": time.time(),
            "files": noted,
        }
        text_of = json.dumps(manifest, ensure_ascii=True).encode()
        member = tarfile.TarInfo(MANIFEST)
        member.size, member.mtime = len(text_of), int(time.time())
        archive.addfile(member, io.BytesIO(text_of))


class _Measured(io.RawIOBase):
    """A file of the length that it had when it was opened, hashed while it is read."""

    def __init__(self, path: Path):
        self._file = path.open("rb")
        about = os.fstat(self._file.fileno())
        self.size, self.mtime, self._left = about.st_size, about.st_mtime, about.st_size
        self._hash = hashlib.blake2b(digest_size=16)

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; what was cut off meanwhile is read as zeros."""
        wanted = self._left if size < 0 else min(size, self._left)
        block = self._file.read(wanted)
        block += b"\0" * (wanted - len(block))
        self._left -= wanted
        self._hash.update(block)
        return block

    def digest(self) -> str:
        """Hash of all that was read."""
        return self._hash.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    """What is kept, by its name in the archive, in a fixed order; links are not followed."""
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        if here == root:
            folders[:] = [
                name for name in folders if name not in _LEFT_OUT and not name.startswith("replaced-")
            ]
            names = [name for name in names if not name.startswith(DATABASE)]
        folders[:] = sorted(name for name in folders if not (here / name).is_symlink() and name != "work")
        for name in sorted(names):
            path = here / name
            unfinished = name.startswith(".") or ".part" in name or name.endswith(".lock")
            if not unfinished and path.is_file() and not path.is_symlink():
                yield path.relative_to(root).as_posix(), path


def _copy_database(workspace: Workspace, copy: Path) -> None:
    engine = connect(workspace.database)
    file = file_of(workspace.database)
    if file is not None:
        with reading(engine):  # refuses a file that was deleted or replaced under a running program
            source = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
        with closing(source), closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
        return
    target = connect(f"sqlite:///{copy}")
    with reading(engine) as source:
        source = source.execution_options(isolation_level="REPEATABLE READ")
        for table in metadata.sorted_tables:
            rows = source.execution_options(stream_results=True).execute(select(table)).mappings()
            for part in rows.partitions(_ROWS_AT_A_TIME):
                with writing(target, table) as connection:
                    connection.execute(insert(table), [dict(row) for row in part])
    target.dispose()
    with closing(sqlite3.connect(copy)) as alone:
        alone.execute("PRAGMA journal_mode=DELETE")


def _check_database(copy: Path, path: Path) -> int:
    """Decision events in a copy; raises `SaltflatError` where it is damaged or of a later version."""
    try:
        with closing(sqlite3.connect(copy)) as database:
            if (answer := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise SaltflatError(f"The database in {path} is damaged: {answer}.")
            found = database.execute("SELECT version_num FROM alembic_version").fetchone()[0]
            if found > migrations.HEAD:
                raise SaltflatError(
                    f"{path} was made by a later Saltflat (schema {found}, this one knows up to "
                    f"{migrations.HEAD}). Update Saltflat."
                )
            return database.execute("SELECT COUNT(*) FROM decision_events").fetchone()[0]
    except sqlite3.Error as error:
        raise SaltflatError(f"The database in {path} is damaged: {error}.") from None


def _restore_file(target: Path, source: Path, root: Path, aside: Path | None) -> bool:
    if target.exists():
        if aside is None:
            return False
        _move_aside(target, root, aside)
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    return True


def _move_aside(target: Path, root: Path, aside: Path) -> None:
    place = aside / target.relative_to(root)
    place.parent.mkdir(parents=True, exist_ok=True)
    target.replace(place)


def _restore_database(workspace: Workspace, source: Path, aside: Path | None) -> bool:
    file = file_of(workspace.database)
    if file is None:
        return _restore_rows(connect(workspace.database), source, aside is not None)
    if file.exists():
        if aside is None:
            return False
        with reading(connect(workspace.database)) as connection:
            _no_running_jobs(connection)
        connect(workspace.database).dispose()
    # A write-ahead log belongs to the database it was written for.
    for path in (Path(f"{file}-wal"), Path(f"{file}-shm"), file):
        if path.exists() and aside is not None:
            aside.mkdir(parents=True, exist_ok=True)
            path.replace(aside / path.name)
        else:
            path.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    source.replace(file)
    return True


def _restore_rows(engine: Engine, source: Path, replace: bool) -> bool:
    """Rows of the copy into a database on a server, all in one transaction."""
    copy = connect(f"sqlite:///{source}")
    with writing(engine, events) as connection:
        if connection.execute(select(func.count()).select_from(events)).scalar():
            if not replace:
                return False
            _no_running_jobs(connection)
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        with reading(copy) as old:
            for table in metadata.sorted_tables:
                for part in old.execute(select(table)).mappings().partitions(_ROWS_AT_A_TIME):
                    connection.execute(insert(table), [dict(row) for row in part])
        if engine.dialect.name == "postgresql":
            for table in (events, jobs):
                connection.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "
                        f"COALESCE((SELECT MAX(id) FROM {table.name}), 0) + 1, false)"
                    )
                )
    copy.dispose()
    return True


def _no_running_jobs(connection) -> None:
    running = connection.execute(select(jobs.c.run_path).where(jobs.c.state == "running")).scalars().all()
    if running:
        raise SaltflatError(f"{running[0]} is running. Cancel it, or wait until it is done, then restore.")


def _climbs(name: str) -> bool:
    """Whether a name leads out of the folder that it is unpacked into."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts


def _hashed(stream: io.BufferedIOBase, copy: Path | None = None) -> tuple[int, str]:
    """Size and hash of a stream, written to `copy` on the way."""
    digest, size = hashlib.blake2b(digest_size=16), 0
    with copy.open("wb") if copy is not None else io.BytesIO() as target:
        while block := stream.read(_BLOCK):
            digest.update(block)
            size += len(block)
            if copy is not None:
                target.write(block)
    return size, digest.hexdigest()
