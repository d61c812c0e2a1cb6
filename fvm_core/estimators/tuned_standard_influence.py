"""The standard influence function where the new one is used: neither half of it changed (table 6)."""

from __future__ import annotations

from fvm_core.estimators.diagonal import DiagonalStandardInfluence


class TunedStandardInfluence(DiagonalStandardInfluence):
    """`ḡ_valᵀ (F_tr + λ)⁻¹ g` at the tuned model."""

    name = "ablation_ss"
    title = "Standard influence, tuned model"
    needs = frozenset({"tuned", "training_set", "validation_set"})
    place = 300
