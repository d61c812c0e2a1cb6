"""The classifiers that a run has tried, by how many trusted images they get right."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from fvm_core.comparison.evidence import share_interval
from ui import theme, wording
from ui.charts import drawing


def tried(rows: Sequence[dict], kept: str, trusted: int) -> go.Figure:
    """One point a classifier with its 95 % interval; the kept one is filled.

    Args:
        rows: `title` and `accuracy` of each, as stage `select` tells them.
        kept: title of the one that the run goes on with.
        trusted: trusted images that judged.
    """
    drawn = drawing.figure(90 + 34 * len(rows), showlegend=False)
    for row in reversed(rows):
        found = share_interval(round(row["accuracy"] * trusted), trusted)
        own = row["title"] == kept
        drawn.add_scatter(
            x=[found.value],
            y=[wording.in_html(row["title"]) + (" <b>(kept)</b>" if own else "")],
            mode="markers+text",
            text=[f"{100 * found.value:.1f} %"],
            textposition="top center",
            marker={
                "size": 11,
                "color": theme.CLEAN if own else theme.palette().panel,
                "line": {"width": 2, "color": theme.CLEAN if own else theme.palette().muted},
            },
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [found.high - found.value],
                "arrayminus": [found.value - found.low],
                "color": theme.palette().muted,
                "thickness": 2,
            },
            customdata=[(found.low, found.high, row["loss"])],
            hovertemplate="%{x:.1%} of the trusted images are right<br>95 % interval %{customdata[0]:.1%} to "
            "%{customdata[1]:.1%}<br>cross-entropy %{customdata[2]:.3f}<extra></extra>",
        )
    drawn.update_xaxes(title_text="trusted images right, by models without them", tickformat=".0%")
    drawn.update_yaxes(ticks="", showgrid=False, automargin=True)
    return drawn
