"""Risk, accuracy and sharpness on a whole set of samples."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.pipeline.inputs import Inputs
from fvm_core.solvers.sam import ascent
from fvm_core.solvers.sgd import SGD

SHARPNESS_RADIUS = 0.05
"""Radius γ at which sharpness is measured, the same for every solver so that runs compare."""

BATCH = 256


@torch.no_grad()
def risk_and_accuracy(model: nn.Module, inputs: Inputs, rows: np.ndarray) -> tuple[float, float]:
    """Mean cross-entropy and share of right predictions, in evaluation mode."""
    was_training = model.training
    model.eval()
    loss = right = 0.0
    for images, labels in inputs.batches(rows, BATCH):
        logits = model(images)
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        right += float((logits.argmax(1) == labels).sum())
    model.train(was_training)
    return loss / len(rows), right / len(rows)


def sharpness(model: nn.Module, inputs: Inputs, rows: np.ndarray) -> float:
    """`R(θ + γ g/‖g‖) − R(θ)`, `g = ∇R(θ)` over all rows, γ = `SHARPNESS_RADIUS`: the ascent gap of SAM."""
    model.eval()
    model.zero_grad(set_to_none=True)
    before = 0.0
    for images, labels in inputs.batches(rows, BATCH):
        loss = F.cross_entropy(model(images), labels, reduction="sum") / len(rows)
        loss.backward()
        before += float(loss.detach())
    gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    mover = SGD(model, torch.optim.SGD(model.parameters(), lr=0.0))
    with mover.moved(ascent(gradients, SHARPNESS_RADIUS)):
        after, _ = risk_and_accuracy(model, inputs, rows)
    return after - before
