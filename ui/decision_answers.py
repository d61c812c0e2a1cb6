"""What `ui.decision_route` answers: outcomes of commands, and what a screen watches."""

from __future__ import annotations

from fvm_core.errors import SaltflatError
from fvm_core.review import commands
from fvm_core.review.commands import Refused
from fvm_core.review.decisions import DecisionStore
from fvm_core.review.queue import Decided
from ui import results, review_view, run_lookup

MOST_WATCHED = 500
"""Rows that a screen may watch at once."""


def answer(asked: dict, signed_in: str | None) -> tuple[dict, int]:
    """Carry out what is asked; returns the body of the answer and its HTTP status."""
    found: list[dict] = []
    try:
        store = results.store()
        for command in asked.get("commands", []):
            found.append(_result(command, store, signed_in))
            if found[-1]["outcome"] == "later":  # what follows may build on it
                return {"results": found, "reason": found[-1]["reason"]}, 503
        watch = _watched(asked.get("watch"), store, signed_in)
    except SaltflatError as error:  # the database
        return {"results": found, "reason": str(error)}, 503
    return {"results": found, "watch": watch}, 200


def _result(command: object, store: DecisionStore, signed_in: str | None) -> dict:
    key = command.get("key") if isinstance(command, dict) else None
    try:
        key = commands.key_of(command)
        reviewer = commands.reviewer_name(command.get("reviewer"))
        if signed_in is not None and reviewer != signed_in:
            reason = f"Made by {reviewer}, you are signed in as {signed_in}. It waits here for {reviewer}."
            return {"key": key, "outcome": "parked", "reason": reason}
        run = run_lookup.by_id(command.get("run"))
        if run is None:
            reason = "The run of this decision is not among the runs that this server has."
            return {"key": key, "outcome": "parked", "reason": reason}
        outcome = commands.perform(command, review_view.view(run), store, reviewer)
    except Refused as error:
        return {"key": key, "outcome": "refused", "reason": str(error)}
    except SaltflatError as error:
        return {"key": key, "outcome": "later", "reason": str(error)}
    if outcome.done:
        return {"key": key, "outcome": "done", "reason": ""}
    return {"key": key, "outcome": "refused", "reason": outcome.refusal}


def _watched(asked: object, store: DecisionStore, signed_in: str | None) -> dict | None:
    """What the screen shows of a run, as it is now."""
    if not isinstance(asked, dict) or (run := run_lookup.by_id(asked.get("run"))) is None:
        return None
    rows = asked.get("rows", [])
    if not isinstance(rows, list) or len(rows) > MOST_WATCHED or any(type(row) is not int for row in rows):
        return None
    answer = {"run": run.id, **review_view.states(run.id, rows, store)}
    reviewer = signed_in or asked.get("reviewer")
    if isinstance(reviewer, str) and reviewer:
        answer["undoable"] = [
            {
                "key": last.key,
                "samples": last.samples,
                "action": last.action,
                "given": last.old_label,
                "label": last.new_label,
            }
            for last in store.undoable(run.id, reviewer, limit=5)
        ]
    if "filter" in asked:
        view = review_view.view(run)
        try:
            wanted = commands.filter_of(asked["filter"], view.table.classes)
        except Refused:
            return answer
        decided = Decided.from_state(store.state(run.id))
        answer["acceptable"] = len(commands.acceptable_rows(view.table, wanted, decided))
    return answer
