"""The new influence with DataInf (appendix C.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators import costs
from fvm_core.estimators.probed_influence import PROBES, ProbedInfluence

if TYPE_CHECKING:
    from fvm_core.curvature.datainf import DataInf


class ProbedDataInf(ProbedInfluence):
    """With DataInf."""

    name = "probed_datainf"
    title = "New influence with DataInf"
    cost = "2 passes of per-sample gradients over the validation set, then 20 forward passes a sample"
    place = 100

    @staticmethod
    def inverse_class() -> type[DataInf]:
        """`DataInf`."""
        from fvm_core.curvature.datainf import DataInf

        return DataInf

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """Two passes of per-sample gradients over the validation set."""
        each = sizes.trusted * costs.GRADIENTS
        return {"damping": each, "inverse": each, "scoring": 4.0 * PROBES * sizes.rated}
