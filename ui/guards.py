"""What a screen says before it has something to show, and how errors are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import NoReturn

import streamlit as st

from fvm_core.errors import PLACES, SaltflatError, words_of_place
from ui import catalog, damaged, error_log, frame, wording
from ui.catalog import Card


@contextmanager
def told_errors() -> Iterator[None]:
    """Show errors as a box instead of a traceback: a `SaltflatError`, and a place that can't be written, in
    their own words, others by their kind.

    The one place in the app where every error is caught: what nobody foresaw goes to a log file, and the
    frame around it stays.
    """
    try:
        yield
    except SaltflatError as error:
        tell(error)
    except OSError as error:
        if error.errno in PLACES:
            tell(SaltflatError(words_of_place(error)))
        else:
            error_log.tell(error)
    except Exception as unforeseen:
        error_log.tell(unforeseen)


def fragment(run_every: float | None = None) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Like `st.fragment`, telling errors too when only the fragment runs and the router does not."""

    def decorate(draw: Callable[[], None]) -> Callable[[], None]:
        @wraps(draw)
        def told() -> None:
            with told_errors():
                draw()

        return st.fragment(told, run_every=run_every)

    return decorate


def tell(error: SaltflatError) -> None:
    """Draw one error: what happened, where, what to do."""
    st.error(wording.in_markdown(error), icon=":material/error:")


def need_run(promise: str) -> Card:
    """The chosen run, or a page that says what this screen will show and how to get a run.

    A run with damaged files is shown as far as that goes, below a box that names them.

    Args:
        promise: one sentence on what the screen shows once there is a run.
    """
    card = frame.card()
    if card is None and catalog.wanted():
        _unknown(catalog.wanted())
    if card is None:
        _waiting(
            "No run yet",
            promise,
            [("data", "Clean my dataset", True), ("start", "Try the demo first", False)],
        )
    if card.damage:
        damaged.box(card)
    if card.broken:
        st.stop()
    return card


def _unknown(key: str) -> NoReturn:
    """The address names a run that is not there: say so, and offer those that are."""
    runs = catalog.cards()
    st.subheader("There is no such run", anchor=False)
    st.markdown(
        f"The address names the run “{wording.in_markdown(key)}”, and there is none of that name here: it "
        "was deleted or moved, it belongs to another machine, or the address has a slip."
    )
    close = catalog.closest(key, runs)
    others = [card for card in runs if card not in close]
    if close:
        st.caption("Did you mean:")
        _choices(close)
    if others:
        st.caption("The newest runs:" if not close else "Or another one:")
        _choices(others[:8])
    with st.container(horizontal=True):
        if st.button("All runs", key="way-start"):
            frame.go("start")
    st.stop()


def _choices(runs: list[Card]) -> None:
    for card in runs:
        words = f"{wording.in_markdown(card.name)} · {catalog.STATE_WORDS[card.state]}"
        if st.button(words, key=f"choose-{card.key}"):
            st.query_params["run"] = card.key
            st.rerun()


def need_scores(promise: str) -> Card:
    """The chosen run if it has scores, or a page that says what is missing and the way there."""
    card = need_run(promise)
    if card.has_scores:
        return card
    if card.state == "queued":
        _waiting("This run is waiting for its turn", promise, [("run", "See the queue", True)])
    if card.state == "running":
        phase = f" It is at the stage “{card.job.phase}” now." if card.job and card.job.phase else ""
        _waiting("This run is still working", promise + phase, [("run", "Watch the run", True)])
    if card.state == "failed":
        st.error(f"The run failed: {wording.in_markdown(last_line(card.job.error))}", icon=":material/error:")
        _waiting("This run failed before it had scores", promise, [("run", "See what happened", True)])
    if card.state in ("cancelled", "interrupted"):
        done = "was cancelled" if card.state == "cancelled" else "was interrupted"
        _waiting(f"This run {done} before it had scores", promise, [("run", "Resume it", True)])
    return _waiting("This run has not been started", promise, [("run", "Start it", True)])


def last_line(text: str) -> str:
    """The line of an error text that says what happened."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given."


def _waiting(title: str, promise: str, ways: list[tuple[str, str, bool]]) -> NoReturn:
    with st.container(key="waiting", gap="small"):
        st.subheader(title, anchor=False)
        st.markdown(promise)
        with st.container(horizontal=True):
            for screen, label, first in ways:
                if st.button(label, type="primary" if first else "secondary", key=f"way-{screen}"):
                    frame.go(screen)
    st.stop()
