"""From what the grid sends to decisions on disk. The browser's word is checked, never trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fvm_core.errors import SaltflatError
from fvm_core.review.decisions import Decision, DecisionStore
from fvm_core.review.queue import ReviewTable

ACTIONS = ("relabel", "keep", "exclude", "unsure")


@dataclass
class Reviewer:
    """Who decides on what.

    Attributes:
        name: of the person.
        session: of this server session.
        run: id of the run.
        table / ids: the run's scores and sample ids.
        store: where decisions go.
        handled: keys of commands that this session has carried out.
    """

    name: str
    session: str
    run: str
    table: ReviewTable
    ids: Sequence
    store: DecisionStore
    handled: set[str]

    def carry_out(self, commands: list[dict]) -> list[str]:
        """Carry out commands in their order; returns the keys of all that are on disk now.

        The browser sends its list again until it is confirmed, so everything here may come twice:
        decisions have keys, an undo is only carried out in the session that it was asked in.
        """
        waiting: list[Decision] = []
        keys = []
        for command in commands:
            key = _text(command, "key")
            keys.append(key)
            if key in self.handled:
                continue
            if command.get("undo"):
                self._record(waiting)
                waiting = []
                self._undo(command)
            else:
                waiting += self._decisions(key, command)
        self._record(waiting)
        self.handled.update(keys)
        return keys

    def decision(self, row: int, action: str, label: str | None, key: str, batch: str) -> Decision:
        """One decision with everything that the audit needs."""
        given = int(self.table.given[row])
        score = float(self.table.suspicion[row])
        return Decision(
            row=row,
            sample=str(self.ids[row]),
            action=action,
            old_label=self.table.classes[given] if given >= 0 else None,
            new_label=label,
            score=score if score == score else None,  # the database has no NaN
            rank=int(self.table.rank[row]),
            key=key,
            batch=batch,
        )

    def _record(self, decisions: list[Decision]) -> None:
        if decisions:
            self.store.record(self.run, decisions, self.name)

    def _decisions(self, key: str, command: dict) -> list[Decision]:
        found = []
        for item in command.get("items", []):
            row, action, label = item.get("row"), item.get("action"), item.get("label")
            if not isinstance(row, int) or not 0 <= row < len(self.table) or action not in ACTIONS:
                raise SaltflatError("The browser sent a decision that doesn't fit this run. Reload the page.")
            if action == "relabel" and label not in self.table.classes:
                raise SaltflatError("The browser sent a label that this run doesn't have. Reload the page.")
            found.append(self.decision(row, action, label, f"{key}:{row}", key))
        return found

    def _undo(self, command: dict) -> None:
        if _text(command, "session") == self.session:
            self.store.undo(self.run, self.name)
            return
        # Sent again after a restart: undo only if the decision it was meant for still stands.
        events = self.store.audit(self.run)
        meant = events[events["batch"] == command.get("target")]
        if len(meant) and not events["undoes"].isin(meant["id"]).any():
            self.store.undo(self.run, self.name)


def _text(command: dict, name: str) -> str:
    value = command.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 40:
        raise SaltflatError("The browser sent a decision that can't be read. Reload the page.")
    return value
