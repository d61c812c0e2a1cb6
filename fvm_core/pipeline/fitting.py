"""The fit of an estimator on a run's samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from fvm_core.estimators import Estimator
from fvm_core.estimators.costs import BATCH
from fvm_core.out_of_memory import is_out_of_memory
from fvm_core.pipeline.context import Context
from fvm_core.pipeline.inputs import Samples
from fvm_core.pipeline.materials import Tell

_STREAM = 6


class RowBatches:
    """Batches of some rows, always the same.

    Args:
        samples: where images and labels come from; rows: which, in this order; size: of a batch.
    """

    def __init__(self, samples: Samples, rows: np.ndarray, size: int):
        self._samples, self._rows, self._size = samples, rows, size

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return iter(self._samples.batches(self._rows, self._size))

    def __len__(self) -> int:
        return -(-len(self._rows) // self._size)


def fitted(context: Context, estimator: Estimator, tell: Tell) -> Estimator:
    """The estimator after `fit` on the rated samples in random order and the validation set."""
    rng = np.random.default_rng([context.config.seed, _STREAM])
    rows, size = rng.permutation(context.rated.usable()), BATCH
    while True:
        training = RowBatches(context.rated, rows, size)
        validation = RowBatches(context.val_inputs, context.val_inputs.usable(), size)
        try:
            return estimator.fit(training, validation, progress=tell)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or size == 1:
                raise
        size //= 2
        context.progress.log(f"{estimator.title} ran out of memory; it goes on with {size} samples at once.")
        if context.device == "cuda":
            torch.cuda.empty_cache()
