"""Accept the suggestions of a whole filter at once, after a look at the number."""

from __future__ import annotations

import uuid

import numpy as np
import streamlit as st

from fvm_core.review.queue import Decided, QueueFilter, queue_rows
from ui import wording
from ui.review_commands import Reviewer


def offer(reviewer: Reviewer, wanted: QueueFilter) -> None:
    """The button; what it would do is counted when it is pressed."""
    if st.button("Accept all of this filter …", key="accept-all", width="stretch"):
        _confirm(reviewer, open_rows(reviewer, wanted))


def open_rows(reviewer: Reviewer, wanted: QueueFilter) -> np.ndarray:
    """Rows of the filter that have no decision yet and a suggestion that differs from the given label."""
    table = reviewer.table
    decided = Decided.from_state(reviewer.store.state(reviewer.run))
    rows = queue_rows(table, wanted, decided)
    rows = rows[~np.isin(rows, decided.rows)]
    return rows[(table.suggested[rows] >= 0) & (table.suggested[rows] != table.given[rows])]


def accept(reviewer: Reviewer, rows: np.ndarray) -> int:
    """Relabel all rows to their suggestions as one batch, which one undo takes back."""
    table, batch = reviewer.table, uuid.uuid4().hex
    decisions = [
        reviewer.decision(row, "relabel", table.classes[table.suggested[row]], f"{batch}:{row}", batch)
        for row in rows.tolist()
    ]
    return reviewer.store.record(reviewer.run, decisions, reviewer.name)


@st.dialog("Accept all suggestions of this filter?")
def _confirm(reviewer: Reviewer, rows: np.ndarray) -> None:
    if not len(rows):
        st.markdown("Nothing to accept: every sample of this filter is decided, or keeps its label.")
        return
    st.markdown(
        f"**{wording.count(len(rows), 'sample')}** without a decision get the suggested label. "
        "Samples that you have decided stay as they are. One undo takes all of it back."
    )
    yes, no = st.columns(2)
    if yes.button(
        f"Relabel {wording.count(len(rows))}", type="primary", key="accept-all-yes", width="stretch"
    ):
        accept(reviewer, rows)
        st.rerun()
    if no.button("Cancel", key="accept-all-no", width="stretch"):
        st.rerun()
