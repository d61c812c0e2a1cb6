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
    drawn = drawing.figure(80 + 52 * len(rows), showlegend=False)
    for place, row in enumerate(reversed(rows)):
        found = share_interval(round(row["accuracy"] * trusted), trusted)
        own = row["title"] == kept
        drawn.add_scatter(
            x=[found.value],
            y=[place],
            mode="markers",
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
        share = f"<b>{100 * found.value:.1f} %</b>" + (" (kept)" if own else "")
        # Above its line: beside it there is no room on a narrow screen.
        drawn.add_annotation(
            text=f"{wording.in_html(row['title'])}: {share}",
            x=0,
            xref="paper",
            xanchor="left",
            y=place,
            yshift=17,
            showarrow=False,
            font={"color": theme.palette().ink},
        )
    drawn.update_xaxes(
        title_text="trusted images right, by models without them", tickformat=".0%", showgrid=True
    )
    drawn.update_yaxes(range=[-0.4, len(rows) - 0.3], visible=False)
    return drawn
