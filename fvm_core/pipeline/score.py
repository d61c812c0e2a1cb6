"""Stage: influence and loss of every training sample at each saved step (21, 25)."""

from __future__ import annotations

import numpy as np

from fvm_core.pipeline.batching import batch_size
from fvm_core.pipeline.chunks import ChunkedArrays
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.curvature import fitted_at

CHUNK = 1024


def scores_at(context: Context, number: int) -> ChunkedArrays:
    """The arrays `influence` and `loss` (N,) of the saved step of that number."""
    folder = context.run.path / "work" / f"score_{number:03d}"
    columns = {"influence": ("float32", ()), "loss": ("float32", ())}
    return ChunkedArrays(folder, len(context.train), columns, CHUNK)


def score(context: Context) -> dict:
    """Fills `scores_at` for every saved step; rows without image or label stay NaN."""
    steps = context.saved_steps()
    usable = np.zeros(len(context.train), dtype=bool)
    usable[context.train_inputs.usable()] = True
    total = len(steps) * len(context.train)
    damping = []
    for number, step in enumerate(steps):
        arrays = scores_at(context, number)
        estimator = fitted_at(context, step)
        damping.append(estimator.effective_damping())
        size = batch_size(context, estimator.tapped)
        for chunk, rows in arrays.pending():
            influence = np.full(len(rows), np.nan, dtype=np.float32)
            loss = influence.copy()
            places = np.flatnonzero(usable[rows])
            for start in range(0, len(places), size):
                context.progress.update(
                    "score", number * len(context.train) + arrays.finished_rows() + start, total
                )
                part = places[start : start + size]
                inputs = context.train_inputs
                values, losses = estimator.score(inputs.images(rows[part]), inputs.targets(rows[part]))
                influence[part], loss[part] = values.cpu().numpy(), losses.cpu().numpy()
            arrays.write(chunk, influence=influence, loss=loss)
    context.progress.update("score", total, total)
    return {"damping": damping}
