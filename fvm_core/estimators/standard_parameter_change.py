"""What each half of the new influence function does by itself, at the tuned model (table 6).

The paper exchanges the loss change (`g_valᵀ Δθ` for `Δθᵀ H_val Δθ`) and the parameter change (`H_tr⁻¹ g` for
`H_val⁻¹ g`). Curvatures are diagonal Fisher information here. Both changes together are the new function.
"""

from __future__ import annotations

from fvm_core.estimators.influence import DiagonalInfluence
from fvm_core.estimators.standard.batches import Batches, Progress, checked, placed
from fvm_core.estimators.standard.gradients import mean_gradient
from fvm_core.estimators.standard.influence import DiagonalStandardInfluence
from fvm_core.estimators.standard.minimum import MinimumInfluence
from fvm_core.estimators.standard.vectors import Vector


class TunedStandardInfluence(DiagonalStandardInfluence):
    """`ḡ_valᵀ (F_tr + λ)⁻¹ g` at the tuned model: the standard function where the new one is used."""

    name = "ablation_ss"
    title = "Standard influence, tuned model"
    needs = frozenset({"tuned", "training_set", "validation_set"})


class StandardLossChange(DiagonalStandardInfluence):
    """`ḡ_valᵀ (F_val + λ)⁻¹ g`: standard loss change, new parameter change."""

    name = "ablation_so"
    title = "Standard loss change, new parameter change"
    needs = frozenset({"tuned", "validation_set"})
    cost = "1 pass of per-sample gradients over the validation set, then 2 forward passes a sample"

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> StandardLossChange:
        """Curvature of the validation set, then w."""
        gradient = mean_gradient(self.model, checked(validation, "validation"), progress=progress)
        self.inverse.fit(validation, progress=progress)
        (self.direction,) = self.inverse.times([gradient], progress=progress)
        return self


class StandardParameterChange(MinimumInfluence):
    """`Δθᵀ F_val Δθ`, `Δθ = (F_tr + λ)⁻¹ g`: new loss change, standard parameter change."""

    name = "ablation_os"
    title = "New loss change, standard parameter change"
    needs = frozenset({"tuned", "training_set", "validation_set"})
    cost = "1 pass of per-sample gradients over both sets, then 1 backward pass a sample"

    def fit(
        self,
        training: Batches | None = None,
        validation: Batches | None = None,
        *,
        progress: Progress | None = None,
    ) -> StandardParameterChange:
        """F of both sets."""
        found = {}
        for what, batches in (("training", training), ("validation", validation)):
            influence = self._for(next(iter(checked(batches, what)))[0])
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
