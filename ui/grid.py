"""The image grid as a component: what it is given, and what it asks for. Decisions don't come this way:
they go to `ui.decision_route`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import streamlit as st

from fvm_core.review.queue import QueueFilter, ReviewTable
from fvm_core.runs.run_folder import RunFolder
from ui import assets, results, review_view, wording
from ui.review_pages import Page

_grid = st.components.v2.component(
    "saltflat_grid", html=assets.text("grid.html"), css=assets.text("grid.css"), js=assets.text("grid.js")
)
_status = st.components.v2.component("saltflat_grid_status", js=assets.text("grid_status.js"))


def mount(page: dict, turn: Callable[[], None]) -> int | None:
    """Draw a page of tiles.

    Args:
        page: from `page_data`.
        turn: called when the person asks for another page; what they ask is in the component's state as
            `page`: `{"queue", "page", "asked"}`, the last a number that the next `count` gives back.

    Returns:
        The row whose evidence is open.
    """
    sent = _grid(key="grid", data=page, on_page_change=turn, on_look_change=_nothing)
    look = sent.get("look")
    return look if type(look) is int else None


def count(status: dict) -> None:
    """Tell the grid how many samples of the queue were decided when the script ran."""
    _status(key="grid-status", data=status, height=1)


def enlarge(page_id: str, row: int, source: str | None) -> None:
    """Give the evidence of a row of the page a bigger picture; the thumbnail stays where there is none."""
    _status(key="grid-look", data={"look": {"page_id": page_id, "row": row, "src": source}}, height=1)


def page_data(
    run: RunFolder,
    table: ReviewTable,
    page: Page,
    wanted: QueueFilter,
    signed_in: str | None,
    empty: str,
) -> dict:
    """Everything that the browser needs for a page: images as data addresses, labels, evidence.

    Args:
        run: where thumbnails, alternatives and trajectories come from.
        table: the run's scores.
        page: the rows, at most about 100, and where they are in the queue.
        wanted: the filter behind the queue.
        signed_in: the person's name where there is a sign-in.
        empty: what to say when there are no rows.
    """
    more = results.details(run, page.rows)
    images = results.thumbnails(run)
    steps, values = results.trajectory(run)
    names = (*table.classes, None)
    why = review_view.why_of(run)
    unscored = results.unscored(run)
    tiles = []
    for place, row in enumerate(page.rows.tolist()):
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
                "unscored": unscored.get(row),
                "why": why,
            }
        )
    ranking = review_view.ranking_of(run)
    shown = dict(zip(table.classes, wording.distinct(table.classes), strict=True))
    return {
        "page_id": f"{run.id}-{ranking}-{hash(page.rows.tobytes()) & 0xFFFFFFFFFFFF:x}",
        "run": run.id,
        "data": review_view.data_of(run),
        "ranking": ranking,
        "filter": {**asdict(wanted), "rows": list(wanted.rows)},
        "queue": page.queue,
        "page": page.number,
        "pages": page.pages,
        "first": page.first,
        "queue_size": page.total,
        "signed_in": signed_in,
        "classes": list(table.classes),
        "names": {label: name for label, name in shown.items() if label != name},
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
