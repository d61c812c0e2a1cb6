"""What a running stage is doing: training curves, tuning curves."""

from __future__ import annotations

import plotly.graph_objects as go

from ui import theme
from ui.charts import drawing

ACCURACY, VALIDATION = "#009E73", "#E69F00"


def training(points: list[dict]) -> tuple[go.Figure, go.Figure]:
    """Loss and accuracy over epochs, on the training and the validation set."""
    epochs = [point["epoch"] for point in points]
    loss, accuracy = drawing.figure(280), drawing.figure(280)
    _line(loss, epochs, points, "loss", "training set", theme.blue())
    _line(loss, epochs, points, "val_loss", "validation set", VALIDATION)
    whole = {"dtick": 1} if len(epochs) <= 12 else {}
    loss.update_xaxes(title_text="epoch", **whole)
    loss.update_yaxes(title_text="loss (cross-entropy)", rangemode="tozero")
    _line(accuracy, epochs, points, "accuracy", "training set", theme.blue())
    _line(accuracy, epochs, points, "val_accuracy", "validation set", VALIDATION)
    accuracy.update_xaxes(title_text="epoch", **whole)
    accuracy.update_yaxes(title_text="accuracy", tickformat=".0%", range=[0, 1.02])
    return loss, accuracy


def tuning(points: list[dict]) -> tuple[go.Figure, go.Figure]:
    """Validation risk with its sharpness as a band above it, and validation accuracy, over steps."""
    steps = [point["step"] for point in points]
    risk, accuracy = drawing.figure(280), drawing.figure(280)
    tops = [point["val_loss"] + max(point.get("sharpness") or 0, 0) for point in points]
    lows = [point["val_loss"] for point in points]
    risk.add_scatter(
        x=[*steps, *steps[::-1]],
        y=[*tops, *lows[::-1]],
        mode="lines",
        fill="toself",
        fillcolor="rgba(230,159,0,0.25)",
        line={"width": 0},
        name="sharpness",
        hoverinfo="skip",
    )
    _line(risk, steps, points, "val_loss", "validation risk", theme.blue())
    risk.update_xaxes(title_text="tuning step")
    risk.update_yaxes(title_text="loss (cross-entropy)", rangemode="tozero")
    _line(accuracy, steps, points, "val_accuracy", "validation set", ACCURACY)
    accuracy.update_xaxes(title_text="tuning step")
    accuracy.update_yaxes(title_text="accuracy", tickformat=".0%")
    return risk, accuracy


def _line(drawn: go.Figure, x: list, points: list[dict], key: str, name: str, colour: str) -> None:
    y = [point.get(key) for point in points]
    if all(value is None for value in y):
        return
    text = "%{y:.1%}" if "accuracy" in key else "%{y:.3~g}"
    drawn.add_scatter(
        x=x,
        y=y,
        mode="lines" if len(x) > 12 else "lines+markers",
        name=name,
        line={"color": colour, "width": 2},
        hovertemplate=f"%{{x}}: {text}<extra>{name}</extra>",
        showlegend=True,
    )
