"""Given × suggested labels as a heat map whose cells can be clicked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from fvm_core.review.summary import Flow
from ui import theme, wording
from ui.charts import drawing


def flow(counted: Flow, classes: Sequence[str]) -> go.Figure:
    """Log-coloured counts; `customdata` of the clickable points is given × K + suggested."""
    colours = theme.palette()
    names = [_short(classes[k]) for k in counted.labels]
    size = len(names)
    drawn = drawing.figure(max(340, min(760, 120 + 34 * size)))
    shown = np.where(counted.counts > 0, np.log10(np.maximum(counted.counts, 1)) + 0.3, np.nan)
    most = max(int(counted.counts.max(initial=1)), 1)
    ticks = [value for value in (1, 3, 10, 30, 100, 300, 1000, 10_000, 100_000) if value <= most] or [1]
    drawn.add_heatmap(
        z=shown,
        x=list(range(size)),
        y=list(range(size)),
        colorscale=theme.suspicion_scale(),
        zmin=0,
        zmax=np.log10(most) + 0.3,
        xgap=2,
        ygap=2,
        hoverinfo="skip",
        colorbar={
            "title": {"text": "samples (log)", "font": {"size": 12, "color": colours.muted}},
            "tickvals": [np.log10(value) + 0.3 for value in ticks],
            "ticktext": [wording.count(value) for value in ticks],
            "thickness": 8,
            "outlinewidth": 0,
            "tickfont": {"size": 12, "color": colours.muted},
        },
    )
    # A heat map has no selectable points, so transparent markers above its cells take the clicks.
    given, suggested = np.nonzero(counted.counts)
    numbers = counted.counts[given, suggested]
    drawn.add_scatter(
        x=suggested,
        y=given,
        mode="markers+text" if size <= 16 else "markers",
        text=[wording.count(number) for number in numbers],
        textfont={"size": 12, "color": [_ink(number, most) for number in numbers]},
        marker={"symbol": "square", "size": 30 if size <= 16 else 16, "opacity": 0},
        customdata=(counted.labels[given] * len(classes) + counted.labels[suggested]).tolist(),
        hovertext=[
            f"{wording.count(number, 'sample')} given {names[g]}, suggested {names[s]}"
            for g, s, number in zip(given, suggested, numbers, strict=True)
        ],
        hovertemplate="%{hovertext}<br>click to review<extra></extra>",
        selected={"marker": {"opacity": 0}},
        unselected={"marker": {"opacity": 0}, "textfont": {"color": colours.muted}},
        showlegend=False,
    )
    axis = {
        "tickvals": list(range(size)),
        "ticktext": names,
        "showgrid": False,
        "ticks": "",
        "constrain": "domain",
    }
    drawn.update_xaxes(**axis, title_text="suggested label", range=[-0.5, size - 0.5], side="bottom")
    drawn.update_yaxes(**axis, title_text="given label", range=[size - 0.5, -0.5])
    return drawn


def _ink(number: int, most: int) -> str:
    """Text that can be read on the cell's colour."""
    strong = (np.log10(number) + 0.3) / (np.log10(most) + 0.3) > 0.55
    if theme.is_dark():
        return "#0B1620" if strong else "#E6E8EB"
    return "#FFFFFF" if strong else "#1F2328"


def _short(label: str) -> str:
    """A label for Plotly, which reads a few HTML tags in texts: those are defused."""
    text = wording.plain(label).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text if len(text) <= 22 else text[:21] + "…"
