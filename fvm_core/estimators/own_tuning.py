"""The influence at the minimum that another solver finds: VM, and FVM by each of the flatness terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fvm_core.estimators import costs
from fvm_core.estimators.minimum import MinimumInfluence

if TYPE_CHECKING:
    from fvm_core.config import RunConfig


class OwnTuning(MinimumInfluence):
    """`MinimumInfluence` after a tuning of its own, with the run's settings but for the solver."""

    needs = frozenset({"own_tuning", "validation_set"})
    cost = f"a tuning of its own, then {MinimumInfluence.cost}"

    @classmethod
    def phases(cls, sizes: costs.Sizes) -> costs.Phases:
        """The tuning, then as at the run's own minimum."""
        return {"tuning": costs.tuning(sizes, cls.solver), **super().phases(sizes)}

    @classmethod
    def is_own(cls, config: RunConfig) -> bool:
        """Whether the run is tuned by this solver itself."""
        return config.tune.solver == cls.solver


class VM(OwnTuning):
    """At any minimum, by plain SGD (section 3.2)."""

    name = "vm"
    title = "VM"
    solver = "sgd"
    place = 10


class SharpnessAware(OwnTuning):
    """At a flat minimum by SAM (Foret et al. 2021), the paper's choice."""

    name = "fvm_sam"
    title = "FVM (SAM)"
    solver = "sam"
    place = 20


class AdaptiveSharpnessAware(OwnTuning):
    """At a flat minimum by ASAM (Kwon et al. 2021)."""

    name = "fvm_asam"
    title = "FVM (ASAM)"
    solver = "asam"
    place = 30


class FriendlySharpnessAware(OwnTuning):
    """At a flat minimum by F-SAM (Li et al. 2024)."""

    name = "fvm_fsam"
    title = "FVM (F-SAM)"
    solver = "fsam"
    place = 40


class LowPassFiltered(OwnTuning):
    """At a flat minimum by LPF (Bisla et al. 2022)."""

    name = "fvm_lpf"
    title = "FVM (LPF)"
    solver = "lpf"
    place = 45
