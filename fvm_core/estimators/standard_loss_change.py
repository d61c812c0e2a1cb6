"""The new parameter change with the standard loss change (table 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators import costs
from fvm_core.estimators.diagonal import DiagonalStandardInfluence

if TYPE_CHECKING:
    from fvm_core.curvature.batches import Batches, Progress


class StandardLossChange(DiagonalStandardInfluence):
    """`ḡ_valᵀ (F_val + λ)⁻¹ g` at the tuned model: the paper's `g_valᵀ Δθ` with `Δθ = H_val⁻¹ g`."""

    name = "ablation_so"
    title = "Standard loss change, new parameter change"
    needs = frozenset({"tuned", "validation_set"})
    cost = "1 pass of per-sample gradients over the validation set, then 2 forward passes a sample"
    place = 310

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """One pass of per-sample gradients over the validation set."""
        fisher = {"fisher": sizes.trusted * costs.GRADIENTS}
        return {**costs.mean_gradient(sizes), **fisher, **costs.both_products(sizes)}

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> StandardLossChange:
        """Curvature of the validation set, then w."""
        from fvm_core.curvature.batches import checked
        from fvm_core.curvature.gradients import mean_gradient

        validation = checked(validation, "validation")
        gradient = mean_gradient(self.model, validation, progress=progress)
        self.inverse.fit(validation, progress=progress)
        (self.direction,) = self.inverse.times([gradient], progress=progress)
        return self
