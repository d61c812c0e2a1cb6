"""Scores from what the model said of each sample while it was being trained, before it knew it by heart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators import costs
from fvm_core.estimators.base import RelabellingEstimator

if TYPE_CHECKING:
    import torch

    from fvm_core.config import RunConfig


class TrainingDynamics(RelabellingEstimator):
    """A score from the means over the epochs of training, which the stage `train` has kept.

    What the other estimators take as images are rows (B, K) of such means here.
    """

    needs = frozenset({"epochs"})
    cost = "nothing beyond training"
    inputs = "probabilities"
    suspicious = "low"

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """Next to nothing."""
        return {"scoring": 0.01 * sizes.rated}

    @classmethod
    def why_not(cls, config: RunConfig, *, checkpoints: bool) -> str:
        """Needs a training."""
        if config.train.epochs:
            return ""
        return f"{cls.title} looks at the epochs of training, and this run does not train: leave it out."


class AreaUnderMargin(TrainingDynamics):
    """Mean over epochs of `z_k − max_{j≠k} z_j`, z the logits (Pleiss et al. 2020); small = suspicious."""

    name = "aum"
    title = "Area under the margin (AUM)"
    place = 212

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """The means (B, K) as they were kept."""
        return images


class EpochMargin(TrainingDynamics):
    """`p̄_k − max_{j≠k} p̄_j`, p̄ the probabilities averaged over epochs; small = suspicious."""

    name = "epoch_margin"
    title = "Margin averaged over epochs"
    place = 214

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Margin (B, K) of mean probabilities (B, K)."""
        from fvm_core.estimators.margin import margins

        return margins(images)
