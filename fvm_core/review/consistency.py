"""Whether the database is sound, and the kept states are what the events add up to; for `saltflat doctor`."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, RowMapping, delete, func, insert, select, text

from fvm_core.database import connect, reading, shown, writing
from fvm_core.review.decisions import STATE_OF_ACTION
from fvm_core.review.tables import events, states


def findings(address: str) -> Iterator[tuple[bool, str]]:
    """Pairs of whether it is as it should be, and a sentence.

    Raises:
        SaltflatError: the database can't be opened.
    """
    engine = connect(address)
    with reading(engine) as connection:
        if engine.dialect.name == "sqlite":
            answer = connection.execute(text("PRAGMA integrity_check")).scalar()
            if answer != "ok":
                yield False, f"database {shown(engine)} is damaged: {answer}. Restore a backup"
                return
        count = connection.execute(select(func.count()).select_from(events)).scalar()
        wrong = len(_differing(connection))
        sentence = f"database {shown(engine)}, {count:,} decision events"
        if wrong:
            sentence += (
                f"; {wrong:,} samples have another state than these say. `saltflat doctor --redo` mends it"
            )
        yield not wrong, sentence


def rebuild(address: str) -> int:
    """Bring the states of all samples in line with the events; returns how many were wrong."""
    with writing(connect(address), events) as connection:
        wrong = _differing(connection)
        for run, row in wrong:
            connection.execute(delete(states).where(states.c.run == run, states.c.row == row))
        made = [state for state in _expected(connection) if (state["run"], state["row"]) in wrong]
        if made:
            connection.execute(insert(states), made)
    return len(wrong)


def _differing(connection: Connection) -> set[tuple[str, int]]:
    """Run and row of every sample whose kept state is not what its events add up to."""
    kept = {
        (state["run"], state["row"]): dict(state) for state in connection.execute(select(states)).mappings()
    }
    expected = {(state["run"], state["row"]): state for state in _expected(connection)}
    return {place for place in kept.keys() | expected if kept.get(place) != expected.get(place)}


def _expected(connection: Connection) -> Iterator[dict]:
    """The states by the events alone, in plain words: no code in common with what keeps them."""
    newest: dict[tuple[str, int], RowMapping] = {}
    standing: dict[tuple[str, int], RowMapping] = {}
    undone = set(connection.execute(select(events.c.undoes).where(events.c.undoes.is_not(None))).scalars())
    for event in connection.execute(select(events).order_by(events.c.id)).mappings():
        place = (event["run"], event["row"])
        newest[place] = event
        if event["action"] != "undo" and event["id"] not in undone:
            standing[place] = event
    for place, event in newest.items():
        stands = standing.get(place)
        said = event if stands is None else stands
        yield {
            "run": event["run"],
            "row": event["row"],
            "sample": event["sample"],
            "state": STATE_OF_ACTION[stands["action"]] if stands is not None else "unreviewed",
            "new_label": stands["new_label"] if stands is not None else None,
            "reviewer": said["reviewer"],
            "at": said["at"],
            "event": stands["id"] if stands is not None else None,
            "version": event["batch"],
        }
