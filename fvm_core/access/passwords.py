"""One shared password for each role, kept as an argon2id hash."""

from __future__ import annotations

import unicodedata
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fvm_core.access.people import ROLES
from fvm_core.access.rules import Rules, read, with_password, write
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace

SHORTEST, LONGEST = 12, 1000
"""Characters of a password."""

_hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106 for limited memory


def set_password(workspace: Workspace, role: str, password: str) -> None:
    """Store the hash of a role's password; whoever signed in with the former one is signed out.

    Raises:
        SaltflatError: it is too short or too long, is another role's, or the file can't be written.
    """
    password = _normal(password)
    if len(password) < SHORTEST:
        raise SaltflatError(
            f"The password has {len(password)} characters; take at least {SHORTEST}. Four words are good."
        )
    if len(password) > LONGEST:
        raise SaltflatError(f"The password has more than {LONGEST} characters.")
    if len(set(password)) < 5:
        raise SaltflatError("The password has fewer than five different characters. Four words are good.")
    rules = read(workspace)
    if (other := role_with(rules, password)) not in (None, role):
        raise SaltflatError(f"That is the password of the role {other} already; take another one.")
    write(workspace, with_password(rules, role, _hasher.hash(password)))


def remove_password(workspace: Workspace, role: str) -> None:
    """Let nobody in with that role's password any more.

    Raises:
        SaltflatError: there is none, or the file can't be written.
    """
    rules = read(workspace)
    if role not in rules.passwords:
        raise SaltflatError(f"The role {role} has no password.")
    write(workspace, with_password(rules, role, None))


def role_with(rules: Rules, password: str) -> str | None:
    """The role that a password belongs to, None for a wrong one.

    All roles are tried whatever the first says, those without a password against a hash of nothing, so
    that the time it takes does not tell which of them exist.
    """
    password = _normal(password[: LONGEST + 1])
    found = None
    for role in ROLES:
        fits = _fits(rules.passwords.get(role) or _nobodys_hash(), password)
        if fits and role in rules.passwords and found is None:
            found = role
    return found


def _fits(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _nobodys_hash() -> str:
    return _hasher.hash("nobody's")


def _normal(password: str) -> str:
    """The same text whichever keyboard typed it; halves of surrogate pairs can't be hashed."""
    return unicodedata.normalize("NFKC", password.encode("utf-8", "replace").decode())
