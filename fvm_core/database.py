"""One SQLAlchemy engine per database address: SQLite in WAL mode, or a server such as PostgreSQL.

The schema has versions (`fvm_core/migrations`); a database of an older one is brought up to date when it
is opened. An SQLite file that is deleted or replaced while it is in use is noticed before anything else is
read or written: a file without a name takes everything and keeps nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, MetaData, Table, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from fvm_core.errors import SaltflatError

metadata = MetaData()
"""Tables of jobs and decisions register here when their modules are imported."""

_MAGIC = b"SQLite format 3\0"

_BUSY_SECONDS = 30
"""How long a writer waits for another one."""


class DatabaseError(SaltflatError):
    """The database can't be read or written now; nothing of the transaction was kept."""


def connect(address: str) -> Engine:
    """The engine for `address`; the database is made where it is missing, and brought up to date.

    That is done once a process for each address: a database that goes away later is never made anew.

    Raises:
        SaltflatError: the address is not one, its driver is not installed, the database can't be reached,
            or it was written by a later version.
    """
    try:
        return _opened(address)
    except ArgumentError:
        raise SaltflatError(
            "The address of the database is not one that SQLAlchemy knows. Write it like "
            "sqlite:////folder/file.db or postgresql+psycopg://user:password@host/name."
        ) from None
    except ModuleNotFoundError as error:
        raise SaltflatError(
            f"The database needs the Python package {error.name!r}; install it first."
        ) from None


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection to read with; raises `DatabaseError` in words where the database fails."""
    with _told(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine, table: Table) -> Iterator[Connection]:
    """A transaction in which no one else writes to `table`, so that what was read in it stays true.

    Raises:
        DatabaseError: the database fails; nothing was written.
    """
    with _told(engine):
        with engine.begin() as connection:
            if engine.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")
            yield connection
        # Was it still there when the transaction was kept? Asking for a connection looks.
        engine.connect().close()


def file_of(address: str) -> Path | None:
    """The file of an SQLite address; None for a server.

    Raises:
        SaltflatError: the address names no file: a database in memory would be lost with the process; or
            it can't be taken apart.
    """
    url = _url(address)
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise SaltflatError("The database needs a file: write its address like sqlite:////folder/file.db.")
    return Path(url.database).absolute()


def shown(engine: Engine) -> str:
    """The address without its password, which may stand behind a `?` too."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


def _url(address: str) -> URL:
    """The address taken apart; where that goes wrong, part of its password would be shown as a host."""
    try:
        url = make_url(address)
    except ValueError:  # a port that is no number
        url = None
    if url is None or any(sign in (url.host or "") for sign in "@#"):
        raise SaltflatError(
            "The address of the database can't be taken apart. Write @ : / # ? in its user name and password "
            "in percent: @ is %40, : is %3A, / is %2F, # is %23, ? is %3F."
        )
    return url


@cache
def _opened(address: str) -> Engine:
    from fvm_core.migrations import bring_up_to_date

    file = file_of(address)
    engine = _engine(address)
    with _told(engine):
        if file is not None:
            # A plain connection: the engine's own never make a file.
            sqlite3.connect(file).close()
        bring_up_to_date(engine)
    return engine


@contextmanager
def _told(engine: Engine) -> Iterator[None]:
    """Say what the database answered, without the statement, its values and the password."""
    try:
        yield
    except DBAPIError as error:
        raise DatabaseError(_reason(engine, str(error.orig).strip())) from error
    except sqlite3.Error as error:
        raise DatabaseError(_reason(engine, str(error))) from error
    except (PoolTimeout, DisconnectionError) as error:
        raise DatabaseError(_reason(engine, str(error).splitlines()[0])) from error


def _reason(engine: Engine, text: str) -> str:
    file = engine.url.database if engine.dialect.name == "sqlite" else None
    if file and not Path(file).exists() and Path(file).parent.is_dir():
        return (
            f"The database {file} was deleted or moved away while Saltflat used it. Nothing can be saved "
            "until it is back: put it back, or `saltflat restore` a backup."
        )
    if password := engine.url.password:
        text = text.replace(str(password), "***")
    return f"The database {shown(engine)} can't be used: {text.rstrip('.')}."


def _engine(address: str) -> Engine:
    """WAL lets the worker write progress while a screen reads; `synchronous=FULL` so a decision that the
    screen calls saved survives a power cut.
    """
    file = file_of(address)
    if file is None:
        # Ask before each use whether the server still knows the connection: it may have been restarted.
        return create_engine(address, pool_pre_ping=True)

    def opened() -> sqlite3.Connection:
        uri = f"file:{quote(str(file))}?mode=rw"
        if file.is_file() and file.stat().st_size and _first_bytes(file) != _MAGIC:
            # SQLite would take what stands in a -wal file for the rest of it.
            raise sqlite3.DatabaseError("file is not a database")
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, check_same_thread=False)

    engine = create_engine(address, creator=opened)

    @event.listens_for(engine, "connect")
    def _configure(connection, record):
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()  # makes the -wal file
        cursor.close()
        record.info["files"] = _identities(file)

    @event.listens_for(engine, "checkout")
    def _still_there(_connection, record, _proxy):
        if record.info["files"] != _identities(file):
            # The last connection that is closed brings what stands in a deleted -wal file into the database.
            engine.pool.dispose()
            raise DisconnectionError(f"{file} is not the file that was opened")

    return engine


def _first_bytes(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC))


def _identities(file: Path) -> list[tuple[int, int] | None]:
    """Which files stand under the names of the database and of its write-ahead log."""
    found = []
    for path in (file, Path(f"{file}-wal")):
        try:
            about = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((about.st_dev, about.st_ino))
    return found
