"""How far a label's probability is from that of the best other one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators.base import LogitEstimator

if TYPE_CHECKING:
    import torch


class Margin(LogitEstimator):
    """`p_k − max_{j≠k} p_j` of the trained model: small means suspicious."""

    name = "margin"
    title = "Margin of the trained model"
    suspicious = "low"
    needs = frozenset({"theta_star"})
    place = 210

    @staticmethod
    def of_logits(logits: torch.Tensor) -> torch.Tensor:
        """Margin (B, K) of every label."""
        from fvm_core.diagonal.residuals import probabilities

        return margins(probabilities(logits)).to(logits.dtype)


class TunedMargin(Margin):
    """The same of the tuned model."""

    name = "tuned_margin"
    title = "Margin of the tuned model"
    needs = frozenset({"tuned"})
    place = 60


def margins(p: torch.Tensor) -> torch.Tensor:
    """`p_k − max_{j≠k} p_j` (B, K) of probabilities (B, K)."""
    import torch

    first, second = p.topk(2, dim=1).values.split(1, dim=1)
    best = torch.arange(p.shape[1], device=p.device) == p.argmax(1, keepdim=True)
    return p - torch.where(best, second, first)
