"""Scores to compare with the influence at flat validation minima; `registry` knows them all by name."""

from fvm_core.estimators.base import Estimator, LogitEstimator, RelabellingEstimator
from fvm_core.estimators.setting import Setting

__all__ = ["Estimator", "LogitEstimator", "RelabellingEstimator", "Setting"]
