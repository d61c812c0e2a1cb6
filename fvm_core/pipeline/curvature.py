"""Stage: the diagonal empirical Fisher of the validation set at each saved step (24)."""

from __future__ import annotations

from fvm_core.estimators.influence import DiagonalInfluence
from fvm_core.pipeline.batching import batch_size
from fvm_core.pipeline.context import Context, step_name
from fvm_core.pipeline.weights import load_tensors, save_tensors


def curvature(context: Context) -> dict:
    """Saves `curvature/step_*.safetensors`, named and shaped like the parameters."""
    rows = context.val_inputs.usable()
    steps = context.saved_steps()
    leftover: list[str] = []
    for number, step in enumerate(steps):
        path = context.run.path / "curvature" / f"{step_name(step)}.safetensors"
        if path.exists():
            continue
        estimator = estimator_at(context, step)
        leftover = estimator.tapped.leftover
        size = batch_size(context, estimator.tapped)
        done = number * len(rows)

        def counted(size=size, done=done):
            for index, batch in enumerate(context.val_inputs.batches(rows, size)):
                context.progress.update("curvature", done + index * size, len(steps) * len(rows))
                yield batch

        save_tensors(path, estimator.fit(counted()).fisher)
    context.progress.update("curvature", len(steps) * len(rows), len(steps) * len(rows))
    if leftover:
        context.progress.log(
            f"{len(leftover)} parameters have no layer kernel and go through vmap: {', '.join(leftover[:6])}"
            + (" …" if len(leftover) > 6 else "")
        )
    return {"by_vmap": leftover}


def estimator_at(context: Context, step: int) -> DiagonalInfluence:
    """The estimator for the parameters of a saved step, without its Fisher information."""
    example = context.val_inputs.images(context.val_inputs.usable()[:2])
    return DiagonalInfluence(
        context.model_at(step_name(step)),
        example,
        damping=context.config.score.damping,
        damping_kind=context.config.score.damping_kind,
    )


def fitted_at(context: Context, step: int) -> DiagonalInfluence:
    """The same with the Fisher information that the stage has saved."""
    estimator = estimator_at(context, step)
    path = context.run.path / "curvature" / f"{step_name(step)}.safetensors"
    estimator.use_fisher(load_tensors(path, context.device))
    return estimator
