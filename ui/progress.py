"""How far a run is: the line of stages, what happens now, and the three numbers at the end."""

from __future__ import annotations

import time

import streamlit as st

from fvm_core.jobs.queue import JobQueue
from fvm_core.runs.stage_files import STAGES, YOUNGER
from ui import wording
from ui.catalog import Card

SHARES = ("select", "crossfit")
"""Stages that tell which share of their work is done, in no unit that means something."""
UNITS = {"train": "step", "tune": "step", "compare": ("forward pass", "forward passes")}


def stage_line(run: Card) -> None:
    """One segment a stage: done, running, waiting."""
    parts = []
    for stage in STAGES:
        entry = run.info["stages"].get(stage, {})
        if stage in YOUNGER and (entry.get("state") == "skipped" or (run.state == "finished" and not entry)):
            continue  # most runs go without these; they are no news
        kind, width, note = "wait", 0.0, "waiting"
        if entry.get("state") == "done":
            kind, width, note = "done", 100.0, wording.duration(entry.get("seconds"))
        elif entry.get("state") == "skipped":
            kind, width, note = "done", 100.0, "left out"
        elif run.state == "running" and run.job and run.job.phase == stage:
            kind, note = "now", "running"
            if run.job.total:
                width = 100 * run.job.done / run.job.total
                note = wording.percent(run.job.done / run.job.total, 0)
        reason = wording.in_html(entry["reason"]) if entry.get("reason") else ""
        parts.append(
            f'<div class="sf-step sf-{kind}" title="{reason}"><i><b style="width:{width:.1f}%"></b></i>'
            f"<span>{stage}</span><small>{note}</small></div>"
        )
    st.html(f'<div class="sf-steps">{"".join(parts)}</div>')


def status_line(run: Card, queue: JobQueue) -> None:
    """One sentence: the place in the queue, or the stage, its speed and the time left."""
    job = run.job
    if run.state == "queued":
        before = queue.waiting_before(job)
        text = f"Waiting behind {wording.count(before, 'run')}" if before else "Starting"
        st.caption(f"{text} on {job.device}. You can close this page; the run goes on without it.")
    elif run.state == "running":
        st.caption(_running(run))
    elif run.state == "finished":
        spent = sum(entry.get("seconds", 0) for entry in run.info["stages"].values())
        st.caption(f"Finished in {wording.duration(spent)}.")


def _running(run: Card) -> str:
    job = run.job
    if job.cancel_asked:
        return "Cancelling; the stage that runs now is given a moment to stop."
    parts = [f"Stage {job.phase or 'prepare'}"]
    at_work = run.folder.history("compare") if job.phase == "compare" else []
    if at_work:
        parts.append(wording.in_markdown(at_work[-1]["title"]))
    if job.total and job.phase in SHARES:
        parts.append(wording.percent(job.done / job.total, 0))
    elif job.total:
        unit = UNITS.get(job.phase, "sample")
        words = unit if isinstance(unit, tuple) else (unit,)
        parts.append(f"{wording.count(job.done)} of {wording.count(job.total, *words)}")
    if job.rate and job.phase not in SHARES:
        parts.append(f"{wording.value(job.rate)} a second")
    if job.seconds_left is not None:
        parts.append(f"{wording.duration(job.seconds_left)} left in this stage")
        later = later_seconds(run)
        if later is not None:
            parts.append(f"about {wording.duration(job.seconds_left + later)} in all")
    if job.started:
        parts.append(f"running for {wording.duration(time.time() - job.started)} on {job.device}")
    return " · ".join(parts) + ". You can close this page; the run goes on without it."


def later_seconds(run: Card) -> float | None:
    """Seconds of the stages after the running one: their estimate, at the pace of the finished ones."""
    expected, stages = run.info.get("estimate"), run.info["stages"]
    if not expected or run.job.phase not in STAGES:
        return None
    done = [stage for stage in stages if stages[stage].get("seconds", 0) > 1 and stage in expected]
    guessed = sum(expected[stage] for stage in done)
    pace = sum(stages[stage]["seconds"] for stage in done) / guessed if guessed > 0 else 1.0
    later = STAGES[STAGES.index(run.job.phase) + 1 :]
    return pace * sum(expected.get(stage, 0.0) for stage in later)


def three_numbers(run: Card) -> None:
    """Flagged, suggested relabels, estimated wrong labels."""
    found = run.info.get("summary")
    if not found:
        return
    total = max(run.info.get("samples", 0), 1)
    numbers = [
        ("Flagged", found["flagged"], "The most suspicious samples, as many as are expected to be wrong."),
        (
            "Suggested relabels",
            found["suggested_relabels"],
            "Another label has less influence than the given one.",
        ),
        (
            "Estimated wrong",
            round(found["estimated_wrong"]),
            "How much more the tuned model doubts the given labels than those that you trust.",
        ),
    ]
    for column, (label, number, meaning) in zip(st.columns(3), numbers, strict=True):
        column.metric(label, wording.count(number), help=meaning)
        column.caption(f"{wording.percent(number / total)} of {wording.count(total, 'sample')}")
