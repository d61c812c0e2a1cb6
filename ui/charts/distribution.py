"""How suspicion is distributed, with the threshold."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from fvm_core.review.summary import Histogram
from ui import theme, wording
from ui.charts import drawing


def distribution(bins: Histogram, threshold: float, counts_axis: str, score: str) -> go.Figure:
    """Bars over the suspicion axis; bars above the threshold are strong, the others pale.

    Args:
        bins: one group, or two: right and wrong labels.
        threshold: suspicion from which samples are flagged, NaN when none is.
        counts_axis: `linear` or `log`.
        score: what the suspicion is taken from.
    """
    colours = theme.palette()
    figure = drawing.figure(300, barmode="stack", bargap=0.08)
    groups = [("samples", colours.ink)]
    if len(bins.counts) == 2:
        groups = [("right label", theme.CLEAN), ("wrong label", theme.WRONG)]
    # Drawn over log10 on a linear axis: Plotly misplaces stacked bars of unequal width on a log axis.
    edges = np.log10(bins.edges) if bins.log else bins.edges
    level = threshold if not bins.log else math.log10(threshold) if threshold > 0 else math.nan
    above = edges[1:] > level
    between = [f"{wording.value(low)} to {wording.value(high)}" for low, high in pairwise(bins.edges)]
    for (name, colour), counts in zip(groups, bins.counts, strict=True):
        figure.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts,
            name=name,
            marker={"color": colour, "opacity": np.where(above, 1.0, 0.45), "line": {"width": 0}},
            customdata=between,
            hovertemplate=f"%{{y:,}} {name}<br>suspicion %{{customdata}}<extra></extra>",
            showlegend=len(groups) > 1,
        )
    pad = (edges[-1] - edges[0]) * 0.02
    figure.update_xaxes(
        title_text=f"suspicion ({score}{', log axis' if bins.log else ''})",
        range=[edges[0] - pad, edges[-1] + pad],
    )
    if bins.log:
        ticks = _decades(edges[0], edges[-1])
        powers = [f"10<sup>{tick}</sup>" for tick in ticks]
        texts = [
            wording.value(10.0**tick) if -3 <= tick < 4 else power
            for tick, power in zip(ticks, powers, strict=True)
        ]
        figure.update_xaxes(tickvals=ticks, ticktext=texts)
    figure.update_yaxes(title_text="samples" + (" (log axis)" if counts_axis == "log" else ""))
    if counts_axis == "log":
        figure.update_yaxes(type="log", dtick=1)
    if math.isfinite(level):
        figure.add_vline(x=level, line={"color": colours.text, "width": 1.5, "dash": "dot"})
        right = level > (edges[0] + edges[-1]) / 2
        figure.add_annotation(
            x=level,
            y=1,
            yref="paper",
            yanchor="top",
            xanchor="right" if right else "left",
            xshift=-6 if right else 6,
            text=f"threshold {wording.value(threshold)}",
            showarrow=False,
            font={"color": colours.text, "size": 12},
        )
    return figure


def _decades(low: float, high: float) -> list[int]:
    """Whole powers of ten between two logarithms, at most nine."""
    first, last = math.ceil(low), math.floor(high)
    step = max(1, -(-(last - first) // 8))
    return [tick for tick in range(first, last + 1) if tick % step == 0]


def sentence(number: int, total: int) -> str:
    """`412 of 50,000 above, 0.8 %`."""
    return (
        f"{wording.count(number)} of {wording.count(total)} above, {wording.percent(number / max(total, 1))}"
    )
