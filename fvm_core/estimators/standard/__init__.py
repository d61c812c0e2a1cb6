"""Estimators to compare with the influence at flat validation minima, by the name that the settings use."""

from fvm_core.estimators.standard.ablation import (
    StandardLossChange,
    StandardParameterChange,
    TunedStandardInfluence,
)
from fvm_core.estimators.standard.base import Estimator, LogitEstimator
from fvm_core.estimators.standard.confident import ConfidentLearning, TunedConfidentLearning
from fvm_core.estimators.standard.gex import GEX
from fvm_core.estimators.standard.influence import (
    DataInfInfluence,
    DiagonalStandardInfluence,
    EKFACInfluence,
    LiSSAInfluence,
)
from fvm_core.estimators.standard.minimum import MinimumInfluence
from fvm_core.estimators.standard.probes import ProbedDataInf, ProbedLiSSA
from fvm_core.estimators.standard.simple import (
    GradientNorm,
    Loss,
    Margin,
    TunedGradientNorm,
    TunedLoss,
    TunedMargin,
)
from fvm_core.estimators.standard.tracin import TracIn

ESTIMATORS: dict[str, type[Estimator]] = {
    estimator.name: estimator
    for estimator in (
        MinimumInfluence,
        LiSSAInfluence,
        DataInfInfluence,
        EKFACInfluence,
        DiagonalStandardInfluence,
        TracIn,
        GEX,
        ProbedLiSSA,
        ProbedDataInf,
        Loss,
        TunedLoss,
        Margin,
        TunedMargin,
        GradientNorm,
        TunedGradientNorm,
        ConfidentLearning,
        TunedConfidentLearning,
        TunedStandardInfluence,
        StandardLossChange,
        StandardParameterChange,
    )
}

__all__ = ["ESTIMATORS", "Estimator", "LogitEstimator"]
