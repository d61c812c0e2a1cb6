"""Stage: influence and loss of every training sample at each saved step (21, 25)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from fvm_core.chunks import ChunkedArrays
from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.diagonal.precision import AGREEMENT, rank_correlation
from fvm_core.diagonal.sensitivity import damping_sensitivity
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.curvature import batch_size, fitted_at

CHUNK = 1024
_SAMPLED = 256
"""Samples that precisions and dampings are compared on."""


def scores_at(context: Context, number: int) -> ChunkedArrays:
    """The arrays `influence` and `loss` of the saved step of that number: (N + Q,), planted samples last."""
    folder = context.run.path / "work" / f"score_{number:03d}"
    columns = {"influence": ("float32", ()), "loss": ("float32", ())}
    return ChunkedArrays(folder, len(context.rated), columns, CHUNK)


def score(context: Context) -> dict:
    """Fills `scores_at` for every saved step; rows without image or label stay NaN.

    Returns:
        By saved step `damping` (as it is added to F; `per_tensor` its mean) and `precision`; and
        `sensitivity`, what other dampings would have made of the last step's ranking.
    """
    steps = context.saved_steps()
    usable = np.zeros(len(context.rated), dtype=bool)
    usable[context.rated.usable()] = True
    total = len(steps) * len(context.rated)
    damping, precisions = [], []
    for number, step in enumerate(steps):
        arrays = scores_at(context, number)
        estimator = _scorer_at(context, step)
        damping.append(estimator.effective_damping())
        precisions.append(estimator.tapped.precision)
        sizes = batch_size(context, estimator)
        for chunk, rows in arrays.pending():
            found = np.full((2, len(rows)), np.nan, dtype=np.float32)
            places = np.flatnonzero(usable[rows])
            done = number * len(context.rated) + arrays.finished_rows()

            def one(part, estimator=estimator, rows=rows, places=places, done=done, found=found) -> None:
                context.progress.update("score", done + part.start, total)
                own, inputs = places[part], context.rated
                both = estimator.score(inputs.images(rows[own]), inputs.targets(rows[own]))
                found[:, own] = torch.stack(both).cpu().numpy()

            sizes.run(len(places), one)
            arrays.write(chunk, influence=found[0], loss=found[1])
    context.progress.update("score", total, total)
    return {"damping": damping, "precision": precisions, "sensitivity": _sensitivity(context)}


def _scorer_at(context: Context, step: int) -> DiagonalInfluence:
    """The estimator of a saved step in the precision of the settings, where that ranks as fp32 does."""
    estimator = fitted_at(context, step)
    if context.config.score.precision == "fp32":
        return estimator
    lower = fitted_at(context, step, context.config.score.precision)
    found = rank_correlation(estimator, lower, _sampled(context))
    if found >= AGREEMENT:
        return lower
    context.progress.log(
        f"Step {step}: bf16 ranks {_SAMPLED} samples otherwise than fp32 (Spearman {found:.4f}, needed are "
        f"{AGREEMENT}), so this step is scored in fp32."
    )
    return estimator


def _sampled(context: Context) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of a few samples from all over the training set, always the same."""
    rows, total = context.train_inputs.usable(), len(context.rated)
    rows = rows[np.linspace(0, len(rows) - 1, min(_SAMPLED, len(rows))).astype(int)]
    for start in range(0, len(rows), 32):
        context.progress.update("score", total, total)  # raises where the run is to stop
        part = rows[start : start + 32]
        yield context.train_inputs.images(part), context.train_inputs.targets(part)


def _sensitivity(context: Context) -> dict:
    found = damping_sensitivity(fitted_at(context, context.saved_steps()[-1]), _sampled(context))
    return {
        "samples": found.scores.shape[1],
        "factors": list(found.factors),
        "damping": found.damping.tolist(),
        "correlation": [None if np.isnan(value) else float(value) for value in found.correlation],
        "overlap": found.overlap.tolist(),
    }
