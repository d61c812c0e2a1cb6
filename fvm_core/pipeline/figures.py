"""Scores over training epochs and tuning steps: what the paper's figures 2 and 3 are drawn from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from fvm_core.atomic import replacing
from fvm_core.comparison.results import descriptions, read_result
from fvm_core.diagonal.batch_size import BatchSize
from fvm_core.estimators import Estimator
from fvm_core.estimators.lissa import LiSSAInfluence
from fvm_core.estimators.materials import Checkpoint
from fvm_core.estimators.tracin import TracIn
from fvm_core.estimators.tuned_standard_influence import TunedStandardInfluence
from fvm_core.pipeline.context import Context, step_name
from fvm_core.pipeline.materials import Tell, checkpoint_path, kept_checkpoints
from fvm_core.pipeline.train import epoch_name
from fvm_core.pipeline.weights import load_tensors

FIGURES = "figures"
"""Folder of the tables, and what the stage calls this work."""

Fit = Callable[[Context, Estimator, Tell], Estimator]


def figures(context: Context, work: Path, tell: Tell, fit: Fit, at_once: BatchSize) -> None:
    """Write `figures/epochs.parquet` and `figures/steps.parquet`, large = suspicious.

    `epochs` has `epoch, estimator (lissa, tracin), title, val_accuracy, suspicion, planted`: standard
    influence with LiSSA, and TracIn with that one checkpoint, at every kept epoch. `steps` has `step,
    suspicion, planted`: the standard influence with diagonal curvature at every saved tuning step.
    `suspicion` is a list of N values, `planted` one of Q. Every point is kept in `work` once it is there.
    """
    folder = context.run.path / FIGURES
    folder.mkdir(exist_ok=True)
    if not (folder / "epochs.parquet").exists() and kept_checkpoints(context):
        context.run.write_table(f"{FIGURES}/epochs.parquet", _over_epochs(context, work, tell, fit, at_once))
    if not (folder / "steps.parquet").exists():
        context.run.write_table(f"{FIGURES}/steps.parquet", _over_steps(context, work, tell, fit, at_once))


def _over_epochs(context: Context, work: Path, tell: Tell, fit: Fit, at_once: BatchSize) -> pa.Table:
    kept, accuracy = kept_checkpoints(context), context.run.training().set_index("epoch")["val_accuracy"]
    finished = {one.name: one for one in descriptions(context.run.path)}
    rows = []
    for number, epoch in enumerate(kept):
        for place, (name, kind) in enumerate((("lissa", LiSSAInfluence), ("tracin", TracIn))):

            def tell_point(done: int, total: int, at: int = 2 * number + place) -> None:
                tell("epochs", at * 1000 + round(1000 * done / max(1, total)), 2000 * len(kept))

            values = _shared(context, name, epoch, finished)
            if values is None:
                values = _point(
                    context,
                    work / f"{name}_{epoch}.npy",
                    lambda name=name, epoch=epoch: _at_epoch(context, name, epoch),
                    tell_point,
                    fit,
                    at_once,
                )
            rows.append((epoch, name, kind.title, float(accuracy[epoch]), values))
    count = len(context.train)
    return pa.table(
        {
            "epoch": pa.array([row[0] for row in rows], pa.int32()),
            "estimator": pa.array([row[1] for row in rows]),
            "title": pa.array([row[2] for row in rows]),
            "val_accuracy": pa.array([row[3] for row in rows]),
            **_lists([row[4] for row in rows], count),
        }
    )


def _over_steps(context: Context, work: Path, tell: Tell, fit: Fit, at_once: BatchSize) -> pa.Table:
    steps, found = context.saved_steps(), []
    options = TunedStandardInfluence.options(context.config)
    for number, step in enumerate(steps):

        def tell_point(done: int, total: int, at: int = number) -> None:
            tell("steps", at * 1000 + round(1000 * done / max(1, total)), 1000 * len(steps))

        def make(step: int = step) -> Estimator:
            return TunedStandardInfluence(context.model_at(step_name(step)), **options)

        found.append(_point(context, work / f"step_{step}.npy", make, tell_point, fit, at_once))
    return pa.table({"step": pa.array(steps, pa.int32()), **_lists(found, len(context.train))})


def _at_epoch(context: Context, name: str, epoch: int) -> Estimator:
    if name == "lissa":
        return LiSSAInfluence(context.model_at(epoch_name(epoch)), **LiSSAInfluence.options(context.config))
    state = load_tensors(checkpoint_path(context, epoch), context.device)
    # One checkpoint's learning rate is a factor for all samples, which no ranking notices.
    return TracIn(context.model_at("theta_star"), [Checkpoint(state, 1.0)])


def _shared(context: Context, name: str, epoch: int, finished: dict) -> np.ndarray | None:
    """What the comparison has computed for the same checkpoint already."""
    if name != "lissa":
        return None
    same = {"lissa": context.config.train.epochs}
    if "lissa_best" in finished:
        same["lissa_best"] = finished["lissa_best"].settings.get("epoch")
    for one, at in same.items():
        if one in finished and at == epoch:
            planted = [np.nan if value is None else value for value in finished[one].planted]
            return np.concatenate([read_result(context.run.path, one)["suspicion"].to_numpy(), planted])
    return None


def _point(
    context: Context,
    path: Path,
    make: Callable[[], Estimator],
    tell: Callable[[int, int], None],
    fit: Fit,
    at_once: BatchSize,
) -> np.ndarray:
    """Suspicion (N + Q,) by one estimator, from `path` if it is there."""
    if path.exists():
        return np.load(path)
    estimator = fit(context, make(), lambda _phase, _done, _total: tell(0, 1))
    found = np.full(len(context.rated), np.nan, dtype=np.float32)
    rows = context.rated.usable()

    def one(part: slice) -> None:
        tell(part.start, len(rows))
        own = rows[part]
        values = estimator.score(context.rated.images(own), context.rated.targets(own))
        found[own] = estimator.suspicion(values).float().cpu().numpy()

    BatchSize(at_once.size).run(len(rows), one)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, found)
    return found


def _lists(values: list[np.ndarray], count: int) -> dict[str, pa.Array]:
    kind = pa.large_list(pa.float32())
    parts = {"suspicion": slice(0, count), "planted": slice(count, None)}
    return {
        name: pa.array([np.asarray(one[part], dtype=np.float32) for one in values], kind)
        for name, part in parts.items()
    }
