"""One row of the list of recent runs."""

from __future__ import annotations

import streamlit as st

from ui import damaged, frame, results, settings, wording
from ui.catalog import Card, workspace


def row(run: Card) -> None:
    """Name, data, N, progress or result, and the button that opens the run where it stands."""
    with st.container(key=f"recent-{run.key}"):
        name, data, result, way = st.columns([3, 3, 4.6, 2], vertical_alignment="center")
        created = wording.in_html(wording.moment(run.info.get("created", 0)))
        name.html(f'<b>{wording.in_html(run.name)}</b><br><span class="sf-muted">{created}</span>')
        data.html(f'<span class="sf-num">{_data(run)}</span>')
        result.html(f'<span class="sf-num">{frame.state_html(run)}{_result(run)}</span>')
        if way.button("Open", key=f"open-{run.key}", width="stretch"):
            frame.go("scores" if run.has_scores and not run.broken else "run", run=run.key)


def _data(run: Card) -> str:
    if run.broken:
        return wording.in_html(run.folder.path)
    source = run.folder.config.train_data.source.rstrip("/").rsplit("/", 1)[-1]
    samples = f" · {wording.count(run.info['samples'], 'sample')}" if "samples" in run.info else ""
    return wording.in_html(source) + samples


def _result(run: Card) -> str:
    if run.state == "damaged":
        return f" · {wording.in_html(damaged.first(run))}. Open it to repair it."
    if run.active and run.job and run.job.total:
        return f" · {wording.in_html(run.job.phase)} {wording.percent(run.job.done / run.job.total, 0)}"
    if not run.has_scores:
        return ""
    parts = []
    if "summary" in run.info:
        parts.append(f"{wording.count(run.info['summary']['flagged'])} flagged")
    reviewed = sum(results.store().counts(run.info["id"]).values())
    parts.append(f"{wording.count(reviewed)} reviewed")
    if run.info["id"] in settings.read(workspace())["exported"]:
        parts.append("exported")
    return " · " + " · ".join(parts)
