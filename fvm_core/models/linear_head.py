"""A linear classifier on features that were computed before."""

from __future__ import annotations

import torch
from torch import nn


class Standardise(nn.Module):
    """`(x − mean) / std` by feature; both are part of the state, so that a head brings its scale along."""

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, D) to (B, D)."""
        return (features - self.mean) / self.std


class Head(nn.Module):
    """Logits (B, K) of features (B, D): standardised, then one linear layer, zero at first.

    A softmax of a linear layer has one minimum, so zeros are as good a start as any, and the same for all
    seeds.

    Args:
        width: D.
        num_classes: K.
    """

    def __init__(self, width: int, num_classes: int):
        super().__init__()
        self.standardise = Standardise(width)
        self.linear = nn.Linear(width, num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (B, K)."""
        return self.linear(self.standardise(features))
