"""Who sits at the browser: for pages from their connection, for routes from the request.

Without a sign-in (the app then serves this machine only) the name is None and the role `owner`. With one,
whoever is not signed in is an error here too, though the gate before the app has let nobody through.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from starlette.requests import HTTPConnection

from fvm_core.access import rules as access_rules
from fvm_core.access.people import OWNER, NotSignedIn, Person
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace
from ui.gate import tickets


def signed_in_name() -> str | None:
    """For pages: the name from the sign-in, None where no sign-in is configured.

    Raises:
        NotSignedIn: a sign-in is configured, and this browser has none that holds.
    """
    return _name(_here())


def name_of(request: HTTPConnection) -> str | None:
    """For Starlette routes, requests and WebSockets alike: as `signed_in_name`.

    Raises:
        NotSignedIn: a sign-in is configured, and the request carries none that holds.
    """
    return _name(_person(request.cookies))


def role() -> str:
    """For pages: `owner` or `reviewer`; raises `NotSignedIn`."""
    return _role(_here())


def role_of(request: HTTPConnection) -> str:
    """For routes: `owner` or `reviewer`; raises `NotSignedIn`."""
    return _role(_person(request.cookies))


def is_owner() -> bool:
    """For pages: whether this person may start runs, write files, open folders and delete."""
    return role() == OWNER


def need_owner(doing: str) -> None:
    """Check at the place of action, whatever the widgets offered.

    Args:
        doing: what only an owner may do, as `start runs`.

    Raises:
        SaltflatError: this person is a reviewer; `NotSignedIn` if nobody is signed in.
    """
    if not is_owner():
        raise SaltflatError(why_not(doing))


def why_not(doing: str) -> str:
    """The one line beside what a reviewer can't use."""
    return f"You are signed in as a reviewer; only an owner can {doing}."


def _here() -> Person | None:
    return _person(st.context.cookies)


def _person(cookies: Mapping[str, str]) -> Person | None:
    workspace = Workspace.default()
    rules = access_rules.read(workspace)
    if not rules.sign_in:
        return None
    person = tickets.person(cookies, rules, workspace)
    if person is None:
        raise NotSignedIn("You are not signed in any more. Reload the page and sign in.")
    return person


def _name(person: Person | None) -> str | None:
    return person.name if person else None


def _role(person: Person | None) -> str:
    return person.role if person else OWNER
