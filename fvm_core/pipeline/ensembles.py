"""Models that single estimators need beside θ* and θ̃: other tunings, GEX's ensemble, fold models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fvm_core.config import TuneConfig
from fvm_core.diagonal.residuals import probabilities
from fvm_core.models.memory_format import channels_last
from fvm_core.pipeline.context import Context, Throttle
from fvm_core.pipeline.evaluation import BATCH
from fvm_core.pipeline.inputs import Samples
from fvm_core.pipeline.train import fresh_optimizer, one_epoch
from fvm_core.pipeline.tune import tune_besides
from fvm_core.pipeline.weights import load_tensors, load_training_state, save_tensors, save_training_state

Tell = Callable[[int, int], None]

_SOLVER_STREAMS = {"sgd": 200, "sam": 201, "asam": 202, "fsam": 203, "lpf": 204}
_MEMBERS, _FOLDS, _FOLD_DRAW = 1000, 2000, 3000
"""Numbers that keep the random draws of these models apart, see `seed_step`."""


def tuned_besides(context: Context, settings: TuneConfig, folder: Path, tell: Tell) -> nn.Module:
    """θ* tuned with another solver; kept as `checkpoints/tuned_SOLVER.safetensors`."""
    name = f"tuned_{settings.solver}"
    path = context.run.checkpoints / f"{name}.safetensors"
    if not path.exists():
        model, state = context.model_at("theta_star"), folder / "tuning.safetensors"
        tune_besides(context, model, settings, _SOLVER_STREAMS[settings.solver], state, tell)
        save_tensors(path, model.state_dict())
        state.unlink(missing_ok=True)
    return context.model_at(name)


def members(
    context: Context, folder: Path, count: int, start: str, tell: Tell
) -> list[dict[str, torch.Tensor]]:
    """GEX's ensemble, tuned by plain SGD, each member from the one before (`previous`) or from θ*."""
    settings = replace(context.config.tune, solver="sgd")
    model = context.model_at("theta_star")
    total = count * settings.steps
    found = []
    for number in range(count):
        path = folder / f"member_{number:03d}.safetensors"
        if not path.exists():

            def tell_member(done: int, _steps: int, number: int = number) -> None:
                tell(number * settings.steps + done, total)

            state = folder / "tuning.safetensors"
            tune_besides(context, model, settings, _MEMBERS + number, state, tell_member)
            save_tensors(path, model.state_dict())
            state.unlink(missing_ok=True)
        found.append(load_tensors(path, context.device))
        if start == "previous":
            model.load_state_dict(found[-1])
        else:
            model = context.model_at("theta_star")
    return found


def out_of_fold(context: Context, folder: Path, folds: int, tell: Tell) -> np.ndarray:
    """(N + Q, K) probabilities by models that have not seen the sample; NaN where it can't be used.

    Each fold's model starts anew and is trained as θ* was. Samples are dealt to the folds at random.
    """
    epochs = context.config.train.epochs
    usable, device = context.rated.usable(), context.device
    order = np.random.default_rng([context.config.seed, _FOLD_DRAW]).permutation(usable)
    found = np.full((len(context.rated), len(context.classes)), np.nan, dtype=np.float32)
    for fold in range(folds):
        path = folder / f"fold_{fold}.safetensors"
        rows = np.sort(order[fold::folds])
        if len(rows) and not path.exists():

            def tell_epoch(epoch: int, fold: int = fold) -> None:
                tell(fold * epochs + epoch, folds * epochs)

            others, state = np.setdiff1d(usable, rows), folder / "fold_state.safetensors"
            model = trained_on(context, others, _FOLDS + fold, state, tell_epoch)
            with torch.no_grad():
                parts = [
                    probabilities(model(images)).float().cpu()
                    for images, _labels in context.rated.batches(rows, BATCH)
                ]
            save_tensors(path, {"probabilities": torch.cat(parts)})
            (folder / "fold_state.safetensors").unlink(missing_ok=True)
            if device == "cuda":
                torch.cuda.empty_cache()
        if len(rows):
            found[rows] = load_tensors(path)["probabilities"].numpy()
        tell((fold + 1) * epochs, folds * epochs)
    return found


def trained_on(
    context: Context,
    rows: np.ndarray,
    stage: int,
    state: Path,
    tell: Callable[[int], None],
    samples: Samples | None = None,
    weights: torch.Tensor | None = None,
) -> nn.Module:
    """A new model, trained as θ* was but on these rows; goes on after the last saved epoch.

    Args:
        context: the run.
        rows: of the samples.
        stage: another number draws other random numbers.
        state: file of the unfinished training; whoever stores the result deletes it.
        tell: called with the epochs that are done; may raise to stop.
        samples: see `one_epoch`.
        weights: see `one_epoch`.
    """
    model = channels_last(context.new_model())  # 1.3 times as fast on two cores
    optimizer = fresh_optimizer(context, model)
    start = 0
    if state.exists():
        start, _ = load_training_state(state, model, optimizer)
    saving = Throttle(20)
    saving()
    for epoch in range(start, context.config.train.epochs):

        def tell_batch(_number: int, epoch: int = epoch) -> None:
            tell(epoch)

        one_epoch(context, model, optimizer, rows, epoch, stage, tell_batch, samples, weights)
        if saving():
            save_training_state(state, epoch + 1, model, optimizer, {})
    return model.eval()
