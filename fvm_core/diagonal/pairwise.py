"""Influence of one training sample on one validation sample, for telling which of them drive a score."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from fvm_core.curvature.differentiable import differentiable
from fvm_core.curvature.values import values_of
from fvm_core.diagonal.arguments import class_labels
from fvm_core.errors import SaltflatError
from fvm_core.layers import stateless
from fvm_core.layers.eager import unwrapped
from fvm_core.layers.registry import Gradients


def pairwise_influence(
    model: nn.Module,
    inverse: Gradients,
    x_train: torch.Tensor,
    y_train: torch.Tensor,
    x_val: torch.Tensor,
    y_val: torch.Tensor,
    *,
    epsilon: float,
    batch_size: int = 32,
) -> torch.Tensor:
    """`I(z_tr, z_val) = g_valᵀ v + ½ ε vᵀ ∇²ℓ(z_val) v` (N, M) with `v = P⁻¹ g_tr` (20).

    To second order, `ε I` is how much the loss of z_val grows when z_tr is taken away from (17), where it
    was added to the mean validation loss with weight ε: θ̃ then moves by `ε v`. The paper keeps ε as a
    symbol and needs only ε > 0 (appendix E.2); `1/M` of the whole validation set gives z_tr the weight of
    one validation sample.

    The score (21) is the second term's mean over the validation set, without ½ ε and with P for the mean
    of the Hessians. The first term has the ordinary sign, **negative = harmful**, and vanishes in that
    mean at a minimum; it does not in single pairs.

    Args:
        model: logits (B, K); in evaluation mode; weights are read, never changed.
        inverse: parameter name to `1/(F + λ)`; only these parameters count.
        x_train: (N, …), on the model's device as all inputs.
        y_train: (N,), the labels to judge.
        x_val: (M, …).
        y_val: (M,).
        epsilon: ε.
        batch_size: validation samples at once, each with about six times the memory of a forward pass.

    Raises:
        SaltflatError: see `pairwise_terms`.
    """
    first, second = pairwise_terms(model, inverse, x_train, y_train, x_val, y_val, batch_size=batch_size)
    return first + 0.5 * epsilon * second


def pairwise_terms(
    model: nn.Module,
    inverse: Gradients,
    x_train: torch.Tensor,
    y_train: torch.Tensor,
    x_val: torch.Tensor,
    y_val: torch.Tensor,
    *,
    batch_size: int = 32,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`g_valᵀ v` and `vᵀ ∇²ℓ(z_val) v` (N, M): slope and curvature of every validation loss along v.

    Neither gradients of single validation samples nor a Hessian is formed. The second can be negative:
    the Hessian of one sample's loss is indefinite.

    Args: see `pairwise_influence`.

    Raises:
        SaltflatError: the model is in training mode or lacks a parameter that `inverse` names, or labels are
            none.
        RuntimeError: torch does not know the second derivative of one of the model's operations.
    """
    model = unwrapped(model)
    values = values_of(model)
    y_train, y_val = _labels(model, x_train, y_train), _labels(model, x_val, y_val)
    unknown = sorted(inverse.keys() - values.keys())
    if unknown:
        raise SaltflatError(
            f"The model has no parameter `{unknown[0]}`, which the inverse curvature names: that belongs to "
            f"another model."
        )
    first = torch.zeros(
        len(x_train), len(x_val), device=x_val.device, dtype=next(iter(values.values())).dtype
    )
    second = torch.zeros_like(first)
    with torch.enable_grad(), differentiable():
        for n in range(len(x_train)):
            direction = _direction(model, values, inverse, x_train[n : n + 1], y_train[n : n + 1])
            for start in range(0, len(x_val), batch_size):
                part = slice(start, start + batch_size)
                first[n, part], second[n, part] = _along(model, values, direction, x_val[part], y_val[part])
    return first, second


@torch.no_grad()
def _labels(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    classes = model(images[:1]).shape[1] if len(images) else 1
    return class_labels(labels, len(images), classes)


def _direction(
    model: nn.Module, values: Gradients, inverse: Gradients, image: torch.Tensor, label: torch.Tensor
) -> Gradients:
    """`v = P⁻¹ ∇ℓ` of one sample."""
    own = {name: values[name].detach().requires_grad_() for name in inverse}
    loss = F.cross_entropy(stateless.call(model, values | own, image), label)
    found = torch.autograd.grad(loss, list(own.values()), materialize_grads=True)
    return {name: inverse[name] * gradient for name, gradient in zip(own, found, strict=True)}


def _along(
    model: nn.Module, values: Gradients, direction: Gradients, images: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """First and second derivative of `t ↦ ℓ(z, θ + t v)` at 0, (B,) each.

    With weights u of the samples, `Σ u ℓ` is differentiated by t once and twice, and each result, linear
    in u, by u. Nested forward-mode derivatives would be shorter, but those of torch silently take the mean
    and the scale of LayerNorm and InstanceNorm for constants.
    """
    t = torch.zeros((), device=images.device, dtype=next(iter(values.values())).dtype, requires_grad=True)
    moved = {name: values[name] + t * v for name, v in direction.items()}
    losses = F.cross_entropy(stateless.call(model, values | moved, images), labels, reduction="none")
    u = torch.ones_like(losses, requires_grad=True)
    (slope,) = torch.autograd.grad((u * losses).sum(), t, create_graph=True)
    (curvature,) = torch.autograd.grad(slope, t, create_graph=True)
    (slopes,) = torch.autograd.grad(slope, u, retain_graph=True)
    (curvatures,) = torch.autograd.grad(curvature, u)
    return slopes, curvatures
