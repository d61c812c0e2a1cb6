"""What happens once when the server starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fvm_core.jobs.queue import JobQueue
from fvm_core.workspace import Workspace

ROUTER = Path(__file__).with_name("router.py")


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Set the state of runs whose worker died while no server was up, and start those that wait."""
    JobQueue(Workspace.default()).reconcile()
    yield
