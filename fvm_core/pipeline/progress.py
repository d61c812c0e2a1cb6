"""How the stages tell what they are doing, and how they are asked to stop."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives what a run is doing. The command line, the worker and tests each bring one."""

    def update(self, stage: str, done: int, total: int) -> None:
        """`done` of `total` units of `stage`; raises `Cancelled` when the run has to stop."""
        ...

    def log(self, text: str) -> None:
        """One line for the person who reads the log."""
        ...


class Silent:
    """Progress that nobody looks at."""

    def update(self, stage: str, done: int, total: int) -> None:
        """Do nothing."""

    def log(self, text: str) -> None:
        """Do nothing."""
