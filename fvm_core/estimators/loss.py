"""The loss, the simplest score of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators.base import LogitEstimator
from fvm_core.estimators.losses import label_losses

if TYPE_CHECKING:
    import torch


class Loss(LogitEstimator):
    """`−log p_k`, the cross-entropy of the trained model."""

    name = "loss"
    title = "Loss of the trained model"
    suspicious = "high"
    needs = frozenset({"theta_star"})
    place = 200

    @staticmethod
    def of_logits(logits: torch.Tensor) -> torch.Tensor:
        """Loss (B, K) with every label."""
        return label_losses(logits).to(logits.dtype)


class TunedLoss(Loss):
    """The same of the tuned model."""

    name = "tuned_loss"
    title = "Loss of the tuned model"
    needs = frozenset({"tuned"})
    place = 50
