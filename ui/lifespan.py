"""What happens once when the server starts."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from streamlit import config

from fvm_core.access import rules as access_rules
from fvm_core.atomic import sweep
from fvm_core.jobs.queue import JobQueue
from fvm_core.workspace import Workspace
from ui.gate import origins

ROUTER = Path(__file__).with_name("router.py")


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Set the state of runs whose worker died while no server was up, and start those that wait.

    Streamlit looks at the Host of its WebSocket too; it is told the names that the door lets in.
    """
    workspace = Workspace.default()
    rules = access_rules.read(workspace)
    config.set_option("server.allowedHosts", sorted(origins.allowed_hosts(rules.hosts)))
    config.set_option("client.allowedOrigins", [])
    for folder in (workspace.cache, workspace.datasets):
        sweep(folder)
    JobQueue(workspace).reconcile()
    # Streamlit turns uvicorn's log of addresses on again; they hold what OIDC providers send.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    yield
