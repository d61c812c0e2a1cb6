"""The image grid as a component: what it is given, and what it sends back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st

from fvm_core.pipeline.run_folder import RunFolder
from fvm_core.review.queue import ReviewTable
from ui import results

ASSETS = Path(__file__).resolve().parents[1] / "assets"


def _read(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


_grid = st.components.v2.component(
    "saltflat_grid",
    html=_read("grid.html"),
    css=_read("grid.css"),
    js=_read("grid.js").replace("//#include grid_evidence.js", _read("grid_evidence.js")),
)
_status = st.components.v2.component("saltflat_grid_status", js=_read("grid_status.js"))


def mount(page: dict, turn: Callable[[], None]) -> tuple[list[dict], int | None]:
    """Draw a page of tiles.

    Args:
        page: from `page_data`.
        turn: called when the person asks for the next or previous page; the number of pages to move
            is in the component's state as `turn`.

    Returns:
        The commands that the browser holds as not yet confirmed, and the row whose evidence is open.
    """
    sent = _grid(
        key="grid",
        data=page,
        on_commands_change=_nothing,
        on_turn_change=turn,
        on_look_change=_nothing,
    )
    commands, look = sent.get("commands"), sent.get("look")
    return commands if isinstance(commands, list) else [], look if isinstance(look, int) else None


def confirm(status: dict) -> None:
    """Tell the grid what is on disk."""
    _status(key="grid-status", data=status, height=1)


def enlarge(row: int, source: str | None) -> None:
    """Give the evidence of a row a bigger picture; the thumbnail stays where there is none."""
    _status(key="grid-look", data={"look": {"row": row, "src": source}}, height=1)


def page_data(run: RunFolder, table: ReviewTable, rows: np.ndarray, session: str, empty: str) -> dict:
    """Everything that the browser needs for a page: images as data addresses, labels, evidence.

    Args:
        run: where thumbnails, alternatives and trajectories come from.
        table: the run's scores.
        rows: row numbers on the page, at most about 100.
        session: names this server session, so that an undo is never repeated after a reconnection.
        empty: what to say when there are no rows.
    """
    more = results.details(run, rows)
    images = results.thumbnails(run)
    steps, values = results.trajectory(run)
    names = (*table.classes, None)
    tiles = []
    for place, row in enumerate(rows.tolist()):
        sample = more.iloc[place]
        tiles.append(
            {
                "row": row,
                "id": str(sample["id"]),
                "img": images.data_uri(row) if images is not None else None,
                "given": names[table.given[row]],
                "suggested": names[table.suggested[row]],
                "percentile": _number(np.floor(table.percentile[row] * 10) / 10),
                "raw": _number(sample["influence"]),
                "loss": _number(table.loss[row]),
                "p_given": _number(table.p_given[row]),
                "alternatives": _alternatives(sample["alternatives"]),
                "path": [_number(value) for value in values[:, row]],
            }
        )
    page_id = f"{run.path.name}-{results.version(run)}-{hash(rows.tobytes()) & 0xFFFFFFFFFFFF:x}"
    return {
        "page_id": page_id,
        "session": session,
        "classes": list(table.classes),
        "steps": steps.tolist(),
        "tiles": tiles,
        "empty": empty,
    }


def _alternatives(found: object) -> list[dict]:
    if found is None or not len(found):
        return []
    return [
        {
            "label": entry["label"],
            "influence": _number(entry["influence"]),
            "probability": _number(entry["probability"]),
        }
        for entry in found
    ]


def _number(value: float) -> float | None:
    """JSON knows no NaN; six digits are more than anybody sees."""
    return float(f"{value:.6g}") if value is not None and np.isfinite(value) else None


def _nothing() -> None:
    """Streamlit keeps the state of a component only where a callback is given."""
