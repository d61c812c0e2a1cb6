"""Sign-ins that hold: random tokens, of which the server keeps only a hash."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fvm_core.access.people import ROLES, Person
from fvm_core.access.private_file import write_private
from fvm_core.access.rules import Rules
from fvm_core.errors import SaltflatError

MOST = 2000
"""Sign-ins kept; the oldest goes when another comes."""


@dataclass(frozen=True)
class _SignIn:
    name: str
    role: str
    password: str  # fingerprint of the hash that let the person in: a new password ends the session
    until: float


class Sessions:
    """The sign-ins of one server, in a file of the workspace so that a restart signs nobody out.

    Args:
        path: the file; made with mode 0600.
        now: the clock, in seconds.
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._open: dict[str, _SignIn] = {}
        self._revoked: dict[str, float] = {}
        self._load()

    def open(self, person: Person, rules: Rules) -> str:
        """Start a session for somebody whose password was right; returns the token for the cookie.

        Raises:
            SaltflatError: the session can't be written down.
        """
        token = secrets.token_urlsafe(32)
        sign_in = _SignIn(
            person.name,
            person.role,
            fingerprint(rules.passwords[person.role]),
            self._now() + 3600 * rules.session_hours,
        )
        with self._lock:
            self._forget_old()
            while len(self._open) >= MOST:
                del self._open[min(self._open, key=lambda digest: self._open[digest].until)]
            self._open[fingerprint(token)] = sign_in
            self._save()
        return token

    def find(self, token: str, rules: Rules) -> Person | None:
        """Who holds this token, None once it has run out or the password has been changed."""
        # A hash of 256 random bits is looked up, so the time it takes tells nothing about the token.
        found = self._open.get(fingerprint(token))
        if found is None or found.until <= self._now():
            return None
        hashed = rules.passwords.get(found.role)
        if hashed is None or not secrets.compare_digest(fingerprint(hashed), found.password):
            return None
        return Person(found.name, found.role)

    def close(self, token: str) -> None:
        """Sign out."""
        with self._lock:
            if self._open.pop(fingerprint(token), None) is not None:
                self._save()

    def revoke(self, ticket: bytes, rules: Rules) -> None:
        """Let a ticket that another party has signed count no longer, as long as it would hold."""
        with self._lock:
            self._forget_old()
            self._revoked[fingerprint(ticket)] = self._now() + 3600 * rules.session_hours
            self._save()

    def is_revoked(self, ticket: bytes) -> bool:
        """Whether its holder has signed out."""
        return fingerprint(ticket) in self._revoked

    def _forget_old(self) -> None:
        now = self._now()
        self._open = {digest: one for digest, one in self._open.items() if one.until > now}
        self._revoked = {digest: until for digest, until in self._revoked.items() if until > now}

    def _load(self) -> None:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            self._open = {digest: _SignIn(**one) for digest, one in found["open"].items()}
            self._revoked = {digest: float(until) for digest, until in found["revoked"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._open, self._revoked = {}, {}  # a damaged file signs everybody out
        self._open = {digest: one for digest, one in self._open.items() if one.role in ROLES}

    def _save(self) -> None:
        content = {
            "open": {digest: asdict(one) for digest, one in self._open.items()},
            "revoked": self._revoked,
        }
        try:
            write_private(self._path, json.dumps(content))
        except OSError as error:
            raise SaltflatError(
                f"{self._path} can't be written ({error.strerror}), so nobody can sign in or out."
            ) from None


def fingerprint(secret: str | bytes) -> str:
    """SHA-256 of something that has at least 128 random bits; never of a password."""
    return hashlib.sha256(secret.encode() if isinstance(secret, str) else secret).hexdigest()
