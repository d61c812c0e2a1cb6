"""How long a sample's gradient is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators import costs
from fvm_core.estimators.base import RelabellingEstimator
from fvm_core.estimators.minimum import judged

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fvm_core.diagonal.influence import DiagonalInfluence


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
    place = 220

    def __init__(self, model: nn.Module):
        from fvm_core.layers.conditions import refuse_training_mode
        from fvm_core.layers.eager import unwrapped

        refuse_training_mode(model)
        self.model = unwrapped(model)
        self._squares: DiagonalInfluence | None = None

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """A quadratic form in every sample's gradient."""
        return costs.quadratic(sizes)

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
        from fvm_core.diagonal.influence import DiagonalInfluence

        if self._squares is None:
            found = DiagonalInfluence(self.model, example, damping=1.0, damping_kind="absolute")
            # D = 1/(F + 1)
            found.use_fisher({name: p.new_zeros(p.shape) for name, p in found.tapped.parameters.items()})
            self._squares = found
        return self._squares


class TunedGradientNorm(GradientNorm):
    """The same of the tuned model."""

    name = "tuned_gradient_norm"
    title = "Gradient norm of the tuned model"
    needs = frozenset({"tuned"})
    place = 70
