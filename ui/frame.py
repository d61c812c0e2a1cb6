"""What stands around every screen: the sidebar, and the line at the top with the one next step."""

from __future__ import annotations

import base64
from pathlib import Path

import streamlit as st

from fvm_core.comparison.reasons import ranking_reason
from fvm_core.jobs.queue import JobQueue
from ui import catalog, identity, outbox, results, theme, wording
from ui.catalog import STATE_WORDS, Card

ASSETS = Path(__file__).resolve().parents[1] / "assets"
SHOWING_DECISIONS = ("start", "compare", "export")
"""Screens that are drawn again when decisions that were still on their way are on disk."""
ESTIMATORS = {"fvm": "FVM", "vm": "VM"}


def draw(screens: dict[str, object], screen: object) -> None:
    """Draw sidebar and header line; called by the router before the screen."""
    st.session_state["_screens"] = screens
    st.html(ASSETS / "frame.css")
    st.html(theme.style())
    JobQueue(catalog.workspace()).reconcile()
    runs = catalog.cards()
    chosen = catalog.current(runs)
    st.session_state["_card"] = chosen
    if chosen and st.query_params.get("run") != chosen.key:
        st.query_params["run"] = chosen.key
    name = next(key for key, page in screens.items() if page == screen)
    st.session_state["_arrived"] = name != st.session_state.get("_screen")
    st.session_state["_screen"] = name
    with st.sidebar:
        _brand()
        _switcher(runs, chosen)
        st.session_state["_waiting"] = outbox.sign(signed_in(), tell=name in SHOWING_DECISIONS)
        with st.container(key="screens", gap=None):
            for page in screens.values():
                st.page_link(page, width="stretch", query_params={"run": chosen.key} if chosen else None)
    if chosen and name not in ("start", "data"):
        _line(name, chosen)


def card() -> Card | None:
    """The run that the address bar names; set once per script run."""
    return st.session_state.get("_card")


def arrived() -> bool:
    """Whether the person comes from another screen, or from outside, in this script run."""
    return st.session_state.get("_arrived", True)


def go(screen: str, **parameters: str) -> None:
    """Go to a screen, keeping the run; `parameters` become query parameters."""
    chosen = card()
    named = {"run": chosen.key} if chosen else {}
    st.switch_page(st.session_state["_screens"][screen], query_params={**named, **parameters})


def signed_in() -> str | None:
    """The person's name where there is a sign-in."""
    return identity.signed_in_name()


def unsaved() -> int:
    """Decisions of this browser that are not on disk yet."""
    return st.session_state.get("_waiting", 0)


def heading(title: str, text: str = "") -> None:
    """The title of a screen with at most one sentence under it."""
    st.header(title, anchor=False)
    if text:
        st.caption(text)


def _brand() -> None:
    mark = base64.b64encode((ASSETS / "logo.svg").read_bytes()).decode()
    picture = f'<img src="data:image/svg+xml;base64,{mark}" alt="" width="28" height="28">'
    st.html(f'<div class="sf-brand">{picture}<span>Saltflat</span></div>')


def _switcher(runs: list[Card], chosen: Card | None) -> None:
    if not runs:
        st.caption("No runs yet.")
        return
    by_key = {run.key: run for run in runs}

    shown = chosen.key if chosen else None
    if st.session_state.get("_run_shown", "") != shown:  # the address bar says so, not the switch
        st.session_state["_run_shown"] = st.session_state["_run_switch"] = shown
    st.selectbox(
        "Run",
        list(by_key),
        key="_run_switch",
        # Two runs may have one name, and Streamlit tells options apart by what they look like.
        format_func=dict(zip(by_key, _distinct_names(runs), strict=True)).get,
        on_change=_switch,
        index=0 if chosen else None,
        placeholder="Choose a run",
    )
    if chosen is None:
        return
    created = wording.moment(chosen.info.get("created", 0))
    st.html(f'<div class="sf-under">{state_html(chosen)} · {wording.in_html(created)}</div>')


def _switch() -> None:
    """Name the other run in the address bar; the filters stay, they are as useful for that run."""
    st.query_params.pop("page", None)
    if st.session_state["_run_switch"]:  # the choice can be cleared while the address names no run
        st.query_params["run"] = st.session_state["_run_switch"]


def _distinct_names(runs: list[Card]) -> list[str]:
    names = [wording.plain(run.name) for run in runs]
    return wording.distinct(
        [name if names.count(name) == 1 else run.key for name, run in zip(names, runs, strict=True)]
    )


def state_html(run: Card) -> str:
    """The state of a run as a word with a dot, for HTML."""
    return f'<span class="sf-state sf-{run.state}">{STATE_WORDS[run.state]}</span>'


def facts(run: Card) -> list[str]:
    """N samples, K classes, estimator: what is known already, as plain text."""
    found = []
    if "samples" in run.info:
        found.append(wording.count(run.info["samples"], "sample"))
    if "classes" in run.info:
        found.append(wording.count(len(run.info["classes"]), "class", "classes"))
    if run.broken:
        return found
    config = run.folder.config
    vm = config.tune.solver == "sgd"
    found.append("VM" if vm else f"{ESTIMATORS[config.score.estimator]} ({config.tune.solver.upper()})")
    if run.has_scores and (other := results.ranked_by(run.folder)):
        found.append(f"ranked by {other}")
    return found


def _line(screen: str, run: Card) -> None:
    parts = [f"<b>{wording.in_html(run.name)}</b>", *map(wording.in_html, facts(run)), state_html(run)]
    with st.container(key="line", horizontal=True, vertical_alignment="center", gap="small", wrap=False):
        st.html(f'<div class="sf-line">{" · ".join(parts)}</div>')
        step = next_step(screen, run)
        # A key for each screen: else the button that led here keeps the focus, and Enter or Space press it.
        if step and st.button(step[1], type="primary", key=f"next-step-{step[0]}"):
            go(step[0])


def why_ranked(run: Card | None) -> None:
    """Why this screen goes by the score that it goes by, and by that classifier, with the way to others."""
    if run is not None and run.has_scores and (reason := ranking_reason(run.folder)):
        kept = run.info["stages"].get("select", {}).get("kept")
        by = f" The classifier is {wording.in_markdown(kept)}, as trusted images favour it." if kept else ""
        st.caption(f"{wording.in_markdown(reason)} Compare shows the others.{by}")


def next_step(screen: str, run: Card) -> tuple[str, str] | None:
    """Screen and words of the one next step, None where the screen itself holds it."""
    if run.has_scores and not run.broken:
        if screen in ("run", "scores", "compare"):
            return "review", "Review"
        return ("export", "Export") if screen == "review" else None
    return None  # the guards and the Run screen show the way
