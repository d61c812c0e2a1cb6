"""Start: what Saltflat does, the demo in one click, recent runs."""

from __future__ import annotations

import streamlit as st

from ui import (
    catalog,
    frame,
    guards,
    identity,
    paths,
    recent,
    settings,
    showcase,
    signed_in,
    starting,
    wording,
)

MOST_RUNS = 8

with st.container(key="wide-hero"):
    words, picture = st.columns([6, 5], gap="large", vertical_alignment="center")
with words:
    st.header("Find the wrong labels in your images", anchor=False)
    st.html(
        '<p class="sf-lead">Saltflat tunes a classifier on a few images whose labels you trust and then '
        "measures how much every training label works against it. You see the suspicious images first, "
        "each with a better label, and decide by a key or a click.</p>"
    )
    with st.container(horizontal=True):
        closed = not identity.is_owner()
        label = "Try it on handwritten digits (about a minute)"
        if st.button(label, type="primary", key="demo", disabled=closed):
            from fvm_core.demo import demo_config

            with st.spinner("Starting the demo …"):
                key = starting.start(demo_config())
            frame.go("run", run=key)
        if st.button("Clean my dataset", key="clean", disabled=closed):
            frame.go("data")
    signed_in.reserved("start runs and open run folders")
with picture:
    st.html(showcase.picture())
    st.caption("A real result: scans with planted wrong labels, the given label struck through.")

runs = catalog.cards()
if fault := settings.fault(catalog.workspace()):
    guards.tell(fault)
if catalog.wanted() and frame.card() is None:
    st.info(
        f"There is no run “{wording.in_markdown(catalog.wanted())}” here; these are the runs that are.",
        icon=":material/info:",
    )
st.space("small")
st.subheader("Recent runs", anchor=False)
if not runs:
    st.caption("None yet. The demo is the quickest way to see what a run gives you.")
everything = len(runs) <= MOST_RUNS or st.session_state.get("all-runs", False)
for run in runs if everything else runs[:MOST_RUNS]:
    recent.row(run)
if not everything:
    st.toggle(f"Show all {wording.count(len(runs), 'run')}", key="all-runs")

with st.expander("Open a run folder from elsewhere", key="open-folder"):
    st.caption("A folder that `saltflat run` wrote, on this machine. It stays where it is.")
    path = paths.ask("Path of the run folder", key="run-path", placeholder="runs/first")
    if st.button("Open", key="open-run", disabled=closed or path is None):
        key = catalog.remember(path)
        frame.go("scores", run=key)
