"""Standard influence with DataInf, whose inverse is a mean of inverses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators import costs
from fvm_core.estimators.standard_influence import StandardInfluence

if TYPE_CHECKING:
    from fvm_core.config import RunConfig
    from fvm_core.curvature.datainf import DataInf


class DataInfInfluence(StandardInfluence):
    """With the mean of the inverses of single samples (Kwon et al. 2024)."""

    name = "datainf"
    title = "DataInf"
    cost = "2 passes of per-sample gradients over the training set, then 2 forward passes a sample"
    place = 130

    @staticmethod
    def inverse_class() -> type[DataInf]:
        """`DataInf`."""
        from fvm_core.curvature.datainf import DataInf

        return DataInf

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """Two passes of per-sample gradients."""
        each = sizes.rated * costs.GRADIENTS
        gradient, products = costs.mean_gradient(sizes), costs.both_products(sizes)
        return {**gradient, "damping": each, "inverse": each, **products}

    @classmethod
    def vectors(cls, config: RunConfig) -> int:
        """Vectors of the sums and of the products."""
        return 6


class BestDataInf(DataInfInfluence):
    """At the checkpoint of training with the best validation accuracy."""

    name = "datainf_best"
    title = "DataInf*"
    aliases = ("datainf*",)
    needs = frozenset({"best_checkpoint", "training_set", "validation_set"})
    place = 180
