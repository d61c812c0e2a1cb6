"""Run: the stages, what the running one does, time left, cancel and resume."""

from __future__ import annotations

import streamlit as st

from fvm_core.comparison.reasons import classifier_reason
from fvm_core.jobs.queue import JobQueue
from ui import catalog, frame, guards, identity, progress, signed_in, starting, wording
from ui.charts import classifiers, drawing, live

run = guards.need_run(
    "Here you will follow a run: its stages, the loss while it trains, "
    "the validation risk while it is tuned, and the time left."
)
queue = JobQueue(catalog.workspace())


@guards.fragment(run_every=1.5 if run.active else None)
def watch() -> None:
    """The part that moves. The whole page runs again once the line above it has to change."""
    queue.reconcile()
    now = next((card for card in catalog.cards() if card.key == run.key), run)
    if now.state != run.state or frame.facts(now) != frame.facts(run):
        st.rerun()
    progress.stage_line(now)
    progress.status_line(now, queue)
    history = {stage: now.folder.history(stage) for stage in ("train", "tune")}
    if history["tune"]:
        drawing.titled(
            "Does tuning reach a flat minimum?",
            "The line is the loss on the images you trust; the band above it is how much that loss rises "
            "nearby. Both should fall and stay low.",
        )
        left, right = st.columns(2)
        risk, accuracy = live.tuning(history["tune"])
        with left:
            drawing.show(risk, "risk", "Validation risk and sharpness over tuning steps")
        with right:
            drawing.show(accuracy, "tune-accuracy", "Validation accuracy over tuning steps")
    selected = now.info["stages"].get("select", {})
    if selected.get("tried"):
        drawing.titled(
            "Which classifier knows these images best?", wording.in_markdown(classifier_reason(now.folder))
        )
        figure = classifiers.tried(selected["tried"], selected["kept"], selected["trusted"])
        drawing.show(figure, "classifiers", "Share of trusted images right by classifier")
    elif reason := classifier_reason(now.folder):
        st.caption(wording.in_markdown(reason))
    if history["train"]:
        drawing.titled(
            "How did the model learn?" if history["tune"] else "Is the model learning?",
            "When training accuracy climbs far above validation accuracy, the model is memorising labels, "
            "wrong ones too.",
        )
        left, right = st.columns(2)
        loss, accuracy = live.training(history["train"])
        with left:
            drawing.show(loss, "loss", "Training and validation loss over epochs")
        with right:
            drawing.show(accuracy, "accuracy", "Training and validation accuracy over epochs")
    if run.active:
        with st.expander("Log", key="live-log"):
            st.code(now.folder.log_text() or "Nothing yet.", language=None)


with st.container(horizontal=True, vertical_alignment="center", wrap=False, key="run-head"):
    frame.heading("Run")
    closed = not identity.is_owner()
    if run.active and st.button("Cancel run", key="cancel", disabled=closed or bool(run.job.cancel_asked)):
        identity.need_owner("cancel runs")
        queue.cancel(run.job.id)
        st.rerun()
    if run.state in ("failed", "interrupted", "cancelled", "new"):
        label = "Start" if run.state == "new" else "Resume"
        if st.button(label, key="resume", type="primary", disabled=closed):
            starting.resume(run.folder)
            st.rerun()
    if not run.active and st.button("New run like this one", key="again", disabled=closed):
        frame.go("data", like=run.key)
signed_in.reserved("start and cancel runs")

if run.has_scores:
    progress.three_numbers(run)
if run.state == "failed":
    st.error(wording.in_markdown(guards.last_line(run.job.error)), icon=":material/error:")
    st.caption("Nothing that was finished is lost. Resume goes on at the stage that failed.")
if run.state == "interrupted":
    st.warning(
        "The worker process ended without a word: the machine was restarted or memory ran out. "
        "Finished stages are kept; Resume goes on from there.",
        icon=":material/power_off:",
    )
if run.state == "cancelled":
    st.info(
        "You cancelled this run. Finished stages are kept; Resume goes on from there.",
        icon=":material/cancel:",
    )
if run.state == "new":
    st.info("This run has not been started here.", icon=":material/info:")

watch()

if not run.active:
    with st.expander("Log", key="log"):
        st.code(run.folder.log_text() or "Nothing was logged.", language=None)
    if run.job and run.job.error:
        with st.expander("The whole error", key="whole-error"):
            st.code(run.job.error, language=None)
