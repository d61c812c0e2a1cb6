"""The fixed networks and data on which other libraries are asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

CLASSES = 4


@dataclass
class Case:
    """Two networks in evaluation mode, and labelled images (N, 2, 7, 7) to train and to validate with."""

    plain: nn.Module
    normed: nn.Module
    images: torch.Tensor
    labels: torch.Tensor
    val_images: torch.Tensor
    val_labels: torch.Tensor


def plain_net() -> nn.Module:
    """Only layers that every library knows."""
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(4 * 9, CLASSES),
    ).eval()


def normed_net() -> nn.Module:
    """The same with BatchNorm, which only some of them know."""
    plain = list(plain_net())
    return nn.Sequential(plain[0], nn.BatchNorm2d(3), *plain[1:]).eval()


def drawn_case() -> Case:
    """The case that the golden file was made from; drawn by NumPy in float64."""
    rng = np.random.default_rng(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal(shape)).float()

    case = Case(
        plain_net(),
        normed_net(),
        images=drawn(5, 2, 7, 7),
        labels=torch.tensor([0, 3, 1, 1, 2]),
        val_images=drawn(12, 2, 7, 7),
        val_labels=torch.arange(12) % CLASSES,
    )
    for model in (case.plain, case.normed):
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                noise = drawn(*value.shape)
                positive = name.endswith("running_var") or (name.endswith("weight") and value.dim() == 1)
                # Small enough to keep the softmax away from 0 and 1.
                value.copy_(noise.abs() + 0.5 if positive else 0.3 * noise)
    return case
