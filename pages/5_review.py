"""Review: the suspicious images in a grid, decided by key or click."""

from __future__ import annotations

import uuid

import streamlit as st
from sqlalchemy.exc import SQLAlchemyError

from fvm_core.errors import SaltflatError
from fvm_core.review.queue import page_rows, pages
from ui import bulk, grid, guards, results, review_filters, wording
from ui.review_commands import Reviewer

PAGE_SIZE = 60

run = guards.need_scores(
    "Here you will see the suspicious images, most suspicious first, each with a better label, "
    "and decide by a key or a click."
)
folder = run.folder
run_id = folder.id
table = results.table(folder)
store = results.store()
session = st.session_state.setdefault("review-session", uuid.uuid4().hex)
handled = st.session_state.setdefault("review-handled", set())

side, middle = review_filters.two_columns()
with side:
    wanted = review_filters.draw(table, results.default_above(folder))
    name = review_filters.reviewer_name()
reviewer = Reviewer(name, session, run_id, table, results.ids(folder), store, handled)
rows = review_filters.frozen_queue(run_id, table, wanted, store, PAGE_SIZE)
with side:
    bulk.offer(reviewer, wanted)


@guards.fragment()
def gallery() -> None:
    """The grid with its pages. Decisions are recorded here, and confirmed only afterwards."""
    total = pages(len(rows), PAGE_SIZE)
    page = review_filters.current_page(total)

    def turn() -> None:
        review_filters.turn(st.session_state["grid"].get("turn"), total)

    on_page = page_rows(rows, page, PAGE_SIZE)
    shown = grid.page_data(folder, table, on_page, session, review_filters.nothing_here(wanted))
    shown["states"] = review_filters.first_states(shown["page_id"], on_page, store, run_id)
    commands, look = grid.mount(shown, turn)
    error, saved = "", []
    try:
        saved = reviewer.carry_out(commands)
    except SaltflatError as problem:
        error = str(problem)
    except SQLAlchemyError:
        error = "Not saved: the database can't be written. Is the disk full?"
    grid.confirm(review_filters.status(shown, rows, on_page, store.state(run_id), saved, error))
    if look is not None and look in on_page:
        grid.enlarge(look, results.picture(folder, look))
    if total > 1:
        st.pagination(total, key="review-page")
        first = (page - 1) * PAGE_SIZE
        last = wording.count(first + len(on_page))
        st.caption(f"{wording.count(first + 1)} to {last} of {wording.count(len(rows))}")


with middle:
    gallery()
