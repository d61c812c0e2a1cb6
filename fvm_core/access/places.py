"""Which paths that come from a browser may be read and written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from fvm_core import start_folder
from fvm_core.access import rules as access_rules
from fvm_core.errors import SaltflatError
from fvm_core.workspace import Workspace

REACHABLE = "SALTFLAT_REACHABLE"
"""Environment variable: set by `saltflat app` where other machines can reach the server."""


def restricted(workspace: Workspace | None = None) -> bool:
    """Whether others can reach the app, so that its paths are confined to `roots`."""
    if os.environ.get(REACHABLE) == "1":
        return True
    return access_rules.read(workspace or Workspace.default()).sign_in


def roots(workspace: Workspace | None = None) -> list[Path]:
    """The folders below which paths must lie, with links followed."""
    workspace = workspace or Workspace.default()
    named = access_rules.read(workspace).roots or (start_folder.start_folder(),)
    found = [root.resolve() for root in named]
    # Started in "/", everything would be allowed without anybody having said so.
    chosen = [root for root in found if root != Path(root.anchor) or access_rules.read(workspace).roots]
    return list(dict.fromkeys([*chosen, workspace.path.resolve()]))


def allowed(path: str | Path) -> Path:
    """The whole path with links and `..` followed, if the screens may reach it.

    Raises:
        SaltflatError: it lies outside of the allowed folders, and others can reach the app; or it is no
            path at all.
    """
    workspace = Workspace.default()
    resolved = start_folder.absolute(path)
    if restricted(workspace):
        _inside([resolved], workspace, str(path))
    return resolved


def allowed_source(source: str) -> str:
    """A data source as `DatasetSpec` takes it, its path as `allowed` gives it.

    Raises:
        SaltflatError: as `allowed`.
    """
    whole = start_folder.absolute_source(source)
    kind, colon, folder = whole.partition(":")
    if kind in start_folder.IN_NAMES and folder:
        return f"{kind}{colon}{allowed(folder)}"
    return whole if whole == "digits" or not whole else str(allowed(whole))


def check_files(files: Iterable[str | Path]) -> None:
    """Refuse a table or a folder whose images lie elsewhere, by a written path or by a link.

    Raises:
        SaltflatError: one of the files lies outside of the allowed folders, and others can reach the app.
    """
    workspace = Workspace.default()
    if not restricted(workspace):
        return
    folders: dict[str, Path] = {}
    for file in files:
        head, name = os.path.split(os.fspath(file))
        if head not in folders:
            folders[head] = Path(head).resolve()
            _inside([folders[head]], workspace, head)
        if name == ".." or Path(file).is_symlink():
            _inside([Path(file).resolve()], workspace, os.fspath(file))


def _inside(places: Iterable[Path], workspace: Workspace, said: str) -> None:
    known = roots(workspace)
    secret = {workspace.path.resolve() / name for name in (access_rules.FILE, "sessions.json")}
    for place in places:
        if place in secret or not any(place.is_relative_to(root) for root in known):
            raise SaltflatError(
                f"{said} is outside of the folders that may be used from the browser: "
                f"{', '.join(map(str, known))}. Whoever runs the server can add folders to `roots` in "
                f"{access_rules.path_of(workspace)}."
            )
