"""Box plots of influence over the tuning steps, drawn from quantiles."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from ui import theme
from ui.charts import drawing

MOST_GROUPS = 12
"""With more classes than this only the most suspicious ones are drawn."""


def most_suspicious(quantiles: pd.DataFrame) -> list[int]:
    """The groups with the highest upper quartile at the last step."""
    last = quantiles[quantiles["step"] == quantiles["step"].max()]
    return last.nlargest(MOST_GROUPS, "q3")["group"].tolist()


def boxes(
    quantiles: pd.DataFrame, names: Sequence[str], colours: Sequence[str] | None, log: bool
) -> go.Figure:
    """One group of boxes a saved step.

    Args:
        quantiles: from `summary.box_statistics`.
        names: what the groups are called, by group number.
        colours: their colours; None takes those of the template.
        log: logarithmic influence axis.
    """
    drawn = drawing.figure(360, boxmode="group", boxgap=0.25, boxgroupgap=0.12)
    groups = sorted(quantiles["group"].unique())
    for group in groups:
        part = quantiles[quantiles["group"] == group]
        name = names[group]
        colour = colours[group] if colours else (theme.palette().ink if len(groups) == 1 else None)
        drawn.add_box(
            x=part["step"].astype(str),
            q1=part["q1"],
            median=part["median"],
            q3=part["q3"],
            lowerfence=part["low"],
            upperfence=part["high"],
            name=name,
            line={"width": 1.5, **({"color": colour} if colour else {})},
            hoverinfo="y+name",
            showlegend=len(groups) > 1,
        )
    drawn.update_xaxes(title_text="tuning step", type="category")
    drawn.update_yaxes(title_text="influence" + (" (log axis)" if log else ""), hoverformat=".3g")
    if log:
        positive = quantiles[["low", "high"]].where(lambda values: values > 0)
        low, high = positive.min().min(), positive.max().max()
        drawn.update_yaxes(**drawing.log_axis(low, high))
    return drawn
