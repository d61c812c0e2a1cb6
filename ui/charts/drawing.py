"""How every chart is put on the page: question as title, one sentence on how to read it."""

from __future__ import annotations

import math

import plotly.graph_objects as go
import streamlit as st

from ui import theme

CONFIG = {"displayModeBar": False, "responsive": True}


def figure(height: int, **layout: object) -> go.Figure:
    """An empty figure with the shared template."""
    return go.Figure(layout={"template": theme.template(), "height": height, **layout})


def titled(question: str, how_to_read: str) -> None:
    """The title and caption of a chart."""
    st.subheader(question, anchor=False)
    st.caption(how_to_read)


def show(drawn: go.Figure, key: str, alt: str) -> None:
    """Draw a figure that only answers to hovering."""
    st.plotly_chart(drawn, key=key, theme=None, config=CONFIG, alt=alt)


def log_axis(low: float, high: float) -> dict:
    """A logarithmic axis with at most about eight labels, all of them powers of ten."""
    decades = math.log10(high / low) if 0 < low < high else 1
    return {"type": "log", "dtick": max(1, math.ceil(decades / 8)), "exponentformat": "power"}
