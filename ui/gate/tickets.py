"""What a browser shows at the door: our own cookie, or the one that Streamlit's OIDC sign-in sets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache

from streamlit.auth_util import get_cookie_with_chunks
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from fvm_core.access.people import Person, checked_name
from fvm_core.access.rules import Rules
from fvm_core.access.sessions import Sessions
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace

PLAIN, SECURE = "saltflat", "__Host-saltflat"
"""Our cookie over http and over https; browsers take the second only from this very host, over https."""


def person(cookies: Mapping[str, str], rules: Rules, workspace: Workspace) -> Person | None:
    """Who is signed in by these cookies, None for nobody."""
    known = sessions(workspace)
    for name in (SECURE, PLAIN):
        if rules.passwords and (token := cookies.get(name)) and (found := known.find(token, rules)):
            return found
    if rules.oidc is None:
        return None
    ticket = oidc_ticket(cookies, rules)
    if ticket is None or known.is_revoked(ticket):
        return None
    email = _email(ticket, rules)
    role = rules.oidc.role(email) if email else None
    return Person(email, role) if role else None


def oidc_ticket(cookies: Mapping[str, str], rules: Rules) -> bytes | None:
    """The claims that Streamlit has signed after an OIDC sign-in, None if there are none that hold."""
    secret = get_cookie_secret()
    if rules.oidc is None or not secret:
        return None

    def opened(name: str) -> bytes | None:
        value = cookies.get(name)
        try:
            sent = value.encode("latin-1") if value else None
        except UnicodeEncodeError:
            return None
        return decode_signed_value(secret, name, sent, rules.session_hours / 24) if sent else None

    return get_cookie_with_chunks(opened, USER_COOKIE_NAME)


def _email(ticket: bytes, rules: Rules) -> str | None:
    """The address that the provider vouches for."""
    try:
        claims = json.loads(ticket)
    except ValueError:
        return None
    if not isinstance(claims, dict) or claims.get("is_logged_in") is not True:
        return None
    if claims.get("email_verified") is not True and not rules.oidc.unverified_emails:
        return None
    if claims.get("provider", "default") != rules.oidc.provider:
        return None
    email = claims.get("email")
    try:
        return checked_name(email) if isinstance(email, str) and email.count("@") == 1 else None
    except SaltflatError:
        return None


def sessions(workspace: Workspace) -> Sessions:
    """The sign-ins of this workspace, one object a process."""
    return _sessions(workspace)


@cache
def _sessions(workspace: Workspace) -> Sessions:
    return Sessions(workspace.path / "sessions.json")
