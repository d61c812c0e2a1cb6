"""Where runs, uploaded datasets, caches and the database live."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from sqlalchemy import URL

from fvm_core.errors import SaltflatError

_LONGEST = 80
"""Characters of a run folder's name; file systems allow 255 bytes."""


@dataclass(frozen=True)
class Workspace:
    """A folder with `runs/`, `datasets/` (uploads), `cache/` and `saltflat.db`.

    The environment variable `SALTFLAT_HOME` names another folder, `SALTFLAT_DATABASE` another database
    as an SQLAlchemy address, so that a team can share one PostgreSQL.
    """

    path: Path

    @staticmethod
    def default() -> Workspace:
        """The folder from `SALTFLAT_HOME`, else the user's data folder."""
        named = os.environ.get("SALTFLAT_HOME")
        path = Path(named).expanduser() if named else platformdirs.user_data_path("saltflat")
        # Absolute, because workers start in other folders.
        return Workspace(path.absolute()).made()

    def made(self) -> Workspace:
        """Create the folders that are missing; raises `SaltflatError` where that can't be done."""
        for folder in (self.runs, self.datasets, self.cache):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise SaltflatError(
                    f"The folder {folder} can't be made ({error.strerror}). Set the environment variable "
                    "SALTFLAT_HOME to a folder that can be written."
                ) from None
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise SaltflatError(
                f"The folder {self.path} can't be written. Set the environment variable SALTFLAT_HOME to a "
                "folder that can be."
            )
        return self

    @property
    def runs(self) -> Path:
        """Run folders that the app starts."""
        return self.path / "runs"

    @property
    def datasets(self) -> Path:
        """Uploaded files."""
        return self.path / "datasets"

    @property
    def cache(self) -> Path:
        """Decoded pixels and thumbnails by dataset fingerprint; safe to delete."""
        return self.path / "cache"

    @property
    def database(self) -> str:
        """SQLAlchemy address of jobs and decisions."""
        own = URL.create("sqlite", database=str(self.path / "saltflat.db"))
        return os.environ.get("SALTFLAT_DATABASE") or own.render_as_string()

    def new_run_folder(self, name: str) -> Path:
        """A path under `runs/` that does not exist yet, made from `name`."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST].strip("-.") or "run"
        path, number = self.runs / stem, 2
        while path.exists():
            path, number = self.runs / f"{stem}-{number}", number + 1
        return path
