"""Standard influence with EK-FAC, which inverts Kronecker factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators import costs
from fvm_core.estimators.standard_influence import StandardInfluence

if TYPE_CHECKING:
    from fvm_core.config import RunConfig
    from fvm_core.curvature.ekfac import EKFAC


class EKFACInfluence(StandardInfluence):
    """With Kronecker factors and corrected eigenvalues (Grosse et al. 2023)."""

    name = "ekfac"
    title = "EK-FAC"
    cost = "2 passes of per-sample gradients over the training set, then 2 forward passes a sample"
    place = 140

    @staticmethod
    def inverse_class() -> type[EKFAC]:
        """`EKFAC`."""
        from fvm_core.curvature.ekfac import EKFAC

        return EKFAC

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """Two passes of per-sample gradients."""
        each = sizes.rated * costs.GRADIENTS
        return {
            **costs.mean_gradient(sizes),
            "factors": each,
            "eigenvectors": 0.0,  # they take what the layers take, however many samples there are
            "eigenvalues": each,
            **costs.both_products(sizes),
        }

    @classmethod
    def vectors(cls, config: RunConfig) -> int:
        """Factors, their eigenvectors, and vectors of the products."""
        return 8


class BestEKFAC(EKFACInfluence):
    """At the checkpoint of training with the best validation accuracy."""

    name = "ekfac_best"
    title = "EK-FAC*"
    aliases = ("ekfac*",)
    needs = frozenset({"best_checkpoint", "training_set", "validation_set"})
    place = 190
