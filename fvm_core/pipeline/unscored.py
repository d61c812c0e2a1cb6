"""Training samples without a percentile, and why: no label, no image, or a class that nobody has checked."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fvm_core.data.dataset import UNKNOWN
from fvm_core.pipeline.context import Context

NO_LABEL = "no label"
NO_IMAGE = "image can't be read"
NO_TRUSTED = "no trusted image of this class"
"""The tuned model has seen none of the class: it speaks against all of its labels, right or wrong."""


def reasons(context: Context) -> np.ndarray:
    """(N,) texts of the training samples, None for those that are ranked; needs the context's inputs."""
    given = np.asarray(context.train.given)
    trusted = np.zeros(len(context.classes) + 1, dtype=bool)
    trusted[context.val.given[np.flatnonzero(context.val_inputs.readable)]] = True
    found = np.full(len(given), None, dtype=object)
    found[~trusted[given]] = NO_TRUSTED
    found[given == UNKNOWN] = NO_LABEL
    found[~np.asarray(context.train_inputs.readable)] = NO_IMAGE
    return found


def write(context: Context, found: np.ndarray) -> None:
    """`unscored.parquet` with `row` and `reason`, where there are any; see `RunFolder.unscored`."""
    rows = np.flatnonzero(found != None)  # noqa: E711  (elementwise)
    if len(rows):
        table = {"row": pa.array(rows, pa.int64()), "reason": pa.array(found[rows], pa.string())}
        context.run.write_table("unscored.parquet", pa.table(table))
    else:
        (context.run.path / "unscored.parquet").unlink(missing_ok=True)
