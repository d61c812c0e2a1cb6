"""What other dampings would have made of the ranking."""

from __future__ import annotations

import plotly.graph_objects as go

from ui import theme
from ui.charts import drawing


def sensitivity(found: dict) -> go.Figure:
    """Rank correlation and overlap over the damping.

    Args:
        found: `sensitivity` of the score stage: `factors`, `correlation`, `overlap`.
    """
    drawn = drawing.figure(260, hovermode="x unified")
    for key, name, colour in (
        ("correlation", "rank correlation", theme.CLEAN),
        ("overlap", "shared among the top 10 %", theme.WRONG),
    ):
        drawn.add_scatter(
            x=found["factors"],
            y=found[key],
            mode="lines+markers",
            name=name,
            line={"width": 2, "color": colour},
            marker={"size": 7},
            hovertemplate="%{y:.3f}",
        )
    shown = [f"×{factor:g}" if factor != 1 else "this run" for factor in found["factors"]]
    drawn.update_xaxes(type="log", tickvals=found["factors"], ticktext=shown, title_text="damping")
    low = min([0.0, *(value for value in found["correlation"] if value is not None)])
    drawn.update_yaxes(range=[low, 1.05], title_text="agreement")
    return drawn
