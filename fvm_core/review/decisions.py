"""Decisions of the reviewers: an append-only table of events, the current state is derived from it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd
from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    select,
)

from fvm_core.database import connect, metadata, writing
from fvm_core.errors import SaltflatError

STATES = ("unreviewed", "relabelled", "kept", "excluded", "unsure")
"""What a sample can be for a reviewer; export adds `auto_relabelled`."""

STATE_OF_ACTION = {
    "relabel": "relabelled",
    "keep": "kept",
    "exclude": "excluded",
    "unsure": "unsure",
    "clear": "unreviewed",
}

events = Table(
    "decision_events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(64), nullable=False),
    Column("batch", String(64), nullable=False),
    Column("run", String(64), nullable=False),
    Column("row", Integer, nullable=False),
    Column("sample", Text, nullable=False),
    Column("action", String(16), nullable=False),
    Column("old_label", Text),
    Column("new_label", Text),
    Column("score", Float),
    Column("rank", Integer),
    Column("reviewer", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("undoes", Integer, ForeignKey("decision_events.id")),
    UniqueConstraint("run", "key"),
    Index("decision_events_run_row", "run", "row"),
    Index("decision_events_undoes", "undoes"),
)


@dataclass(frozen=True)
class Decision:
    """One decision on one sample.

    Attributes:
        row: row number of the sample in the run's training data.
        sample: its id.
        action: `relabel`, `keep`, `exclude`, `unsure`, or `clear` (back to unreviewed).
        old_label / new_label: given label, and for `relabel` the label it becomes.
        score: the suspicion that the reviewer saw (large = suspicious); rank: 1 = most suspicious.
        key: names the event; recording the same key again changes nothing, so a browser may resend.
        batch: events with the same batch are undone together.
    """

    row: int
    sample: str
    action: str
    old_label: str | None = None
    new_label: str | None = None
    score: float | None = None
    rank: int | None = None
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    batch: str = ""


class DecisionStore:
    """All decisions in one database (SQLite file, or any that SQLAlchemy reaches)."""

    def __init__(self, address: str):
        self._engine = connect(address)

    def record(self, run: str, decisions: Sequence[Decision], reviewer: str) -> int:
        """Append decisions and return how many were new; they are on disk when this returns.

        Raises:
            SaltflatError: an action is unknown, a relabelling names no label, or a text holds half of a
                surrogate pair; nothing is written then.
        """
        for decision in decisions:
            _check(decision, reviewer)
        now = time.time()
        with writing(self._engine, events) as connection:
            known = set()
            keys = [decision.key for decision in decisions]
            for start in range(0, len(keys), 500):
                part = keys[start : start + 500]
                query = select(events.c.key).where(events.c.run == run, events.c.key.in_(part))
                known.update(connection.execute(query).scalars())
            rows = {}
            for decision in decisions:
                if decision.key not in known:
                    rows.setdefault(decision.key, _event(decision, run, reviewer, now))
            if rows:
                connection.execute(insert(events), list(rows.values()))
        return len(rows)

    def undo(self, run: str, reviewer: str) -> pd.DataFrame:
        """Take back the last decision (or batch) of `reviewer` that still stands; returns its events.

        An undo is an event itself, so nothing is lost. The frame is empty when nothing is left to undo.
        """
        undone = select(events.c.undoes).where(events.c.run == run, events.c.undoes.is_not(None))
        standing = select(events).where(
            events.c.run == run,
            events.c.reviewer == reviewer,
            events.c.action != "undo",
            events.c.id.not_in(undone),
        )
        with writing(self._engine, events) as connection:
            last = connection.execute(standing.order_by(events.c.id.desc()).limit(1)).mappings().first()
            if last is None:
                return pd.DataFrame(columns=events.c.keys())
            taken = connection.execute(standing.where(events.c.batch == last["batch"])).mappings().all()
            now, batch = time.time(), uuid.uuid4().hex
            connection.execute(
                insert(events),
                [
                    {
                        **{name: event[name] for name in ("run", "row", "sample", "score", "rank")},
                        "key": uuid.uuid4().hex,
                        "batch": batch,
                        "action": "undo",
                        "old_label": event["new_label"],
                        "new_label": event["old_label"],
                        "reviewer": reviewer,
                        "at": now,
                        "undoes": event["id"],
                    }
                    for event in taken
                ],
            )
        return pd.DataFrame(taken)

    def state(self, run: str) -> pd.DataFrame:
        """The samples that are decided now, indexed by `row`.

        Columns: `sample, state, new_label, reviewer, at`; samples that are unreviewed are absent.
        """
        undone = select(events.c.undoes).where(events.c.run == run, events.c.undoes.is_not(None))
        last = (
            select(func.max(events.c.id))
            .where(events.c.run == run, events.c.action != "undo", events.c.id.not_in(undone))
            .group_by(events.c.row)
        )
        columns = [events.c[name] for name in ("row", "sample", "action", "new_label", "reviewer", "at")]
        with self._engine.connect() as connection:
            found = connection.execute(select(*columns).where(events.c.id.in_(last))).all()
        frame = pd.DataFrame(found, columns=["row", "sample", "state", "new_label", "reviewer", "at"])
        frame["state"] = frame["state"].map(STATE_OF_ACTION)
        return frame[frame["state"] != "unreviewed"].set_index("row").sort_index()

    def counts(self, run: str) -> dict[str, int]:
        """How many samples are in each decided state."""
        counted = self.state(run)["state"].value_counts()
        return {state: int(counted.get(state, 0)) for state in STATES if state != "unreviewed"}

    def revision(self, run: str) -> int:
        """A number that grows with every event of the run: the key for anything cached about it."""
        with self._engine.connect() as connection:
            return connection.execute(select(func.max(events.c.id)).where(events.c.run == run)).scalar() or 0

    def audit(self, run: str) -> pd.DataFrame:
        """Every event in order: who, when (seconds since 1970), what, from and to which label."""
        with self._engine.connect() as connection:
            found = connection.execute(select(events).where(events.c.run == run).order_by(events.c.id)).all()
        return pd.DataFrame(found, columns=events.c.keys())


def _check(decision: Decision, reviewer: str) -> None:
    if decision.action not in STATE_OF_ACTION:
        raise SaltflatError(f"Unknown action {decision.action!r} for sample {decision.sample!r}.")
    if decision.action == "relabel" and decision.new_label is None:
        raise SaltflatError(f"Relabelling sample {decision.sample!r} needs a label.")
    for text in (decision.sample, decision.old_label, decision.new_label, reviewer):
        try:
            (text or "").encode()
        except UnicodeEncodeError:
            raise SaltflatError(
                f"The decision on sample {decision.sample!r} holds {text!r}, which no database can store."
            ) from None


def _event(decision: Decision, run: str, reviewer: str, now: float) -> dict:
    return {
        "key": decision.key,
        "batch": decision.batch or decision.key,
        "run": run,
        "row": int(decision.row),
        "sample": decision.sample,
        "action": decision.action,
        "old_label": decision.old_label,
        "new_label": decision.new_label if decision.action == "relabel" else None,
        # Plain numbers: databases don't take those of numpy.
        "score": None if decision.score is None else float(decision.score),
        "rank": None if decision.rank is None else int(decision.rank),
        "reviewer": reviewer,
        "at": now,
    }
