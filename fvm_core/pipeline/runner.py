"""Run the stages in their order, each once, and go on where an earlier attempt stopped."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fvm_core.allocator import keep_freed_memory
from fvm_core.atomic import sweep
from fvm_core.config import RunConfig
from fvm_core.data import load_dataset, open_spec
from fvm_core.data.conversion_choice import converted
from fvm_core.data.dataset import DatasetSpec, ImageDataset
from fvm_core.data.options import TRAINING, VALIDATION, shared_columns, taken
from fvm_core.data.problems import align_classes
from fvm_core.data.subset import limited
from fvm_core.device import make_repeatable, peak_memory, resolve
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.compare import compare
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.crossfit_stage import crossfit
from fvm_core.pipeline.curvature import curvature
from fvm_core.pipeline.data_changes import PYTHON, difference, identity
from fvm_core.pipeline.embed import embed
from fvm_core.pipeline.feature_stage import features, open_features
from fvm_core.pipeline.preflight import checked
from fvm_core.pipeline.prepare import open_data, open_inputs, prepare
from fvm_core.pipeline.progress import Progress, Silent
from fvm_core.pipeline.relabel import relabel
from fvm_core.pipeline.score import score
from fvm_core.pipeline.select import select_model
from fvm_core.pipeline.train import train
from fvm_core.pipeline.tune import tune
from fvm_core.remembered import remember_run
from fvm_core.runs import checksums
from fvm_core.runs.run_folder import RunFolder
from fvm_core.runs.stage_files import done_stages
from fvm_core.workspace import Workspace

_STAGES: dict[str, Callable[[Context], dict]] = {
    "prepare": prepare,
    "features": features,
    "select": select_model,
    "train": train,
    "tune": tune,
    "curvature": curvature,
    "score": score,
    "relabel": relabel,
    "crossfit": crossfit,
    "compare": compare,
    "embed": embed,
}


def execute(
    run: RunFolder,
    progress: Progress | None = None,
    *,
    data: tuple[ImageDataset, ImageDataset] | None = None,
    model: nn.Module | None = None,
    features: tuple[np.ndarray, np.ndarray] | None = None,
) -> RunFolder:
    """Do every stage of a run that is not done yet.

    Args:
        run: a run folder with its settings.
        progress: told what happens; its `Cancelled` leaves the folder ready to be resumed.
        data: training and validation set, for data that exists only in Python.
        model: a module that takes the place of the settings' model.
        features: embeddings (N, D) and (M, D) of both sets, in place of a backbone's.

    Raises:
        SaltflatError: bad data or settings, data that changed since the run began, or another process
            works on the same folder.
        Cancelled: `progress` asked for it.
    """
    progress = progress or Silent()
    with run.locked():
        sweep(run.path)
        _execute(run, progress, data, model, features)
    return run


def _execute(
    run: RunFolder,
    progress: Progress,
    data: tuple[ImageDataset, ImageDataset] | None,
    model: nn.Module | None,
    given_features: tuple[np.ndarray, np.ndarray] | None,
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
    train_set = converted(train_set, config.train_data.conversion)
    val_set = converted(val_set, config.val_data.conversion)
    _check_fingerprint(run, train_set, val_set)
    run.update(versions=_versions(), device=device)
    if config.model.features == PYTHON and given_features is None:
        raise SaltflatError(
            "This run's features were arrays in Python: go on with it from there, with the same `features`."
        )
    context = Context(run, config, train_set, val_set, device, progress, model, given_features)
    if run.done("prepare"):
        _open(context)
    for stage, work in _STAGES.items():
        if stage in done_stages(run.info["stages"]):
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
        checksums.note(run.path, stage)
        run.update(peak_memory_bytes=max(run.info.get("peak_memory_bytes", 0), peak_memory(device)))
        run.finish(stage, seconds, **details)
        if stage == "prepare":
            _open(context)
        progress.log(f"Stage {stage} is done after {seconds:.1f} s.")
    # Decoded pixels and half-finished arrays: everything of value is in the result files now.
    shutil.rmtree(run.path / "work", ignore_errors=True)


def _open(context: Context) -> None:
    """What an earlier attempt, or the stage before, has prepared."""
    if context.config.model.on_features:
        if context.run.done("features"):
            open_features(context)
    elif not hasattr(context, "train_inputs"):
        open_inputs(context)


def _check_fingerprint(run: RunFolder, train_set: ImageDataset, val_set: ImageDataset) -> None:
    if run.info.get("data") is None:
        run.update(data=identity(train_set, val_set))
        return
    changed = difference(run, train_set, val_set)
    if changed:
        raise SaltflatError(f"{changed} Put it back, or start a new run.")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "threads": str(torch.get_num_threads())}
    for package in ("saltflat", "torch", "torchvision", "timm", "numpy", "scikit-learn", "umap-learn"):
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
    features: str | Path | tuple[np.ndarray, np.ndarray] | None = None,
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
        features: embeddings made elsewhere, in place of a backbone: arrays (N, D) and (M, D) of both sets in
            their order, or a file as `--features` takes it.
        **options: any option of the command line, such as `epochs`, `gamma`, `steps`, `damping`, `seed`,
            `limit`, `val_limit`; those that say how data is read, such as `label_column`, where it is given
            as a path.

    Returns:
        The finished run.

    Raises:
        SaltflatError: an option that does not exist, or says how data is to be read that is open already;
            else see `execute`.
    """
    run = RunFolder(out)
    of_train, of_val = taken(options, TRAINING), taken(options, VALIDATION)
    if not isinstance(val_set, ImageDataset):
        of_val = {**shared_columns(of_train, val_set), **of_val}
    train_set = _opened(train_set, "train", of_train)
    val_set = _opened(val_set, "val", of_val)
    options = {name: value for name, value in options.items() if name not in {*TRAINING, *VALIDATION}}
    module = model if isinstance(model, nn.Module) else None
    if module is not None:
        options = {"epochs": 0, **options, "model": type(module).__name__}
    elif model is not None:
        options["model"] = model
    arrays = features if isinstance(features, tuple) else None
    if features is not None:
        options["features"] = PYTHON if arrays is not None else str(features)
    config = RunConfig.from_options(_spec(train_set), _spec(val_set), options)
    if not (resume and run.exists()):
        run.refuse_used()
        config = checked(config, train_set, val_set, own_model=module is not None)
        run = RunFolder.create(out, config)
        register(run, progress)
    return execute(run, progress, data=align_classes(train_set, val_set), model=module, features=arrays)


def _opened(data: ImageDataset | str | Path, split: str, values: dict) -> ImageDataset:
    """A dataset, read as the options say; of one that is open only `limit` can be followed."""
    if not isinstance(data, ImageDataset):
        return load_dataset(data, **{"split": split, **values})
    limit = values.pop("limit", None)
    if values:
        raise SaltflatError(
            f"The {split} set is open already, so `{next(iter(values))}` comes too late: give it to "
            "load_dataset, or give the path."
        )
    if limit is None or limit >= len(data):
        return data
    if data.spec is not None and data.spec.limit is None:
        return open_spec(replace(data.spec, limit=limit))  # so that a resumed run finds the same rows
    return replace(limited(data, limit, seed=0), spec=None)


def register(run: RunFolder, progress: Progress | None = None) -> str | None:
    """Have the app list a run, wherever it is; returns why that can't be, None where it is done.

    A machine without a workspace that can be written is no reason to compute nothing.
    """
    try:
        remember_run(Workspace.default(), run.path)
    except SaltflatError as error:
        reason = f"The run is not in the app's list: {error}"
        (progress or Silent()).log(reason)
        return reason
    return None


def _spec(dataset: ImageDataset) -> DatasetSpec:
    return dataset.spec or DatasetSpec(source=f"{PYTHON}{dataset.name}")
