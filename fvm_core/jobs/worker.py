"""The process that does one job: `python -m fvm_core.jobs.worker JOB`. It outlives the app."""

from __future__ import annotations

import signal
import sys
import threading
import time
import traceback

from fvm_core.database import DatabaseError
from fvm_core.errors import Cancelled, SaltflatError
from fvm_core.jobs.queue import JobQueue
from fvm_core.pipeline.runner import execute
from fvm_core.runs.run_folder import RunFolder
from fvm_core.workspace import Workspace

WRITE_SECONDS = 0.5
HEARTBEAT_SECONDS = 5
PATIENCE_SECONDS = 120
"""How long the last word of a job waits for a database that is being restarted."""


class JobProgress:
    """Writes progress to the queue at most twice a second, from a thread, and heeds a cancellation."""

    def __init__(self, queue: JobQueue, job_id: int, run: RunFolder):
        self._queue, self._job, self._run = queue, job_id, run
        self.cancelled = threading.Event()
        self._stop = threading.Event()
        self._state = ("", 0, 0)
        self._phase_start = (time.monotonic(), 0)
        self._thread = threading.Thread(target=self._write_on, daemon=True)
        self._thread.start()

    def update(self, stage: str, done: int, total: int) -> None:
        """Note how far the stage is; raises `Cancelled` once a cancellation was asked for."""
        if stage != self._state[0] or self._state[2] == 0:
            self._phase_start = (time.monotonic(), done)
        self._state = (stage, done, total)
        if self.cancelled.is_set():
            raise Cancelled

    def log(self, text: str) -> None:
        """Append to the run's log."""
        self._run.log(text)

    def close(self) -> None:
        """Stop the writing thread."""
        self._stop.set()
        self._thread.join()

    def _write_on(self) -> None:
        written, last = None, 0.0
        while not self._stop.wait(WRITE_SECONDS):
            state = self._state
            if state != written or time.monotonic() - last > HEARTBEAT_SECONDS:
                try:
                    self._write(state)
                    if self._queue.get(self._job).cancel_asked:  # where no signal says so
                        self.cancelled.set()
                except DatabaseError:
                    continue  # it may be restarting; the next look writes what is so then
                written, last = state, time.monotonic()

    def _write(self, state: tuple[str, int, int]) -> None:
        phase, done, total = state
        begun, first = self._phase_start
        seconds = time.monotonic() - begun
        rate = (done - first) / seconds if seconds > 1 else 0.0
        self._queue.write(
            self._job, phase=phase, done=done, total=total, rate=max(rate, 0.0), heartbeat=time.time()
        )


def work(job_id: int, workspace: Workspace) -> str:
    """Do a job and return the state it ended in: `done`, `failed` or `cancelled`."""
    queue = JobQueue(workspace)
    job = queue.get(job_id)
    run = RunFolder.open(job.run_path)
    progress = JobProgress(queue, job_id, run)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: progress.cancelled.set())
    state, error = "done", ""
    try:
        execute(run, progress)
    except Cancelled:
        state = "cancelled"
        run.log("Cancelled. Resume goes on from here.")
    except SaltflatError as known:
        state, error = "failed", str(known)
        run.log(f"Failed: {known}")
    except Exception as unknown:  # the one place where a worker's last words are caught
        state = "failed"
        error = (
            f"{type(unknown).__name__}: {unknown}. This is a fault of Saltflat's or of the machine; "
            "log.txt in the run folder has the details."
        )
        run.log(traceback.format_exc())
    finally:
        progress.close()
    _last_word(queue, job_id, state, error)
    return state


def _last_word(queue: JobQueue, job_id: int, state: str, error: str) -> None:
    """Write how the job ended, also when the database comes back only after a while."""
    begun = time.monotonic()
    while True:
        try:
            return queue.write(job_id, state=state, error=error, ended=time.time())
        except DatabaseError:
            if time.monotonic() - begun > PATIENCE_SECONDS:
                raise
            time.sleep(1)


def main() -> None:
    """Entry of the process: the job's number is the one argument."""
    workspace = Workspace.default()
    state = work(int(sys.argv[1]), workspace)
    JobQueue(workspace).reconcile()
    sys.exit(0 if state == "done" else 1)


if __name__ == "__main__":
    main()
