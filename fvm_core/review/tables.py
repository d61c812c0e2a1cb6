"""The tables behind the decisions: events, commands, and the state that the events add up to."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from fvm_core.database import metadata


class AnyText(TypeDecorator):
    """Text that may hold U+0000, as labels from damaged files do; PostgreSQL has no place for it.

    There U+001A introduces an escape: with a 0 behind it, it is U+0000, with a 1 itself.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value, dialect):
        """Escape on the way in."""
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\x1a", "\x1a1").replace("\0", "\x1a0")

    def process_result_value(self, value, dialect):
        """And back."""
        if value is None or dialect.name != "postgresql":
            return value
        return value.replace("\x1a0", "\0").replace("\x1a1", "\x1a")


events = Table(
    "decision_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("batch", String(64), nullable=False),
    Column("run", String(64), nullable=False),
    Column("row", Integer, nullable=False),
    Column("sample", AnyText, nullable=False),
    Column("action", String(16), nullable=False),
    Column("old_label", AnyText),
    Column("new_label", AnyText),
    Column("score", Float),
    Column("rank", Integer),
    Column("reviewer", AnyText, nullable=False),
    Column("at", Float, nullable=False),
    Column("undoes", Integer, ForeignKey("decision_events.id")),
    UniqueConstraint("run", "key"),
    Index("decision_events_run_row", "run", "row"),
    Index("decision_events_undoes", "undoes"),
    Index("decision_events_run_batch", "run", "batch"),
)
"""Only ever added to. `batch` is the key of the command that an event belongs to."""

commands = Table(
    "decision_commands",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("target", String(64)),
    Column("reviewer", AnyText, nullable=False),
    Column("at", Float, nullable=False),
    Column("refusal", Text),
    Index("decision_commands_run_target", "run", "target"),
    Index("decision_commands_run_reviewer_at", "run", "reviewer", "at"),
)
"""Every command that was carried out or refused (then with the reason), so that it is so only once."""

states = Table(
    "decision_state",
    metadata,
    Column("run", String(64), primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("sample", AnyText, nullable=False),
    Column("state", String(16), nullable=False),
    Column("new_label", AnyText),
    Column("reviewer", AnyText, nullable=False),
    Column("at", Float, nullable=False),
    Column("event", Integer, ForeignKey("decision_events.id")),
    Column("version", String(64), nullable=False),
    Index("decision_state_run_state", "run", "state"),
)
"""What the events of a sample add up to. `event` is the one that stands (none after an undo of the first),
`version` the key of the last command that touched the sample."""
