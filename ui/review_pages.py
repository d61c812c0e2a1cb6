"""The queue of the review and the page of it that is shown: one number behind address, caption and grid."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import streamlit as st

from fvm_core.review.decisions import DecisionStore
from fvm_core.review.queue import (
    Decided,
    QueueFilter,
    ReviewTable,
    first_open_page,
    page_rows,
    pages,
    queue_rows,
)
from ui import frame, review_view

PAGE_SIZE = 60


@dataclass(frozen=True)
class Page:
    """Some rows of a queue.

    Attributes:
        queue: names the queue: the run, its ranking and the filter.
        rows: row numbers on the page.
        number: of the page, from 1; pages: how many there are.
        first: place of its first row in the queue, from 0; total: rows of the queue.
    """

    queue: str
    rows: np.ndarray
    number: int
    pages: int
    first: int
    total: int


def frozen_queue(
    run: str, ranking: str, table: ReviewTable, wanted: QueueFilter, store: DecisionStore
) -> tuple[str, np.ndarray]:
    """Name and rows of the queue. They stay as they are until the filter changes: nothing jumps away.

    A new filter starts at page 1, a visit without a page at the first page with an open sample.
    """
    name = hashlib.blake2b(repr((run, ranking, wanted)).encode(), digest_size=8).hexdigest()
    if frame.arrived():
        st.session_state["review-address"] = None  # its address may name no page, and the last one is shown
    kept = st.session_state.get("review-queue")
    if kept and kept[0] == name:
        return name, kept[2]
    decided = Decided.from_state(store.state(run))
    rows = queue_rows(table, wanted, decided)
    st.session_state["review-queue"] = (name, run, rows)
    if kept and kept[1] == run:
        st.session_state["review-page"] = 1
    else:
        named = st.query_params.get("page", "")
        st.session_state["review-page"] = (
            int(named) if _is_page(named) else first_open_page(rows, decided, PAGE_SIZE)
        )
    st.session_state["review-address"] = None
    return name, rows


def current(queue: str, rows: np.ndarray) -> Page:
    """The page that is shown, brought into range and, when it changes, into the address bar.

    The address that comes with a script run is not followed: it may be of the time before the last page
    was turned. When the browser goes back or forward, the grid asks for the page that is named there.
    """
    total = pages(len(rows), PAGE_SIZE)
    number = min(max(st.session_state.get("review-page", 1), 1), total)
    st.session_state["review-page"] = number
    if st.session_state.get("review-address") != number:
        st.session_state["review-address"] = number
        if st.query_params.get("page", "1") != str(number):
            st.query_params["page"] = str(number)
    on_page = page_rows(rows, number, PAGE_SIZE)
    return Page(queue, on_page, number, total, (number - 1) * PAGE_SIZE, len(rows))


def asked(queue: str, wish: object) -> None:
    """Go to the page that the grid asks for, if it was asked of this queue."""
    if isinstance(wish, dict) and wish.get("queue") == queue and type(wish.get("page")) is int:
        st.session_state["review-page"] = wish["page"]


def first_states(page_id: str, on_page: np.ndarray, store: DecisionStore, run: str) -> dict:
    """Revision and states with which a page is drawn first, so that its focus is on an open sample at once.

    They are kept for the page: data that changes would send all of its images again. Later states come
    with the answers of `ui.decision_route`.
    """
    kept = st.session_state.get("review-first")
    if not kept or kept[0] != page_id:
        kept = (page_id, review_view.states(run, on_page.tolist(), store))
        st.session_state["review-first"] = kept
    return kept[1]


def status(page_id: str, page: Page, rows: np.ndarray, store: DecisionStore, run: str, wish: object) -> dict:
    """How many of the queue are decided now, the states on the page that this counts, and which of the
    grid's questions the page answers (`asked`, None where it asked nothing).
    """
    states = review_view.states(run, page.rows.tolist(), store)["states"]
    decided = int(np.isin(rows, store.state(run).index.to_numpy()).sum())
    answers = wish.get("asked") if isinstance(wish, dict) else None
    return {"page_id": page_id, "queue": len(rows), "decided": decided, "states": states, "asked": answers}


def _is_page(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 10**9
