"""The influence at a minimum of the validation risk, as one estimator among others (21, 22, 25)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from fvm_core.errors import SaltflatError
from fvm_core.estimators import costs
from fvm_core.estimators.base import RelabellingEstimator

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fvm_core.config import RunConfig
    from fvm_core.curvature.batches import Batches, Progress
    from fvm_core.curvature.vectors import Vector
    from fvm_core.diagonal.influence import DiagonalInfluence, InfluenceOptions


class MinimumInfluence(RelabellingEstimator):
    """`I(z) = gᵀ(F + λ)⁻¹g` at the tuned model, F the diagonal Fisher of the validation set.

    Args:
        model: tuned on the validation set; logits (B, K); in evaluation mode; never changed.
        options: damping, its kind and the precision, see `DiagonalInfluence`.
    """

    name = "fvm"
    title = "FVM"
    suspicious = "high"
    needs = frozenset({"tuned", "validation_set"})
    cost = "1 backward pass a sample, 1 to 3 more to relabel"
    place = 0

    def __init__(self, model: nn.Module, **options: Unpack[InfluenceOptions]):
        from fvm_core.layers.conditions import refuse_training_mode
        from fvm_core.layers.eager import unwrapped

        refuse_training_mode(model)
        self.model = unwrapped(model)
        self._options = options
        self.influence: DiagonalInfluence | None = None
        self._stored: Vector = {}

    @classmethod
    def options(cls, config: RunConfig) -> dict[str, Any]:
        """Damping as the run's own score has it."""
        return {"damping": config.score.damping, "damping_kind": config.score.damping_kind}

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """F over the validation set, then a quadratic form in every sample's gradient."""
        return {"fisher": sizes.trusted * costs.GRADIENTS, **costs.quadratic(sizes)}

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> MinimumInfluence:
        """F over the validation set."""
        from fvm_core.curvature.batches import checked, placed

        batches = checked(validation, "validation")
        self.influence = self._for(next(iter(batches))[0])
        self.influence.fit(placed(batches, self._device(), "fisher", progress))
        return self

    def score(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Influence (B,)."""
        return self._fitted(images).score(images, labels)[0]

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """Influence (B, K) of every label, a backward pass each."""
        return self._fitted(images).score_all_labels(images, exact=None).values

    def judge(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Influence (B,), and the label (B,) with the smallest."""
        return judged(self._fitted(images), images, labels)

    def state(self) -> dict[str, torch.Tensor]:
        """F by parameter name."""
        return dict(self._stored) if self.influence is None else dict(self.influence.fisher)

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take F."""
        self.influence = None
        self._stored = {name: value.to(self._device()) for name, value in state.items()}

    def _fitted(self, example: torch.Tensor) -> DiagonalInfluence:
        if self.influence is None:
            if not self._stored:
                raise SaltflatError("There is no influence yet: call fit() with the validation set first.")
            self.influence = self._for(example[:2])
            self._weigh(self.influence, self._stored)
        return self.influence

    def _weigh(self, influence: DiagonalInfluence, stored: Vector) -> None:
        """Give the estimator its weights D from what `state` holds."""
        influence.use_fisher(stored)

    def _for(self, example: torch.Tensor) -> DiagonalInfluence:
        from fvm_core.diagonal.influence import DiagonalInfluence

        return DiagonalInfluence(self.model, example.to(self._device()), **self._options)

    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def judged(
    influence: DiagonalInfluence, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Quadratic form (B,) with the given labels and the label (B,) that minimises it, exactly."""
    values = influence.score(images, labels)[0]
    found = influence.score_all_labels(images, exact=1, known=(labels, values))
    return values, found.best
