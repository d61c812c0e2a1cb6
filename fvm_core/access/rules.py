"""`access.toml` in the workspace: who may sign in, as what, and which folders the screens may reach."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import tomli_w

from fvm_core.access.people import OWNER, REVIEWER, ROLES
from fvm_core.access.private_file import write_private
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace

FILE = "access.toml"
LONGEST_SESSION = 24 * 30
"""Hours."""


@dataclass(frozen=True)
class Oidc:
    """Sign-in through a provider that `[auth]` in Streamlit's secrets describes.

    Attributes:
        people: by role, e-mail addresses or whole domains (`@example.org`); nobody else gets in.
        provider: the section `[auth.NAME]`, or `default` for `[auth]` itself.
        unverified_emails: take addresses of which the provider does not say that they are verified.
    """

    people: Mapping[str, tuple[str, ...]]
    provider: str = "default"
    unverified_emails: bool = False

    def role(self, email: str) -> str | None:
        """The role of an address, None for a stranger."""
        email = email.casefold()
        domain = "@" + email.rpartition("@")[2]
        for role in ROLES:  # the owner first: who is in both lists is an owner
            if any(entry.casefold() in (email, domain) for entry in self.people.get(role, ())):
                return role
        return None


@dataclass(frozen=True)
class Rules:
    """The content of `access.toml`; without the file nobody signs in and only this machine is served.

    Attributes:
        passwords: argon2 hashes by role.
        oidc: sign-in through a provider.
        roots: folders below which paths from the browser must lie; empty for the folder where the app
            was started.
        hosts: names under which a browser reaches this server, besides its own.
        proxies: addresses of proxies whose word on the client's address is taken.
        session_hours: how long a sign-in holds.
    """

    passwords: Mapping[str, str] = field(default_factory=dict)
    oidc: Oidc | None = None
    roots: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    session_hours: float = 12.0

    @property
    def sign_in(self) -> bool:
        """Whether everybody has to sign in."""
        return bool(self.passwords) or self.oidc is not None


def path_of(workspace: Workspace) -> Path:
    """Where the rules are."""
    return workspace.path / FILE


def read(workspace: Workspace) -> Rules:
    """The rules as they are now.

    Raises:
        SaltflatError: the file can't be read or says something that is not understood. Nobody is let in
            then: a rule that is not understood is not a rule that may be left out.
    """
    path = path_of(workspace)
    try:
        state = path.stat()
    except FileNotFoundError:
        return Rules()
    except OSError as error:
        raise SaltflatError(f"{path} can't be read ({error.strerror}).") from None
    if os.name == "posix" and state.st_mode & 0o022:
        raise SaltflatError(f"{path} can be changed by other users of this machine. Run: chmod 600 '{path}'")
    return _read(path, state.st_mtime_ns, state.st_size, state.st_ino)


@lru_cache(maxsize=8)
def _read(path: Path, _changed: int, _size: int, _inode: int) -> Rules:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SaltflatError(f"{path} can't be read: {error}. Mend it, or set the sign-in up again.") from None
    return _parsed(found, path)


def write(workspace: Workspace, rules: Rules) -> None:
    """Write the rules with mode 0600.

    Raises:
        SaltflatError: the place can't be written.
    """
    content: dict = {"session_hours": rules.session_hours}
    for name in ("roots", "hosts", "proxies"):
        if values := getattr(rules, name):
            content[name] = [str(value) for value in values]
    if rules.passwords:
        content["passwords"] = dict(rules.passwords)
    if rules.oidc is not None:
        content["oidc"] = {
            "provider": rules.oidc.provider,
            "unverified_emails": rules.oidc.unverified_emails,
            **{role: list(people) for role, people in rules.oidc.people.items()},
        }
    path = path_of(workspace)
    try:
        write_private(path, tomli_w.dumps(content))
    except OSError as error:
        raise SaltflatError(f"{path} can't be written ({error.strerror}).") from None


def with_password(rules: Rules, role: str, hashed: str | None) -> Rules:
    """The rules with another password for `role`, or with none."""
    others = {name: value for name, value in rules.passwords.items() if name != role}
    return replace(rules, passwords=others if hashed is None else {**others, role: hashed})


def _parsed(found: dict, path: Path) -> Rules:
    known = {"session_hours", "roots", "hosts", "proxies", "passwords", "oidc"}
    _only(found, known, path, "")
    hours = found.get("session_hours", 12.0)
    if not isinstance(hours, int | float) or isinstance(hours, bool) or not 0 < hours <= LONGEST_SESSION:
        raise SaltflatError(f"{path}: session_hours is {hours!r}; write hours, at most {LONGEST_SESSION}.")
    passwords = found.get("passwords", {})
    _only(passwords, set(ROLES), path, "passwords.")
    for role, hashed in passwords.items():
        if not isinstance(hashed, str) or not hashed.startswith("$argon2id$"):
            raise SaltflatError(
                f"{path}: passwords.{role} is not an argon2id hash. Set it with `saltflat password {role}`."
            )
    roots = tuple(Path(root).expanduser() for root in _texts(found, "roots", path))
    for root in roots:
        if not root.is_absolute():
            raise SaltflatError(f"{path}: roots holds {str(root)!r}; write whole paths.")
    return Rules(
        passwords=passwords,
        oidc=_oidc(found["oidc"], path) if "oidc" in found else None,
        roots=roots,
        hosts=_texts(found, "hosts", path),
        proxies=_texts(found, "proxies", path),
        session_hours=float(hours),
    )


def _oidc(found: object, path: Path) -> Oidc:
    _only(found, {"provider", "unverified_emails", *ROLES}, path, "oidc.")
    people = {role: _texts(found, role, path, "oidc.") for role in ROLES if role in found}
    entries = [entry for listed in people.values() for entry in listed]
    if not entries:
        raise SaltflatError(
            f"{path}: [oidc] lets nobody in. List e-mail addresses or domains like @example.org under "
            f"{OWNER} and {REVIEWER}."
        )
    for entry in entries:
        if entry.count("@") != 1 or entry.endswith("@") or entry != entry.strip():
            raise SaltflatError(f"{path}: [oidc] lists {entry!r}; write name@example.org or @example.org.")
    provider, unverified = found.get("provider", "default"), found.get("unverified_emails", False)
    if not isinstance(provider, str) or not provider:
        raise SaltflatError(f"{path}: oidc.provider is {provider!r}; write the name of a section of [auth].")
    if not isinstance(unverified, bool):
        raise SaltflatError(f"{path}: oidc.unverified_emails is {unverified!r}; write true or false.")
    return Oidc(people, provider, unverified)


def _only(found: object, known: set[str], path: Path, where: str) -> None:
    if not isinstance(found, dict):
        raise SaltflatError(f"{path}: {where.rstrip('.')} is not a table; write [{where.rstrip('.')}].")
    for name in found:
        if name not in known:
            raise SaltflatError(
                f"{path}: {where}{name} is not a setting. There are: {', '.join(sorted(known))}."
            )


def _texts(found: dict, name: str, path: Path, where: str = "") -> tuple[str, ...]:
    values = found.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) and value for value in values):
        raise SaltflatError(f'{path}: {where}{name} is not a list of texts; write {name} = ["…"].')
    return tuple(values)
