"""The script behind every address: frame first, then the screen."""

from __future__ import annotations

import sys
from pathlib import Path

import streamlit as st

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:  # Streamlit puts this file's own folder there, not the one above
    sys.path.append(str(ROOT))

from ui import frame, guards, signed_in  # noqa: E402

st.set_page_config(
    page_title="Saltflat",
    page_icon=str(ROOT / "assets" / "logo.svg"),
    layout="wide",
    initial_sidebar_state=236,
)

SCREENS = {
    "start": st.Page(ROOT / "pages" / "1_start.py", title="Start", url_path="start", default=True),
    "data": st.Page(ROOT / "pages" / "2_data_and_model.py", title="Data & model", url_path="data"),
    "run": st.Page(ROOT / "pages" / "3_run.py", title="Run", url_path="run"),
    "scores": st.Page(ROOT / "pages" / "4_scores.py", title="Scores", url_path="scores"),
    "review": st.Page(ROOT / "pages" / "5_review.py", title="Review", url_path="review"),
    "compare": st.Page(ROOT / "pages" / "6_compare.py", title="Compare", url_path="compare"),
    "export": st.Page(ROOT / "pages" / "7_export.py", title="Export", url_path="export"),
}

screen = st.navigation(list(SCREENS.values()), position="hidden")
with guards.told_errors():
    signed_in.check()
    frame.draw(SCREENS, screen)
    signed_in.draw()
    screen.run()
