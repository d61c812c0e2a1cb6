"""Vectors in parameter space: one tensor per parameter name, shaped like the parameter."""

from __future__ import annotations

import torch
from torch import nn

Vector = dict[str, torch.Tensor]


def trainable(model: nn.Module) -> Vector:
    """θ: the trainable parameters, detached and sharing memory with the model's."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def dot(left: Vector, right: Vector) -> torch.Tensor:
    """`⟨left, right⟩`, a scalar tensor."""
    return torch.stack([(value * right[name]).sum() for name, value in left.items()]).sum()


def normal(like: Vector, generator: torch.Generator) -> Vector:
    """A draw from N(0, I), the same on every device.

    Args:
        like: names, shapes and places.
        generator: of the CPU.
    """
    return {name: torch.randn(v.shape, generator=generator).to(v) for name, v in like.items()}
