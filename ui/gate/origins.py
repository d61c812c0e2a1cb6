"""Which Host, and which page's requests, are answered: the page must be our own, its port included."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from streamlit import config

ALLOWED_HOSTS = "SALTFLAT_ALLOWED_HOSTS"
"""Environment variable: names under which a browser may reach this machine, set by `saltflat app`."""

_ALWAYS = ("localhost", "127.0.0.1", "[::1]")
_DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SAFE = ("GET", "HEAD")


def allowed_hosts(named: Iterable[str]) -> set[str]:
    """The names that a Host header may have: this machine's, those of the settings, and `named`."""
    found = {*_ALWAYS, *config.get_option("server.allowedHosts")}
    found |= {*os.environ.get(ALLOWED_HOSTS, "").split(), *named}
    return {name.lower().rstrip(".") for name in found}


def host_fits(host: str | None, allowed: set[str]) -> bool:
    """Whether the Host header names this server: a name that an attacker points here is refused."""
    split = _split(f"//{host}") if host else None
    if split is None or split.netloc != host or split.path or split.query or split.fragment:
        return False
    name = host.rpartition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".") in allowed


def same_origin(headers: Mapping[str, str], scheme: str) -> bool:
    """Whether a request that says where it comes from comes from our own page.

    Programs send no Origin; every browser does for a WebSocket and for what changes something. Cookies know
    no port, so that a page on another port of this machine would act with the person's own sign-in.
    """
    origin = headers.get("origin")
    return origin is None or _one_place(origin, headers.get("host", ""), scheme)


def may_load(headers: Mapping[str, str], method: str) -> bool:
    """Whether a browser that says for whom it loads something loads it for our own page.

    Links from elsewhere to a screen are fine; pictures, scripts, frames and data loaded there are not.
    """
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return True
    return (
        method in _SAFE
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )


def _one_place(origin: str, host: str, scheme: str) -> bool:
    ours, theirs = _split(f"//{host}"), _split(origin)
    if ours is None or theirs is None or theirs.scheme not in ("http", "https"):
        return False
    if scheme in ("https", "wss") and theirs.scheme != "https":
        return False
    if ours.hostname != theirs.hostname or ours.hostname is None:
        return False
    # Without a port in Host it is the default of the scheme in the address bar, which a proxy may hide.
    default = _DEFAULT_PORTS[theirs.scheme]
    return (ours.port or default) == (theirs.port or default)


def _split(address: str):
    try:
        split = urlsplit(address)
        _ = split.port  # raises where it is no number
    except ValueError:
        return None
    return None if split.username is not None or split.password is not None else split
