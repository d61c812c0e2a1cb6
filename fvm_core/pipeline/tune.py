"""Stage: from θ* to a (flat) minimum of the validation risk (paper, section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F

from fvm_core.config import TuneConfig
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.context import Context, Throttle, seed_step, step_name
from fvm_core.pipeline.evaluation import risk_and_accuracy, sharpness
from fvm_core.pipeline.weights import load_training_state, save_tensors, save_training_state
from fvm_core.solvers import SOLVER_CLASSES, Solver

_STAGE = 2
_LIVE_POINTS = 60


def tune(context: Context) -> dict:
    """Minimise the validation risk with the chosen solver, learning rate cosine to 0.

    Saves `checkpoints/step_*.safetensors` at each saved step and `tuning.parquet` with validation risk,
    sharpness and accuracy over the whole validation set there. The live points between are means over
    minibatches.
    """
    settings, inputs, run = context.config.tune, context.val_inputs, context.run
    rows = inputs.usable()
    model = context.model_at("theta_star")
    solver = start_solver(model, settings)
    optimizer = solver.optimizer
    saved = context.saved_steps()
    state_file = run.path / "work" / "tune_state.safetensors"
    start, table = 0, []
    if state_file.exists():
        start, extra = load_training_state(state_file, model, optimizer)
        table = [point for point in run.history("saved") if point["step"] <= start]
        if [point["step"] for point in table] == [step for step in saved if step <= start]:
            solver.restore(extra)
            context.progress.log(f"Tuning goes on after step {start}.")
        else:
            context.progress.log("live/saved.jsonl has lost some saved steps; tuning begins again.")
            start, table, model = 0, [], context.model_at("theta_star")
            solver = start_solver(model, settings)
            optimizer = solver.optimizer
    run.restart_history("saved", table)
    run.restart_history("tune", [point for point in run.history("tune") if point["step"] <= start])

    def keep(step: int) -> None:
        point = _measured(model, inputs, rows, step)
        table.append(point)
        run.add_history("saved", point)
        save_tensors(run.checkpoints / f"{step_name(step)}.safetensors", model.state_dict())
        save_training_state(state_file, step, model, optimizer, solver.state())

    if not table:
        keep(0)
    every = max(1, settings.steps // _LIVE_POINTS)
    seen: list[tuple[float, float | None, float]] = []
    for step in range(start, settings.steps):
        context.progress.update("tune", step, settings.steps)
        seen.append(one_step(context, settings, solver, rows, step, _STAGE))
        if (step + 1) % every == 0 or step + 1 in saved:
            run.add_history("tune", {"step": step + 1, **_means(seen)})
            seen = []
        if step + 1 in saved:
            keep(step + 1)
    context.progress.update("tune", settings.steps, settings.steps)
    run.write_table("tuning.parquet", pa.Table.from_pylist(table))
    return {"steps": settings.steps, "solver": settings.solver, "gamma": settings.gamma}


def start_solver(model: torch.nn.Module, settings: TuneConfig) -> Solver:
    """The solver of the settings over SGD with their momentum and weight decay."""
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    return SOLVER_CLASSES[settings.solver](model, optimizer, settings.gamma)


class Pull:
    """`(ρ/2)‖θ − θ₀‖²` over the trainable parameters: what keeps a tuning near where it began.

    A few trusted images would otherwise make the model forget what many noisy ones have taught it.

    Args:
        model: at θ₀; strength: ρ.
    """

    def __init__(self, model: torch.nn.Module, strength: float):
        self.strength = strength
        self._start = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}

    def __call__(self, model: torch.nn.Module) -> torch.Tensor:
        """The term at the model's parameters."""
        terms = [(p - self._start[n]).square().sum() for n, p in model.named_parameters() if n in self._start]
        return self.strength / 2 * torch.stack(terms).sum()


def one_step(
    context: Context,
    settings: TuneConfig,
    solver: Solver,
    rows: np.ndarray,
    step: int,
    stage: int,
    pull: Pull | None = None,
) -> tuple[float, float | None, float]:
    """One minibatch of the validation set.

    Args:
        context: the run.
        settings: of this tuning.
        solver: changes its model in place.
        rows: of the validation set.
        step: from 0.
        stage: another number draws other random numbers.
        pull: added to the loss.

    Returns:
        Loss, sharpness (None for plain SGD) and accuracy of the minibatch before the step.

    Raises:
        SaltflatError: the loss is not finite any more.
    """
    for group in solver.optimizer.param_groups:
        group["lr"] = settings.lr * 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    seed_step(context.config.seed, stage, step)
    part = _minibatch(rows, settings.batch_size, step, context.config.seed, stage)
    images, labels = context.val_inputs.images(part), context.val_inputs.targets(part)
    first: list[float] = []

    def loss() -> torch.Tensor:
        logits = solver.model(images)
        if not first:
            first.append(float((logits.detach().argmax(1) == labels).float().mean()))
        found = F.cross_entropy(logits, labels)
        return found if pull is None else found + pull(solver.model)

    solver.model.train()
    done = solver.step(loss)
    if not math.isfinite(done.loss):
        raise SaltflatError(
            f"Tuning diverged at step {step + 1}. Use a smaller learning rate than {settings.lr} or a "
            f"smaller gamma than {solver.gamma}."
        )
    return done.loss, done.sharpness, first[0]


def tune_besides(
    context: Context,
    model: torch.nn.Module,
    settings: TuneConfig,
    stage: int,
    state_file: Path | None,
    tell: Callable[[int, int], None],
    rows: np.ndarray | None = None,
    pull: Pull | None = None,
) -> None:
    """Tune a model in place, apart from the run's own tuning; goes on after the last saved state.

    Args:
        context: the run.
        model: where to start.
        settings: complete.
        stage: see `one_step`.
        state_file: of the unfinished tuning; whoever stores the result deletes it. None keeps none.
        tell: called with steps done and in all; may raise to stop.
        rows: of the validation set; all usable ones where they are left out.
        pull: see `Pull`.
    """
    solver, start = start_solver(model, settings), 0
    rows = context.val_inputs.usable() if rows is None else rows
    if state_file is not None and state_file.exists():
        start, extra = load_training_state(state_file, model, solver.optimizer)
        solver.restore(extra)
    saving = Throttle(20)
    saving()
    for step in range(start, settings.steps):
        tell(step, settings.steps)
        one_step(context, settings, solver, rows, step, stage, pull)
        if state_file is not None and saving():
            save_training_state(state_file, step + 1, model, solver.optimizer, solver.state())
    tell(settings.steps, settings.steps)
    model.eval()


def _minibatch(rows: np.ndarray, size: int, step: int, seed: int, stage: int) -> np.ndarray:
    """The rows of one step: epochs of random order, each cut into batches of `size`, a short rest dropped."""
    size = min(size, len(rows))
    epoch, number = divmod(step, len(rows) // size)
    order = np.random.default_rng([seed, stage, epoch]).permutation(rows)
    return order[number * size : (number + 1) * size]


def _measured(model, inputs, rows, step: int) -> dict:
    risk, accuracy = risk_and_accuracy(model, inputs, rows)
    return {
        "step": step,
        "val_loss": risk,
        "sharpness": sharpness(model, inputs, rows),
        "val_accuracy": accuracy,
    }


def _means(seen: list[tuple[float, float | None, float]]) -> dict:
    losses, gaps, accuracies = zip(*seen, strict=True)
    known = [gap for gap in gaps if gap is not None]
    return {
        "val_loss": float(np.mean(losses)),
        "sharpness": float(np.mean(known)) if known else None,
        "val_accuracy": float(np.mean(accuracies)),
    }
