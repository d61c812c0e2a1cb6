"""Solvers for the validation risk, by the name that the settings use."""

from fvm_core.solvers.asam import ASAM
from fvm_core.solvers.base import Solver, Step
from fvm_core.solvers.fsam import FSAM
from fvm_core.solvers.lpf import LPF
from fvm_core.solvers.sam import SAM
from fvm_core.solvers.sgd import SGD

SOLVER_CLASSES: dict[str, type[Solver]] = {"sgd": SGD, "sam": SAM, "asam": ASAM, "fsam": FSAM, "lpf": LPF}

__all__ = ["ASAM", "FSAM", "LPF", "SAM", "SGD", "SOLVER_CLASSES", "Solver", "Step"]
