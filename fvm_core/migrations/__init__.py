"""The schema of the database and its versions, by Alembic.

A new version is a file in `versions/` whose `down_revision` is the one before, and `HEAD` here. A released
version's file is never changed.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from fvm_core.database import shown
from fvm_core.errors import SaltflatError

HEAD = "0002"
"""The version that this code reads and writes."""

_LOCK = 0x5A17F1A7
"""Names the advisory lock under which one process at a time migrates."""


def bring_up_to_date(engine: Engine) -> None:
    """Apply the versions that a database lacks, all in one transaction, one process at a time.

    Raises:
        SaltflatError: the database was written by a later version of Saltflat.
    """
    with engine.connect() as connection:
        if version_of(connection) == HEAD:
            return
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        elif engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:name)"), {"name": _LOCK})
        if version_of(connection) != HEAD:
            _upgrade(connection)


def version_of(connection: Connection) -> str | None:
    """The schema's version; None for an empty database and for that of 0.1, which had no versions."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    # Imported here: a database that is up to date, as nearly always, needs none of it.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    settings.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(settings).walk_revisions()}
    found = version_of(connection)
    if found is not None and found not in known:
        raise SaltflatError(
            f"The database {shown(connection.engine)} has the schema "
            f"version {found}, this Saltflat knows up to {HEAD}. Update Saltflat, or name another database."
        )
    command.upgrade(settings, "head")
