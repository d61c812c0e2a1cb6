"""Gradient of the mean loss over a set of samples."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.curvature.batches import Batches, Progress, placed
from fvm_core.curvature.values import values_of
from fvm_core.curvature.vectors import Vector, trainable
from fvm_core.diagonal.arguments import class_labels
from fvm_core.errors import SaltflatError
from fvm_core.layers import stateless
from fvm_core.layers.conditions import accept, refuse_training_mode
from fvm_core.layers.eager import unwrapped


def mean_gradient(
    model: nn.Module,
    batches: Batches,
    *,
    values: Vector | None = None,
    progress: Progress | None = None,
) -> Vector:
    """`(1/M) Σ_m ∇_θ ℓ(z_m, θ)`, cross-entropy ℓ, one backward pass a batch.

    Args:
        model: logits (B, K); in evaluation mode; never changed.
        batches: (images, labels).
        values: see `values_of`, where they are not the model's own.
        progress: told of every batch.

    Raises:
        SaltflatError: there are no samples, or labels are none; see `values_of` and `check_alone`.
    """
    model = unwrapped(model)
    refuse_training_mode(model)
    values = values_of(model) if values is None else values
    names = list(trainable(model))
    total = {name: torch.zeros_like(values[name]) for name in names}
    count = 0
    for images, labels in placed(batches, next(iter(values.values())).device, "gradient", progress):
        if not len(images):
            continue
        if not count:
            accept(model, images)
        with torch.enable_grad():
            own = {name: values[name].detach().requires_grad_() for name in names}
            logits = stateless.call(model, values | own, images)
            labels = class_labels(labels, len(images), logits.shape[1])
            loss = F.cross_entropy(logits, labels, reduction="sum")
            found = torch.autograd.grad(loss, list(own.values()), allow_unused=True, materialize_grads=True)
        for name, gradient in zip(names, found, strict=True):
            total[name] += gradient
        count += len(images)
    if count == 0:
        raise SaltflatError("There are no samples to take the gradient of.")
    return {name: value / count for name, value in total.items()}
