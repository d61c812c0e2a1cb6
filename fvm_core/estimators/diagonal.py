"""Standard influence with the diagonal Fisher information."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fvm_core.estimators import costs
from fvm_core.estimators.standard_influence import StandardInfluence

if TYPE_CHECKING:
    from fvm_core.config import RunConfig
    from fvm_core.curvature.diagonal import Diagonal


class DiagonalStandardInfluence(StandardInfluence):
    """With the diagonal Fisher, which the new influence function uses: the old formula at its price."""

    name = "diagonal"
    title = "Standard influence, diagonal"
    cost = "1 pass of per-sample gradients over the training set, then 2 forward passes a sample"
    place = 150

    @staticmethod
    def inverse_class() -> type[Diagonal]:
        """`Diagonal`."""
        from fvm_core.curvature.diagonal import Diagonal

        return Diagonal

    @classmethod
    def options(cls, config: RunConfig) -> dict[str, Any]:
        """Damping as the run's own score has it."""
        return diagonal_damping(config)

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """One pass of per-sample gradients."""
        fisher = {"fisher": sizes.rated * costs.GRADIENTS}
        return {**costs.mean_gradient(sizes), **fisher, **costs.both_products(sizes)}


def diagonal_damping(config: RunConfig) -> dict[str, Any]:
    """Damping as the run's own score has it; that of single tensors is relative to all of them here."""
    kind = config.score.damping_kind
    return {"damping": config.score.damping, "damping_kind": "relative" if kind == "per_tensor" else kind}
