"""Models and data that several tests share."""

import copy
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.config import RunConfig, TrainConfig, TuneConfig
from fvm_core.data import DatasetSpec, load_dataset
from fvm_core.data.pixels import Pixels


def small_bn_cnn(classes: int = 10) -> nn.Module:
    """A CNN with BatchNorm whose running statistics are not the initial ones, in evaluation mode."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(12 * 16, 16),
        nn.ReLU(),
        nn.Linear(16, classes),
    )
    images, labels = digits(128, split="val")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(25):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    return model.eval()


class Mixed(nn.Module):
    """Operations whose second or forward-mode derivatives are easily missed, for images 3 × size × size."""

    def __init__(self, size: int):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.group, self.instance = nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)
        self.layer = nn.LayerNorm((4, size, size))
        self.attention = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, activation="gelu")
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = F.silu(self.group(self.conv(x)), inplace=True)
        x = x * F.hardsigmoid(4 * self.instance(x))
        x = F.max_pool2d(self.layer(F.hardswish(x)), 2)
        return self.head(self.attention(x.flatten(2).transpose(1, 2)).mean(1))


def digits(count: int, split: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
    """The first scans of a split, (count, 1, 8, 8) in 0…1, with their given labels."""
    data = load_dataset("digits", split=split)
    pixels = Pixels.build(data, 8, 8, 1, None, 2**30)
    rows = np.arange(count)
    return pixels.batch(rows).float() / 255, torch.from_numpy(data.given[rows])


def reference_influence(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    val_images: torch.Tensor,
    val_labels: torch.Tensor,
    damping: float,
) -> torch.Tensor:
    """`gᵀ(F + λ)⁻¹g` in float64, one sample and one plain backward pass at a time; λ relative to mean F."""
    model = copy.deepcopy(model).double()
    parameters = [p for p in model.parameters() if p.requires_grad]

    def gradient(image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        loss = F.cross_entropy(model(image[None].double()), label[None])
        found = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        return torch.cat([g.flatten() for g in found])

    fisher = sum(gradient(i, k).square() for i, k in zip(val_images, val_labels, strict=True))
    fisher = fisher / len(val_images)
    inverse = 1 / (fisher + damping * fisher.mean())
    return torch.stack(
        [(gradient(i, k).square() * inverse).sum() for i, k in zip(images, labels, strict=True)]
    )


def tiny_config(**changes):
    """Settings of a run on 300 digits that takes about two seconds."""
    config = RunConfig(
        train_data=DatasetSpec("digits", limit=300),
        val_data=DatasetSpec("digits", split="val", limit=120),
        train=TrainConfig(epochs=30),
        tune=TuneConfig(steps=60, saved_steps=3),
        name="tiny",
        embed=False,
    )
    return replace(config, **changes)
