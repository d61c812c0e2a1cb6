"""What happens to errors that nobody foresaw: a short box for the person, the details in a log file."""

from __future__ import annotations

import logging
import sys
import traceback
from logging.handlers import RotatingFileHandler
from pathlib import Path

import streamlit as st

from fvm_core.errors import SaltflatError
from ui import catalog, wording

FILE = "app.log"
_BYTES = 1_000_000


def tell(error: Exception) -> None:
    """Log an error with its traceback and draw a box that says where."""
    st.error(
        f"This screen could not be drawn: {wording.in_markdown(_short(error))}. That is a fault of "
        f"Saltflat's or of the machine, not yours. {_where(error)} Reload the page; if it comes again, "
        "choose another run or screen and report what the log says.",
        icon=":material/error:",
    )


def _short(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200].rstrip('.')}" if text else type(error).__name__


def _where(error: Exception) -> str:
    try:
        path = catalog.workspace().path / FILE
        _write(path, error)
    except (OSError, SaltflatError):
        traceback.print_exception(error, file=sys.stderr)
        return "The details are in the terminal in which the app runs: its log file can't be written."
    return f"The details are in {wording.in_markdown(path)}."


def _write(path: Path, error: Exception) -> None:
    """Add the traceback; an old log of a megabyte is kept once."""
    handler = RotatingFileHandler(path, maxBytes=_BYTES, backupCount=1, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s"))
    about = (type(error), error, error.__traceback__)
    record = logging.LogRecord("saltflat", logging.ERROR, __file__, 0, "A screen failed.", None, about)
    try:
        # `emit` prints what goes wrong while it writes, instead of raising it.
        with path.open("a", encoding="utf-8"):
            handler.emit(record)
    finally:
        handler.close()
