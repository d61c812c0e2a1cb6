"""Products of the curvature of one minibatch with vectors; no matrix is formed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.curvature.differentiable import differentiable
from fvm_core.curvature.jvp import directional
from fvm_core.curvature.values import values_of
from fvm_core.curvature.vectors import Vector
from fvm_core.diagonal.arguments import class_labels
from fvm_core.layers import stateless
from fvm_core.layers.eager import unwrapped


def hessian_products(
    model: nn.Module, vectors: Sequence[Vector], images: torch.Tensor, labels: torch.Tensor
) -> list[Vector]:
    """`H v`, `H = (1/B) Σ_b ∇²ℓ(z_b)`, by differentiating twice; the vectors share the first pass.

    Args:
        model: logits (B, K); in evaluation mode; never changed.
        vectors: all with the same names, which are the parameters that count.
        images: (B, …).
        labels: (B,).

    Raises:
        SaltflatError: see `values_of`.
        RuntimeError: torch does not know the second derivative of one of the model's operations.
    """
    with torch.enable_grad(), differentiable():
        logits, own = _logits(model, vectors[0], images)
        labels = class_labels(labels, len(images), logits.shape[1])
        leaves = list(own.values())
        gradients = torch.autograd.grad(
            F.cross_entropy(logits, labels),
            leaves,
            create_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        found = []
        for vector in vectors:
            terms = ((g * vector[name]).sum() for name, g in zip(own, gradients, strict=True))
            found.append(_pulled(reduce(operator.add, terms), own, None))
    return found


def gauss_newton_products(
    model: nn.Module, vectors: Sequence[Vector], images: torch.Tensor, labels: torch.Tensor
) -> list[Vector]:
    """`G v`, `G = (1/B) Σ_b J_bᵀ (diag p_b − p_b p_bᵀ) J_b`: never negative, and H where J is constant.

    Args: see `hessian_products`; the labels play no part.

    Raises: see `hessian_products`.
    """
    with torch.enable_grad(), differentiable():
        logits, own = _logits(model, vectors[0], images)
        p = logits.detach().softmax(1)
        found = []
        for vector in vectors:
            moved = directional(model, vector, images)[1]
            change = p * (moved - (p * moved).sum(1, keepdim=True)) / len(images)
            found.append(_pulled(logits, own, change))
    return found


def _logits(model: nn.Module, like: Vector, images: torch.Tensor) -> tuple[torch.Tensor, Vector]:
    model = unwrapped(model)
    values = values_of(model)
    own = {name: values[name].detach().requires_grad_() for name in like}
    return stateless.call(model, values | own, images), own


def _pulled(output: torch.Tensor, own: Vector, direction: torch.Tensor | None) -> Vector:
    found = torch.autograd.grad(
        output, list(own.values()), direction, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return dict(zip(own, found, strict=True))
