"""What happens once when the server starts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from streamlit import config

from fvm_core.jobs.queue import JobQueue
from fvm_core.workspace import Workspace

ROUTER = Path(__file__).with_name("router.py")


@asynccontextmanager
async def lifespan(_app: object) -> AsyncIterator[None]:
    """Set the state of runs whose worker died while no server was up, and start those that wait.

    `SALTFLAT_ALLOWED_HOSTS` holds names of this machine, besides those in `.streamlit/config.toml`, under
    which a browser may reach it: `saltflat app --host` knows them.
    """
    named = os.environ.get("SALTFLAT_ALLOWED_HOSTS", "").split()
    allowed = {*config.get_option("server.allowedHosts"), *named}
    config.set_option("server.allowedHosts", sorted(allowed))
    JobQueue(Workspace.default()).reconcile()
    yield
