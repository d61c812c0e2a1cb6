"""One SQLAlchemy engine per database address, SQLite in WAL mode."""

from __future__ import annotations

from functools import cache

from sqlalchemy import Engine, MetaData, create_engine, event
from sqlalchemy.schema import CreateIndex, CreateTable

metadata = MetaData()
"""Tables of jobs and decisions register here when their modules are imported."""


def connect(address: str) -> Engine:
    """The engine for `address`, with all registered tables made where they are missing."""
    engine = _engine(address)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            # IF NOT EXISTS, because a worker and the app may come here at the same time.
            connection.execute(CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(CreateIndex(index, if_not_exists=True))
    return engine


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
