"""How many samples fit in one pass of the influence engine."""

from __future__ import annotations

import torch

from fvm_core.layers.tapped import TappedModel
from fvm_core.pipeline.context import Context

CPU_BUDGET = 256 * 2**20
"""Bytes per pass on a CPU: more does not make it faster."""


def bytes_per_sample(tapped: TappedModel) -> int:
    """Activations with their gradients, and the largest layer's per-sample gradient and patches."""
    largest = max((tap.floats for tap in tapped.taps.values()), default=0)
    return 4 * (2 * tapped.activation_floats + 2 * largest)


def batch_size(context: Context, tapped: TappedModel) -> int:
    """The batch size from the settings, else the power of two that the memory holds, at most 256."""
    if context.config.score.batch_size:
        return context.config.score.batch_size
    budget = torch.cuda.mem_get_info()[0] // 4 if context.device == "cuda" else CPU_BUDGET
    size = 1
    while size < 256 and 2 * size * bytes_per_sample(tapped) <= budget:
        size *= 2
    return size
