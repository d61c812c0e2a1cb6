"""`problems.json` of a run: what is wrong with its data, every problem with all its rows."""

from __future__ import annotations

from pathlib import Path

from fvm_core.atomic import write_json
from fvm_core.data.dataset import Problem
from fvm_core.shapes import whole
from fvm_core.stored import read_json

FILE = "problems.json"

PROBLEMS = [{"kind": str, "message": str, "rows": [whole], "where": str, "severity": str, "notes?": [str]}]
"""What it holds."""


def save_problems(run: Path, problems: list[Problem]) -> None:
    """Write the file."""
    lists = [{**vars(one), "rows": list(one.rows), "notes": list(one.notes)} for one in problems]
    write_json(run / FILE, lists)


def load_problems(run: Path) -> list[Problem]:
    """What `save_problems` wrote; empty if nothing was. Raises `DamagedFile`."""
    path = run / FILE
    if not path.exists():
        return []
    remedy = f"Run `saltflat doctor {run} --redo` to have it made again."
    return [
        Problem(**{**one, "rows": tuple(one["rows"]), "notes": tuple(one.get("notes", ()))})
        for one in read_json(path, PROBLEMS, remedy)
    ]
