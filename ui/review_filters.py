"""What the reviewer wants to see: the filter chips."""

from __future__ import annotations

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from fvm_core.review.decisions import STATES
from fvm_core.review.queue import SORTS, QueueFilter, ReviewTable
from ui import wording

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
    problem = _problem(table)
    above = st.number_input(
        "Suspicion at least (percentile)",
        0.0,
        100.0,
        default_above,
        1.0,
        format="%.2f",
        key="above",
        bind="query-params",
        help="100 is the most suspicious sample; 0 shows everything. With a problem chosen all that have it "
        "are shown.",
        disabled=problem is not None,
    )
    above = above if problem is None else 0.0
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
    return QueueFilter(
        above, state, labels["given"], labels["suggested"], changed, sort, rows, problem
    ).check()


def _problem(table: ReviewTable) -> str | None:
    """Kind of a problem of the data; there is no such choice in a run without one."""
    if not table.problems:
        return None
    return st.selectbox(
        "Problem of the data",
        sorted(table.problems),
        index=None,
        format_func=lambda kind: kind.replace("_", " "),
        placeholder="Any or none",
        key="problem",
        bind="query-params",
        help="Only samples that have it, such as copies of others, contradicting labels, blurred pictures.",
    )


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


def nothing_here(wanted: QueueFilter) -> str:
    """What an empty grid says."""
    if wanted.state == "unreviewed":
        return "Nothing left to review with this filter. Lower the percentile, or go on to Export."
    if wanted.problem is not None:
        return "No sample with this problem passes the other filters. Take one of them back."
    return "No sample passes this filter. Lower the percentile, or choose other labels."
