"""A worker's process and those that it starts, on any system."""

from __future__ import annotations

import contextlib
import os
import subprocess

import psutil


def detached() -> dict[str, object]:
    """What `subprocess.Popen` is told so that a process outlives the one that starts it."""
    if os.name == "posix":
        return {"start_new_session": True}
    return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}


def alive(pid: int | None, started: float | None) -> bool:
    """Whether a process still runs; its start time tells it from a later one of the same number."""
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - (started or 0)) < 2
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def ask_to_end(pid: int) -> None:
    """SIGTERM, which a worker takes for a cancellation; nothing on Windows, where it would be a kill: a
    worker looks into the queue too.
    """
    if os.name == "posix":
        with contextlib.suppress(psutil.NoSuchProcess):  # it may end in between
            psutil.Process(pid).terminate()


def kill(pid: int) -> None:
    """End a process and all that it has started, at once."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for one in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
