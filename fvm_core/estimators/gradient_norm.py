"""Baselines that one model gives by itself: loss, margin and gradient norm."""

from __future__ import annotations

import torch
from torch import nn

from fvm_core.estimators.influence import DiagonalInfluence
from fvm_core.estimators.residuals import probabilities
from fvm_core.estimators.standard.base import LogitEstimator, RelabellingEstimator
from fvm_core.estimators.standard.losses import label_losses
from fvm_core.estimators.standard.minimum import judged
from fvm_core.estimators.standard.values import refuse_training_mode


class Loss(LogitEstimator):
    """`−log p_k`, the cross-entropy of the trained model."""

    name = "loss"
    title = "Loss of the trained model"
    suspicious = "high"
    needs = frozenset({"theta_star"})

    @staticmethod
    def of_logits(logits: torch.Tensor) -> torch.Tensor:
        """Loss (B, K) with every label."""
        return label_losses(logits).to(logits.dtype)


class TunedLoss(Loss):
    """The same of the tuned model."""

    name = "tuned_loss"
    title = "Loss of the tuned model"
    needs = frozenset({"tuned"})


class Margin(LogitEstimator):
    """`p_k − max_{j≠k} p_j` of the trained model: small means suspicious."""

    name = "margin"
    title = "Margin of the trained model"
    suspicious = "low"
    needs = frozenset({"theta_star"})

    @staticmethod
    def of_logits(logits: torch.Tensor) -> torch.Tensor:
        """Margin (B, K) of every label."""
        p = probabilities(logits)
        first, second = p.topk(2, dim=1).values.split(1, dim=1)
        best = torch.arange(p.shape[1], device=p.device) == p.argmax(1, keepdim=True)
        return (p - torch.where(best, second, first)).to(logits.dtype)


class TunedMargin(Margin):
    """The same of the tuned model."""

    name = "tuned_margin"
    title = "Margin of the tuned model"
    needs = frozenset({"tuned"})


class GradientNorm(RelabellingEstimator):
    """`‖∇_θ ℓ(z, θ)‖²` of the trained model, exact: `gᵀDg` with D = 1.

    Args:
        model: logits (B, K); in evaluation mode; never changed.

    Raises:
        SaltflatError: see `TappedModel`.
    """

    name = "gradient_norm"
    title = "Gradient norm of the trained model"
    suspicious = "high"
    needs = frozenset({"theta_star"})
    cost = "1 backward pass a sample; 1 to 3 more to relabel"

    def __init__(self, model: nn.Module):
        refuse_training_mode(model)
        self.model = model
        self._squares: DiagonalInfluence | None = None

    def score(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Squared norms (B,)."""
        return self._with_ones(images).score(images, labels)[0]

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Squared norms (B, K) with every label, a backward pass each."""
        return self._with_ones(images).score_all_labels(images, exact=None).values

    def judge(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Squared norms (B,), and the label (B,) with the smallest."""
        return judged(self._with_ones(images), images, labels)

    def _with_ones(self, example: torch.Tensor) -> DiagonalInfluence:
        if self._squares is None:
            found = DiagonalInfluence(self.model, example, damping=1.0, damping_kind="absolute")
            # D = 1/(F + 1)
            found.use_fisher({name: torch.zeros_like(p) for name, p in found.tapped.parameters.items()})
            self._squares = found
        return self._squares


class TunedGradientNorm(GradientNorm):
    """The same of the tuned model."""

    name = "tuned_gradient_norm"
    title = "Gradient norm of the tuned model"
    needs = frozenset({"tuned"})
