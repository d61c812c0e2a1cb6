"""What is said of a run with damaged files, and the button that repairs it."""

from __future__ import annotations

import streamlit as st

from fvm_core.errors import SaltflatError
from fvm_core.pipeline.repair import redone_words, repair
from ui import frame, starting, wording
from ui.catalog import Card

MOST = 6


def box(run: Card) -> None:
    """The damaged files, each with the reason, and what to do."""
    words = "This run is damaged" if run.broken else "Some files of this run are damaged; the rest is shown"
    lines = [f"**{words}.**", *(_line(run, number) for number in range(min(len(run.damage), MOST)))]
    if len(run.damage) > MOST:
        lines.append(f"And {wording.count(len(run.damage) - MOST, 'other file')}.")
    lines.append(" ".join(filter(None, [redone_words(run.damage), "Your decisions are kept."])))
    st.error("\n\n".join(lines), icon=":material/error:")
    with st.container(horizontal=True):
        if st.button("Repair this run", type="primary", key="repair", disabled=run.active):
            _repair(run)


def first(run: Card) -> str:
    """The first damaged file and its reason, as plain text."""
    more = len(run.damage) - 1
    rest = f", and {wording.count(more, 'other file')}" if more else ""
    return f"{run.damage[0].file}: {run.damage[0].reason}{rest}"


def _line(run: Card, number: int) -> str:
    one = run.damage[number]
    place = wording.in_markdown(run.folder.path / one.file)
    return f"- {place}: {wording.in_markdown(one.reason)}. {wording.in_markdown(one.remedy)}"


def _repair(run: Card) -> None:
    try:
        done = repair(run.folder.path)
        if not run.folder.finished:
            starting.resume(run.folder)
    except SaltflatError as error:
        st.error(wording.in_markdown(error), icon=":material/error:")
        return
    st.toast(wording.in_markdown(" ".join(done) or "Nothing had to be repaired."))
    frame.go("run", run=run.key)
