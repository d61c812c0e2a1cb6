"""Influence of single samples over the tuning steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ui import theme, wording
from ui.charts import drawing

SHADES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8A6FBF", "#7A7A7A"]


def trajectories(
    steps: np.ndarray, values: np.ndarray, names: Sequence[str], quantiles: pd.DataFrame, log: bool
) -> go.Figure:
    """One line a sample in front of the middle half of all samples.

    Args:
        steps: (S,) saved steps.
        values: (S, n) influence of the chosen samples.
        names: their ids.
        quantiles: of all samples, from `summary.box_statistics`.
        log: logarithmic influence axis.
    """
    colours = theme.palette()
    drawn = drawing.figure(320, hovermode="x unified")
    drawn.add_scatter(
        x=[*steps, *steps[::-1]],
        y=[*quantiles["q3"], *quantiles["q1"][::-1]],
        mode="lines",
        fill="toself",
        fillcolor=_faded(colours.ink),
        line={"width": 0},
        name="middle half of all samples",
        hoverinfo="skip",
    )
    for number, name in enumerate(names):
        text = wording.plain(name).replace("<", "&lt;")
        drawn.add_scatter(
            x=steps,
            y=values[:, number],
            mode="lines+markers",
            name=text if len(text) <= 24 else "…" + text[-23:],
            line={"width": 2, "color": SHADES[number % len(SHADES)]},
            marker={"size": 6},
            hovertemplate="%{y:.3~g}",
        )
    drawn.update_xaxes(title_text="tuning step", tickvals=steps.tolist())
    drawn.update_yaxes(title_text="influence" + (" (log axis)" if log else ""))
    if log:
        drawn.update_yaxes(**drawing.log_axis(*_range(values, quantiles)))
    return drawn


def _range(values: np.ndarray, quantiles: pd.DataFrame) -> tuple[float, float]:
    drawn = np.concatenate([values.ravel(), quantiles["q1"], quantiles["q3"]])
    drawn = drawn[drawn > 0]
    return (float(drawn.min()), float(drawn.max())) if len(drawn) else (0.1, 1.0)


def _faded(colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.18)"
