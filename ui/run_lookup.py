"""Find a run by its id, whatever folder it is in."""

from __future__ import annotations

from pathlib import Path

from fvm_core.errors import SaltflatError
from fvm_core.runs.run_folder import RunFolder
from ui import catalog

_places: dict[str, Path] = {}


def by_id(run_id: object) -> RunFolder | None:
    """The run of the workspace (or an opened folder) with this id; None if there is none."""
    if not isinstance(run_id, str):
        return None
    if found := _still(run_id):
        return found
    _places.clear()
    for card in catalog.cards():
        if isinstance(card.info.get("id"), str):
            _places[card.info["id"]] = card.folder.path
    return _still(run_id)


def _still(run_id: str) -> RunFolder | None:
    """The run in the place that is remembered, if it is still there."""
    if run_id not in _places:
        return None
    run = RunFolder(_places[run_id])
    try:
        return run if run.id == run_id else None
    except (SaltflatError, KeyError, TypeError):
        return None
