"""Run the stages in their order, each once, and go on where an earlier attempt stopped."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import nn

from fvm_core.allocator import keep_freed_memory
from fvm_core.config import RunConfig
from fvm_core.data import load_dataset
from fvm_core.data.dataset import DatasetSpec, ImageDataset
from fvm_core.data.problems import align_classes
from fvm_core.device import make_repeatable, peak_memory, resolve
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.compare import compare
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.curvature import curvature
from fvm_core.pipeline.embed import embed
from fvm_core.pipeline.prepare import open_data, open_inputs, prepare
from fvm_core.pipeline.progress import Progress, Silent
from fvm_core.pipeline.relabel import relabel
from fvm_core.pipeline.run_folder import RunFolder
from fvm_core.pipeline.score import score
from fvm_core.pipeline.train import train
from fvm_core.pipeline.tune import tune

_STAGES: dict[str, Callable[[Context], dict]] = {
    "prepare": prepare,
    "train": train,
    "tune": tune,
    "curvature": curvature,
    "score": score,
    "relabel": relabel,
    "compare": compare,
    "embed": embed,
}


def execute(
    run: RunFolder,
    progress: Progress | None = None,
    *,
    data: tuple[ImageDataset, ImageDataset] | None = None,
    model: nn.Module | None = None,
) -> RunFolder:
    """Do every stage of a run that is not done yet.

    Args:
        run: a run folder with its settings.
        progress: told what happens; its `Cancelled` leaves the folder ready to be resumed.
        data: training and validation set, for data that exists only in Python.
        model: a module that takes the place of the settings' model.

    Raises:
        SaltflatError: bad data or settings, data that changed since the run began, or another process
            works on the same folder.
        Cancelled: `progress` asked for it.
    """
    progress = progress or Silent()
    try:
        with FileLock(run.path / ".lock", timeout=0):
            _execute(run, progress, data, model)
    except Timeout:
        raise SaltflatError(f"Another process is working on {run.path}. Wait for it or cancel it.") from None
    return run


def _execute(
    run: RunFolder,
    progress: Progress,
    data: tuple[ImageDataset, ImageDataset] | None,
    model: nn.Module | None,
) -> None:
    if run.finished:
        progress.log("Everything is done already.")
        return
    config = run.config
    device = resolve(config.device)
    make_repeatable(device)
    keep_freed_memory()
    progress.log(f"Opening {config.train_data.source} and {config.val_data.source} on {device}.")
    train_set, val_set = data or open_data(config)
    _check_fingerprint(run, train_set, val_set)
    run.update(versions=_versions(), device=device)
    context = Context(run, config, train_set, val_set, device, progress, model)
    if run.done("prepare"):
        open_inputs(context)
    for stage, work in _STAGES.items():
        if run.done(stage):
            continue
        progress.log(f"Stage {stage} starts.")
        progress.update(stage, 0, 0)
        before, begun = run.spent(stage), time.monotonic()
        try:
            details = work(context)
        finally:
            if device == "cuda":
                torch.cuda.synchronize()
            seconds = before + time.monotonic() - begun
            run.spend(stage, seconds)
        run.update(peak_memory_bytes=max(run.info.get("peak_memory_bytes", 0), peak_memory(device)))
        run.finish(stage, seconds, **details)
        progress.log(f"Stage {stage} is done after {seconds:.1f} s.")
    # Decoded pixels and half-finished arrays: everything of value is in the result files now.
    shutil.rmtree(run.path / "work", ignore_errors=True)


def _check_fingerprint(run: RunFolder, train_set: ImageDataset, val_set: ImageDataset) -> None:
    found = {
        "train": {"name": train_set.name, "samples": len(train_set), "fingerprint": train_set.fingerprint()},
        "val": {"name": val_set.name, "samples": len(val_set), "fingerprint": val_set.fingerprint()},
    }
    before = run.info.get("data")
    if before is None:
        run.update(data=found)
        return
    for where, words in (("train", "training"), ("val", "validation")):
        if before[where]["fingerprint"] != found[where]["fingerprint"]:
            raise SaltflatError(
                f"The {words} data of {run.name} has changed since the run began "
                f"({before[where]['samples']:,} samples then, {found[where]['samples']:,} now). "
                f"Put it back, or start a new run."
            )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "threads": str(torch.get_num_threads())}
    for package in ("saltflat", "torch", "torchvision", "numpy", "scikit-learn", "umap-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def start(
    train_set: ImageDataset | str | Path,
    val_set: ImageDataset | str | Path,
    *,
    out: str | Path,
    model: str | nn.Module | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    **options: object,
) -> RunFolder:
    """Run everything from Python: `fvm.run(train, val, model="resnet18", solver="sam", out="runs/first")`.

    Args:
        train_set: a dataset from `load_dataset`, or what it takes.
        val_set: the clean validation set, likewise.
        out: the run folder.
        model: a name, or any `torch.nn.Module` that gives logits (B, K); None goes by the image size.
            With a module and no `epochs` its weights are taken as θ*.
        resume: go on with a run that is in `out`.
        progress: see `Progress`.
        **options: any option of the command line, such as `epochs`, `gamma`, `steps`, `damping`, `seed`.

    Returns:
        The finished run.

    Raises:
        SaltflatError: see `execute`.
    """
    if not isinstance(train_set, ImageDataset):
        train_set = load_dataset(train_set, split="train")
    if not isinstance(val_set, ImageDataset):
        val_set = load_dataset(val_set, split="val")
    module = model if isinstance(model, nn.Module) else None
    if module is not None:
        options = {"epochs": 0, **options, "model": type(module).__name__}
    elif model is not None:
        options["model"] = model
    config = RunConfig.from_options(_spec(train_set), _spec(val_set), options)
    run = RunFolder(out)
    if not (resume and run.exists()):
        run = RunFolder.create(out, config)
    return execute(run, progress, data=align_classes(train_set, val_set), model=module)


def _spec(dataset: ImageDataset) -> DatasetSpec:
    return dataset.spec or DatasetSpec(source=f"python:{dataset.name}")
