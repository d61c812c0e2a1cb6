"""The new loss change with the standard parameter change (table 6).

The paper exchanges the loss change (`g_valᵀ Δθ` for `Δθᵀ H_val Δθ`) and the parameter change (`H_tr⁻¹ g` for
`H_val⁻¹ g`); `tuned_standard_influence` and `standard_loss_change` are the other combinations with an old
half, and both changes together are the new function.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fvm_core.estimators import costs
from fvm_core.estimators.diagonal import diagonal_damping
from fvm_core.estimators.minimum import MinimumInfluence

if TYPE_CHECKING:
    from fvm_core.config import RunConfig
    from fvm_core.curvature.batches import Batches, Progress
    from fvm_core.curvature.vectors import Vector
    from fvm_core.diagonal.influence import DiagonalInfluence


class StandardParameterChange(MinimumInfluence):
    """`Δθᵀ F_val Δθ`, `Δθ = (F_tr + λ)⁻¹ g`, at the tuned model; F are diagonal Fisher informations."""

    name = "ablation_os"
    title = "New loss change, standard parameter change"
    needs = frozenset({"tuned", "training_set", "validation_set"})
    cost = "1 pass of per-sample gradients over both sets, then 1 backward pass a sample"
    place = 320

    @classmethod
    def options(cls, config: RunConfig) -> dict[str, Any]:
        """Damping as the run's own score has it."""
        return diagonal_damping(config)

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """F of both sets, then a quadratic form in every sample's gradient."""
        return {
            "fisher, training": sizes.rated * costs.GRADIENTS,
            "fisher, validation": sizes.trusted * costs.GRADIENTS,
            **costs.quadratic(sizes),
        }

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> StandardParameterChange:
        """F of both sets."""
        from fvm_core.curvature.batches import checked, placed

        found: Vector = {}
        for what, given in (("training", training), ("validation", validation)):
            batches = checked(given, what)
            influence = self._for(next(iter(batches))[0])
            influence.fit(placed(batches, self._device(), f"fisher, {what}", progress))
            found |= {f"{what}/{name}": value for name, value in influence.fisher.items()}
        self.restore(found)
        return self

    def state(self) -> Vector:
        """`training/parameter name` and `validation/parameter name` to F."""
        return dict(self._stored)

    def _weigh(self, influence: DiagonalInfluence, stored: Vector) -> None:
        f_tr, f_val = (
            {key.partition("/")[2]: value for key, value in stored.items() if key.startswith(what)}
            for what in ("training/", "validation/")
        )
        influence.use_fisher(f_tr)
        influence.inverse = {name: f_val[name] * inverse**2 for name, inverse in influence.inverse.items()}
