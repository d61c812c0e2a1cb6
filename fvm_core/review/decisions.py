"""Decisions of the reviewers: an append-only table of events, and beside it the state they add up to."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pandas as pd
from sqlalchemy import Connection, RowMapping, delete, exists, func, insert, select

from fvm_core.database import connect, reading, writing
from fvm_core.errors import SaltflatError
from fvm_core.review.refusals import changed_since, who_changed
from fvm_core.review.tables import commands, events, states

STATES = ("unreviewed", "relabelled", "kept", "excluded", "unsure")
"""What a sample can be for a reviewer; export adds `auto_relabelled`."""

STATE_OF_ACTION = {
    "relabel": "relabelled",
    "keep": "kept",
    "exclude": "excluded",
    "unsure": "unsure",
    "clear": "unreviewed",
}

UNTOUCHED = ""
"""The version of a sample that no command has touched."""

_AT_A_TIME = 500
"""Values in one `IN (…)`: databases bound their number."""


@dataclass(frozen=True)
class Decision:
    """One decision on one sample.

    Attributes:
        row: row number of the sample in the run's training data.
        sample: its id.
        action: `relabel`, `keep`, `exclude`, `unsure`, or `clear` (back to unreviewed).
        old_label / new_label: given label, and for `relabel` the label it becomes.
        score: the suspicion that the reviewer saw (large = suspicious); rank: 1 = most suspicious.
        key: names the event; recording the same key again changes nothing.
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


@dataclass(frozen=True)
class SampleState:
    """What a sample is now.

    Attributes:
        state: one of `STATES`; new_label: the label of a relabelled sample.
        reviewer: who decided last; at: when, in seconds since 1970.
        version: key of the last command that touched the sample, decision or undo: a decision that was made
            on another version was made on something else than what is there now.
    """

    state: str
    new_label: str | None
    reviewer: str
    at: float
    version: str


@dataclass(frozen=True)
class Outcome:
    """What became of a command: done, or refused with the reason. It stays so if the command comes again."""

    key: str
    refusal: str | None = None

    @property
    def done(self) -> bool:
        """Whether it was carried out."""
        return self.refusal is None


@dataclass(frozen=True)
class Undoable:
    """A command that can be taken back: its key, how many samples it touched, its first event's content."""

    key: str
    samples: int
    action: str
    old_label: str | None
    new_label: str | None


class DecisionStore:
    """All decisions in one database (SQLite file, or any that SQLAlchemy reaches).

    Every method raises `DatabaseError` where the database fails; nothing was written then.
    """

    def __init__(self, address: str):
        self._engine = connect(address)

    def carry_out(
        self, run: str, key: str, decisions: Sequence[Decision], based_on: Sequence[str], reviewer: str
    ) -> Outcome:
        """Carry out one command whole, once, or refuse it whole; it is on disk when this returns.

        Args:
            run: id of the run.
            key: names the command. One that comes again has the outcome of the first time.
            decisions: what it decides; their own keys and batches are not used.
            based_on: for each decision the version of the sample that the reviewer saw.
            reviewer: who decides.

        Raises:
            SaltflatError: an action is unknown, a relabelling names no label, or a text holds half of a
                surrogate pair; nothing is written then.
        """
        for decision in decisions:
            _check(decision, reviewer)
        with writing(self._engine, events) as connection:
            if known := _outcome(connection, run, key):
                return known
            now = time.time()
            found = _states(connection, run, [decision.row for decision in decisions])
            changed = [
                (decision, found.get(decision.row))
                for decision, version in zip(decisions, based_on, strict=True)
                if version != (found[decision.row].version if decision.row in found else UNTOUCHED)
            ]
            refusal = changed_since(changed) if changed else None
            _note(connection, run, key, "decide", None, reviewer, now, refusal)
            if refusal is None:
                rows = [
                    _event(decision, f"{key}:{decision.row}", key, run, reviewer, now)
                    for decision in decisions
                ]
                _append(connection, run, rows)
        return Outcome(key, refusal)

    def undo(self, run: str, target: str, reviewer: str, key: str | None = None) -> Outcome:
        """Take back the command `target`, if it is the reviewer's own and nothing came after it.

        An undo is an event itself, so nothing is lost. Samples go back to the decision before it that still
        stands.

        Args:
            run: id of the run.
            target: key of the command (the `batch` of its events).
            reviewer: who takes back.
            key: names the undo; one that comes again has the outcome of the first time.
        """
        key = key or uuid.uuid4().hex
        with writing(self._engine, events) as connection:
            if known := _outcome(connection, run, key):
                return known
            now = time.time()
            query = select(events).where(
                events.c.run == run, events.c.batch == target, events.c.action != "undo"
            )
            meant = connection.execute(query.order_by(events.c.id)).mappings().all()
            refusal = _cannot_undo(connection, run, target, meant, reviewer)
            _note(connection, run, key, "undo", target, reviewer, now, refusal)
            if refusal is None:
                _append(connection, run, [_undo_event(event, key, reviewer, now) for event in meant])
        return Outcome(key, refusal)

    def outcome(self, run: str, key: str) -> Outcome | None:
        """What became of a command; None where it never came."""
        with reading(self._engine) as connection:
            return _outcome(connection, run, key)

    def record(self, run: str, decisions: Sequence[Decision], reviewer: str) -> int:
        """Append decisions whatever the samples are now; returns how many were new.

        For programs that decide by themselves: decisions of a person go through `carry_out`. They are on
        disk when this returns.

        Raises:
            SaltflatError: as `carry_out`.
        """
        for decision in decisions:
            _check(decision, reviewer)
        now = time.time()
        with writing(self._engine, events) as connection:
            known: set[str] = set()
            for part in _parts([decision.key for decision in decisions]):
                query = select(events.c.key).where(events.c.run == run, events.c.key.in_(part))
                known.update(connection.execute(query).scalars())
            rows: dict[str, dict] = {}
            for decision in decisions:
                if decision.key not in known:
                    batch = decision.batch or decision.key
                    rows.setdefault(decision.key, _event(decision, decision.key, batch, run, reviewer, now))
            for number, batch in enumerate(dict.fromkeys(row["batch"] for row in rows.values())):
                if _outcome(connection, run, batch) is None:
                    # A microsecond apart, so that their order is known.
                    _note(connection, run, batch, "decide", None, reviewer, now + 1e-6 * number, None)
            _append(connection, run, list(rows.values()))
        return len(rows)

    def undoable(self, run: str, reviewer: str, limit: int = 20) -> list[Undoable]:
        """The reviewer's last commands that still stand, newest first."""
        taken = commands.alias()
        undone = exists().where(
            taken.c.run == run, taken.c.target == commands.c.key, taken.c.refusal.is_(None)
        )
        query = select(commands.c.key).where(
            commands.c.run == run,
            commands.c.reviewer == reviewer,
            commands.c.kind == "decide",
            commands.c.refusal.is_(None),
            ~undone,
        )
        found = []
        with reading(self._engine) as connection:
            newest = query.order_by(commands.c.at.desc()).limit(10 * limit)
            for key in connection.execute(newest).scalars().all():
                if len(found) == limit:
                    break
                mine = (events.c.run == run, events.c.batch == key, events.c.action != "undo")
                event = connection.execute(select(events).where(*mine).limit(1)).mappings().first()
                count = connection.execute(select(func.count()).select_from(events).where(*mine)).scalar()
                if event is None:
                    continue
                stands = select(states.c.row).where(
                    states.c.run == run, states.c.row == event["row"], states.c.event == event["id"]
                )
                if connection.execute(stands).first():
                    found.append(
                        Undoable(key, count, event["action"], event["old_label"], event["new_label"])
                    )
        return found

    def states_of(self, run: str, rows: Sequence[int]) -> tuple[int, dict[int, SampleState]]:
        """A revision and the states of some rows at that revision or a later one.

        Rows that no command has touched are absent; their version is `UNTOUCHED`.
        """
        with reading(self._engine) as connection:
            revision = _revision(connection, run)
            return revision, _states(connection, run, rows)

    def state(self, run: str) -> pd.DataFrame:
        """The samples that are decided now, indexed by `row`.

        Columns: `sample, state, new_label, reviewer, at, version`; samples that are unreviewed are absent.
        """
        names = ["row", "sample", "state", "new_label", "reviewer", "at", "version"]
        query = select(*[states.c[name] for name in names]).where(
            states.c.run == run, states.c.state != "unreviewed"
        )
        with reading(self._engine) as connection:
            found = connection.execute(query.order_by(states.c.row)).all()
        return pd.DataFrame(found, columns=names).set_index("row")

    def versions(self, run: str) -> dict[int, str]:
        """The version of every row that a command has touched, whatever its state is."""
        query = select(states.c.row, states.c.version).where(states.c.run == run)
        with reading(self._engine) as connection:
            return dict(connection.execute(query).all())

    def counts(self, run: str) -> dict[str, int]:
        """How many samples are in each decided state."""
        query = select(states.c.state, func.count()).where(states.c.run == run).group_by(states.c.state)
        with reading(self._engine) as connection:
            counted = dict(connection.execute(query).all())
        return {state: counted.get(state, 0) for state in STATES if state != "unreviewed"}

    def revision(self, run: str) -> int:
        """A number that grows with every event of the run: the key for anything cached about it."""
        with reading(self._engine) as connection:
            return _revision(connection, run)

    def audit(self, run: str) -> pd.DataFrame:
        """Every event in order: who, when (seconds since 1970), what, from and to which label."""
        with reading(self._engine) as connection:
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


def _outcome(connection: Connection, run: str, key: str) -> Outcome | None:
    query = select(commands.c.refusal).where(commands.c.run == run, commands.c.key == key)
    found = connection.execute(query).first()
    return Outcome(key, found[0]) if found else None


def _note(
    connection: Connection,
    run: str,
    key: str,
    kind: str,
    target: str | None,
    reviewer: str,
    at: float,
    refusal: str | None,
) -> None:
    row = {
        "run": run,
        "key": key,
        "kind": kind,
        "target": target,
        "reviewer": reviewer,
        "at": at,
        "refusal": refusal,
    }
    connection.execute(insert(commands).values(row))


def _append(connection: Connection, run: str, rows: list[dict]) -> None:
    """Add events and bring the states of their samples in line."""
    if not rows:
        return
    before = connection.execute(select(func.max(events.c.id))).scalar() or 0
    connection.execute(insert(events), rows)
    added = select(events).where(events.c.run == run, events.c.id > before).order_by(events.c.id)
    newest = {event["row"]: event for event in connection.execute(added).mappings()}
    undone = [row for row, event in newest.items() if event["action"] == "undo"]
    standing = {**newest, **dict.fromkeys(undone), **_standing(connection, run, undone)}
    for part in _parts(list(newest)):
        connection.execute(delete(states).where(states.c.run == run, states.c.row.in_(part)))
    made = [_state_row(newest[row], standing[row]) for row in newest]
    connection.execute(insert(states), made)


def _standing(connection: Connection, run: str, rows: list[int]) -> dict[int, RowMapping]:
    """For each row its last decision that was not taken back; rows without one are absent."""
    undo, found = events.alias(), {}
    for part in _parts(rows):
        last = (
            select(func.max(events.c.id))
            .where(
                events.c.run == run,
                events.c.row.in_(part),
                events.c.action != "undo",
                ~exists().where(undo.c.undoes == events.c.id),
            )
            .group_by(events.c.row)
        )
        for event in connection.execute(select(events).where(events.c.id.in_(last))).mappings():
            found[event["row"]] = event
    return found


def _state_row(newest: RowMapping, standing: RowMapping | None) -> dict:
    event = standing if standing is not None else newest
    return {
        "run": newest["run"],
        "row": newest["row"],
        "sample": newest["sample"],
        "state": STATE_OF_ACTION[standing["action"]] if standing is not None else "unreviewed",
        "new_label": standing["new_label"] if standing is not None else None,
        "reviewer": event["reviewer"],
        "at": event["at"],
        "event": standing["id"] if standing is not None else None,
        "version": newest["batch"],
    }


def _states(connection: Connection, run: str, rows: Iterable[int]) -> dict[int, SampleState]:
    found = {}
    for part in _parts([int(row) for row in rows]):
        query = select(states).where(states.c.run == run, states.c.row.in_(part))
        for row in connection.execute(query).mappings():
            found[row["row"]] = SampleState(
                row["state"], row["new_label"], row["reviewer"], row["at"], row["version"]
            )
    return found


def _cannot_undo(
    connection: Connection, run: str, target: str, meant: Sequence[dict], reviewer: str
) -> str | None:
    if not meant:
        refused = _outcome(connection, run, target)
        return (
            "There is nothing to take back: the decision was refused before."
            if refused and not refused.done
            else "There is nothing to take back: the decision is not in the database."
        )
    if others := {event["reviewer"] for event in meant} - {reviewer}:
        return f"The decision is by {', '.join(sorted(others))}: only who made it can take it back."
    last = {event["row"]: event["id"] for event in meant}
    changed = []
    for part in _parts(list(last)):
        query = select(states).where(states.c.run == run, states.c.row.in_(part))
        changed += [row for row in connection.execute(query).mappings() if row["event"] != last[row["row"]]]
    if not changed:
        return None
    undone = select(commands.c.key).where(
        commands.c.run == run, commands.c.target == target, commands.c.refusal.is_(None)
    )
    if connection.execute(undone).first():
        return "The decision has been taken back already."
    return f"Not taken back: {who_changed(changed[0]['sample'], changed[0], len(changed))}"


def _undo_event(event: dict, key: str, reviewer: str, now: float) -> dict:
    return {
        **{name: event[name] for name in ("run", "row", "sample", "score", "rank")},
        "key": uuid.uuid4().hex,
        "batch": key,
        "action": "undo",
        "old_label": event["new_label"],
        "new_label": event["old_label"],
        "reviewer": reviewer,
        "at": now,
        "undoes": event["id"],
    }


def _event(decision: Decision, key: str, batch: str, run: str, reviewer: str, now: float) -> dict:
    return {
        "key": key,
        "batch": batch,
        "run": run,
        "row": int(decision.row),
        "sample": decision.sample,
        "action": decision.action,
        "old_label": decision.old_label,
        "new_label": decision.new_label if decision.action == "relabel" else None,
        # Plain numbers: databases don't take those of numpy, and not all know NaN.
        "score": None if decision.score is None or math.isnan(decision.score) else float(decision.score),
        "rank": None if decision.rank is None else int(decision.rank),
        "reviewer": reviewer,
        "at": now,
    }


def _revision(connection: Connection, run: str) -> int:
    return connection.execute(select(func.max(events.c.id)).where(events.c.run == run)).scalar() or 0


def _parts(values: list) -> Iterator[list]:
    for start in range(0, len(values), _AT_A_TIME):
        yield values[start : start + _AT_A_TIME]
