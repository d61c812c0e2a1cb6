"""Progress in a terminal."""

from __future__ import annotations

import signal
import threading

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from fvm_core.errors import Cancelled
from fvm_core.runs.run_folder import RunFolder


class TerminalProgress:
    """A bar per stage; Ctrl-C and SIGTERM stop the run where it can be resumed.

    Args:
        console: where to draw.
        run: its log gets every line; set it once the folder is there.
    """

    def __init__(self, console: Console, run: RunFolder | None = None):
        self.run = run
        self._bars = Progress(
            TextColumn("{task.description:<12}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._stop = threading.Event()

    def __enter__(self) -> TerminalProgress:
        self._bars.start()
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: signal.signal(number, lambda *_: self._stop.set())
                for number in (signal.SIGINT, signal.SIGTERM)
            }
        else:
            self._before = {}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._bars.stop()

    def update(self, stage: str, done: int, total: int) -> None:
        """Move the stage's bar; raises `Cancelled` after Ctrl-C."""
        if stage not in self._tasks:
            self.finish()
            self._tasks[stage] = self._bars.add_task(stage, total=total or None)
        self._bars.update(self._tasks[stage], completed=done, total=total or None)
        if self._stop.is_set():
            raise Cancelled

    def finish(self) -> None:
        """Fill the bars so far: a stage that was left out has told no total."""
        for task in self._bars.tasks:
            if not task.finished:
                self._bars.update(task.id, total=task.total or 1, completed=task.total or 1)

    def log(self, text: str) -> None:
        """Write a line to the run's log."""
        if self.run is not None:
            self.run.log(text)
