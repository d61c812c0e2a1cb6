"""The standard influence function at the trained model (section 2, equation 6), by inverse curvature."""

from __future__ import annotations

import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.estimators.standard.base import RelabellingEstimator
from fvm_core.estimators.standard.batches import Batches, Progress, checked
from fvm_core.estimators.standard.datainf import DataInf
from fvm_core.estimators.standard.diagonal import Diagonal
from fvm_core.estimators.standard.ekfac import EKFAC
from fvm_core.estimators.standard.gradients import mean_gradient
from fvm_core.estimators.standard.inverse import InverseCurvature
from fvm_core.estimators.standard.jvp import directional, label_products
from fvm_core.estimators.standard.lissa import LiSSA
from fvm_core.estimators.standard.vectors import Vector


class StandardInfluence(RelabellingEstimator):
    """`I(z) = g_zᵀ w`, `w = (H_tr + λ)⁻¹ (1/M) Σ_m g_zm` (6): **negative = harmful**.

    `I(z)/N` is to first order how much the mean validation loss grows when z is taken out of training.
    Since w is the same for all samples, one forward-mode pass gives the values of all K labels.

    The starred variants of the paper (LiSSA*, …) are this at a checkpoint of training.

    Args:
        model: at θ*, or at a checkpoint; logits (B, K); in evaluation mode; never changed.
        options: of the inverse curvature, see `inverse_class`.

    Attributes:
        inverse: the inverse curvature, of the training set.
        direction: w, after `fit`.
    """

    suspicious = "low"
    needs = frozenset({"theta_star", "training_set", "validation_set"})
    inverse_class: type[InverseCurvature]

    def __init__(self, model: nn.Module, **options):
        self.model = model
        self.inverse = self.inverse_class(model, **options)
        self.direction: Vector = {}

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> StandardInfluence:
        """Curvature of the training set, then w."""
        checked(training, "training")
        gradient = mean_gradient(self.model, checked(validation, "validation"), progress=progress)
        self.inverse.fit(training, progress=progress)
        (self.direction,) = self.inverse.times([gradient], progress=progress)
        return self

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """`I((x, k))` (B, K) for every label k; the best label has the largest (22)."""
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


class LiSSAInfluence(StandardInfluence):
    """With the Hessian inverted by recursion (Koh & Liang 2017)."""

    name = "lissa"
    title = "LiSSA"
    cost = "1,000 minibatches through a doubled backward pass, then 2 forward passes a sample"
    inverse_class = LiSSA


class DataInfInfluence(StandardInfluence):
    """With the mean of the inverses of single samples (Kwon et al. 2024)."""

    name = "datainf"
    title = "DataInf"
    cost = "2 passes of per-sample gradients over the training set, then 2 forward passes a sample"
    inverse_class = DataInf


class EKFACInfluence(StandardInfluence):
    """With Kronecker factors and corrected eigenvalues (Grosse et al. 2023)."""

    name = "ekfac"
    title = "EK-FAC"
    cost = "2 passes of per-sample gradients over the training set, then 2 forward passes a sample"
    inverse_class = EKFAC


class DiagonalStandardInfluence(StandardInfluence):
    """With the diagonal Fisher, which the new influence function uses: the old formula at its price."""

    name = "diagonal"
    title = "Standard influence, diagonal"
    cost = "1 pass of per-sample gradients over the training set, then 2 forward passes a sample"
    inverse_class = Diagonal
