"""Products of gradients with one fixed vector, for all K labels of a sample from one forward-mode pass."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import nn
from torch.func import jvp
from torch.overrides import TorchFunctionMode

from fvm_core.curvature.differentiable import differentiable
from fvm_core.curvature.values import values_of
from fvm_core.curvature.vectors import Vector
from fvm_core.diagonal.residuals import probabilities
from fvm_core.layers import stateless
from fvm_core.layers.conditions import refuse_training_mode
from fvm_core.layers.eager import unwrapped
from fvm_core.out_of_memory import keep_out_of_memory


def directional(
    model: nn.Module, direction: Vector, images: torch.Tensor, *, values: Vector | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and `J w` (B, K each), `J = ∂logits/∂θ`, for about two forward passes; no graph is kept.

    An operation without a forward-mode derivative costs a double backward pass instead.

    Args:
        model: logits (B, K); in evaluation mode; never changed.
        direction: w; parameters that it does not name stay fixed.
        images: (B, …), on the model's device.
        values: see `values_of`, where they are not the model's own.

    Raises:
        SaltflatError: see `values_of`.
    """
    model = unwrapped(model)
    refuse_training_mode(model)
    values = values_of(model) if values is None else values
    own = {name: values[name] for name in direction}

    def logits(moved: Vector) -> torch.Tensor:
        return stateless.call(model, values | moved, images)

    images = images.detach()
    with differentiable():
        try:
            # Nothing requires a gradient, so no graph is made.
            with torch.enable_grad(), _ForwardModeToo():
                found = jvp(logits, (own,), (direction,))
                return found[0], found[1]
        except (NotImplementedError, RuntimeError) as error:
            # What torch raises for operations and user-defined functions without a forward mode.
            keep_out_of_memory(error)
            return _by_double_backward(logits, own, direction)


class _ForwardModeToo(TorchFunctionMode):
    """`torch.no_grad` in a model's forward pass holds for forward-mode derivatives too, which torch takes
    through it.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> object:
        found = func(*args, **(kwargs or {}))
        if func is torch._C._set_grad_enabled:
            torch._C._set_fwd_grad_enabled(args[0])
        return found


def label_products(logits: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """`g_(x,k)ᵀ w = (p − e_k)ᵀ J w` (B, K) for every label k.

    Args:
        logits: (B, K).
        moved: `J w` (B, K).
    """
    p = probabilities(logits)
    # For the likely label p_k − 1 would cancel; its own J w is taken off first instead, which p − e_k,
    # having the sum 0, does not notice.
    centred = moved.to(p.dtype)
    centred = centred - centred.gather(1, p.argmax(1, keepdim=True))
    return ((p * centred).sum(1, keepdim=True) - centred).to(logits.dtype)


def _by_double_backward(
    logits: Callable[[Vector], torch.Tensor], own: Vector, direction: Vector
) -> tuple[torch.Tensor, torch.Tensor]:
    """`J w` as the derivative of `uᵀJ w` by u."""
    with torch.enable_grad():
        own = {name: value.detach().requires_grad_() for name, value in own.items()}
        found = logits(own)
        u = torch.zeros_like(found, requires_grad=True)
        gradients = torch.autograd.grad(
            found, list(own.values()), u, create_graph=True, allow_unused=True, materialize_grads=True
        )
        terms = ((g * direction[name]).sum() for name, g in zip(own, gradients, strict=True))
        product = reduce(operator.add, terms)
        return found.detach(), torch.autograd.grad(product, u)[0]
