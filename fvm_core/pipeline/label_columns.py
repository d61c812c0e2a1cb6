"""What a cross-fitted score knows of labels beside its suggestion, for the review."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fvm_core.estimators import Estimator
from fvm_core.pipeline.context import Context


def label_columns(context: Context, kind: type[Estimator], labels: np.ndarray) -> dict[str, pa.Array] | None:
    """`p_given`, `p_suggested` and `alternatives` (most probable first) of the training samples.

    None of estimators that are not given the probabilities of the stage `crossfit`.

    Args:
        context: the run.
        kind: the estimator.
        labels: (N + Q,) class indices that it suggests, −1 for none.
    """
    if "cross_fitted" not in kind.needs:
        return None
    found = context.run.crossfit_probabilities()
    assert found is not None  # the estimator was given them
    count, best = len(context.train), min(context.config.score.alternatives, len(context.classes))
    p_given, p_suggested = (np.full(count, np.nan, dtype=np.float32) for _ in range(2))
    first = np.full((count, best), -1, dtype=np.int64)
    probability = np.full((count, best), np.nan, dtype=np.float32)
    given, suggested = context.train.given, np.asarray(labels[:count])
    for start in range(0, count, 4096):
        part = np.asarray(found[start : min(start + 4096, count)])
        rows = np.flatnonzero(np.isfinite(part).all(1))
        own = start + rows
        order = np.argsort(-part[rows], axis=1, kind="stable")[:, :best]
        first[own], probability[own] = order, np.take_along_axis(part[rows], order, 1)
        p_given[own] = part[rows, given[own]]
        p_suggested[own] = part[rows, suggested[own]]
    names = np.array([*context.classes, None], dtype=object)
    there = first >= 0
    inner = pa.StructArray.from_arrays(
        [
            pa.array(names[first[there]], pa.string()),
            pa.nulls(int(there.sum()), pa.float32()),
            pa.array(probability[there]),
        ],
        ["label", "influence", "probability"],
    )
    offsets = np.concatenate([[0], np.cumsum(there.sum(1))]).astype(np.int32)
    return {
        "p_given": pa.array(p_given, from_pandas=True),
        "p_suggested": pa.array(p_suggested, from_pandas=True),
        "alternatives": pa.ListArray.from_arrays(pa.array(offsets), inner),
    }
