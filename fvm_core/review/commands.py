"""What a browser may ask: decide, undo, accept a whole filter. Its word is checked, never trusted.

A command is a dictionary, as it comes from JSON:

    key       names it; a command that comes again has the outcome of the first time
    kind      "decide", "undo" or "accept"
    run       id of the run, and `data` the fingerprint of its training data: it is carried out there
    items     decide: `{sample, row, given, action, label, version}` for each sample; `given` is the label and
              `version` the state that the person saw
    target    undo: key of the command to take back
    ranking, filter, expected
              accept: the ranking and the filter that the person saw, and how many samples were to change
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import UNTOUCHED, Decision, DecisionStore, Outcome
from fvm_core.review.queue import Decided, QueueFilter, ReviewTable, queue_rows

ACTIONS = ("relabel", "keep", "exclude", "unsure")
LONGEST_NAME = 60
"""Characters of a reviewer's name."""

_LONGEST_KEY = 40
_RELOAD = "Reload the page and decide again."


class Refused(SaltflatError):
    """A command that does not fit; the text says why."""


@dataclass(frozen=True)
class RunView:
    """The run that commands are checked against.

    Attributes:
        run: its id.
        data: fingerprint of its training data.
        ranking: names the scores and the choice among them; changes when they do.
        table: the scores, N samples.
        ids: N sample ids.
    """

    run: str
    data: str
    ranking: str
    table: ReviewTable
    ids: Sequence

    def decision(self, row: int, action: str, label: str | None) -> Decision:
        """One decision with everything that the audit needs."""
        given = int(self.table.given[row])
        return Decision(
            row=row,
            sample=str(self.ids[row]),
            action=action,
            old_label=self.table.classes[given] if given >= 0 else None,
            new_label=label,
            score=float(self.table.suspicion[row]),
            rank=int(self.table.rank[row]),
        )


def perform(command: dict, view: RunView, store: DecisionStore, reviewer: str) -> Outcome:
    """Carry out one command, or say why not.

    Raises:
        Refused: the command can't be read, or does not fit this run.
        SaltflatError: the database fails; the command may come again.
    """
    key = key_of(command)
    if command.get("run") != view.run:
        raise Refused(f"The decision is for another run than {view.run!r}. {_RELOAD}")
    if command.get("data") != view.data:
        raise Refused(f"The training data of this run is not what you looked at. {_RELOAD}")
    kind = command.get("kind")
    if kind == "decide":
        return _decide(key, command, view, store, reviewer)
    if kind == "undo":
        target = command.get("target")
        if not isinstance(target, str) or not 0 < len(target) <= _LONGEST_KEY:
            raise Refused(f"The browser asked to take back nothing that can be read. {_RELOAD}")
        return store.undo(view.run, target, reviewer, key)
    if kind == "accept":
        return _accept(key, command, view, store, reviewer)
    raise Refused(f"The browser sent a command that Saltflat does not know. {_RELOAD}")


def key_of(command: object) -> str:
    """The key of a command.

    Raises:
        Refused: there is none.
    """
    key = command.get("key") if isinstance(command, dict) else None
    if not isinstance(key, str) or not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise Refused(f"The browser sent a decision that can't be read. {_RELOAD}")
    return key


def reviewer_name(text: object) -> str:
    """A person's name as it is written beside decisions.

    Raises:
        Refused: it is empty or no text.
    """
    name = " ".join(str(text).split())[:LONGEST_NAME] if isinstance(text, str) else ""
    if not name:
        raise Refused("The decision has no name beside it. Type your name and decide again.")
    return name


def filter_of(values: object, classes: Sequence[str]) -> QueueFilter:
    """The filter that a browser names.

    Raises:
        Refused: a field is unknown or has another type than `QueueFilter` says.
    """
    default, found = QueueFilter(), {}
    known = {field.name for field in fields(QueueFilter)}
    if not isinstance(values, dict) or set(values) - known:
        raise Refused(f"The browser sent a filter that can't be read. {_RELOAD}")
    for name, value in values.items():
        if name == "rows":
            right = isinstance(value, list) and all(type(row) is int for row in value)
            value = tuple(value) if right else value
        elif name == "above":
            right = type(value) in (int, float) and 0 <= value <= 100
        elif name in ("given", "suggested"):
            right = value is None or value in classes
        else:
            open_text = name in ("state", "problem")
            allowed = (str, type(None)) if open_text else (type(getattr(default, name)),)
            right = type(value) in allowed
        if not right:
            raise Refused(f"The browser sent a filter whose {name} can't be read. {_RELOAD}")
        found[name] = value
    try:
        return replace(default, **found).check()
    except SaltflatError as error:
        raise Refused(str(error)) from None


def acceptable_rows(table: ReviewTable, wanted: QueueFilter, decided: Decided) -> np.ndarray:
    """Rows of a filter that have no decision yet and a suggestion that differs from the given label."""
    rows = queue_rows(table, wanted, decided)
    rows = rows[~np.isin(rows, decided.rows)]
    return rows[(table.suggested[rows] >= 0) & (table.suggested[rows] != table.given[rows])]


def _decide(key: str, command: dict, view: RunView, store: DecisionStore, reviewer: str) -> Outcome:
    items = command.get("items")
    if not isinstance(items, list) or not items:
        raise Refused(f"The browser sent a decision on no sample. {_RELOAD}")
    decisions = [_item(item, view) for item in items]
    if len({decision.row for decision in decisions}) < len(decisions):
        raise Refused(f"The browser sent two decisions on one sample at once. {_RELOAD}")
    return store.carry_out(view.run, key, decisions, [item["version"] for item in items], reviewer)


def _item(item: object, view: RunView) -> Decision:
    table = view.table
    if not isinstance(item, dict) or not isinstance(item.get("version"), str):
        raise Refused(f"The browser sent a decision that can't be read. {_RELOAD}")
    row, sample, action, label = (item.get(name) for name in ("row", "sample", "action", "label"))
    if type(row) is not int or not 0 <= row < len(table) or str(view.ids[row]) != sample:
        raise Refused(f"This run has no sample {sample!r} in row {row!r}. {_RELOAD}")
    if action not in ACTIONS:
        raise Refused(f"The browser asked for {action!r} on {sample!r}, which is no decision. {_RELOAD}")
    if action == "relabel" and label not in table.classes:
        raise Refused(f"This run has no label {label!r} for {sample!r}. {_RELOAD}")
    decision = view.decision(row, action, label if action == "relabel" else None)
    if item.get("given") != decision.old_label:
        raise Refused(
            f"The given label of {sample!r} is {decision.old_label!r}, you saw {item.get('given')!r}. "
            f"{_RELOAD}"
        )
    return decision


def _accept(key: str, command: dict, view: RunView, store: DecisionStore, reviewer: str) -> Outcome:
    table = view.table
    if known := store.outcome(view.run, key):
        return known
    if command.get("ranking") != view.ranking:
        raise Refused(f"The scores of this run were changed since you looked. {_RELOAD}")
    wanted, expected = filter_of(command.get("filter"), table.classes), command.get("expected")
    versions = store.versions(view.run)  # read first: what changes after this is refused
    rows = acceptable_rows(table, wanted, Decided.from_state(store.state(view.run)))
    if type(expected) is not int or not len(rows) == expected > 0:
        raise Refused(
            f"{len(rows):,} samples of this filter are open now, {expected} when you looked: somebody "
            "decided in between. Nothing was accepted; look again."
        )
    decisions = [view.decision(row, "relabel", table.classes[table.suggested[row]]) for row in rows.tolist()]
    based_on = [versions.get(row, UNTOUCHED) for row in rows.tolist()]
    return store.carry_out(view.run, key, decisions, based_on, reviewer)
