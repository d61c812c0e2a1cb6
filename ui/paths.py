"""The one way in which screens ask for a path: relative ones begin where the person started the app."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from fvm_core import start_folder
from ui import wording


def ask(label: str, **options: object) -> Path | None:
    """A text field for a path, and below it the whole path that is meant; None while it is empty.

    Args:
        label: of the field.
        **options: of `st.text_input`.

    Raises:
        SaltflatError: what was typed can't be a path.
    """
    found = _ask(label, lambda text: str(start_folder.absolute(text)), options)
    return Path(found) if found else None


def ask_source(label: str, **options: object) -> str:
    """Likewise for the source of a dataset; empty while nothing is typed."""
    return _ask(label, start_folder.absolute_source, options)


def _ask(label: str, whole: Callable[[str], str], options: dict) -> str:
    typed = st.text_input(label, **options).strip()
    if not typed:
        return ""
    meant = whole(typed)
    if meant != typed:
        st.caption(f"That is {wording.in_markdown(meant)}")
    return meant
