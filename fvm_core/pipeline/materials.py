"""What a run at work has from which its estimators are made, see `fvm_core.estimators.materials`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fvm_core.config import RunConfig
from fvm_core.diagonal.residuals import probabilities
from fvm_core.errors import SaltflatError
from fvm_core.estimators import Estimator
from fvm_core.estimators.confident import ConfidentLearning
from fvm_core.estimators.costs import BATCH
from fvm_core.estimators.materials import Checkpoint
from fvm_core.pipeline import dynamics
from fvm_core.pipeline.context import Context, step_name
from fvm_core.pipeline.defaults import default_gamma
from fvm_core.pipeline.ensembles import members, out_of_fold, tuned_besides
from fvm_core.pipeline.train import epoch_name
from fvm_core.pipeline.weights import load_tensors

Tell = Callable[[str, int, int], None]
"""Called with the phase, and `done` of `total` units of it."""


class RunMaterials:
    """The `Materials` of one estimator.

    Args:
        context: the run; folder: where it keeps what it has made while it works; tell: told how far.
    """

    def __init__(self, context: Context, folder: Path, tell: Tell):
        self.context, self.folder, self.tell = context, folder, tell

    @property
    def config(self) -> RunConfig:
        """Complete settings of the run."""
        return self.context.config

    def theta_star(self) -> nn.Module:
        """The trained model θ*."""
        return self.context.model_at("theta_star")

    def tuned(self) -> nn.Module:
        """The model θ̃ after the run's own tuning."""
        return self.context.model_at(step_name(self.context.saved_steps()[-1]))

    def best_checkpoint(self) -> tuple[int, nn.Module]:
        """The kept epoch with the best validation accuracy, or that of the settings, and its model."""
        epoch = best_epoch(self.context)
        return epoch, self.context.model_at(epoch_name(epoch))

    def checkpoints(self) -> list[Checkpoint]:
        """The kept moments of training, in their order."""
        table, context = self.context.run.training(), self.context
        rates = dict(zip(table["epoch"].tolist(), table["lr"].tolist(), strict=True))
        return [
            Checkpoint(load_tensors(checkpoint_path(context, epoch), context.device), rates[epoch], epoch)
            for epoch in kept_checkpoints(context)
        ]

    def tuned_with(self, solver: str) -> tuple[float, nn.Module]:
        """γ and θ* after a tuning of its own, that of the run with another solver."""
        gamma = default_gamma(solver, len(self.context.classes))
        settings = replace(self.config.tune, solver=solver, gamma=gamma)
        model = tuned_besides(self.context, settings, self.folder, self._tuning)
        return gamma, model

    def ensemble(self, count: int, start: str) -> list[dict[str, torch.Tensor]]:
        """State dicts of models tuned by SGD, each from the one before (`previous`) or from `theta_star`."""
        return members(self.context, self.folder, count, start, self._tuning)

    def probabilities(self, kind: type[Estimator]) -> np.ndarray:
        """(N + Q, K) for an estimator that is given them; NaN where a sample can't be used."""
        context = self.context
        if "epochs" in kind.needs:
            return dynamics.read(context.run.path, kind.name, kind.title)
        if "cross_fitted" in kind.needs:
            found = context.run.crossfit_probabilities()
            if found is None:
                raise SaltflatError(f"{kind.title} needs the stage crossfit, which this run has left out.")
            return found
        if "out_of_fold" in kind.needs:
            folds = int(ConfidentLearning.value(self.config, "folds"))
            return out_of_fold(
                context, self.folder, folds, lambda done, total: self.tell("folds", done, total)
            )
        model = self.tuned() if "tuned" in kind.needs else self.theta_star()
        found = np.full((len(context.rated), len(context.classes)), np.nan, dtype=np.float32)
        rows = context.rated.usable()
        with torch.no_grad():
            for start in range(0, len(rows), BATCH):
                self.tell("forward", start, len(rows))
                part = rows[start : start + BATCH]
                found[part] = probabilities(model(context.rated.images(part))).float().cpu().numpy()
        return found

    def _tuning(self, done: int, total: int) -> None:
        self.tell("tuning", done, total)


def kept_checkpoints(context: Context) -> list[int]:
    """The epochs of which the run has kept the model."""
    found = context.run.checkpoints.glob("epoch_*.safetensors")
    return sorted(int(path.stem.removeprefix("epoch_")) for path in found)


def checkpoint_path(context: Context, epoch: int) -> Path:
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
