"""Scores by models that have not seen the sample's label (the stage `crossfit`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators import costs
from fvm_core.estimators.base import RelabellingEstimator

if TYPE_CHECKING:
    import torch

    from fvm_core.config import RunConfig


class CrossFitted(RelabellingEstimator):
    """A score from the probabilities of fold models, which were trained and tuned without the sample.

    What the other estimators take as images are rows of probabilities (B, K) here.
    """

    needs = frozenset({"cross_fitted"})
    cost = "nothing beyond the stage crossfit"
    inputs = "probabilities"

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """Next to nothing."""
        return {"scoring": 0.01 * sizes.rated}

    @classmethod
    def why_not(cls, config: RunConfig, *, checkpoints: bool) -> str:
        """Needs the stage `crossfit`."""
        if config.crossfit.rounds:
            return ""
        return (
            f"{cls.title} needs the stage crossfit, which this run leaves out: start a run with "
            "--crossfit-rounds 2."
        )


class CrossFittedLoss(CrossFitted):
    """`−log p_k`: large means suspicious."""

    name = "crossfit_loss"
    title = "Loss, cross-fitted"
    suspicious = "high"
    place = 5

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Loss (B, K) of probabilities (B, K) with every label."""
        import torch

        return -images.double().clamp(min=torch.finfo(torch.float32).tiny).log().to(images.dtype)


class CrossFittedMargin(CrossFitted):
    """`p_k − max_{j≠k} p_j`: small means suspicious."""

    name = "crossfit_margin"
    title = "Margin, cross-fitted"
    suspicious = "low"
    place = 6

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Margin (B, K) of probabilities (B, K) with every label."""
        from fvm_core.estimators.margin import margins

        return margins(images)
