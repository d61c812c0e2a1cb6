"""The pages in front of the app: sign in, sign out, and why somebody is not let in."""

from __future__ import annotations

import base64
import re
import unicodedata
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

from starlette.responses import HTMLResponse

from fvm_core.access.rules import Rules
from ui.gate.headers import source_hash

ASSETS = Path(__file__).resolve().parents[2] / "assets"
SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
LOGIN, LOGOUT, CALLBACK = "/auth/login", "/auth/logout", "/oauth2callback"
"""Streamlit's own addresses for a sign-in through a provider."""

_LONGEST_WAY = 2000


def form(
    rules: Rules, way: str, message: str = "", status: int = 200, name: str = "", stranger: bool = False
) -> HTMLResponse:
    """The sign-in page.

    Args:
        rules: which ways in there are.
        way: where to go afterwards; see `safe_way`.
        message: what went wrong.
        status: of the answer.
        name: typed before.
        stranger: whether the provider knows this person and the list does not.
    """
    parts = []
    if message:
        parts.append(f'<p class="wrong" role="alert">{escape(message)}</p>')
    if stranger:
        parts.append(
            '<p class="wrong" role="alert">This account may not use this Saltflat. Ask whoever runs it to '
            "add you, or use another account.</p>"
            f'<a class="way second" href="{LOGOUT}">Use another account</a>'
        )
    if rules.oidc is not None and not stranger:
        parts.append(f'<a class="way" href="{SIGN_IN}?provider=1">Sign in with your organisation</a>')
    if rules.passwords:
        parts.append(
            f'<form method="post" action="{SIGN_IN}">'
            f'<input type="hidden" name="next" value="{escape(way)}">'
            f'<label>Your name<input name="name" value="{escape(name)}" autocomplete="name" maxlength="60" '
            f"required{'' if name else ' autofocus'}></label>"
            '<label>Password<input name="password" type="password" autocomplete="current-password" '
            f'maxlength="1000" required{" autofocus" if name else ""}></label>'
            "<p>Your name stands beside your decisions.</p>"
            "<button>Sign in</button></form>"
        )
    return page("Sign in", "".join(parts), status)


def ask_sign_out() -> HTMLResponse:
    """A button, because a link from another page must not sign anybody out."""
    return page("Sign out?", f'<form method="post" action="{SIGN_OUT}"><button>Sign out</button></form>')


def moved(way: str) -> HTMLResponse:
    """Go on to `way` as a request of our own page, with which strict cookies are sent."""
    link = f'<p><a href="{escape(way)}">Go on</a></p>'
    return page("One moment", link, refresh=f'<meta http-equiv="refresh" content="0; url={escape(way)}">')


def refused(title: str, message: str, status: int) -> HTMLResponse:
    """A page that says why nothing is shown."""
    return page(title, f"<p>{escape(message)}</p>", status)


def page(title: str, content: str, status: int = 200, refresh: str = "") -> HTMLResponse:
    """A page of our own, which runs no script at all."""
    template, style = _template()
    mark = base64.b64encode((ASSETS / "logo.svg").read_bytes()).decode()
    text = template.substitute(title=escape(title), content=content, refresh=refresh, logo=mark)
    policy = (
        f"default-src 'none'; style-src {style}; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return HTMLResponse(
        text, status, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"}
    )


def way_of(scope: dict) -> str:
    """The address of a request, to come back to."""
    query = scope.get("query_string", b"").decode("latin-1")
    return safe_way(quote(scope["path"], safe="/") + (f"?{query}" if query else ""))


def safe_way(way: str) -> str:
    """An address within the app, or its start: nobody is sent elsewhere by a link to the sign-in."""
    elsewhere = not way.startswith("/") or way.startswith("//") or "\\" in way or len(way) > _LONGEST_WAY
    unseen = any(unicodedata.category(sign).startswith(("C", "Z")) for sign in way)
    ours = way.startswith((SIGN_IN, SIGN_OUT, "/auth/", CALLBACK))
    return "/" if elsewhere or unseen or ours or not way.isascii() else way


@cache
def _template() -> tuple[Template, str]:
    text = (ASSETS / "sign_in.html").read_text(encoding="utf-8")
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    return Template(text), source_hash(style.group(1))
