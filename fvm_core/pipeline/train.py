"""Stage: θ*, trained on the given labels (paper, appendix B.1)."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F

from fvm_core.device import training_autocast
from fvm_core.errors import SaltflatError
from fvm_core.pipeline.context import Context, Throttle, seed_step
from fvm_core.pipeline.evaluation import risk_and_accuracy
from fvm_core.pipeline.inputs import augmented
from fvm_core.pipeline.weights import load_training_state, save_tensors, save_training_state

_STAGE = 1
_COLUMNS = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr")


def train(context: Context) -> dict:
    """Train by SGD, learning rate × 0.1 after half of the epochs.

    Saves `checkpoints/theta_star.safetensors` and `training.parquet`.
    """
    settings, inputs, run = context.config.train, context.train_inputs, context.run
    rows, val_rows = inputs.usable(), context.val_inputs.usable()
    model = context.new_model()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
    )
    state_file = run.path / "work" / "train_state.safetensors"
    points: list[dict] = []
    if state_file.exists():
        done, _ = load_training_state(state_file, model, optimizer)
        points = run.history("train")[:done]
        context.progress.log(f"Training goes on after epoch {done}.")
    run.restart_history("train", points)

    batches = -(-len(rows) // settings.batch_size)
    saving = Throttle(20)
    for epoch in range(len(points), settings.epochs):
        lr = settings.lr * (0.1 if 2 * epoch >= settings.epochs else 1.0)
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss, accuracy = _epoch(context, model, optimizer, rows, epoch, batches)
        if not np.isfinite(loss):
            raise SaltflatError(
                f"Training diverged in epoch {epoch + 1} (the loss is {loss}). Use a smaller learning rate "
                f"than {settings.lr}."
            )
        val_loss, val_accuracy = risk_and_accuracy(model, context.val_inputs, val_rows)
        values = (epoch + 1, loss, accuracy, val_loss, val_accuracy, lr)
        points.append(dict(zip(_COLUMNS, values, strict=True)))
        run.add_history("train", points[-1])
        if saving() or epoch + 1 == settings.epochs:
            save_training_state(state_file, epoch + 1, model, optimizer, {})
    save_tensors(run.checkpoints / "theta_star.safetensors", model.state_dict())
    if points:
        run.write_table("training.parquet", pa.Table.from_pylist(points))
    return {"epochs": settings.epochs}


def _epoch(
    context: Context,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    rows: np.ndarray,
    epoch: int,
    batches: int,
) -> tuple[float, float]:
    """One pass over the data; mean loss and accuracy on the batches as they were seen."""
    settings, seed = context.config.train, context.config.seed
    order = np.random.default_rng([seed, _STAGE, epoch]).permutation(rows)
    total = context.config.train.epochs * batches
    loss_sum, right = torch.zeros((), device=context.device), torch.zeros((), device=context.device)
    model.train()
    for number in range(batches):
        context.progress.update("train", epoch * batches + number, total)
        part = order[number * settings.batch_size : (number + 1) * settings.batch_size]
        if len(part) == 1 and batches > 1:
            continue  # BatchNorm can't normalise a batch of one
        generator = seed_step(seed, _STAGE, epoch * batches + number)
        images, labels = context.train_inputs.images(part), context.train_inputs.targets(part)
        if settings.augment:
            images = augmented(images, generator)
        optimizer.zero_grad(set_to_none=True)
        with training_autocast(context.device, context.config.precision):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        loss_sum += loss.detach() * len(part)
        right += (logits.argmax(1) == labels).sum()
    context.progress.update("train", (epoch + 1) * batches, total)
    return float(loss_sum) / len(rows), float(right) / len(rows)
