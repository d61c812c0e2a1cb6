"""What a workspace remembers between visits: opened run folders, what was exported.

The app and the command line write here at the same time, so every change is made under a lock.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from fvm_core.atomic import write_json
from fvm_core.errors import DamagedFile, SaltflatError
from fvm_core.shapes import moment, text
from fvm_core.stored import read_json
from fvm_core.workspace import Workspace

FILE = "settings.json"
_SHAPE = {"opened?": [text], "exported?": {str: moment}}
_LOCK_SECONDS = 10


def read(workspace: Workspace) -> dict:
    """`opened` (paths of run folders), `exported` (time of the last export by run id).

    A damaged file counts as empty: see `fault`.
    """
    try:
        saved = _saved(workspace)
    except DamagedFile:
        saved = {}
    return {
        "opened": saved.get("opened", []),
        "exported": saved.get("exported", {}),
    }


def fault(workspace: Workspace) -> DamagedFile | None:
    """What is wrong with the file, None if it is as it should be or not there yet."""
    try:
        _saved(workspace)
    except DamagedFile as error:
        return error
    return None


def update(workspace: Workspace, **values: object) -> None:
    """Set some of the values and keep the others; raises `SaltflatError` where nothing can be written."""
    _change(workspace, lambda saved: {**saved, **values})


def remember_run(workspace: Workspace, run: Path) -> str:
    """Have the app list a run folder, wherever it is; returns what the app calls it after `?run=`.

    Raises:
        SaltflatError: the workspace can't be written.
    """
    run = run.resolve()
    if run.parent == workspace.runs.resolve():
        return run.name
    key = str(run)
    _change(
        workspace,
        lambda saved: {**saved, "opened": [key, *(one for one in saved.get("opened", []) if one != key)]},
    )
    return key


def remember_export(workspace: Workspace, run_id: str) -> None:
    """Note that a run was exported now; raises `SaltflatError` likewise."""
    _change(
        workspace,
        lambda saved: {**saved, "exported": {**saved.get("exported", {}), run_id: time.time()}},
    )


def _change(workspace: Workspace, change: Callable[[dict], dict]) -> None:
    path = workspace.path / FILE
    try:
        with FileLock(workspace.path / f"{FILE}.lock", timeout=_LOCK_SECONDS):
            try:
                saved = _saved(workspace)
            except DamagedFile:
                with contextlib.suppress(OSError):  # what was in it is kept for a person to look at
                    path.replace(path.with_name(f"{FILE}.damaged"))
                saved = {}
            write_json(path, change(saved))
    except Timeout:
        raise SaltflatError(
            f"{path} is being written by another process for more than {_LOCK_SECONDS} s. Try again."
        ) from None
    except OSError as error:
        raise SaltflatError(f"{path} can't be written ({error.strerror or error}).") from None


def _saved(workspace: Workspace) -> dict:
    path = workspace.path / FILE
    remedy = f"Delete or mend {path}: opened run folders have to be opened again, decisions are not in it."
    return read_json(path, _SHAPE, remedy) if path.exists() else {}
