"""What estimators cost, in forward passes of one sample: for the estimate and for the progress bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fvm_core.config import RunConfig

BATCH = 128
"""Samples in a batch that estimators are fitted with."""
TRAINING = 3.0
"""Forward and backward pass of a sample."""
GRADIENTS = 4.0
"""The same with per-sample gradients."""
CURVED = 6.0
"""A product with the curvature: a backward pass through the backward pass, and the gradient before it."""
POWER_STEPS = 4 * 15
"""Products with the curvature from which LiSSA knows its scale."""

Phases = dict[str, float]
"""Forward passes by phase; the names are those that `Estimator.fit` and the stage tell."""


@dataclass(frozen=True)
class Sizes:
    """What the costs depend on.

    Attributes:
        rated: training and planted samples; trusted: validation samples that are tuned on.
        config: complete settings.
    """

    rated: int
    trusted: int
    config: RunConfig


def tuning(sizes: Sizes, solver: str) -> float:
    """Forward passes of one tuning with a solver."""
    tune = sizes.config.tune
    passes = 1 if solver == "sgd" else 2
    steps, batch = tune.steps or 0, tune.batch_size or BATCH
    return passes * steps * min(batch, sizes.trusted) * TRAINING


def mean_gradient(sizes: Sizes) -> Phases:
    """The mean gradient of the validation set."""
    return {"gradient": sizes.trusted * TRAINING}


def both_products(sizes: Sizes) -> Phases:
    """A product of every sample's gradients with one direction, for all labels."""
    return {"scoring": 2.0 * sizes.rated}


def quadratic(sizes: Sizes) -> Phases:
    """A quadratic form in every sample's gradient, and the label that makes it smallest."""
    return {"scoring": sizes.rated * (GRADIENTS + 2 * TRAINING)}
