"""The queue of runs: who waits, who runs, how far it is. One job a device at a time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock
from sqlalchemy import Column, Float, Integer, String, Table, Text, insert, select, update

from fvm_core.database import connect, metadata, reading, writing
from fvm_core.errors import SaltflatError
from fvm_core.jobs.processes import alive, ask_to_end, detached, kill
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace

ACTIVE = ("queued", "running")
GRACE_SECONDS = 10
"""How long a cancelled worker may take to stop by itself before it is killed."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run_path", Text, nullable=False),
    Column("device", String(32), nullable=False),
    Column("host", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("phase", String(16), nullable=False, default=""),
    Column("done", Integer, nullable=False, default=0),
    Column("total", Integer, nullable=False, default=0),
    Column("rate", Float, nullable=False, default=0.0),
    Column("error", Text, nullable=False, default=""),
    Column("pid", Integer),
    Column("pid_started", Float),
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("ended", Float),
    Column("heartbeat", Float),
    Column("cancel_asked", Float),
)

_children: list[subprocess.Popen] = []


@dataclass(frozen=True)
class Job:
    """One row of the queue; times are seconds since 1970, `rate` is units per second in `phase`.

    `state` is `queued`, `running`, `done`, `failed`, `cancelled`, or `interrupted` when the worker died
    without a word; the last three can be resumed.
    """

    id: int
    run_path: str
    device: str
    host: str
    state: str
    phase: str
    done: int
    total: int
    rate: float
    error: str
    pid: int | None
    pid_started: float | None
    created: float
    started: float | None
    ended: float | None
    heartbeat: float | None
    cancel_asked: float | None

    @property
    def seconds_left(self) -> float | None:
        """Time left in the current phase, None while there is no rate yet."""
        return (self.total - self.done) / self.rate if self.rate > 0 else None


class JobQueue:
    """The queue of a workspace. Any process may hold one; they meet in the database."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self._engine = connect(workspace.database)

    def submit(self, run: RunFolder, device: str) -> int:
        """Queue a new or unfinished run on a device (`cpu`, `cuda`, `mps`) and start what can start.

        Raises:
            SaltflatError: the run is queued or running already.
        """
        path = str(run.path.resolve())
        with self._lock():
            last = self.latest(path)
            if last and last.state in ACTIVE:
                raise SaltflatError(f"{run.name} is already {last.state}.")
            with writing(self._engine, jobs) as connection:
                row = {
                    "run_path": path,
                    "device": device,
                    "host": platform.node(),
                    "state": "queued",
                    "created": time.time(),
                }
                job_id = connection.execute(insert(jobs).values(row)).inserted_primary_key[0]
        self.reconcile()
        return job_id

    def get(self, job_id: int) -> Job:
        """One job; raises `SaltflatError` if there is none of that number."""
        with reading(self._engine) as connection:
            row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().first()
        if row is None:
            raise SaltflatError(f"There is no job {job_id}.")
        return Job(**row)

    def latest(self, run_path: str | Path) -> Job | None:
        """The newest job of a run folder."""
        query = select(jobs).where(jobs.c.run_path == str(Path(run_path).resolve()))
        with reading(self._engine) as connection:
            row = connection.execute(query.order_by(jobs.c.id.desc()).limit(1)).mappings().first()
        return Job(**row) if row else None

    def all(self) -> list[Job]:
        """Every job, newest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(jobs).order_by(jobs.c.id.desc())).mappings().all()
        return [Job(**row) for row in rows]

    def waiting_before(self, job: Job) -> int:
        """How many jobs are to be done on the same device before this one starts."""
        return sum(
            other.state in ACTIVE and other.device == job.device and other.id < job.id for other in self.all()
        )

    def cancel(self, job_id: int) -> None:
        """Stop a job: a queued one at once, a running one as soon as its worker has heard it."""
        with self._lock():
            job = self.get(job_id)
            if job.state == "queued":
                self.write(job_id, state="cancelled", ended=time.time())
            elif job.state == "running":
                self.write(job_id, cancel_asked=time.time())
                if _alive(job):
                    ask_to_end(job.pid)
        self.reconcile()

    def reconcile(self) -> None:
        """Bring the table in line with the processes, then start what can start.

        Called when the app starts, by the screens that show jobs, and by a worker that ends.
        """
        for child in list(_children):
            if child.poll() is not None:
                _children.remove(child)
        with self._lock():
            here = [job for job in self.all() if job.host == platform.node()]
            for job in here:
                if job.state != "running":
                    continue
                if not _alive(job):
                    state = "cancelled" if job.cancel_asked else "interrupted"
                    error = "" if job.cancel_asked else "The worker process ended without a word."
                    self.write(job.id, state=state, error=error, ended=time.time())
                elif job.cancel_asked and time.time() - job.cancel_asked > GRACE_SECONDS:
                    kill(job.pid)
            busy = {job.device for job in (self.get(job.id) for job in here) if job.state == "running"}
            for job in reversed(here):
                if job.state == "queued" and job.device not in busy:
                    self._start(job)
                    busy.add(job.device)

    def write(self, job_id: int, **values: object) -> None:
        """Set columns of one job."""
        with writing(self._engine, jobs) as connection:
            connection.execute(update(jobs).where(jobs.c.id == job_id).values(values))

    def _start(self, job: Job) -> None:
        log = self.workspace.path / "worker.log"
        with log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "fvm_core.jobs.worker", str(job.id)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                **detached(),
                cwd=Path(__file__).parents[2],
                env={**os.environ, "SALTFLAT_HOME": str(self.workspace.path.resolve())},
            )
        _children.append(child)
        now = time.time()
        try:
            started = psutil.Process(child.pid).create_time()
        except psutil.NoSuchProcess:
            started = now
        self.write(job.id, state="running", pid=child.pid, pid_started=started, started=now, heartbeat=now)

    def _lock(self) -> FileLock:
        return FileLock(self.workspace.path / "jobs.lock", timeout=30)


def _alive(job: Job) -> bool:
    return alive(job.pid, job.pid_started)
