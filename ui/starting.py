"""Put a run into the queue, from a screen."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import replace

from fvm_core import device
from fvm_core.access import places
from fvm_core.config import RunConfig
from fvm_core.data.dataset import ImageDataset
from fvm_core.errors import SaltflatError
from fvm_core.jobs.queue import JobQueue
from fvm_core.pipeline.preflight import checked
from fvm_core.pipeline.prepare import open_data
from fvm_core.runs.run_folder import RunFolder
from ui import catalog, identity, run_settings


def start(
    config: RunConfig,
    stages: dict[str, float] | None = None,
    data: tuple[ImageDataset, ImageDataset] | None = None,
) -> str:
    """Check data and settings, make a run folder, queue the run, and return its key for the address bar.

    Args:
        config: the settings.
        stages: estimated seconds by stage, from which the Run screen tells the time left.
        data: training and validation set, where they are open already.

    Raises:
        SaltflatError: data or settings with which no run makes sense, or a queue that can't be written; then
            there is no folder.
        OSError: a full disk; then there is no folder either.
    """
    identity.need_owner("start runs")
    config = _within_reach(config)
    home = catalog.workspace()
    computes_on = device.resolve(config.device)
    config = checked(config, *(data or open_data(config)))
    path = home.new_run_folder(config.name)
    run = RunFolder.create(path, config, estimate=stages)
    try:
        JobQueue(home).submit(run, computes_on)
    except (SaltflatError, OSError):
        _take_back(run)
        raise
    return path.name


def _take_back(run: RunFolder) -> None:
    """Remove the folder of a run that did not get into the queue: the next press makes another one."""
    with suppress(SaltflatError, OSError):
        if JobQueue(catalog.workspace()).latest(run.path) is None:
            shutil.rmtree(run.path)


def resume(run: RunFolder) -> None:
    """Queue an unfinished run again; its finished stages are kept."""
    identity.need_owner("start runs")
    JobQueue(catalog.workspace()).submit(run, device.resolve(run.config.device))


def _within_reach(config: RunConfig) -> RunConfig:
    """The settings with whole paths that the screens may read; raises `SaltflatError` for others."""
    specs = {
        name: replace(spec, source=places.allowed_source(spec.source))
        for name, spec in (("train_data", config.train_data), ("val_data", config.val_data))
    }
    return replace(config, **specs, model=run_settings.within_reach(config.model))
