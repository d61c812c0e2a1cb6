"""The standard influence function at the trained model (section 2, equation 6), by inverse curvature."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from fvm_core.errors import SaltflatError
from fvm_core.estimators.base import RelabellingEstimator

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fvm_core.curvature.batches import Batches, Progress
    from fvm_core.curvature.inverse import InverseCurvature
    from fvm_core.curvature.vectors import Vector


class StandardInfluence(RelabellingEstimator):
    """`I(z) = g_zᵀ w`, `w = (H_tr + λ)⁻¹ (1/M) Σ_m g_zm` (6): **negative = harmful**.

    `I(z)/N` is to first order how much the mean validation loss grows when z is taken out of training.
    Since w is the same for all samples, one forward-mode pass gives the values of all K labels.

    The starred variants of the paper (LiSSA*, …) are this at a checkpoint of training.

    Args:
        model: at θ*, or at a checkpoint; logits (B, K); in evaluation mode; never changed.
        options: of the inverse curvature, see the class that `inverse_class` names.

    Attributes:
        inverse: the inverse curvature, of the training set.
        direction: w, after `fit`.
    """

    suspicious = "low"
    needs = frozenset({"theta_star", "training_set", "validation_set"})

    def __init__(self, model: nn.Module, **options: float | str | None):
        from fvm_core.layers.eager import unwrapped

        self.model = unwrapped(model)
        self.inverse = self.inverse_class()(self.model, **options)
        self.direction: Vector = {}

    @staticmethod
    @abstractmethod
    def inverse_class() -> type[InverseCurvature]:
        """The inverse curvature that it takes."""

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> StandardInfluence:
        """Curvature of the training set, then w."""
        from fvm_core.curvature.batches import checked
        from fvm_core.curvature.gradients import mean_gradient

        training = checked(training, "training")
        gradient = mean_gradient(self.model, checked(validation, "validation"), progress=progress)
        self.inverse.fit(training, progress=progress)
        (self.direction,) = self.inverse.times([gradient], progress=progress)
        return self

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """`I((x, k))` (B, K) for every label k; the best label has the largest (22)."""
        from fvm_core.curvature.jvp import directional, label_products

        if not self.direction:
            raise SaltflatError("There is no influence yet: call fit() with both sets first.")
        return label_products(*directional(self.model, self.direction, images))

    def state(self) -> dict[str, torch.Tensor]:
        """By parameter name, w."""
        return dict(self.direction)

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take w."""
        device = next(self.model.parameters()).device
        self.direction = {name: value.to(device) for name, value in state.items()}
