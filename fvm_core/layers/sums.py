"""Sums over millions of parameters that keep their digits in float32."""

from __future__ import annotations

import torch

PIECE = 2**15
"""Terms that one product adds up. A BLAS adds them in a few running sums: after millions of terms these are
so much larger than the next one that its last digits are lost, all in one direction. The squares of a layer
with 2.4 million weights came out 3e-4 too small in one product; how much is lost depends on the machine."""


def weighted_sums(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """`values @ weights`, (…, N) times (N,), or (B, L, N) times (B, N, 1), in pieces of the N terms."""
    along = 0 if weights.dim() == 1 else -2
    found = None
    for start in range(0, values.shape[-1], PIECE):
        size = min(PIECE, values.shape[-1] - start)
        part = values.narrow(-1, start, size) @ weights.narrow(along, start, size)
        found = part if found is None else found + part
    return values.new_zeros(values.shape[:-1]) if found is None else found
