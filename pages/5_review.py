"""Review: the suspicious images in a grid, decided by key or click."""

from __future__ import annotations

import streamlit as st

from ui import frame, grid, guards, results, review_filters, review_pages, review_view

run = guards.need_scores(
    "Here you will see the suspicious images, most suspicious first, each with a better label, "
    "and decide by a key or a click."
)
folder = run.folder
run_id = folder.id
table = results.table(folder)
store = results.store()

side, middle = review_filters.two_columns()
with side:
    wanted = review_filters.draw(table, results.default_above(folder))
    frame.why_ranked(run)
queue, rows = review_pages.frozen_queue(run_id, review_view.ranking_of(folder), table, wanted, store)


@guards.fragment()
def gallery() -> None:
    """The grid with its pages. What is decided goes from the browser to the server's own route."""
    page = review_pages.current(queue, rows)

    def wish() -> object:
        return st.session_state.get("grid", {}).get("page")

    def turn() -> None:
        review_pages.asked(queue, wish())

    shown = grid.page_data(
        folder, table, page, wanted, frame.signed_in(), review_filters.nothing_here(wanted)
    )
    shown |= review_pages.first_states(shown["page_id"], page.rows, store, run_id)
    look = grid.mount(shown, turn)
    grid.count(review_pages.status(shown["page_id"], page, rows, store, run_id, wish()))
    if look is not None and look in page.rows:
        grid.enlarge(shown["page_id"], look, results.picture(folder, look))


with middle:
    gallery()
