"""Values of all usable samples, chunk by chunk, each kept once it is there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from fvm_core.chunks import ChunkedArrays
from fvm_core.diagonal.batch_size import BatchSize
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.materials import Tell


def fill(
    context: Context,
    arrays: ChunkedArrays,
    judge: Callable[[np.ndarray], dict[str, torch.Tensor | None]],
    tell: Tell,
    at_once: BatchSize,
) -> None:
    """Judge every usable row, chunk by chunk."""
    usable = np.zeros(len(context.rated), dtype=bool)
    usable[context.rated.usable()] = True
    sizes = BatchSize(at_once.size)
    for chunk, rows in arrays.pending():
        places = np.flatnonzero(usable[rows])
        found: dict[str, np.ndarray] = {}
        done = arrays.finished_rows()

        def one(part: slice, rows=rows, places=places, found=found, done=done) -> None:
            tell("scoring", done + part.start, len(context.rated))
            own = places[part]
            for name, values in judge(rows[own]).items():
                if values is None:
                    continue
                empty = np.nan if values.is_floating_point() else -1
                kind = np.float32 if values.is_floating_point() else np.int32
                found.setdefault(name, np.full(len(rows), empty, dtype=kind))[own] = values.cpu().numpy()

        sizes.run(len(places), one)
        arrays.write(chunk, **found)
    tell("scoring", len(context.rated), len(context.rated))
