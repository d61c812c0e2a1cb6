"""The sign for decisions that are still on their way to the disk; on every screen, they outlive each."""

from __future__ import annotations

import streamlit as st

from ui import assets

_sign = st.components.v2.component(
    "saltflat_outbox",
    html=assets.text("outbox_sign.html"),
    css=assets.text("outbox_sign.css"),
    js=assets.text("outbox_sign.js"),
)


def sign(signed_in: str | None, tell: bool) -> int:
    """Draw the sign and return how many decisions of this browser are not on disk yet.

    Args:
        signed_in: the person's name where there is a sign-in.
        tell: run the screen again when the number changes; otherwise it is not told, and 0.
    """
    sent = _sign(
        key="outbox",
        data={"signed_in": signed_in, "tell": tell},
        on_waiting_change=_nothing,
    )
    waiting = sent.get("waiting")
    return waiting if tell and type(waiting) is int else 0


def _nothing() -> None:
    """Streamlit keeps the state of a component only where a callback is given."""
