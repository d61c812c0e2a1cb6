"""Stage: the diagonal empirical Fisher of the validation set at each saved step (24)."""

from __future__ import annotations

import torch

from fvm_core.diagonal.batch_size import BatchSize
from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.pipeline.context import Context, step_name
from fvm_core.pipeline.weights import load_tensors, save_tensors


def curvature(context: Context) -> dict:
    """Saves `curvature/step_*.safetensors`, named and shaped like the parameters."""
    rows = context.val_inputs.usable()
    steps = context.saved_steps()
    total = len(steps) * len(rows)
    leftover: list[str] = []
    for number, step in enumerate(steps):
        path = context.run.path / "curvature" / f"{step_name(step)}.safetensors"
        if path.exists():
            continue
        estimator = estimator_at(context, step)
        leftover = estimator.tapped.leftover

        def add(part: slice, estimator=estimator, number=number) -> None:
            context.progress.update("curvature", number * len(rows) + part.start, total)
            images, labels = context.val_inputs.images(rows[part]), context.val_inputs.targets(rows[part])
            estimator.add(images, labels)

        batch_size(context, estimator).run(len(rows), add)
        save_tensors(path, estimator.finish().fisher)
    context.progress.update("curvature", total, total)
    if leftover:
        context.progress.log(
            f"{len(leftover)} parameters have no layer kernel and go through vmap: {', '.join(leftover[:6])}"
            + (" …" if len(leftover) > 6 else "")
        )
    return {"by_vmap": leftover}


def estimator_at(context: Context, step: int, precision: str = "fp32") -> DiagonalInfluence:
    """The estimator for the parameters of a saved step, without its Fisher information."""
    example = context.val_inputs.images(context.val_inputs.usable()[:2])
    return DiagonalInfluence(
        context.model_at(step_name(step)),
        example,
        damping=context.config.score.damping,
        damping_kind=context.config.score.damping_kind,
        precision=precision,
    )


def fitted_at(context: Context, step: int, precision: str = "fp32") -> DiagonalInfluence:
    """The same with the Fisher information that the stage has saved."""
    estimator = estimator_at(context, step, precision)
    path = context.run.path / "curvature" / f"{step_name(step)}.safetensors"
    estimator.use_fisher(load_tensors(path, context.device))
    return estimator


def batch_size(context: Context, estimator: DiagonalInfluence) -> BatchSize:
    """From the settings, else what the free memory holds."""
    given = context.config.score.batch_size
    return BatchSize(given) if given else BatchSize.found(estimator.tapped, torch.device(context.device))
