"""Wrong labels before and after suggestions are accepted, as they are expected."""

from __future__ import annotations

import plotly.graph_objects as go

from fvm_core.acceptance.expected import Expectation
from ui import theme
from ui.charts import drawing


def before_after(expected: Expectation) -> go.Figure:
    """Two bars, each with its 95 % interval as a line and its number beside it."""
    rows = [("after", expected.after, theme.WRONG), ("before", expected.before, theme.palette().ink)]
    drawn = drawing.figure(150, showlegend=False, bargap=0.35)
    drawn.add_bar(
        x=[number.value for _, number, _ in rows],
        y=[name for name, _, _ in rows],
        orientation="h",
        marker={"color": [colour for _, _, colour in rows]},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [number.high - number.value for _, number, _ in rows],
            "arrayminus": [number.value - number.low for _, number, _ in rows],
            "color": theme.palette().muted,
            "thickness": 2,
        },
        text=[f"{number.value:,.0f}" for _, number, _ in rows],
        textposition="inside",
        insidetextanchor="start",
        customdata=[(number.low, number.high) for _, number, _ in rows],
        hovertemplate="%{y}: about %{x:,.0f} wrong labels<br>95 % interval %{customdata[0]:,.0f} to "
        "%{customdata[1]:,.0f}<extra></extra>",
    )
    drawn.update_xaxes(title_text="wrong labels (expected)", rangemode="tozero", showgrid=True)
    drawn.update_yaxes(ticks="", showgrid=False)
    return drawn
