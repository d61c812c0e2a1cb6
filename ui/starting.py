"""Put a run into the queue, from a screen."""

from __future__ import annotations

from fvm_core import device
from fvm_core.config import RunConfig
from fvm_core.jobs.queue import JobQueue
from fvm_core.pipeline.run_folder import RunFolder
from ui import catalog


def start(config: RunConfig, stages: dict[str, float] | None = None) -> str:
    """Make a run folder in the workspace, queue it, and return the run's key for the address bar.

    `stages` are the estimated seconds by stage, from which the Run screen tells the time left.
    """
    home = catalog.workspace()
    computes_on = device.resolve(config.device)  # first: a device that is missing must leave no folder
    path = home.new_run_folder(config.name)
    run = RunFolder.create(path, config)
    if stages:
        run.update(estimate=stages)
    JobQueue(home).submit(run, computes_on)
    return path.name


def resume(run: RunFolder) -> None:
    """Queue an unfinished run again; its finished stages are kept."""
    JobQueue(catalog.workspace()).submit(run, device.resolve(run.config.device))
