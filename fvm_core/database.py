"""One SQLAlchemy engine per database address, SQLite in WAL mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from sqlalchemy import Connection, Engine, MetaData, Table, create_engine, event
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from fvm_core.errors import SaltflatError

metadata = MetaData()
"""Tables of jobs and decisions register here when their modules are imported."""


def connect(address: str) -> Engine:
    """The engine for `address`, with all registered tables made where they are missing.

    Raises:
        SaltflatError: the address is not one, its driver is not installed, or it can't be reached.
    """
    try:
        engine = _engine(address)
    except ArgumentError:
        raise SaltflatError(
            "The address of the database is not one that SQLAlchemy knows. Write it like "
            "sqlite:////folder/file.db or postgresql+psycopg://user:password@host/name."
        ) from None
    except ModuleNotFoundError as error:
        raise SaltflatError(
            f"The database needs the Python package {error.name!r}; install it first."
        ) from None
    try:
        with engine.begin() as connection:
            for table in metadata.sorted_tables:
                # IF NOT EXISTS, because a worker and the app may come here at the same time.
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(CreateIndex(index, if_not_exists=True))
    except DBAPIError as error:
        shown = engine.url.render_as_string(hide_password=True)
        raise SaltflatError(f"The database {shown} can't be used: {error.orig}.") from error
    return engine


@contextmanager
def writing(engine: Engine, table: Table) -> Iterator[Connection]:
    """A transaction in which no one else writes to `table`, so that what was read in it stays true."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif engine.dialect.name == "postgresql":
            connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")
        yield connection


@cache
def _engine(address: str) -> Engine:
    """One engine an address. WAL lets the worker write progress while a screen reads;
    `synchronous=FULL` so a decision that the screen calls saved survives a power cut.
    """
    engine = create_engine(address, connect_args={"timeout": 30} if address.startswith("sqlite") else {})
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _configure(connection, _record):
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.close()

    return engine
