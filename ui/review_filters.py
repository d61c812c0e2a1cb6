"""What the reviewer wants to see: filter chips, the queue that they give, and its progress."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fvm_core.review.decisions import STATES, DecisionStore
from fvm_core.review.queue import SORTS, Decided, QueueFilter, ReviewTable, first_open_page, queue_rows
from ui import catalog, settings, wording

SORT_WORDS = {
    "suspicion": "Suspicion",
    "margin": "Certainty of the suggestion",
    "loss": "Loss",
    "p_given": "Least probable given label",
    "order": "Order of the dataset",
}


def two_columns() -> tuple[DeltaGenerator, DeltaGenerator]:
    """A narrow column for filters and the rest; below each other on a narrow window."""
    outer = st.container(horizontal=True, key="review", gap="medium")
    return outer.container(key="review-side", width=200), outer.container(key="review-middle")


def draw(table: ReviewTable, default_above: float) -> QueueFilter:
    """The filter widgets; all of them are in the address bar."""
    rows = _chosen_rows(len(table))
    state = st.pills(
        "State",
        STATES,
        key="state",
        bind="query-params",
        help="Without a choice all states are shown, so a decided image stays where it is.",
    )
    above = st.number_input(
        "Suspicion at least (percentile)",
        0.0,
        100.0,
        default_above,
        1.0,
        format="%.2f",
        key="above",
        bind="query-params",
        help="100 is the most suspicious sample; 0 shows everything.",
    )
    names = dict(zip(table.classes, wording.distinct(table.classes), strict=True))
    labels = {
        which: st.selectbox(
            f"{which.capitalize()} label",
            names,
            index=None,
            format_func=names.get,  # what it gives is also what the address bar says
            placeholder="Any",
            key=which,
            bind="query-params",
        )
        for which in ("given", "suggested")
    }
    changed = st.toggle("Only where they differ", key="changed", bind="query-params")
    sort = st.selectbox("Sort by", list(SORTS), format_func=SORT_WORDS.get, key="sort", bind="query-params")
    return QueueFilter(above, state, labels["given"], labels["suggested"], changed, sort, rows).check()


def _chosen_rows(count: int) -> tuple[int, ...]:
    """The samples that another screen has sent here, with a way back to all."""
    texts = [text for text in st.query_params.get("rows", "").split(",") if text.isdecimal()]
    rows = tuple(sorted({int(text) for text in texts if int(text) < count}))
    if not rows:
        return ()
    words = wording.count(len(rows), "chosen sample")
    if st.button(f"Only {words} ✕", key="all-rows", help="Show all samples again."):
        st.query_params.pop("rows")
        st.rerun()
    return rows


def reviewer_name() -> str:
    """The name that decisions are signed with; kept in the workspace."""
    home = catalog.workspace()
    name = settings.read(home)["reviewer"]
    typed = st.text_input("Reviewer", value=name, max_chars=60, key="reviewer").strip()
    if typed and typed != name:
        settings.update(home, reviewer=typed)
    return typed or name


def frozen_queue(
    run: str, table: ReviewTable, wanted: QueueFilter, store: DecisionStore, size: int
) -> np.ndarray:
    """The rows to review. They stay as they are until the filter changes: nothing jumps away.

    A new filter starts at page 1, a visit without a page at the first page with an open sample.
    """
    name = (run, wanted)
    kept = st.session_state.get("review-queue")
    if kept and kept[0] == name:
        return kept[1]
    decided = Decided.from_state(store.state(run))
    rows = queue_rows(table, wanted, decided)
    st.session_state["review-queue"] = (name, rows)
    if kept and kept[0][0] == run:
        st.session_state["review-page"] = 1
    else:
        named = st.query_params.get("page", "")
        st.session_state["review-page"] = (
            int(named) if named.isdecimal() else first_open_page(rows, decided, size)
        )
    return rows


def current_page(total: int) -> int:
    """The page number, brought into range and into the address bar.

    It is not bound to the address like the other widgets: those only follow what is clicked, and pages
    are turned by keys too.
    """
    page = min(max(st.session_state.get("review-page", 1), 1), total)
    st.session_state["review-page"] = page
    if st.query_params.get("page", "1") != str(page):
        st.query_params["page"] = str(page)
    return page


def turn(by: object, total: int) -> None:
    """Go to the next or previous page if there is one."""
    if by in (1, -1):
        st.session_state["review-page"] = min(max(st.session_state.get("review-page", 1) + by, 1), total)


def states_of(on_page: np.ndarray, state: pd.DataFrame) -> dict[str, list]:
    """Row number, as text, to `[state, new label]` for the decided samples of a page."""
    here = state[state.index.isin(on_page)]
    labels = here["new_label"].astype(object).where(here["new_label"].notna(), None)
    return {
        str(row): [kind, label] for row, kind, label in zip(here.index, here["state"], labels, strict=True)
    }


def first_states(page_id: str, on_page: np.ndarray, store: DecisionStore, run: str) -> dict[str, list]:
    """The states with which a page is drawn first, so that its focus is on an open sample at once.

    They are kept for the page: data that changes would send all of its images again. Later states come
    through `status`.
    """
    kept = st.session_state.get("review-first")
    if not kept or kept[0] != page_id:
        kept = (page_id, states_of(on_page, store.state(run)))
        st.session_state["review-first"] = kept
    return kept[1]


def status(
    shown: dict, rows: np.ndarray, on_page: np.ndarray, state: pd.DataFrame, saved: list[str], error: str
) -> dict:
    """What is on disk: for the grid."""
    return {
        "page_id": shown["page_id"],
        "saved": saved,
        "states": states_of(on_page, state),
        "queue": len(rows),
        "decided": int(np.isin(rows, state.index.to_numpy()).sum()),
        "error": error,
    }


def nothing_here(wanted: QueueFilter) -> str:
    """What an empty grid says."""
    if wanted.state == "unreviewed":
        return "Nothing left to review with this filter. Lower the percentile, or go on to Export."
    return "No sample passes this filter. Lower the percentile, or choose other labels."
