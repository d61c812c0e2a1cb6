"""`saltflat password`: set the shared password with which people sign in to the app."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from fvm_core.access import rules as access_rules
from fvm_core.access.people import OWNER, REVIEWER, ROLES
from fvm_core.access.rules import path_of
from fvm_core.cli.commands import application, console
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace


@application.command()
def password(
    role: Annotated[
        str,
        typer.Argument(
            help=f"{OWNER}: starts runs, writes files on the server, opens folders, deletes. {REVIEWER}: "
            "reviews and downloads."
        ),
    ] = OWNER,
    file: Annotated[
        Path | None,
        typer.Option(help="Take the first line of this file, `-` for standard input, without asking."),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Let nobody in as this role any more.")] = False,
) -> None:
    """Set the password for signing in to the app. Whoever signed in with the former one is signed out."""
    from fvm_core.access.passwords import remove_password, set_password

    if role not in ROLES:
        raise SaltflatError(f"There is no role {role!r}; there are: {', '.join(ROLES)}.")
    workspace = Workspace.default()
    if remove:
        remove_password(workspace, role)
        left = access_rules.read(workspace).sign_in
        console.print(
            f"Nobody gets in as {role} any more."
            + ("" if left else " No sign-in is left: the app serves this machine only."),
            highlight=False,
        )
        return
    set_password(workspace, role, _asked(role) if file is None else _from_file(file))
    console.print(
        f"The {role}'s password is set; its hash is in {path_of(workspace)}. A running app asks for it from "
        "now on.",
        highlight=False,
        soft_wrap=True,
    )


def _asked(role: str) -> str:
    if not sys.stdin.isatty():
        raise SaltflatError("There is no terminal to ask for the password; give --file FILE, or --file -.")
    first = getpass.getpass(f"Password for the role {role}: ")
    if getpass.getpass("The same again: ") != first:
        raise SaltflatError("The two are not the same. Nothing was changed.")
    return first


def _from_file(file: Path) -> str:
    try:
        text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SaltflatError(f"{file} can't be read as text: {error}.") from None
    return text.partition("\n")[0].rstrip("\r")
