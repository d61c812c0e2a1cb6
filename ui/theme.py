"""Colours, the five decision states and the one chart template, for the light and the dark ground."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import plotly.graph_objects as go
import streamlit as st


@dataclass(frozen=True)
class Palette:
    """The colours of one ground."""

    ground: str
    panel: str
    text: str
    muted: str
    line: str
    accent: str
    ink: str
    """Data without a state: bars, boxes, curves."""


LIGHT = Palette("#FAF9F6", "#FFFFFF", "#1F2328", "#6B7280", "#E4E1DA", "#0F766E", "#4B6A88")
DARK = Palette("#14161A", "#1C1F24", "#E6E8EB", "#9AA3AE", "#2E333A", "#2DD4BF", "#8FB0D0")


@dataclass(frozen=True)
class State:
    """How a decision state looks everywhere: colour-blind safe (Okabe-Ito), an icon and a word."""

    word: str
    icon: str
    colour: str


STATES = {
    "unreviewed": State("unreviewed", "", "#8A8F98"),
    "relabelled": State("relabelled", "↺", "#0072B2"),
    "kept": State("kept", "✓", "#009E73"),
    "excluded": State("excluded", "✕", "#D55E00"),
    "unsure": State("unsure", "?", "#E69F00"),
    "auto_relabelled": State("auto-relabelled", "↻", "#56B4E9"),
}

CLEAN, WRONG = "#009E73", "#D55E00"
"""Correctly and wrongly labelled samples where the truth is known."""

SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif"


def is_dark() -> bool:
    """Whether this browser shows the dark ground."""
    return st.context.theme.type == "dark"


def palette() -> Palette:
    """The colours of the ground that this browser shows."""
    return DARK if is_dark() else LIGHT


def blue() -> str:
    """The first line colour, bright enough for the ground."""
    return "#56B4E9" if is_dark() else "#0072B2"


def style() -> str:
    """Rules that Streamlit's theme options can't express: dark letters on the bright accent."""
    if not is_dark():
        return "<style></style>"
    buttons = ".stButton button[kind=primary]", ".stDownloadButton button[kind=primary]"
    rules = ", ".join(f"{button}, {button} p" for button in buttons)
    return f"<style>{rules} {{ color: #06231F; }}</style>"


def suspicion_scale() -> list[list]:
    """Suspicion, low to high: one hue that starts at the ground, never red to green."""
    if is_dark():
        return [[0, "#1C2A36"], [0.5, "#3F7FB0"], [1, "#CFE6FA"]]
    return [[0, "#EAF1F7"], [0.5, "#5B93BF"], [1, "#0B3B63"]]


def template() -> go.layout.Template:
    """The Plotly template for this ground."""
    return _template(is_dark())


@cache
def _template(dark: bool) -> go.layout.Template:
    colours = DARK if dark else LIGHT
    axis = {
        "gridcolor": colours.line,
        "linecolor": colours.line,
        "zeroline": False,
        "ticks": "outside",
        "tickcolor": colours.line,
        "ticklen": 4,
        "title": {"font": {"size": 13, "color": colours.muted}, "standoff": 8},
        "tickfont": {"size": 12, "color": colours.muted},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": SANS, "size": 13, "color": colours.text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "margin": {"l": 8, "r": 16, "t": 16, "b": 8},
            "xaxis": {**axis, "showgrid": False},
            "yaxis": axis,
            "colorway": [colours.ink, "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#0072B2"],
            "hoverlabel": {
                "bgcolor": colours.panel,
                "bordercolor": colours.line,
                "font": {"family": SANS, "size": 13, "color": colours.text},
            },
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "yanchor": "bottom",
                "font": {"color": colours.text},
                "bgcolor": "rgba(0,0,0,0)",
            },
            "hovermode": "closest",
            "dragmode": False,
        }
    )
