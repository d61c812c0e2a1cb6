"""The diagonal empirical Fisher as inverse curvature."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from fvm_core.curvature.batches import Batches, Progress, placed
from fvm_core.curvature.inverse import InverseCurvature
from fvm_core.curvature.vectors import Vector
from fvm_core.diagonal.arguments import check_damping
from fvm_core.diagonal.influence import DiagonalInfluence
from fvm_core.errors import one_of


class Diagonal(InverseCurvature):
    """`v/(F + λ)` with `F = (1/n) Σ_i g_i ⊙ g_i` (24).

    Args:
        model: see `InverseCurvature` and `TappedModel`.
        damping: see `DiagonalInfluence`.
        damping_kind: `relative` or `absolute`.

    Raises:
        SaltflatError: a damping that is none.
    """

    def __init__(self, model: nn.Module, *, damping: float = 0.1, damping_kind: str = "relative"):
        super().__init__(model)
        check_damping(damping)
        one_of(damping_kind, ("relative", "absolute"), "damping")
        self.damping = damping
        self.damping_kind = damping_kind

    def effective_damping(self) -> float:
        """λ, the same for all parameters."""
        self._fitted()
        return self._estimator.effective_damping()

    def times(self, vectors: Sequence[Vector], *, progress: Progress | None = None) -> list[Vector]:
        """No pass over the samples."""
        damping = self.effective_damping()
        fisher = self._estimator.fisher
        return [{name: value / (fisher[name] + damping) for name, value in v.items()} for v in vectors]

    def _prepare(self, batches: Batches, progress: Progress | None) -> None:
        self._estimator = DiagonalInfluence(
            self.model, self._example(batches), damping=self.damping, damping_kind=self.damping_kind
        )
        self._estimator.fit(placed(batches, self._device(), "fisher", progress))
