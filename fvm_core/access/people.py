"""Who is signed in, as what, and which names a person may have."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from fvm_core.errors import SaltflatError

OWNER, REVIEWER = "owner", "reviewer"
ROLES = (OWNER, REVIEWER)
"""Owners start runs, write files on the server, open folders and delete; reviewers review and download."""

LONGEST_NAME = 60
"""Characters; decisions keep no more."""


@dataclass(frozen=True)
class Person:
    """Somebody who is signed in.

    Attributes:
        name: what stands beside their decisions.
        role: one of `ROLES`.
    """

    name: str
    role: str


class NotSignedIn(SaltflatError):
    """A sign-in is configured, and this request carries none that holds."""


def checked_name(name: str) -> str:
    """A typed name without surplus space.

    Raises:
        SaltflatError: it is empty, too long, or holds characters that can't be seen.
    """
    name = " ".join(unicodedata.normalize("NFC", name).split())
    if not name:
        raise SaltflatError("Type your name: it stands beside your decisions.")
    if len(name) > LONGEST_NAME:
        raise SaltflatError(f"The name is longer than {LONGEST_NAME} characters.")
    # Control, format (bidirectional marks among them), surrogate, private and unassigned characters.
    if any(unicodedata.category(sign).startswith("C") for sign in name):
        raise SaltflatError("The name holds characters that can't be seen. Type it without them.")
    return name
