"""The runs that the switcher offers, each with its state."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from fvm_core.access import places
from fvm_core.errors import SaltflatError
from fvm_core.jobs.queue import Job, JobQueue
from fvm_core.pipeline import damage
from fvm_core.pipeline.damage import Damage
from fvm_core.runs.run_folder import BACKED_UP, RunFolder
from fvm_core.runs.stage_files import STAGES, done_stages
from fvm_core.workspace import Workspace
from ui import identity, settings

STATE_WORDS = {
    "queued": "waiting",
    "running": "running",
    "finished": "finished",
    "failed": "failed",
    "cancelled": "cancelled",
    "interrupted": "interrupted",
    "new": "not started",
    "damaged": "damaged",
}


@dataclass(frozen=True)
class Card:
    """One run as the frame, the guards and the start screen show it.

    Attributes:
        key: what the address bar says after `?run=`: the folder's name, or the path of an opened folder.
        folder: the run.
        info: its `run.json` at the time of the look; of a damaged one, what every run has.
        job: its newest job in the queue, None for runs made elsewhere.
        state: a key of `STATE_WORDS`.
        damage: what is damaged in its folder.
    """

    key: str
    folder: RunFolder
    info: dict
    job: Job | None
    state: str
    damage: tuple[Damage, ...] = ()

    @property
    def name(self) -> str:
        """The name for people."""
        return self.info.get("name") or self.folder.path.name

    @property
    def has_scores(self) -> bool:
        """Whether there is something to look at and review."""
        return "relabel" in done_stages(self.info.get("stages", {}))

    @property
    def broken(self) -> bool:
        """Whether no screen can show it."""
        return any(one.essential for one in self.damage)

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
    folders = {path.name: path for path in home.runs.iterdir() if _is_run(path)}
    for opened in settings.read(home)["opened"]:
        elsewhere = Path(opened).parent != home.runs
        if elsewhere and _within_reach(opened) and _is_run(Path(opened)):
            folders[opened] = Path(opened)
    found = [_card(key, path, jobs.get(str(path.resolve()))) for key, path in folders.items()]
    return sorted(found, key=lambda card: card.info["created"], reverse=True)


def wanted() -> str:
    """What the address bar says after `?run=`, empty where it says nothing."""
    return st.query_params.get("run", "")


def current(runs: list[Card]) -> Card | None:
    """The run that the address bar names; the newest one where it names none.

    None where it names a run that is not there: another one must not be taken for it.
    """
    if wanted():
        return next((card for card in runs if card.key == wanted()), None)
    sound = [card for card in runs if not card.broken]
    return next(iter(sound or runs), None)


def closest(key: str, runs: list[Card]) -> list[Card]:
    """The runs whose key or name is most like a text, best first; at most three."""
    names = {card.key: card for card in runs} | {card.name: card for card in runs}
    found = difflib.get_close_matches(key, names, n=3, cutoff=0.5)
    return list({names[name].key: names[name] for name in found}.values())


def remember(path: Path) -> str:
    """Add a run folder from elsewhere to the switcher and return its key.

    Raises:
        SaltflatError: there is no run in that folder, or this person may not open it.
    """
    identity.need_owner("open run folders")
    return settings.remember_run(workspace(), RunFolder.open(places.allowed(path)).path)


def _within_reach(folder: str) -> bool:
    """Whether a folder that was opened once may still be looked into."""
    try:
        return bool(places.allowed(folder))
    except SaltflatError:
        return False


def _is_run(path: Path) -> bool:
    """Whether a folder holds a run, or what is left of one."""
    if path.name.startswith("."):
        return False
    names = ("run.json", *(f"{name}.bak" for name in BACKED_UP), "config.toml", "scores.parquet")
    try:
        return path.is_dir() and any((path / name).exists() for name in names)
    except (OSError, ValueError):  # a folder that may not be looked into, a path that can't be one
        return False


def _card(key: str, path: Path, job: Job | None) -> Card:
    folder = RunFolder(path)
    found = _damage(str(path), _seal(path))
    try:
        info = folder.info
    except SaltflatError:
        info = {"id": "", "name": path.name, "created": _changed(path), "stages": {}}
    state = _state(info, job)
    if found and state not in ("queued", "running"):
        state = "damaged"
    return Card(key, folder, info, job, state, found)


@st.cache_data(max_entries=1000, show_spinner=False)
def _damage(path: str, seal: tuple) -> tuple[Damage, ...]:
    return tuple(damage.look(Path(path)))


def _seal(path: Path) -> tuple:
    """Changes whenever a result file does."""
    found = []
    for file in damage.watched(path):
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((str(file), status.st_mtime_ns, status.st_size))
    return tuple(found)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _state(info: dict, job: Job | None) -> str:
    if job and job.state in ("queued", "running"):
        return job.state
    done = done_stages(info.get("stages", {}))
    if done == list(STAGES):
        return "finished"
    if job and job.state in ("failed", "cancelled", "interrupted"):
        return job.state
    return "finished" if "relabel" in done else "new"
