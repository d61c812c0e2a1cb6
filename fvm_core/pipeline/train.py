"""Stage: θ*, trained on the given labels (paper, appendix B.1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F

from fvm_core.device import training_autocast
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.context import Context, Throttle, seed_step
from fvm_core.pipeline.dynamics import Dynamics, kept_for
from fvm_core.pipeline.evaluation import risk_and_accuracy
from fvm_core.pipeline.inputs import Samples, augmented
from fvm_core.pipeline.weights import load_training_state, save_tensors, save_training_state

_STAGE = 1
_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr")


def train(context: Context) -> dict:
    """Train by SGD, learning rate × 0.1 after half of the epochs.

    Saves `checkpoints/theta_star.safetensors`, `training.parquet`, and the models after the epochs that the
    settings ask for. Planted samples are learnt like all others.
    """
    settings, run = context.config.train, context.run
    rows, val_rows = context.rated.usable(), context.val_inputs.usable()
    model = context.new_model()
    optimizer = fresh_optimizer(context, model)
    state_file = run.path / "work" / "train_state.safetensors"
    points: list[dict] = []
    recorded = kept_for(len(context.rated), len(context.classes), settings.epochs, context.device)
    if state_file.exists():
        done, extra = load_training_state(state_file, model, optimizer)
        points = [point for point in run.history("train") if point["epoch"] <= done]
        if [point["epoch"] for point in points] == list(range(1, done + 1)):
            context.progress.log(f"Training goes on after epoch {done}.")
            if recorded is not None and not recorded.restored(extra):  # of an earlier version
                recorded = None
        else:
            context.progress.log(f"live/train.jsonl has lost some of {done} epochs; training begins again.")
            points, model = [], context.new_model()
            optimizer = fresh_optimizer(context, model)
    run.restart_history("train", points)

    batches = -(-len(rows) // settings.batch_size)
    kept = kept_epochs(settings.epochs, context.config.compare.checkpoints or 0)
    saving = Throttle(20)
    for epoch in range(len(points), settings.epochs):

        def tell(number: int, epoch: int = epoch) -> None:
            context.progress.update("train", epoch * batches + number, settings.epochs * batches)

        loss, accuracy = one_epoch(context, model, optimizer, rows, epoch, _STAGE, tell, recorded=recorded)
        val_loss, val_accuracy = risk_and_accuracy(model, context.val_inputs, val_rows)
        values = (epoch + 1, loss, accuracy, val_loss, val_accuracy, optimizer.param_groups[0]["lr"])
        points.append(dict(zip(_COLUMNS, values, strict=True)))
        run.add_history("train", points[-1])
        if epoch + 1 in kept:
            save_tensors(run.checkpoints / f"{epoch_name(epoch + 1)}.safetensors", model.state_dict())
        if saving() or epoch + 1 in kept or epoch + 1 == settings.epochs:
            extra = {} if recorded is None else recorded.state()
            save_training_state(state_file, epoch + 1, model, optimizer, extra)
    if recorded is not None:
        recorded.write(run.path, settings.epochs, rows)
    save_tensors(run.checkpoints / "theta_star.safetensors", model.state_dict())
    if points:
        run.write_table("training.parquet", pa.Table.from_pylist(points))
    return {"epochs": settings.epochs, "kept": kept}


def kept_epochs(epochs: int, count: int) -> list[int]:
    """The epochs after which the model is kept: `count` evenly spaced ones, the last included."""
    count = min(count, epochs)
    return [round((number + 1) * epochs / count) for number in range(count)]


def epoch_name(epoch: int) -> str:
    """File name of the model after a training epoch."""
    return f"epoch_{epoch:04d}"


def one_epoch(
    context: Context,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    rows: np.ndarray,
    epoch: int,
    stage: int,
    tell: Callable[[int], None],
    samples: Samples | None = None,
    weights: torch.Tensor | None = None,
    recorded: Dynamics | None = None,
) -> tuple[float, float]:
    """One pass over some rows with the settings of the run.

    Args:
        context: the run.
        model: changed in place.
        optimizer: of its parameters.
        rows: of the samples.
        epoch: from 0, decides the learning rate, the order and the random numbers.
        stage: another number draws other random numbers.
        tell: called with the number of every batch; may raise to stop.
        samples: what is learnt; those of `context.rated` where it is left out.
        weights: of each sample's loss; all 1 where they are left out.
        recorded: told the logits of every batch.

    Returns:
        Mean loss and accuracy on the batches as they were seen.

    Raises:
        SaltflatError: the loss is not finite any more.
    """
    settings, seed = context.config.train, context.config.seed
    inputs = context.rated if samples is None else samples
    for group in optimizer.param_groups:
        group["lr"] = settings.lr * (0.1 if 2 * epoch >= settings.epochs else 1.0)
    order = np.random.default_rng([seed, stage, epoch]).permutation(rows)
    batches = -(-len(rows) // settings.batch_size)
    loss_sum, right = torch.zeros((), device=context.device), torch.zeros((), device=context.device)
    model.train()
    for number in range(batches):
        tell(number)
        part = order[number * settings.batch_size : (number + 1) * settings.batch_size]
        if len(part) == 1 and batches > 1:
            continue  # BatchNorm can't normalise a batch of one
        generator = seed_step(seed, stage, epoch * batches + number)
        images, labels = inputs.images(part), inputs.targets(part)
        if settings.augment:
            images = augmented(images, generator)
        optimizer.zero_grad(set_to_none=True)
        with training_autocast(context.device, context.config.precision):
            logits = model(images)
        if weights is None:
            loss = F.cross_entropy(logits.float(), labels)
        else:
            each = F.cross_entropy(logits.float(), labels, reduction="none")
            loss = (each * weights[torch.from_numpy(part)].to(each)).mean()
        loss.backward()
        optimizer.step()
        if recorded is not None:
            recorded.add(part, logits)
        loss_sum += loss.detach() * len(part)
        right += (logits.argmax(1) == labels).sum()
    tell(batches)
    mean = float(loss_sum) / len(rows)
    if not np.isfinite(mean):
        raise SaltflatError(
            f"Training diverged in epoch {epoch + 1} (the loss is {mean}). Use a smaller learning rate than "
            f"{settings.lr}."
        )
    return mean, float(right) / len(rows)


def fresh_optimizer(context: Context, model: torch.nn.Module) -> torch.optim.Optimizer:
    """SGD with the settings of training."""
    settings = context.config.train
    return torch.optim.SGD(
        model.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
