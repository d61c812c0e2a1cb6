"""The estimators that a run can hold beside its own score, and how each is made from what the run has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fvm_core.config import ESTIMATOR_NAMES, TuneConfig
from fvm_core.errors import SaltflatError
from fvm_core.estimators.standard import ESTIMATORS, Estimator, LogitEstimator
from fvm_core.estimators.standard.minimum import MinimumInfluence
from fvm_core.estimators.standard.tracin import Checkpoint, TracIn
from fvm_core.pipeline.context import Context, step_name
from fvm_core.pipeline.defaults import NEED_CHECKPOINTS, OWN_SOLVERS, default_gamma
from fvm_core.pipeline.train import epoch_name
from fvm_core.pipeline.weights import load_tensors

Tell = Callable[[str, int, int], None]
"""Called with the phase, and `done` of `total` units of it."""

SOLVER_TITLES = {"sgd": "SGD", "sam": "SAM", "asam": "ASAM", "fsam": "F-SAM", "lpf": "LPF"}

_TRAINED = ("theta_star", "checkpoints", "out_of_fold")


@dataclass(frozen=True)
class Entry:
    """What is known of an estimator before it is computed.

    Attributes:
        name: as settings call it; kind: its class; title, cost: for people.
        trained_only: it looks at the model as it was trained, not as it was tuned.
    """

    name: str
    kind: type[Estimator]
    title: str
    cost: str

    @property
    def trained_only(self) -> bool:
        """Whether only θ*, checkpoints of training or fold models are looked at."""
        return bool(self.kind.needs & set(_TRAINED))

    @property
    def by_logits(self) -> bool:
        """Whether one forward pass of a shared model is all it needs."""
        return issubclass(self.kind, LogitEstimator)

    @property
    def by_probabilities(self) -> bool:
        """Whether it is given probabilities in the place of images."""
        return self.name in ("confident", "tuned_confident")


def entry(name: str) -> Entry:
    """What stands behind a name of `ESTIMATOR_NAMES`."""
    if name in OWN_SOLVERS:
        solver = OWN_SOLVERS[name]
        title = "VM" if solver == "sgd" else f"FVM ({SOLVER_TITLES[solver]})"
        return Entry(name, MinimumInfluence, title, f"a tuning of its own, then {MinimumInfluence.cost}")
    kind = ESTIMATORS[name.removesuffix("_best")]
    title = f"{kind.title}*" if name.endswith("_best") else kind.title
    return Entry(name, kind, title, kind.cost)


ENTRIES = {name: entry(name) for name in ESTIMATOR_NAMES}
"""By name, in the order in which lists show them."""


def why_not(context: Context, name: str) -> str:
    """Why the run can't have an estimator, in words; empty where it can."""
    if name in NEED_CHECKPOINTS and not kept_checkpoints(context):
        return (
            f"{ENTRIES[name].title} needs checkpoints of training and this run has none. Start a run that "
            f"trains, with --keep-checkpoints 5 or with this estimator named from the start."
        )
    if name == "confident" and not context.config.train.epochs:
        return (
            f"{ENTRIES[name].title} trains a model for every fold, and this run takes its model from a "
            f"checkpoint. Use tuned_confident, or start a run that trains (epochs above 0)."
        )
    return ""


def build(context: Context, name: str) -> tuple[Estimator, dict]:
    """The estimator before `fit`, and what it is computed with, for people.

    For those with a tuning or an ensemble of their own, see `fvm_core.pipeline.ensembles`.

    Raises:
        SaltflatError: the run lacks what it needs.
    """
    reason = why_not(context, name)
    if reason:
        raise SaltflatError(reason)
    kind = ENTRIES[name].kind
    if name == "tracin":
        rates = _learning_rates(context)
        epochs = kept_checkpoints(context)
        kept = [
            Checkpoint(load_tensors(checkpoint_path(context, epoch), context.device), rates[epoch])
            for epoch in epochs
        ]
        return TracIn(context.model_at("theta_star"), kept), {"epochs": ", ".join(map(str, epochs))}
    settings: dict = {}
    if name.endswith("_best"):
        epoch = best_epoch(context)
        settings["epoch"] = epoch
        model = context.model_at(epoch_name(epoch))
    elif "tuned" in kind.needs:
        model = context.model_at(step_name(context.saved_steps()[-1]))
    else:
        model = context.model_at("theta_star")
    options = options_of(context, name)
    return kind(model, **options), {**settings, **options}


def own_tuning(context: Context, name: str) -> TuneConfig:
    """The settings of an estimator's own tuning: those of the run with another solver."""
    solver = OWN_SOLVERS[name]
    gamma = default_gamma(solver, len(context.classes))
    return replace(context.config.tune, solver=solver, gamma=gamma)


def influence_options(context: Context) -> dict:
    """Damping as the run's own score has it."""
    score = context.config.score
    return {"damping": score.damping, "damping_kind": score.damping_kind}


def kept_checkpoints(context: Context) -> list[int]:
    """The epochs of which the run has kept the model."""
    found = context.run.checkpoints.glob("epoch_*.safetensors")
    return sorted(int(path.stem.removeprefix("epoch_")) for path in found)


def checkpoint_path(context: Context, epoch: int):
    """The file of the model after an epoch."""
    return context.run.checkpoints / f"{epoch_name(epoch)}.safetensors"


def best_epoch(context: Context) -> int:
    """The kept epoch that the settings name, else that with the highest validation accuracy.

    Raises:
        SaltflatError: the epoch that is named was not kept.
    """
    kept, wanted = kept_checkpoints(context), context.config.compare.best_epoch
    if wanted is not None:
        if wanted not in kept:
            raise SaltflatError(
                f"Setting `compare.best_epoch` is {wanted}, but this run has kept the epochs "
                f"{', '.join(map(str, kept))}. Choose one of them."
            )
        return wanted
    accuracy = context.run.training().set_index("epoch")["val_accuracy"]
    return max(kept, key=lambda epoch: accuracy[epoch])


def _learning_rates(context: Context) -> dict[int, float]:
    table = context.run.training()
    return dict(zip(table["epoch"].tolist(), table["lr"].tolist(), strict=True))


def options_of(context: Context, name: str) -> dict:
    """What an estimator is made with, from the settings of the run."""
    compare = context.config.compare
    if name.removesuffix("_best") in ("lissa", "probed_lissa"):
        return {
            "depth": compare.lissa_depth,
            "damping": compare.lissa_damping,
            "matrix": compare.lissa_matrix,
        }
    if name in ("ablation_os", "ablation_so", "ablation_ss", "diagonal"):
        score = context.config.score
        kind = "relative" if score.damping_kind == "per_tensor" else score.damping_kind
        return {"damping": score.damping, "damping_kind": kind}
    return {}


class RowBatches:
    """Batches of some rows, always the same.

    Args:
        samples: where images and labels come from; rows: which, in this order; size: of a batch.
    """

    def __init__(self, samples, rows: np.ndarray, size: int):
        self._samples, self._rows, self._size = samples, rows, size

    def __iter__(self):
        return iter(self._samples.batches(self._rows, self._size))

    def __len__(self) -> int:
        return -(-len(self._rows) // self._size)
