"""The new influence with LiSSA (appendix C.4)."""

from __future__ import annotations

from fvm_core.estimators import costs
from fvm_core.estimators.lissa import ByLiSSA
from fvm_core.estimators.probed_influence import PROBES, ProbedInfluence


class ProbedLiSSA(ByLiSSA, ProbedInfluence):
    """With LiSSA."""

    name = "probed_lissa"
    title = "New influence with LiSSA"
    cost = "1,000 minibatches through 6 doubled backward passes, then 20 forward passes a sample"
    place = 90

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """The scale by power iteration, then the recursion of all probes at once."""
        batch = min(costs.BATCH, sizes.trusted)
        depth = int(cls.value(sizes.config, "lissa_depth"))
        return {
            "scale": costs.POWER_STEPS * batch * costs.CURVED,
            "recursion": depth * batch * (costs.TRAINING + PROBES * costs.CURVED),
            "scoring": 4.0 * PROBES * sizes.rated,
        }
