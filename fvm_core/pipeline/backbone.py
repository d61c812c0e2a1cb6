"""The two parts of a network in a feature run: what embeds the images once, and what is trained on that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fvm_core.config import ModelConfig
from fvm_core.data.dataset import ImageDataset
from fvm_core.models.build import build_model
from fvm_core.models.head import without_head
from fvm_core.models.linear_head import Head
from fvm_core.models.pretrained import open_pretrained, preprocessing
from fvm_core.models.split import split
from fvm_core.pipeline.defaults import image_kind
from fvm_core.pipeline.inputs import Features, InputSpec

_SOME = 20_000
"""Samples from which mean and deviation of the features are computed."""
_LEAST_STD = 1e-6


@dataclass(frozen=True)
class Body:
    """What embeds images.

    Attributes:
        body: images (B, 3, H, W) to features (B, …), in evaluation mode.
        shape: of one image's features.
        digest: of the weights.
        source: where these come from, for people.
    """

    body: nn.Module
    shape: tuple[int, ...]
    digest: str
    source: str


def part_blocks(train_part: str) -> int:
    """How many of the last blocks are trained: N of `last:N`, 0 for `head`."""
    return int(train_part.partition(":")[2] or 0)


def body_of(settings: ModelConfig, size: int) -> Body:
    """The part below what is trained, of a pretrained backbone.

    Raises:
        SaltflatError: its weights can't be had, or it can't be cut there.
    """
    found = open_pretrained(settings.name, settings.backbone_weights, size)
    example = torch.zeros(1, 3, size, size)
    if blocks := part_blocks(settings.train_part):
        body, _tail = split(found.model, blocks, example)
    else:
        body, _width = without_head(found.model)
    body = body.eval()
    with torch.no_grad():
        shape = tuple(body(example).shape[1:])
    return Body(body, shape, found.digest, found.source)


def pretrained_spec(settings: ModelConfig, train: ImageDataset) -> InputSpec:
    """The input as the weights want it; of images that are smaller than it nothing is cut away.

    Their edges are all that there is; those of photographs seldom hold what the label means.
    """
    wanted = preprocessing(settings.name, settings.size)
    small = image_kind(train).side < settings.size
    crop = wanted.crop if settings.on_features and not small else 1.0
    return InputSpec(3, settings.size, wanted.mean, wanted.std, crop, wanted.interpolation)


def trained_part(settings: ModelConfig, classes: int, size: int, features: Features) -> nn.Module:
    """What is trained on the features, before training: a head, or the last blocks with a new one.

    A head standardises the features as those of the training images are spread.
    """
    if blocks := part_blocks(settings.train_part):
        whole = build_model(
            settings.name, classes, size=size, pretrained=True, backbone_weights=settings.backbone_weights
        )
        _body, tail = split(whole, blocks, torch.zeros(1, 3, size, size))
        return tail
    head = Head(features.shape[0], classes)
    mean, std = _spread(features)
    head.standardise.mean.copy_(torch.from_numpy(mean))
    head.standardise.std.copy_(torch.from_numpy(std))
    return head


def tail_of(settings: ModelConfig, classes: int, size: int) -> nn.Module:
    """The last blocks with a new head, with random weights."""
    whole = build_model(settings.name, classes, size=size, pretrained=False)
    return split(whole, part_blocks(settings.train_part), torch.zeros(1, 3, size, size))[1]


def empty_part(settings: ModelConfig, classes: int, size: int, features: Features) -> nn.Module:
    """The same architecture for weights that are loaded into it; no backbone's weights are needed."""
    if part_blocks(settings.train_part):
        return tail_of(settings, classes, size)
    return Head(features.shape[0], classes)


def _spread(features: Features) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (D,) of up to 20,000 usable samples, evenly spaced; constant features keep 1."""
    rows = np.flatnonzero(features.readable)
    rows = rows[np.linspace(0, len(rows) - 1, min(_SOME, len(rows))).astype(np.int64)]
    total = np.zeros(features.shape, dtype=np.float64)
    squares = np.zeros_like(total)
    for start in range(0, len(rows), 1024):
        part = np.asarray(features.values[rows[start : start + 1024]], dtype=np.float64)
        total += part.sum(0)
        squares += np.square(part).sum(0)
    mean = total / len(rows)
    std = np.sqrt(np.maximum(squares / len(rows) - np.square(mean), 0))
    return mean.astype(np.float32), np.where(std < _LEAST_STD, 1.0, std).astype(np.float32)
