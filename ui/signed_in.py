"""The sign-in, checked once more inside every page, and the line that says who is signed in."""

from __future__ import annotations

import streamlit as st

from fvm_core.access import rules as access_rules
from fvm_core.access.people import NotSignedIn
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace
from ui import guards, identity, wording
from ui.gate import sign_in
from ui.gate.door import Door


def check() -> None:
    """Stop the page unless this person may see it, even where the door in front of the app is not there.

    Raises:
        SaltflatError: the rules can't be read, or the script was started without the app around it.
    """
    try:
        identity.role()
    except NotSignedIn as error:
        guards.tell(error)
        st.html(f'<a href="{sign_in.SIGN_IN}" target="_self">Sign in</a>')
        st.stop()
    rules = access_rules.read(Workspace.default())
    if rules.sign_in and not Door.built:
        raise SaltflatError("Start Saltflat with `saltflat app`: only then are files behind the sign-in too.")
    # Streamlit names no address for a browser on this machine.
    elsewhere = isinstance(st.context.ip_address, str)
    if elsewhere and not rules.sign_in and not Door.built:
        raise SaltflatError("No sign-in is set up, so this Saltflat serves this machine only.")


def draw() -> None:
    """Name, role and the way out, in the sidebar; nothing where nobody signs in."""
    name = identity.signed_in_name()
    if name is None:
        return
    with st.sidebar:
        st.html(
            f'<div class="sf-under">{wording.in_html(name)} · {identity.role()}<br>'
            f'<a href="{sign_in.SIGN_OUT}" target="_self">Sign out</a></div>'
        )


def reserved(doing: str) -> bool:
    """Whether this person may not do it, with the one line that says why; widgets are disabled then."""
    if identity.is_owner():
        return False
    st.caption(identity.why_not(doing))
    return True
