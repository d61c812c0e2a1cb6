"""The runs that the switcher offers, each with its state."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from fvm_core.errors import SaltflatError
from fvm_core.jobs.queue import Job, JobQueue
from fvm_core.pipeline.run_folder import STAGES, RunFolder
from fvm_core.workspace import Workspace
from ui import settings

STATE_WORDS = {
    "queued": "waiting",
    "running": "running",
    "finished": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "interrupted",
    "new": "not started",
}


@dataclass(frozen=True)
class Card:
    """One run as the frame, the guards and the start screen show it.

    Attributes:
        key: what the address bar says after `?run=`: the folder's name, or the path of an opened folder.
        folder: the run.
        info: its `run.json` at the time of the look.
        job: its newest job in the queue, None for runs made elsewhere.
        state: a key of `STATE_WORDS`.
    """

    key: str
    folder: RunFolder
    info: dict
    job: Job | None
    state: str

    @property
    def name(self) -> str:
        """The name for people."""
        return self.info.get("name") or self.folder.path.name

    @property
    def has_scores(self) -> bool:
        """Whether there is something to look at and review."""
        return _done(self.info, "relabel")

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("queued", "running")


def workspace() -> Workspace:
    """The workspace of this server."""
    return Workspace.default()


def cards() -> list[Card]:
    """All runs of the workspace and the opened folders, newest first."""
    home = workspace()
    jobs: dict[str, Job] = {}
    for job in JobQueue(home).all():
        jobs.setdefault(job.run_path, job)
    places = {path.name: path for path in home.runs.iterdir() if (path / "run.json").is_file()}
    for opened in settings.read(home)["opened"]:
        if (Path(opened) / "run.json").is_file():
            places[opened] = Path(opened)
    found = []
    for key, path in places.items():
        folder = RunFolder(path)
        try:
            info = folder.info
        except SaltflatError:
            continue  # a run.json that is damaged: nothing about the run can be said
        job = jobs.get(str(path.resolve()))
        found.append(Card(key, folder, info, job, _state(info, job)))
    return sorted(found, key=lambda card: card.info.get("created", 0), reverse=True)


def current() -> Card | None:
    """The run named in the address bar, else the newest one."""
    runs = cards()
    wanted = st.query_params.get("run")
    for card in runs:
        if card.key == wanted:
            return card
    return runs[0] if runs else None


def remember(path: str) -> str:
    """Add a run folder from elsewhere to the switcher and return its key.

    Raises:
        SaltflatError: there is no run in that folder.
    """
    home = workspace()
    folder = RunFolder.open(Path(path.strip()).expanduser().resolve())
    if folder.path.parent == home.runs.resolve():
        return folder.path.name
    opened = settings.read(home)["opened"]
    key = str(folder.path)
    settings.update(home, opened=[key, *(other for other in opened if other != key)][:50])
    return key


def _done(info: dict, stage: str) -> bool:
    return info.get("stages", {}).get(stage, {}).get("state") in {"done", "skipped"}


def _state(info: dict, job: Job | None) -> str:
    if job and job.state in ("queued", "running"):
        return job.state
    if all(_done(info, stage) for stage in STAGES):
        return "finished"
    if job and job.state in ("failed", "cancelled", "interrupted"):
        return job.state
    return "finished" if _done(info, "relabel") else "new"
