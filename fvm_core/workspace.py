"""Where runs, uploaded datasets, caches and the database live."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs


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
        return Workspace(path).made()

    def made(self) -> Workspace:
        """Create the folders that are missing."""
        for folder in (self.runs, self.datasets, self.cache):
            folder.mkdir(parents=True, exist_ok=True)
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
        return os.environ.get("SALTFLAT_DATABASE") or f"sqlite:///{self.path / 'saltflat.db'}"

    def new_run_folder(self, name: str) -> Path:
        """A path under `runs/` that does not exist yet, made from `name`."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"
        path, number = self.runs / stem, 2
        while path.exists():
            path, number = self.runs / f"{stem}-{number}", number + 1
        return path
