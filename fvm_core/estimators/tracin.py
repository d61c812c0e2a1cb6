"""TracIn (Pruthi et al. 2020): gradient dot products summed over checkpoints of training."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

from fvm_core.errors import SaltflatError
from fvm_core.estimators import costs
from fvm_core.estimators.base import RelabellingEstimator
from fvm_core.estimators.materials import Checkpoint, Materials

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fvm_core.config import RunConfig
    from fvm_core.curvature.batches import Batches, Progress
    from fvm_core.curvature.vectors import Vector


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
    place = 160

    def __init__(self, model: nn.Module, checkpoints: Sequence[Checkpoint]):
        from fvm_core.curvature.values import values_of
        from fvm_core.layers.eager import unwrapped

        if not checkpoints:
            raise SaltflatError("TracIn needs checkpoints of training. Have training keep some.")
        self.model = unwrapped(model)
        self._values = [values_of(self.model, checkpoint.state) for checkpoint in checkpoints]
        self._rates = [checkpoint.lr for checkpoint in checkpoints]
        self.directions: list[Vector] = []

    @classmethod
    def make(cls, run: Materials) -> tuple[TracIn, dict[str, object]]:
        """With all checkpoints that training kept."""
        kept = run.checkpoints()
        return cls(run.theta_star(), kept), {"epochs": ", ".join(str(one.epoch) for one in kept)}

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """A gradient and a product at every checkpoint."""
        return cls.phases_at(sizes, max(1, sizes.config.compare.checkpoints or 1))

    @classmethod
    def phases_at(cls, sizes: costs.Sizes, checkpoints: int) -> costs.Phases:
        """The same for a number of checkpoints."""
        each = {**costs.mean_gradient(sizes), **costs.both_products(sizes)}
        return {phase: checkpoints * passes for phase, passes in each.items()}

    @classmethod
    def vectors(cls, config: RunConfig) -> int:
        """A model and a gradient for every checkpoint."""
        return 2 * (config.compare.checkpoints or 1)

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> TracIn:
        """The mean validation gradient at every checkpoint, times its learning rate."""
        from fvm_core.curvature.batches import checked
        from fvm_core.curvature.gradients import mean_gradient

        validation = checked(validation, "validation")
        self.directions = []
        for values, rate in zip(self._values, self._rates, strict=True):
            gradient = mean_gradient(self.model, validation, values=values, progress=progress)
            self.directions.append({name: rate * value for name, value in gradient.items()})
        return self

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """`I((x, k))` (B, K) for every label k; the best label has the largest (22)."""
        from fvm_core.curvature.jvp import directional, label_products

        if not self.directions:
            raise SaltflatError("There is no influence yet: call fit() with the validation set first.")
        terms = (
            label_products(*directional(self.model, direction, images, values=values))
            for values, direction in zip(self._values, self.directions, strict=True)
        )
        return reduce(operator.add, terms)

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
