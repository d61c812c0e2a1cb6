"""Standard influence with LiSSA, which inverts the curvature by recursion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fvm_core.estimators import costs
from fvm_core.estimators.base import Estimator
from fvm_core.estimators.setting import Setting
from fvm_core.estimators.standard_influence import StandardInfluence

if TYPE_CHECKING:
    from fvm_core.config import RunConfig
    from fvm_core.curvature.inverse import InverseCurvature
    from fvm_core.curvature.lissa import LiSSA


class ByLiSSA(Estimator):
    """What every estimator shares that inverts by LiSSA, see `fvm_core.curvature.lissa.LiSSA`."""

    settings = (
        Setting("lissa_depth", 1000, "Steps of LiSSA", "Steps of LiSSA's recursion.", least=1),
        Setting("lissa_damping", 0.01, "Damping of LiSSA", "Of LiSSA's recursion.", least=0, below=1),
        Setting(
            "lissa_matrix",
            "gauss_newton",
            "Matrix of LiSSA",
            "What LiSSA inverts; the Hessian may have negative eigenvalues.",
            choices=(("gauss_newton", "Gauss-Newton"), ("hessian", "Hessian")),
        ),
    )
    inverse: InverseCurvature

    @staticmethod
    def inverse_class() -> type[LiSSA]:
        """`LiSSA`."""
        from fvm_core.curvature.lissa import LiSSA

        return LiSSA

    @classmethod
    def options(cls, config: RunConfig) -> dict[str, Any]:
        """Those of the recursion."""
        return {name: cls.value(config, f"lissa_{name}") for name in ("depth", "damping", "matrix")}

    def trace(self) -> list[tuple[int, float]]:
        """That of the recursion."""
        return [(int(step), float(change)) for step, change in getattr(self.inverse, "trace", ())]


class LiSSAInfluence(ByLiSSA, StandardInfluence):
    """With the Hessian inverted by recursion (Koh & Liang 2017)."""

    name = "lissa"
    title = "LiSSA"
    cost = "1,000 minibatches through a doubled backward pass, then 2 forward passes a sample"
    place = 120

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """The scale by power iteration, then the recursion over minibatches."""
        batch = min(costs.BATCH, sizes.rated)
        depth = int(cls.value(sizes.config, "lissa_depth"))
        return {
            **costs.mean_gradient(sizes),
            "scale": costs.POWER_STEPS * batch * costs.CURVED,
            "recursion": depth * batch * costs.CURVED,
            **costs.both_products(sizes),
        }

    @classmethod
    def vectors(cls, config: RunConfig) -> int:
        """Vectors of the recursion and of the products."""
        return 6


class BestLiSSA(LiSSAInfluence):
    """At the checkpoint of training with the best validation accuracy."""

    name = "lissa_best"
    title = "LiSSA*"
    aliases = ("lissa*",)
    needs = frozenset({"best_checkpoint", "training_set", "validation_set"})
    place = 170
