"""The new influence at the tuned model with LiSSA or DataInf, through random probes (appendix C.4)."""

from __future__ import annotations

import operator
from abc import abstractmethod
from functools import reduce
from typing import TYPE_CHECKING

from fvm_core.errors import SaltflatError
from fvm_core.estimators.base import RelabellingEstimator

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fvm_core.config import RunConfig
    from fvm_core.curvature.batches import Batches, Progress
    from fvm_core.curvature.inverse import InverseCurvature
    from fvm_core.curvature.vectors import Vector

PROBES = 5
"""As in the paper (appendix C.4)."""


class ProbedInfluence(RelabellingEstimator):
    """`I(z) ≈ (1/J) Σ_j (g_z·H⁻¹v_j)(g_z·v_j)`, `v_j ~ N(0, 1)`, whose mean is `g_zᵀ H⁻¹ g_z` (21).

    H is that of the validation set at the tuned model. Large means suspicious; single values can be
    negative, since few probes leave noise.

    Args:
        model: at θ̃; logits (B, K); in evaluation mode; never changed.
        probes: J, 5 in the paper.
        seed: of the probes.
        options: of the inverse curvature, see the class that `inverse_class` names.

    Attributes:
        inverse: the inverse curvature.
        solved: `H⁻¹v_j`, after `fit`.
    """

    suspicious = "high"
    needs = frozenset({"tuned", "validation_set"})

    def __init__(
        self, model: nn.Module, *, probes: int = PROBES, seed: int = 0, **options: float | str | None
    ):
        from fvm_core.layers.eager import unwrapped

        self.model = unwrapped(model)
        self.probes = probes
        self.seed = seed
        self.inverse = self.inverse_class()(self.model, **options)
        self.solved: list[Vector] = []

    @staticmethod
    @abstractmethod
    def inverse_class() -> type[InverseCurvature]:
        """The inverse curvature that it takes."""

    @classmethod
    def vectors(cls, config: RunConfig) -> int:
        """The probes, what is solved for them, and the recursion's or the sums' vectors."""
        return 2 + 3 * PROBES

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> ProbedInfluence:
        """All probes share the passes over the validation set."""
        from fvm_core.curvature.batches import checked

        self.inverse.fit(checked(validation, "validation"), progress=progress)
        self.solved = self.inverse.times(self._drawn(), progress=progress)
        return self

    def score_labels(self, images: torch.Tensor) -> torch.Tensor:
        """`I((x, k))` (B, K) for every label k; the best label has the smallest."""
        if not self.solved:
            raise SaltflatError("There is no influence yet: call fit() with the validation set first.")
        terms = (
            self._products(solved, images) * self._products(probe, images)
            for solved, probe in zip(self.solved, self._drawn(), strict=True)
        )
        return reduce(operator.add, terms) / len(self.solved)

    def state(self) -> dict[str, torch.Tensor]:
        """`probe number/parameter name` to `H⁻¹v_j`; the probes themselves follow from the seed."""
        return {f"{j}/{name}": v for j, vector in enumerate(self.solved) for name, v in vector.items()}

    def restore(self, state: dict[str, torch.Tensor]) -> None:
        """Take `H⁻¹v_j` of an estimator with the same seed."""
        device = next(self.model.parameters()).device
        self.solved = [{} for _ in range(self.probes)]
        for key, value in state.items():
            number, name = key.split("/", 1)
            self.solved[int(number)][name] = value.to(device)

    def _products(self, direction: Vector, images: torch.Tensor) -> torch.Tensor:
        from fvm_core.curvature.jvp import directional, label_products

        return label_products(*directional(self.model, direction, images))

    def _drawn(self) -> list[Vector]:
        import torch

        from fvm_core.curvature.vectors import normal, trainable

        generator = torch.Generator().manual_seed(self.seed)
        return [normal(trainable(self.model), generator) for _ in range(self.probes)]
