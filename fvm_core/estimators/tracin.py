"""TracIn (Pruthi et al. 2020): gradient dot products summed over checkpoints of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from fvm_core.errors import SaltflatError
from fvm_core.estimators.standard.base import RelabellingEstimator
from fvm_core.estimators.standard.batches import Batches, Progress, checked
from fvm_core.estimators.standard.gradients import mean_gradient
from fvm_core.estimators.standard.jvp import directional, label_products
from fvm_core.estimators.standard.values import values_of
from fvm_core.estimators.standard.vectors import Vector


@dataclass(frozen=True)
class Checkpoint:
    """The model at one moment of training.

    Attributes:
        state: its state dict; lr: the learning rate at that moment.
    """

    state: dict[str, torch.Tensor]
    lr: float


class TracIn(RelabellingEstimator):
    """`I(z) = Σ_c lr_c g_z(θ_c)ᵀ (1/M) Σ_m g_zm(θ_c)`: **negative = harmful**.

    Args:
        model: the architecture, in evaluation mode; never changed.
        checkpoints: of training; the paper takes those after 20, 40, 60, 80 and 100 % (appendix B.1). They
            stay on the model's device.

    Raises:
        SaltflatError: there are no checkpoints, or one belongs to another model.
    """

    name = "tracin"
    title = "TracIn"
    suspicious = "low"
    needs = frozenset({"checkpoints", "validation_set"})
    cost = "1 pass over the validation set and 2 forward passes a sample, for every checkpoint"

    def __init__(self, model: nn.Module, checkpoints: Sequence[Checkpoint]):
        if not checkpoints:
            raise SaltflatError("TracIn needs checkpoints of training. Have training keep some.")
        self.model = model
        self._values = [values_of(model, checkpoint.state) for checkpoint in checkpoints]
        self._rates = [checkpoint.lr for checkpoint in checkpoints]
        self.directions: list[Vector] = []

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> TracIn:
        """The mean validation gradient at every checkpoint, times its learning rate."""
        checked(validation, "validation")
        self.directions = []
        for values, rate in zip(self._values, self._rates, strict=True):
            gradient = mean_gradient(self.model, validation, values=values, progress=progress)
            self.directions.append({name: rate * value for name, value in gradient.items()})
        return self

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """`I((x, k))` (B, K) for every label k; the best label has the largest (22)."""
        if not self.directions:
            raise SaltflatError("There is no influence yet: call fit() with the validation set first.")
        return sum(
            label_products(*directional(self.model, direction, images, values=values))
            for values, direction in zip(self._values, self.directions, strict=True)
        )

    def state(self) -> dict[str, torch.Tensor]:
        """`checkpoint number/parameter name` to the weighted mean validation gradient."""
        return {
            f"{c}/{name}": v for c, direction in enumerate(self.directions) for name, v in direction.items()
        }

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take the directions."""
        device = next(self.model.parameters()).device
        self.directions = [{} for _ in self._values]
        for key, value in state.items():
            number, name = key.split("/", 1)
            self.directions[int(number)][name] = value.to(device)
