"""Scores side by side: curves over each other, agreement, overlap, convergence, the paper's figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from fvm_core.review.summary import RankingCurves
from ui import theme, wording
from ui.charts import drawing

LINES = ("solid", "dash", "dot", "dashdot")
_COLOURS = 7


def roc(curves: Sequence[tuple[str, RankingCurves]]) -> go.Figure:
    """True against false positive rate of several scores; the dotted line is guessing."""
    drawn = _overlay(
        [(name, one.fpr, one.tpr, one.roc_auc) for name, one in curves],
        ("right labels flagged", "wrong labels found"),
        "AUC",
    )
    return _guessing(drawn, [0, 1], [0, 1])


def precision_recall(curves: Sequence[tuple[str, RankingCurves]]) -> go.Figure:
    """Precision against recall of several scores; the dotted line is the share of wrong labels."""
    drawn = _overlay(
        [(name, one.recall, one.precision, one.average_precision) for name, one in curves],
        ("wrong labels found (recall)", "wrong among flagged"),
        "AP",
    )
    share = curves[0][1].wrong / curves[0][1].total
    return _guessing(drawn, [0, 1], [share, share])


def agreement(names: Sequence[str], correlation: np.ndarray) -> go.Figure:
    """Spearman correlation of every pair; a neutral zero, and two hues for the signs.

    Columns carry the numbers of the rows: names would not fit.
    """
    numbers = [str(number) for number in range(1, len(names) + 1)]
    rows = [f"{wording.in_html(name)}  <b>{number}</b>" for number, name in zip(numbers, names, strict=True)]
    shown = len(names) <= 12
    drawn = drawing.figure(max(320, 90 + 24 * len(names)))
    drawn.add_heatmap(
        z=correlation,
        x=numbers,
        y=rows,
        zmin=-1,
        zmax=1,
        colorscale=[[0, "#B35806"], [0.5, theme.palette().panel], [1, "#0072B2"]],
        texttemplate="%{z:.2f}" if shown else None,
        customdata=[[wording.plain(other) for other in names] for _ in names],
        hovertemplate="%{y}<br>%{x} %{customdata}<br>rank correlation %{z:.3f}<extra></extra>",
        colorbar={"thickness": 10, "outlinewidth": 0, "tickvals": [-1, 0, 1], "len": 0.9},
        xgap=1,
        ygap=1,
    )
    drawn.update_yaxes(autorange="reversed", ticks="", showgrid=False)
    drawn.update_xaxes(ticks="", type="category", side="top")
    return drawn


def overlap(lines: Sequence[tuple[int, str, np.ndarray, np.ndarray]], reference: str) -> go.Figure:
    """Share of the n most suspicious samples that scores have in common with one of them.

    Args:
        lines: number (which names colour and dash, as in the other charts), title, n, share.
        reference: title of the one.
    """
    drawn = drawing.figure(420)
    for number, name, tops, shared in lines:
        drawn.add_scatter(
            x=tops,
            y=shared,
            mode="lines",
            name=wording.plain(name),
            line=_line(number),
            hovertemplate="top %{x:,}: %{y:.0%} shared<extra>" + wording.in_html(name) + "</extra>",
        )
    drawn.update_xaxes(type="log", title_text="n most suspicious samples (log axis)", dtick=1)
    drawn.update_yaxes(
        range=[-0.02, 1.04], tickformat=".0%", title_text=f"shared with {wording.plain(reference)}"
    )
    return _legend_below(drawn)


def convergence(traces: Sequence[tuple[str, Sequence[tuple[int, float]]]]) -> go.Figure:
    """Relative change of LiSSA's estimate over its steps, on logarithmic axes."""
    drawn = drawing.figure(260)
    for number, (name, trace) in enumerate(traces):
        steps, change = zip(*trace, strict=True)
        drawn.add_scatter(
            x=steps,
            y=change,
            mode="lines",
            name=wording.plain(name),
            line=_line(number),
            hovertemplate="step %{x:,}: changed by %{y:.2g}<extra></extra>",
        )
    drawn.update_xaxes(title_text="step of the recursion")
    drawn.update_yaxes(type="log", title_text="relative change (log axis)", exponentformat="power")
    return drawn


def over_epochs(points: pd.DataFrame) -> go.Figure:
    """Figure 2: areas of scores and validation accuracy over training epochs.

    Args:
        points: `epoch, title, roc_auc, val_accuracy`.
    """
    drawn = drawing.figure(300, hovermode="x unified")
    for number, (title, part) in enumerate(points.groupby("title", sort=False)):
        drawn.add_scatter(
            x=part["epoch"],
            y=part["roc_auc"],
            name=f"{title}, ROC AUC",
            mode="lines+markers",
            line=_line(number),
            hovertemplate="%{y:.3f}",
        )
    each = points.drop_duplicates("epoch")
    drawn.add_scatter(
        x=each["epoch"],
        y=each["val_accuracy"],
        name="validation accuracy",
        mode="lines+markers",
        line={"color": theme.palette().muted, "width": 2, "dash": "dot"},
        hovertemplate="%{y:.1%}",
    )
    drawn.update_xaxes(title_text="training epoch")
    drawn.update_yaxes(title_text="ROC AUC, accuracy", range=[0, 1.03])
    return drawn


def over_steps(points: pd.DataFrame) -> go.Figure:
    """Figure 3a: areas of the standard and the new influence over tuning steps.

    Args:
        points: `step, standard, new`.
    """
    drawn = drawing.figure(300, hovermode="x unified")
    for number, (column, name) in enumerate((("new", "new influence"), ("standard", "standard influence"))):
        drawn.add_scatter(
            x=points["step"],
            y=points[column],
            name=name,
            mode="lines+markers",
            line=_line(number),
            hovertemplate="%{y:.3f}",
        )
    drawn.update_xaxes(title_text="tuning step")
    drawn.update_yaxes(title_text="ROC AUC", range=[0, 1.03])
    return drawn


def _overlay(lines: Sequence[tuple], titles: tuple[str, str], area: str) -> go.Figure:
    drawn = drawing.figure(380)
    for number, (name, x, y, value) in enumerate(lines):
        drawn.add_scatter(
            x=x,
            y=y,
            mode="lines",
            name=f"{wording.plain(name)} · {area} {value:.3f}",
            line=_line(number),
            hovertemplate=f"{titles[0]} %{{x:.1%}}<br>{titles[1]} %{{y:.1%}}"
            f"<extra>{wording.in_html(name)}</extra>",
        )
    drawn.update_xaxes(title_text=titles[0], range=[-0.01, 1.01], tickformat=".0%", showgrid=True)
    drawn.update_yaxes(title_text=titles[1], range=[-0.01, 1.03], tickformat=".0%")
    return _legend_below(drawn)


def _legend_below(drawn: go.Figure) -> go.Figure:
    """One line a score, below the axis title, where long names have room."""
    return drawn.update_layout(legend={"orientation": "v", "x": 0, "y": -0.2, "yanchor": "top"})


def _guessing(drawn: go.Figure, x: list, y: list) -> go.Figure:
    drawn.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": theme.palette().muted, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    return drawn


def _line(number: int) -> dict:
    """Colours first, then dashes: no two of the first 28 lines look alike."""
    colours = theme.template().layout.colorway
    return {"color": colours[number % _COLOURS], "width": 2, "dash": LINES[number // _COLOURS % len(LINES)]}
