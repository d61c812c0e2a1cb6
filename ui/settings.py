"""What the app remembers between visits: opened run folders, the reviewer's name, what was exported."""

from __future__ import annotations

import getpass
import json

from fvm_core.atomic import write_json
from fvm_core.workspace import Workspace


def read(workspace: Workspace) -> dict:
    """`opened` (paths of run folders), `reviewer`, `exported` (time of the last export by run id)."""
    try:
        saved = json.loads((workspace.path / "settings.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        saved = {}
    return {
        "opened": saved.get("opened", []),
        "reviewer": saved.get("reviewer") or _person(),
        "exported": saved.get("exported", {}),
    }


def update(workspace: Workspace, **values: object) -> None:
    """Change some settings and keep the others."""
    write_json(workspace.path / "settings.json", {**read(workspace), **values})


def _person() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "reviewer"
